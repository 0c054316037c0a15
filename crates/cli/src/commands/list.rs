use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use clap::{Args, ValueEnum};
use owlet_lab::Record;
use owlet_lab::run::record::{RunLine, State};
use owlet_store::{ArtifactId, Entity, Identities, StepKey, Store};
use serde::Serialize;

use crate::error::Result;
use crate::terminal::{FAINT, STRONG, Terminal, bytes, count, duration, one_line};
use crate::workspace;

/// List runs, artifacts or steps
///
/// Wherever a run, artifact or step is asked for, these will do: `last` for the newest run; the beginning of
/// an id that fits one thing alone, of four or more characters (of a run also its last four); a name as
/// `owlet list artifacts` shows it, of the newest finished run that has it, with `RUN:NAME` of that run.
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
    /// Runs that were removed: their results count as tries
    Removed,
}

/// Columns of a run's name.
const NAME: usize = 24;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ArtifactLine {
    id: ArtifactId,
    kind: String,
    name: Option<String>,
    size: u64,
    files: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StepLine {
    key: StepKey,
    kind: String,
    output: ArtifactId,
    name: Option<String>,
    seconds: f64,
    peak_memory: Option<u64>,
    started: String,
}

pub(crate) fn run(args: &ListArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    match args.what {
        What::Runs => runs(&store, Record::all(&store)?, terminal),
        What::Removed => runs(&store, Record::removed(&store)?, terminal),
        What::Artifacts => artifacts(&store, terminal),
        What::Steps => steps(&store, terminal),
    }
}

/// A line of a listing.
trait Listed: Serialize {
    /// The line as a person reads it; `identities` know how short an id may be.
    fn write(&self, out: &mut dyn Write, identities: &Identities) -> std::io::Result<()>;
}

/// Writes a listing: JSON or lines, and then how many there are.
fn write<T: Listed>(store: &Store, terminal: &Terminal, lines: &[T], noun: &str) -> Result<()> {
    if terminal.json {
        return terminal.json(&lines);
    }
    let identities = store.identities()?;
    let mut out = terminal.data();
    for line in lines {
        line.write(&mut out, &identities)?;
    }
    drop(out);
    terminal.say(count(lines.len(), noun));
    Ok(())
}

/// A run, and the files of what it made.
#[derive(Serialize)]
struct SizedRun {
    #[serde(flatten)]
    line: RunLine,
    /// Bytes of the artifacts that its steps made or reused and that are here; others may share them.
    size: u64,
}

fn runs(store: &Store, runs: Vec<Record>, terminal: &Terminal) -> Result<()> {
    let sizes: BTreeMap<ArtifactId, u64> =
        store.artifacts()?.into_iter().map(|header| (header.id, header.size)).collect();
    let sized = |run: &Record| {
        let made: BTreeSet<ArtifactId> =
            workspace::steps_of(run).into_iter().filter_map(|step| step.artifact).collect();
        SizedRun { line: run.line(), size: made.iter().filter_map(|id| sizes.get(id)).sum() }
    };
    let lines: Vec<SizedRun> = runs.iter().map(sized).collect();
    for SizedRun { line, .. } in lines.iter().filter(|run| run.line.damage.is_some()) {
        terminal.warn(format_args!("run {} cannot be read; `owlet verify` says why", line.id));
    }
    if lines.is_empty() && store.removed_runs()?.is_empty() {
        terminal.say("no runs yet; start one: `owlet demo`");
    }
    write(store, terminal, &lines, "run")
}

impl Listed for SizedRun {
    fn write(&self, out: &mut dyn Write, _: &Identities) -> std::io::Result<()> {
        let Self { line, size } = self;
        let name = one_line(&line.name, NAME);
        let stands = one_line(&stands(line), 100);
        write!(out, "{STRONG}{}{STRONG:#}  {name:<NAME$}  {stands}", line.id)?;
        let size = (*size > 0).then(|| bytes(*size));
        let beside = one_line(&beside(line, size), 60);
        if !beside.is_empty() {
            write!(out, "  {FAINT}{beside}{FAINT:#}")?;
        }
        writeln!(out)
    }
}

/// What a finished run found, or where it stands.
pub(crate) fn stands(line: &RunLine) -> String {
    let steps = || match line.steps {
        Some((done, planned)) if planned > 0 => format!(", {done} of {planned} steps done"),
        _ => String::new(),
    };
    match line.state {
        State::Running => {
            let left = line.remaining.map(|seconds| format!(", {} left", duration(seconds)));
            format!("running{}{}", steps(), left.unwrap_or_default())
        }
        State::Stopped => format!("stopped{}", steps()),
        State::Failed => match &line.failure {
            Some(failure) => format!("failed: {}: {}", failure.step, failure.message),
            None => "failed".to_owned(),
        },
        State::Finished if line.verdicts.is_empty() => "finished".to_owned(),
        State::Finished => {
            let said = line.verdicts.iter();
            let said = said.map(|verdict| format!("{} {}", verdict.behavior, verdict.words()));
            said.collect::<Vec<_>>().join(", ")
        }
    }
}

/// What a run was about, how long it took, what its files take and when it began.
fn beside(line: &RunLine, size: Option<String>) -> String {
    let base = (!line.base.is_empty()).then(|| line.base.clone());
    // To the minute.
    let day = line.started.get(..16).map(|day| format!("{} UTC", day.replace('T', " ")));
    let parts: Vec<String> =
        base.into_iter().chain(line.seconds.map(duration)).chain(size).chain(day).collect();
    parts.join(", ")
}

fn artifacts(store: &Store, terminal: &Terminal) -> Result<()> {
    let mut names = workspace::names(store)?;
    let lines: Vec<ArtifactLine> = store
        .artifacts()?
        .into_iter()
        .map(|header| ArtifactLine {
            id: header.id,
            kind: header.kind,
            name: names.remove(&header.id),
            size: header.size,
            files: header.files.len(),
        })
        .collect();
    write(store, terminal, &lines, "artifact")
}

impl Listed for ArtifactLine {
    fn write(&self, out: &mut dyn Write, identities: &Identities) -> std::io::Result<()> {
        let short = identities.shortest_prefix(&Entity::Artifact(self.id));
        row(out, &short, &self.kind, &format!("{:>8}", bytes(self.size)), self.name.as_deref())
    }
}

fn steps(store: &Store, terminal: &Terminal) -> Result<()> {
    let names = workspace::names(store)?;
    let mut records = store.steps()?;
    records.sort_by(|one, other| one.about.started.cmp(&other.about.started));
    let lines: Vec<StepLine> = records
        .into_iter()
        .map(|record| StepLine {
            key: record.key,
            kind: record.kind,
            output: record.output,
            name: names.get(&record.output).cloned(),
            seconds: record.about.seconds,
            peak_memory: record.about.peak_memory_bytes,
            started: record.about.started,
        })
        .collect();
    write(store, terminal, &lines, "step")
}

impl Listed for StepLine {
    fn write(&self, out: &mut dyn Write, identities: &Identities) -> std::io::Result<()> {
        let short = identities.shortest_prefix(&Entity::Step(self.key));
        row(
            out,
            &short,
            &self.kind,
            &format!("{:>12}", duration(self.seconds)),
            self.name.as_deref(),
        )
    }
}

fn row(
    out: &mut dyn Write,
    id: &str,
    kind: &str,
    size: &str,
    name: Option<&str>,
) -> std::io::Result<()> {
    let name = name.unwrap_or_default();
    writeln!(out, "{STRONG}{id:<8}{STRONG:#}  {kind:<12}  {size}  {FAINT}{name}{FAINT:#}")
}
