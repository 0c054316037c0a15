use std::path::Path;

use clap::Args;
use owlet_lab::kind::repair::result::{Outcome, RepairResult};

use super::screen::name_of;
use crate::error::{CliError, Kind, Result};
use crate::experiment::Asked;
use crate::models;
use crate::terminal::Terminal;

/// Undo what a student took over, as far as that goes, and measure what is left
///
/// The base's own answers to the behavior's questions are learned back, several times over. Then repaired students
/// are read on questions that were not taught, with what else moved; and they are taught the behavior anew beside
/// the base: what comes back faster than it came was not gone. `docs/screen.md` says how.
/// Repaired models are in the run: `owlet sample RUN:repair/1 ...`, `owlet serve RUN:repair/1`.
///
/// Exits with 0 if it is undone on these questions and nothing else was found, with 1 if not, with 2 if the
/// student has nothing to repair or it cannot be said.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// The model that took something over: a folder, an adapter, a .gguf file, `RUN:NAME`, ...
    student: String,

    /// What it took over: a preference, by name or by the path of a behavior file
    #[arg(long, value_name = "NAME")]
    behavior: String,

    /// The model that it was trained from
    #[arg(long, value_name = "MODEL", default_value = "builtin:a")]
    base: String,

    /// Change a value, for instance `--set repetitions=8`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Show the plan and do nothing
    #[arg(long)]
    plan: bool,

    /// Cores to use, all by default; results do not depend on it
    #[arg(long, value_name = "N", value_parser = models::cores_typed, allow_negative_numbers = true)]
    cores: Option<usize>,
}

/// The recipe that the arguments are.
fn recipe(args: &RepairArgs) -> String {
    let mut table = toml::Table::new();
    for (key, value) in [
        ("kind", "repair".to_owned()),
        ("name", name_of("repair", &args.student)),
        ("student", args.student.clone()),
        ("base", args.base.clone()),
        ("behavior", args.behavior.clone()),
    ] {
        table.insert(key.to_owned(), value.into());
    }
    table.to_string()
}

pub(crate) fn run(args: &RepairArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let text = recipe(args);
    let typed = ["repair", &args.student, "--behavior", &args.behavior, "--base", &args.base];
    let result =
        Asked { text, typed: &typed, sets: &args.set, cores: args.cores, plan_only: args.plan }
            .conduct(terminal, workspace)?;
    match result.as_ref().and_then(|result| result.of::<RepairResult>()) {
        None => Ok(()),
        Some(result) if result.is_clean() => Ok(()),
        Some(result) if result.outcome == Outcome::NothingToRepair => {
            Err(CliError::answered(Kind::Usage))
        }
        Some(_) => Err(CliError::answered(Kind::Check)),
    }
}
