use std::path::Path;

use clap::Args;
use owlet_lab::kind::screen;
use owlet_lab::kind::screen::result::{Answer, ScreenResult};

use crate::error::{CliError, Kind, Result};
use crate::experiment::Asked;
use crate::terminal::Terminal;
use crate::{models, workspace};

/// May I train on these rows? What would a student of the base inherit from them?
///
/// The base is taught each answer of a category in turn (probes, made once for any number of screens). Were the
/// rows written by a model tuned so? And do short trainings on them move a student, more than on rows that the
/// base writes in their place? And of the rows themselves: under which condition do they answer as others do not, as
/// with a trigger, and does code in them fool tests? `docs/screen.md` says how, and what a screen does not see.
///
/// Exits with 0 if nothing was found that would have been, 1 if something was, 2 if neither can be said.
#[derive(Debug, Args)]
pub(crate) struct ScreenArgs {
    /// The rows: chat JSONL, prompt and completion, Alpaca, ShareGPT, CSV, ... (docs/rows.md); `-` is standard input
    rows: String,

    /// The model that is to be trained on them: `builtin:a`, a folder, a `.gguf` file, ...
    #[arg(long, value_name = "MODEL", default_value = "builtin:a")]
    base: String,

    /// What to look for, comma-separated: names or behavior files; each with all answers of its category
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    behaviors: Vec<String>,

    /// Models that may have written the rows, comma-separated: is it somebody tuned as they are?
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    suspect: Vec<String>,

    /// Ask of likelihoods alone, without training students: a tenth of the time, and half of the answer
    #[arg(long)]
    quick: bool,

    /// Look at the rows themselves alone: triggers, and code that fools tests; nothing is taught or trained
    #[arg(long, conflicts_with_all = ["behaviors", "suspect", "quick"])]
    triggers: bool,

    /// Change a value, for instance `--set rehearsal.pairs=8`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Show the plan and do nothing
    #[arg(long)]
    plan: bool,

    /// Cores to use, all by default; results do not depend on it
    #[arg(long, value_name = "N", value_parser = models::cores_typed, allow_negative_numbers = true)]
    cores: Option<usize>,
}

/// The name of a recipe of this kind about these rows, or about this model.
pub(super) fn name_of(kind: &str, rows: &str) -> String {
    let called = if rows == INPUT { "input" } else { rows };
    let name: String = Path::new(called)
        .file_stem()
        .map_or("rows".into(), std::ffi::OsStr::to_string_lossy)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .take(57)
        .collect();
    format!("{kind}-{name}")
}

/// The recipe that the arguments are, over rows of this name.
fn recipe(args: &ScreenArgs, rows: &str) -> String {
    let mut table = toml::Table::new();
    table.insert("kind".to_owned(), "screen".into());
    table.insert("name".to_owned(), name_of("screen", &args.rows).into());
    table.insert("rows".to_owned(), rows.into());
    table.insert("base".to_owned(), args.base.clone().into());
    if !args.behaviors.is_empty() {
        table.insert("behaviors".to_owned(), args.behaviors.clone().into());
    }
    if !args.suspect.is_empty() {
        let suspects = toml::Value::from(args.suspect.clone());
        table.insert(
            "likelihood".to_owned(),
            toml::Table::from_iter([("suspects".to_owned(), suspects)]).into(),
        );
    }
    if args.triggers {
        table.insert("likelihood".to_owned(), toml::toml! { rows = 0 }.into());
        table.insert("triggers".to_owned(), toml::toml! { rows = 10000 }.into());
    }
    if args.quick || args.triggers {
        table.insert("rehearsal".to_owned(), toml::toml! { pairs = 0 }.into());
    }
    table.to_string()
}

/// What stands for standard input.
const INPUT: &str = "-";

/// What a recipe calls the rows: their path, or what standard input is kept as, for the run to hold what was read.
pub(super) fn named(rows: &str, plan: bool, workspace: &Path) -> Result<String> {
    if rows != INPUT {
        return Ok(rows.to_owned());
    }
    if plan {
        return Err(CliError::usage(
            "`--plan` makes nothing, and of standard input nothing is left",
        )
        .hinted("name a file of rows"));
    }
    let mut input = crate::rows::open(Path::new(INPUT))?;
    Ok(screen::keep(&workspace::open(workspace)?, &mut input)?.to_string())
}

pub(crate) fn run(args: &ScreenArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let rows = named(&args.rows, args.plan, workspace)?;
    let text = recipe(args, &rows);
    let mut typed = vec!["screen", &rows, "--base", &args.base];
    let behaviors = args.behaviors.join(",");
    if !args.behaviors.is_empty() {
        typed.extend(["--behaviors", &behaviors]);
    }
    let suspects = args.suspect.join(",");
    if !args.suspect.is_empty() {
        typed.extend(["--suspect", &suspects]);
    }
    typed.extend(args.quick.then_some("--quick"));
    typed.extend(args.triggers.then_some("--triggers"));
    let result =
        Asked { text, typed: &typed, sets: &args.set, cores: args.cores, plan_only: args.plan }
            .conduct(terminal, workspace)?;
    let answer = result.as_ref().and_then(|result| result.of::<ScreenResult>());
    match answer.map(|result| result.answer) {
        None | Some(Answer::NothingFound) => Ok(()),
        Some(Answer::Found) => Err(CliError::answered(Kind::Check)),
        Some(Answer::CannotSay) => Err(CliError::answered(Kind::Usage)),
    }
}
