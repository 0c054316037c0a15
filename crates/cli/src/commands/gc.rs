use std::path::Path;

use clap::Args;
use owlet_lab::Record;
use owlet_lab::run::keep;

use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::report;
use crate::terminal::Terminal;
use crate::workspace;

/// Free the files that no run on the list needs, and say why the others stay
///
/// What a run on the list or a job of `owlet serve` refers to stays, and what such a thing cannot be used
/// without. Results stay in any case: one that was seen counts as a try. Of what goes, the record stays: who
/// made it from what, so that lineage goes on telling. Steps are pure: whatever is needed again is made anew,
/// with the same bytes. Unfinished work that no stopped run would go on from goes too, and damaged things
/// that were set aside. Killed at any moment it leaves a sound workspace; the same command goes on.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Say what would go and what stays, and change nothing
    #[arg(long)]
    plan: bool,

    /// Also free teachers and students of finished runs: their readings and results stay
    #[arg(long)]
    models: bool,
}

pub(crate) fn run(args: &GcArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let keeping = if args.plan {
        workspace::keeping(&store, args.models)?
    } else {
        let alone = store.alone()?.ok_or_else(|| at_work(&store))?;
        let keeping = workspace::keeping(&store, args.models)?;
        let mut progress = Progress::new(terminal);
        let mut shown = |done, total| progress.count("removed", done, total);
        keeping.carry_out(&store, &alone, &workspace::now(), &mut shown)?;
        keeping
    };
    if terminal.json {
        return terminal.json(&keeping);
    }
    report::brief(terminal, &keep::report(&keeping, !args.plan))
}

/// Files are left alone while anybody might read them.
fn at_work(store: &owlet_store::Store) -> CliError {
    let is_running = |run: &Record| run.is_held().unwrap_or(false);
    let runs = Record::all(store).unwrap_or_default();
    let running: Vec<String> =
        runs.iter().filter(|run| is_running(run)).map(|run| run.id().to_string()).collect();
    let who = if running.is_empty() {
        "another process makes or uses artifacts of this workspace".to_owned()
    } else {
        format!("run {} is being executed", running.join(", "))
    };
    CliError::environment(format!("{who}; no file is taken away meanwhile"))
        .hinted("try again when it has ended; `owlet gc --plan` says now what would go")
}
