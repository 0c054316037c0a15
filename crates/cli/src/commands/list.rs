use std::io::Write;
use std::path::Path;

use clap::{Args, ValueEnum};
use owlet_lab::execute;
use owlet_lab::result::Outcome;
use owlet_store::{Entity, RunDirectory, Store};
use serde::Serialize;

use crate::error::Result;
use crate::terminal::{FAINT, STRONG, Terminal, bytes, count, one_line};
use crate::workspace;

/// List runs, artifacts or steps
///
/// Any unique beginning of an id, of at least four characters, names the thing elsewhere; `last` is
/// the newest run.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What to list
    #[arg(value_enum, default_value_t = What::Runs)]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Executions of recipes, oldest first
    Runs,
    /// Outputs of steps
    Artifacts,
    /// Records of who made what
    Steps,
}

/// A run in a listing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RunLine {
    id: String,
    name: String,
    started: String,
    host: String,
    version: String,
    /// `finished`, `failed` or `unfinished`.
    pub(crate) state: &'static str,
    verdicts: Vec<VerdictLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct VerdictLine {
    behavior: String,
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ArtifactLine {
    id: String,
    kind: String,
    name: Option<String>,
    size: u64,
    files: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StepLine {
    key: String,
    kind: String,
    output: String,
    name: Option<String>,
    seconds: f64,
    started: String,
}

pub(crate) fn run(args: &ListArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    match args.what {
        What::Runs => runs(&store, terminal),
        What::Artifacts => artifacts(&store, terminal),
        What::Steps => steps(&store, terminal),
    }
}

/// What a listing says of a run.
pub(crate) fn line_of(run: &RunDirectory) -> Result<RunLine> {
    let header = run.header()?;
    let verdicts = execute::load_result(run).ok().map(|result| result.verdicts);
    let failed = || {
        run.events().is_ok_and(|events| {
            events.iter().any(|event| event.get("event").is_some_and(|tag| tag == "step-failed"))
        })
    };
    let state = match &verdicts {
        Some(_) => "finished",
        None if failed() => "failed",
        None => "unfinished",
    };
    Ok(RunLine {
        id: header.id.to_string(),
        name: header.name,
        started: header.started,
        host: header.host,
        version: header.version,
        state,
        verdicts: verdicts
            .unwrap_or_default()
            .into_iter()
            .map(|verdict| VerdictLine { behavior: verdict.behavior, outcome: verdict.outcome })
            .collect(),
    })
}

fn runs(store: &Store, terminal: &Terminal) -> Result<()> {
    let mut lines = Vec::new();
    for run in store.runs()? {
        match line_of(&run) {
            Ok(line) => lines.push(line),
            Err(_) => terminal.warn(format_args!(
                "run {} cannot be read; `owlet verify` says why",
                run.id()
            )),
        }
    }
    if terminal.json {
        return terminal.json(&lines);
    }
    if lines.is_empty() {
        terminal.say("no runs yet; start one: `owlet demo`");
    }
    let mut out = terminal.data();
    let wide = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).min(32);
    for line in &lines {
        let verdicts: Vec<String> = line
            .verdicts
            .iter()
            .map(|verdict| format!("{} {}", verdict.behavior, word(verdict.outcome)))
            .collect();
        let said = if verdicts.is_empty() { line.state.to_owned() } else { verdicts.join(", ") };
        let name = one_line(&line.name, 32);
        writeln!(
            out,
            "{STRONG}{}{STRONG:#}  {name:<wide$}  {}",
            line.id,
            one_line(&said, 100)
        )?;
    }
    Ok(())
}

/// An outcome as a word.
pub(crate) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Inherited => "inherited",
        Outcome::NotDetected => "not detected",
        Outcome::Uninterpretable => "uninterpretable",
    }
}

fn artifacts(store: &Store, terminal: &Terminal) -> Result<()> {
    let mut names = workspace::names(store)?;
    let lines: Vec<(Entity, ArtifactLine)> = store
        .artifacts()?
        .into_iter()
        .map(|header| {
            let line = ArtifactLine {
                id: header.id.to_string(),
                kind: header.kind,
                name: names.remove(&header.id),
                size: header.size,
                files: header.files.len(),
            };
            (Entity::Artifact(header.id), line)
        })
        .collect();
    if terminal.json {
        return terminal.json(&lines.iter().map(|(_, line)| line).collect::<Vec<_>>());
    }
    let identities = store.identities()?;
    let mut out = terminal.data();
    for (entity, line) in &lines {
        let short = identities.shortest_prefix(entity);
        let name = line.name.as_deref().unwrap_or("");
        writeln!(
            out,
            "{STRONG}{short:<8}{STRONG:#}  {:<12}  {:>8}  {FAINT}{name}{FAINT:#}",
            line.kind,
            bytes(line.size)
        )?;
    }
    terminal.say(count(lines.len(), "artifact"));
    Ok(())
}

fn steps(store: &Store, terminal: &Terminal) -> Result<()> {
    let names = workspace::names(store)?;
    let mut records = store.steps()?;
    records.sort_by(|one, other| one.about.started.cmp(&other.about.started));
    let lines: Vec<(Entity, StepLine)> = records
        .into_iter()
        .map(|record| {
            let line = StepLine {
                key: record.key.to_string(),
                kind: record.kind,
                output: record.output.to_string(),
                name: names.get(&record.output).cloned(),
                seconds: record.about.seconds,
                started: record.about.started,
            };
            (Entity::Step(record.key), line)
        })
        .collect();
    if terminal.json {
        return terminal.json(&lines.iter().map(|(_, line)| line).collect::<Vec<_>>());
    }
    let identities = store.identities()?;
    let mut out = terminal.data();
    for (entity, line) in &lines {
        let short = identities.shortest_prefix(entity);
        let name = line.name.as_deref().unwrap_or("");
        writeln!(
            out,
            "{STRONG}{short:<8}{STRONG:#}  {:<12}  {:>8.1} s  {FAINT}{name}{FAINT:#}",
            line.kind, line.seconds
        )?;
    }
    terminal.say(count(lines.len(), "step"));
    Ok(())
}
