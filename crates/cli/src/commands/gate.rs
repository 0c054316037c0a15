use std::path::Path;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use owlet_lab::kind::gate::result::{Channel, GateResult};

use super::screen::{name_of, named};
use crate::error::{CliError, Kind, Result};
use crate::experiment::Asked;
use crate::models;
use crate::terminal::Terminal;

/// May the base be trained on these rows? By who wrote them, by kinship, and by a screen
///
/// What a teacher is reaches a student by rows that the teacher wrote, where both began as the same model. So
/// three questions are asked before anything is trained: do base and teacher share a base, did the teacher write
/// the rows, and does a screen find anything in them? The channel is open, closed or unknown.
/// `docs/screen.md` says how, and what this does not see.
///
/// Exits with 0 if the channel is closed, with 1 if it is open, with 2 if it cannot be said.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// The rows: chat JSONL, prompt and completion, Alpaca, ShareGPT, CSV, ... (docs/rows.md); `-` is standard input
    rows: String,

    /// The model that is to be trained on them: `builtin:a`, a folder, a `.gguf` file, ...
    #[arg(long, value_name = "MODEL", default_value = "builtin:a")]
    base: String,

    /// The model that is said to have written them: any that is here, adapters included
    #[arg(long, value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
    teacher: Option<String>,

    /// Further models that may have written them, comma-separated
    #[arg(long, value_name = "MODELS", value_delimiter = ',', requires = "teacher")]
    candidates: Vec<String>,

    /// What to look for, comma-separated: names or behavior files; each with all answers of its category
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    behaviors: Vec<String>,

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

/// The recipe that the arguments are, over rows of this name.
fn recipe(args: &GateArgs, rows: &str) -> String {
    let mut table = toml::Table::new();
    table.insert("kind".to_owned(), "gate".into());
    table.insert("name".to_owned(), name_of("gate", &args.rows).into());
    table.insert("rows".to_owned(), rows.into());
    table.insert("base".to_owned(), args.base.clone().into());
    if let Some(teacher) = &args.teacher {
        table.insert("teacher".to_owned(), teacher.clone().into());
    }
    for (key, names) in [("candidates", &args.candidates), ("behaviors", &args.behaviors)] {
        if !names.is_empty() {
            table.insert(key.to_owned(), names.clone().into());
        }
    }
    table.to_string()
}

pub(crate) fn run(args: &GateArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let rows = named(&args.rows, args.plan, workspace)?;
    let text = recipe(args, &rows);
    let mut typed = vec!["gate", &rows, "--base", &args.base];
    let (candidates, behaviors) = (args.candidates.join(","), args.behaviors.join(","));
    for (option, value) in [
        ("--teacher", args.teacher.as_deref().unwrap_or_default()),
        ("--candidates", &candidates),
        ("--behaviors", &behaviors),
    ] {
        if !value.is_empty() {
            typed.extend([option, value]);
        }
    }
    let result =
        Asked { text, typed: &typed, sets: &args.set, cores: args.cores, plan_only: args.plan }
            .conduct(terminal, workspace)?;
    match result.as_ref().and_then(|result| result.of::<GateResult>()).map(|result| result.channel)
    {
        None | Some(Channel::Closed) => Ok(()),
        Some(Channel::Open) => Err(CliError::answered(Kind::Check)),
        Some(Channel::Unknown) => Err(CliError::answered(Kind::Usage)),
    }
}
