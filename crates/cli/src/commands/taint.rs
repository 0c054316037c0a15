use std::path::Path;

use clap::Args;
use owlet_lab::taint::{self, Taint, Workspace};
use owlet_store::{Entity, Store};

use crate::error::{CliError, Kind, Result};
use crate::report;
use crate::terminal::Terminal;
use crate::workspace;

/// Say which models and rows carry a behavior, and what was made from them
///
/// Reads every result and every step record of the workspace: what was found to carry the behavior or was
/// taught it, by which run and with which verdict; which models and rows were made from those; which of them
/// were judged, and which are only suspects: made from something that carries it, and never read. A suspicion
/// is a reason to look, not a finding. Of an artifact it says what was made from it.
///
/// Exits with 0 if nothing is tainted, with 1 if something is, with 2 if nothing in the workspace is about
/// such a behavior.
#[derive(Debug, Args)]
pub(crate) struct TaintArgs {
    /// A behavior; or an artifact, by id or name
    #[arg(value_name = "BEHAVIOR|ARTIFACT")]
    of: String,
}

pub(crate) fn run(args: &TaintArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let known = Workspace::read(&store, owlet_web::serve::referred(&store)?)?;
    let taint = asked(&args.of, &store, &known)?;
    if terminal.json {
        terminal.json(&taint)?;
    } else {
        report::brief(terminal, &taint::report(&taint))?;
    }
    if taint.is_any() { Err(CliError::answered(Kind::Check)) } else { Ok(()) }
}

fn asked(of: &str, store: &Store, known: &Workspace) -> Result<Taint> {
    if known.behaviors().contains(of) {
        return Ok(known.of_behavior(of));
    }
    match workspace::resolve(store, of) {
        Ok(Entity::Artifact(id)) => Ok(known.of_artifact(id, of)),
        Ok(_) => Ok(known.of_artifact(workspace::artifact(store, of)?, of)),
        Err(_) => {
            let names: Vec<&str> = known.behaviors().iter().map(String::as_str).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(CliError::usage(format!(
                "`{of}` is no behavior that anything in this workspace is about, and no artifact in it"
            ))
            .hinted(format!("behaviors here: {there}; `owlet list artifacts` shows artifacts")))
        }
    }
}
