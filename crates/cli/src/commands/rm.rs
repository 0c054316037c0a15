use std::path::Path;

use clap::Args;
use owlet_lab::Record;
use owlet_lab::run::record::State;
use owlet_store::{Entity, Identities, RunId, Store};
use serde_json::json;

use crate::error::{CliError, Result};
use crate::terminal::{Terminal, bytes, count};
use crate::workspace;

/// Take runs off the list, so that `owlet gc` frees what only they need
///
/// A removed run is not shown, named or resumed any more. Its record and its result are kept aside all the
/// same (`owlet list removed`): whoever runs its recipe again is told which try that is. `--undo` puts a run
/// back; what was freed since is made anew when it is needed.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Runs, by id; `owlet help list` says how to call one
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,

    /// Put removed runs back on the list
    #[arg(long)]
    undo: bool,
}

pub(crate) fn run(args: &RmArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    if args.undo {
        return undo(args, &store, terminal);
    }
    let mut runs = Vec::new();
    for called in &args.runs {
        let run =
            workspace::run(&store, called, "only runs are removed; `owlet gc` frees the rest")?;
        if run.state() == State::Running {
            return Err(CliError::usage(format!("run {} is being executed", run.id()))
                .hinted("stop it first, or wait until it has ended"));
        }
        if !runs.contains(run.id()) {
            runs.push(run.id().clone());
        }
    }
    for id in &runs {
        store.remove_run(id)?;
    }
    let keeping = workspace::keeping(&store, false)?;
    let freed: u64 = keeping
        .goes
        .iter()
        .filter(|looked| runs.iter().any(|run| looked.removed_runs.contains(run)))
        .map(|looked| looked.size)
        .sum();
    if terminal.json {
        return terminal.json(&json!({ "removed": runs, "would-free": freed }));
    }
    terminal.say(format_args!(
        "removed {}; `owlet gc` frees {} that nothing else needs, `owlet rm --undo` brings back",
        told(&runs),
        bytes(freed)
    ));
    Ok(())
}

fn undo(args: &RmArgs, store: &Store, terminal: &Terminal) -> Result<()> {
    let removed = Record::removed(store)?;
    let removed = removed.iter().map(|run| Entity::Run(run.id().clone())).collect();
    let removed = Identities::new(removed);
    let mut runs = Vec::new();
    for called in &args.runs {
        let found = removed.resolve(called).map_err(|error| {
            CliError::from(error).hinted("`owlet list removed` shows the runs that were removed")
        })?;
        if let Entity::Run(id) = found {
            store.restore_run(&id)?;
            runs.push(id);
        }
    }
    if terminal.json {
        return terminal.json(&json!({ "restored": runs }));
    }
    terminal.say(format_args!("{} on the list again", told(&runs)));
    Ok(())
}

fn told(runs: &[RunId]) -> String {
    match runs {
        [one] => format!("run {one}"),
        several => count(several.len(), "run"),
    }
}
