use std::io::Write;
use std::path::Path;

use clap::Args;
use owlet_lab::Record;
use owlet_lab::run::costs;
use owlet_lab::run::record::{RunLine, State};
use owlet_store::{ArtifactId, Entity, RunId, StepKey, Store};
use serde_json::json;

use super::list;
use crate::error::{CliError, Result};
use crate::report;
use crate::terminal::{FAINT, STRONG, Terminal, bytes, duration, one_line, plain};
use crate::workspace;

/// Show a run, artifact or step
///
/// Of a finished run, its result; with `--json`, all that was found. Of an artifact, its files and
/// who made it; of a step, what it did with what.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A run, artifact or step, by id or name; `owlet help list` says how to call one
    id: String,

    /// Print the path of a run's HTML report, writing it if it is not there; with `--json`, the report as data
    #[arg(long)]
    report: bool,

    /// Print a run's resolved recipe
    #[arg(long, conflicts_with = "report")]
    recipe: bool,
}

pub(crate) fn run(args: &ShowArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let entity = workspace::resolve(&store, &args.id)?;
    match entity {
        Entity::Run(id) => show_run(args, terminal, &store, &id),
        other if args.report || args.recipe => {
            Err(CliError::usage(format!("{other} is not a run; only runs have that")))
        }
        Entity::Artifact(id) => show_artifact(terminal, &store, &id),
        Entity::Step(key) => show_step(terminal, &store, &key),
    }
}

fn show_run(args: &ShowArgs, terminal: &Terminal, store: &Store, id: &RunId) -> Result<()> {
    let run = Record::open(store, id)?;
    if args.recipe {
        terminal.data().write_all(run.resolved()?.as_bytes())?;
        return Ok(());
    }
    let line = run.line();
    if line.state != State::Finished {
        return show_unfinished(args, terminal, &run, &line);
    }
    let result = run.result()?;
    if args.report && terminal.json {
        return terminal.json(&owlet_lab::run::report(store, &run, &result)?);
    }
    if args.report {
        let path = report::ensure(store, &run, &result)?;
        writeln!(terminal.data(), "{}", path.display())?;
        return Ok(());
    }
    if terminal.json {
        let costs = costs(store, &run)?;
        let result = result.to_value()?;
        return terminal.json(&json!({ "run": line, "result": result, "costs": costs }));
    }
    report::print(terminal, store, &run, &result)
}

fn show_unfinished(
    args: &ShowArgs,
    terminal: &Terminal,
    run: &Record,
    line: &RunLine,
) -> Result<()> {
    let again = going_on(run, line);
    if args.report {
        let error = CliError::usage(format!("run {} has no result to report", line.id));
        return Err(error.hinted(again));
    }
    if terminal.json {
        return terminal.json(&json!({ "run": line, "events": run.events()? }));
    }
    let mut out = terminal.data();
    let name = one_line(&line.name, 60);
    writeln!(out, "{STRONG}{}{STRONG:#}  {name}  {}", line.id, one_line(&list::stands(line), 400))?;
    writeln!(out, "{FAINT}started {} on {}{FAINT:#}", line.started, one_line(&line.host, 40))?;
    drop(out);
    if line.state != State::Running {
        terminal.hint(again);
    }
    Ok(())
}

/// How to go on with a run that has no result.
fn going_on(run: &Record, line: &RunLine) -> String {
    let id = line.id.nonce();
    if line.state != State::Failed {
        return format!("`owlet resume {id}` goes on from where it was");
    }
    let again =
        format!("what is finished is kept; `owlet resume {id}` tries the same recipe again");
    match run.about().map(|about| about.command) {
        Ok(command) if !command.is_empty() => {
            format!("{again}, `{}` a changed one", one_line(&command, 200))
        }
        _ => again,
    }
}

fn show_artifact(terminal: &Terminal, store: &Store, id: &ArtifactId) -> Result<()> {
    let header = store.artifact_header(id).ok_or_else(|| {
        CliError::usage(format!("artifact {} cannot be read", id.short()))
            .hinted("`owlet verify` says what is wrong with it")
    })?;
    let makers: Vec<_> = store.steps()?.into_iter().filter(|record| record.output == *id).collect();
    let name = workspace::names(store)?.remove(id);
    if terminal.json {
        return terminal.json(&json!({ "artifact": header, "name": name, "made-by": makers }));
    }
    let mut out = terminal.data();
    writeln!(out, "{STRONG}{id}{STRONG:#}  {}", header.kind)?;
    if let Some(name) = name {
        writeln!(out, "name   {}", plain(&name))?;
    }
    writeln!(out, "size   {} in {} files", bytes(header.size), header.files.len())?;
    for maker in &makers {
        writeln!(
            out,
            "made   by {} {}, in {} on {}",
            maker.kind,
            maker.key.short(),
            duration(maker.about.seconds),
            one_line(&maker.about.host, 40)
        )?;
    }
    for file in &header.files {
        writeln!(out, "  {:>9}  {}", bytes(file.size), one_line(&file.path, 100))?;
    }
    if !header.about.is_null() {
        writeln!(out, "{}", plain(&serde_json::to_string_pretty(&header.about)?))?;
    }
    Ok(())
}

fn show_step(terminal: &Terminal, store: &Store, key: &StepKey) -> Result<()> {
    let record = store.step_record(key)?.ok_or_else(|| {
        CliError::usage(format!("the record of step {} cannot be read", key.short()))
            .hinted("`owlet verify` says what is wrong with it")
    })?;
    if terminal.json {
        return terminal.json(&record);
    }
    let mut out = terminal.data();
    writeln!(out, "{STRONG}{key}{STRONG:#}  {} (version {})", record.kind, record.algorithm)?;
    writeln!(out, "made   {}", record.output)?;
    for (role, id) in &record.inputs {
        writeln!(out, "from   {}  {role}", id.short())?;
    }
    let about = &record.about;
    let memory = about.peak_memory_bytes;
    let memory = memory.map(|peak| format!(", {} at most", bytes(peak))).unwrap_or_default();
    writeln!(
        out,
        "took   {} on {}, {} threads{memory}, started {}",
        duration(about.seconds),
        one_line(&about.host, 40),
        about.threads,
        about.started
    )?;
    writeln!(out, "{}", plain(&serde_json::to_string_pretty(&record.configuration)?))?;
    Ok(())
}
