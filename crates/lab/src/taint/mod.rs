//! Taint: which models and rows of a workspace carry a behavior, and what was made from them.
//!
//! Two things are known of an artifact. What was *found* in it: a result says so, and what kind of result it
//! is knows which models it read and which rows it was about. And what it was *made from*: step records say
//! so. Who was made from something that carries a behavior is a suspect until somebody reads it; a suspicion
//! is a reason to look, never a finding. Of rows that several teachers wrote, each part is followed by itself.

mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use owlet_store::{ArtifactId, RunId, StepRecord, Store};
use serde::Serialize;
use serde_json::Value;

use crate::error::Result;
use crate::kind::gate::{Gate, result::CHANNEL};
use crate::kind::registry::KINDS;
use crate::kind::{Kind as _, RESULT, RunResult};
use crate::model::ModelAbout;
use crate::run::record::Record;
use crate::step::fine_tune::CONVERSATIONS_KIND;
use crate::step::{Step, behavior, filter, generate, select, shuffle, teach};

pub use report::report;

/// Kinds of artifacts that are rows.
const ROWS: [&str; 4] = [
    <generate::Generate as Step>::OUTPUT,
    <filter::Filter as Step>::OUTPUT,
    <select::Select as Step>::OUTPUT,
    CONVERSATIONS_KIND,
];
const BEHAVIOR: &str = <behavior::AskBehavior as Step>::OUTPUT;
/// The role under which a step is given the model that it reads.
const MODEL: &str = "model";
/// The role under which a step is given rows.
const ROWS_ROLE: &str = "rows";

/// How a model or rows stand to a behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is what was asked about.
    Named,
    /// A result says that it carries it.
    Carries,
    /// It was taught it.
    Taught,
    /// Made from something of the above, and never judged.
    Suspect,
    /// Made from something of the above, and judged, but neither way.
    Unclear,
    /// Made from something of the above, judged, and not found to carry it.
    Clean,
}

/// What a result says of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The behavior it is about.
    pub behavior: String,
    /// The run whose result it is, where one has it.
    pub run: Option<RunId>,
    /// The result.
    pub result: ArtifactId,
    /// The kind of the run.
    pub kind: &'static str,
    /// When the result was made, as an RFC 3339 timestamp.
    pub made: String,
    /// Whether it says that the artifact carries the behavior; none where it says neither.
    pub carries: Option<bool>,
    /// The verdict, in words.
    pub words: String,
}

/// A model or rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Thing {
    /// Its id.
    pub id: ArtifactId,
    /// What it is, in one word.
    pub kind: String,
    /// What a run calls it, where one does.
    pub name: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// Whose rows of it, where not all are meant.
    pub parts: BTreeSet<String>,
    /// What was found in it.
    pub findings: Vec<Finding>,
    /// The nearest model or rows that it was made from and that are listed, and the step that did it.
    pub from: Option<(ArtifactId, String)>,
    /// Whether its files were removed on purpose.
    pub removed: bool,
    /// Who uses it, in words: a server's job.
    pub used: Option<String>,
}

/// What is known in a workspace of a behavior, or of what was made from an artifact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Taint {
    /// The behavior, or what was called so.
    pub of: String,
    /// Models and rows that carry it or were made from some that do, causes first.
    pub things: Vec<Thing>,
    /// What was judged, found without the behavior, and made from nothing that carries it.
    pub cleared: usize,
    /// Results that cannot be read: what they say is not in here.
    pub unread: Vec<ArtifactId>,
    /// Artifacts that are gone without having been removed on purpose: results may be among them.
    pub missing: usize,
}

impl Taint {
    /// Whether anything is tainted.
    pub fn is_any(&self) -> bool {
        self.things.iter().any(|thing| thing.standing != Standing::Named)
    }
}

/// The lineage of a workspace, read to ask of taint.
#[derive(Debug)]
pub struct Workspace {
    steps: Vec<StepRecord>,
    findings: BTreeMap<ArtifactId, Vec<Finding>>,
    /// By a reading or another look, the models that were read, or the rows that were looked at.
    read: BTreeMap<ArtifactId, BTreeSet<ArtifactId>>,
    names: BTreeMap<ArtifactId, String>,
    kinds: BTreeMap<ArtifactId, Known>,
    taught: BTreeMap<ArtifactId, String>,
    behaviors: BTreeSet<String>,
    unread: Vec<ArtifactId>,
    others: BTreeMap<ArtifactId, String>,
}

/// What an artifact is.
#[derive(Clone, Debug)]
struct Known {
    kind: String,
    about: Value,
    removed: bool,
}

impl Known {
    fn is_thing(&self) -> bool {
        self.is_rows() || ModelAbout::of(&self.kind, &self.about).is_some()
    }

    fn is_rows(&self) -> bool {
        ROWS.contains(&self.kind.as_str())
    }
}

impl Workspace {
    /// Reads the lineage and all results; `others` says who beside runs uses an artifact.
    ///
    /// # Errors
    /// The workspace cannot be read. A result that cannot be is named in what is answered.
    pub fn read(store: &Store, others: BTreeMap<ArtifactId, String>) -> Result<Self> {
        let mut workspace = Self {
            steps: store.steps()?,
            findings: BTreeMap::new(),
            read: BTreeMap::new(),
            names: BTreeMap::new(),
            kinds: BTreeMap::new(),
            taught: BTreeMap::new(),
            behaviors: BTreeSet::new(),
            unread: Vec::new(),
            others,
        };
        for record in &workspace.steps {
            if let Some(looked_at) =
                record.inputs.get(MODEL).or_else(|| record.inputs.get(ROWS_ROLE))
            {
                workspace.read.entry(record.output).or_default().insert(*looked_at);
            }
        }
        let mut results = BTreeSet::new();
        for header in store.artifacts()? {
            if header.files.iter().any(|file| file.path == RESULT) {
                results.insert(header.id);
            }
            let known = Known { kind: header.kind, about: header.about, removed: false };
            workspace.kinds.insert(header.id, known);
        }
        for id in store.removed_ids()? {
            if let Some(gone) = store.removed(&id) {
                let known = Known { kind: gone.kind, about: gone.about, removed: true };
                workspace.kinds.insert(id, known);
            }
        }
        let runs = workspace.name(store)?;
        workspace.teach();
        for record in workspace.steps.clone() {
            if results.contains(&record.output) {
                let run = runs.get(&record.output);
                if workspace.hear(store, &record, run).is_err() {
                    workspace.unread.push(record.output);
                }
            }
        }
        Ok(workspace)
    }

    /// Learns what runs call their artifacts; returns the runs by their results.
    fn name(&mut self, store: &Store) -> Result<BTreeMap<ArtifactId, Record>> {
        let mut runs = BTreeMap::new();
        for run in Record::removed(store)?.into_iter().chain(Record::all(store)?) {
            // What cannot be read names nothing; lists say so.
            let Ok(steps) = run.steps() else { continue };
            let last = steps.steps.last().and_then(|step| step.artifact);
            for step in steps.steps {
                if let Some(id) = step.artifact {
                    self.names.insert(id, format!("{}:{}", run.id().nonce(), step.name));
                }
            }
            if let Some(result) = last {
                runs.insert(result, run);
            }
        }
        Ok(runs)
    }

    /// Learns who was taught what.
    fn teach(&mut self) {
        let name = |id: &ArtifactId| {
            let known = self.kinds.get(id)?;
            let name = known.about.get("name").and_then(Value::as_str);
            name.filter(|_| known.kind == BEHAVIOR).map(str::to_owned)
        };
        self.behaviors = self.kinds.keys().filter_map(name).collect();
        let lessons = self.steps.iter().filter(|record| record.kind == teach::Teach::KIND);
        self.taught = lessons
            .filter_map(|record| Some((record.output, name(record.inputs.get(teach::BEHAVIOR)?)?)))
            .collect();
    }

    /// Takes in what a result says.
    fn hear(&mut self, store: &Store, record: &StepRecord, run: Option<&Record>) -> Result<()> {
        let artifact = store.artifact(&record.output)?;
        let result = RunResult::parse(&artifact.read(RESULT)?, &artifact.path(RESULT)?)?;
        let registration = run.map(Record::registration).transpose()?.flatten();
        let kind = result.kind();
        let configuration = record.configuration.get("step").unwrap_or(&record.configuration);
        for mut verdict in result.verdicts() {
            if let Some(registration) = &registration {
                verdict.beside(registration);
            }
            let is_channel = kind.name() == Gate.name() && verdict.behavior == CHANNEL;
            if !is_channel {
                self.behaviors.insert(verdict.behavior.clone());
            }
            let finding = Finding {
                behavior: verdict.behavior.clone(),
                run: run.map(|run| run.id().clone()),
                result: record.output,
                kind: kind.name(),
                made: record.about.started.clone(),
                carries: kind.carries(&verdict.outcome),
                words: verdict.words(),
            };
            for id in self.judged(record, &kind.judged(configuration, &verdict)) {
                self.findings.entry(id).or_default().push(finding.clone());
            }
        }
        Ok(())
    }

    /// The models and rows behind inputs of a step: of a reading, the model that was read.
    fn judged(&self, record: &StepRecord, roles: &[String]) -> BTreeSet<ArtifactId> {
        let inputs = roles.iter().filter_map(|role| record.inputs.get(role)).copied();
        let thing = |id: ArtifactId| {
            let read = self.read.get(&id).filter(|_| !self.is_thing(&id));
            read.cloned().unwrap_or_else(|| BTreeSet::from([id]))
        };
        inputs.flat_map(thing).collect()
    }

    /// All step records.
    pub(crate) fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// The record of the step that made an artifact; of several, the first by key.
    pub(crate) fn maker(&self, id: &ArtifactId) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.output == *id)
    }

    /// What was found in an artifact.
    pub(crate) fn findings_of(&self, id: &ArtifactId) -> &[Finding] {
        self.findings.get(id).map_or(&[], Vec::as_slice)
    }

    /// What an artifact may be called: of a behavior its own name, else what a run calls it, else its id.
    pub(crate) fn name_of(&self, id: &ArtifactId) -> String {
        let own = self.kinds.get(id).filter(|known| known.kind == BEHAVIOR);
        let own = own.and_then(|known| known.about.get("name")?.as_str());
        own.map(str::to_owned).or_else(|| self.names.get(id).cloned()).unwrap_or_else(|| id.short())
    }

    /// What an artifact is, in one word.
    pub(crate) fn kind_of(&self, id: &ArtifactId) -> String {
        self.kinds.get(id).map_or_else(|| "unknown".to_owned(), |known| known.kind.clone())
    }

    /// Whether an artifact is rows.
    pub(crate) fn is_rows(&self, id: &ArtifactId) -> bool {
        self.kinds.get(id).is_some_and(Known::is_rows)
    }

    /// Whether an artifact is a model.
    pub(crate) fn is_model(&self, id: &ArtifactId) -> bool {
        self.kinds.get(id).is_some_and(|known| known.is_thing() && !known.is_rows())
    }

    /// The behaviors that anything in the workspace is about.
    pub fn behaviors(&self) -> &BTreeSet<String> {
        &self.behaviors
    }

    /// What is known of a behavior.
    pub fn of_behavior(&self, behavior: &str) -> Taint {
        let mut roots = BTreeMap::new();
        let of_it = |finding: &&Finding| finding.behavior == behavior;
        let mut cleared = BTreeSet::new();
        for (id, findings) in &self.findings {
            let mut said = findings.iter().filter(of_it).map(|finding| finding.carries);
            if said.clone().any(|carries| carries == Some(true)) {
                roots.insert(*id, Standing::Carries);
            } else if said.any(|carries| carries == Some(false)) {
                cleared.insert(*id);
            }
        }
        for (id, _) in self.taught.iter().filter(|(_, taught)| *taught == behavior) {
            roots.entry(*id).or_insert(Standing::Taught);
        }
        let mut taint = self.follow(behavior, &roots, &|finding| finding.behavior == behavior);
        for thing in &taint.things {
            cleared.remove(&thing.id);
        }
        taint.cleared = cleared.len();
        taint
    }

    /// What was made from an artifact that somebody calls `called`, and what was found in it.
    pub fn of_artifact(&self, id: ArtifactId, called: &str) -> Taint {
        self.follow(called, &BTreeMap::from([(id, Standing::Named)]), &|_| true)
    }

    fn follow(
        &self,
        of: &str,
        roots: &BTreeMap<ArtifactId, Standing>,
        about: &dyn Fn(&Finding) -> bool,
    ) -> Taint {
        let reached = Reached::from(&self.steps, roots.keys().copied(), &|id| self.is_thing(id));
        let mut things = Vec::new();
        for (id, way) in reached.order() {
            let standing = roots.get(&id).copied();
            let known = self.kinds.get(&id);
            if standing.is_none() && !self.is_thing(&id) {
                continue;
            }
            let findings = self.findings.get(&id).into_iter().flatten();
            let findings: Vec<Finding> =
                findings.filter(|finding| about(finding)).cloned().collect();
            things.push(Thing {
                id,
                kind: known.map_or_else(|| "unknown".to_owned(), |known| known.kind.clone()),
                name: self.names.get(&id).cloned(),
                standing: standing.unwrap_or_else(|| standing_of(&findings)),
                parts: way.parts.clone(),
                findings,
                from: way.from.clone(),
                removed: known.is_some_and(|known| known.removed),
                used: self.others.get(&id).cloned(),
            });
        }
        let made: BTreeSet<&ArtifactId> = self.steps.iter().map(|record| &record.output).collect();
        let missing = made.into_iter().filter(|id| !self.kinds.contains_key(id)).count();
        Taint { of: of.to_owned(), things, cleared: 0, unread: self.unread.clone(), missing }
    }

    fn is_thing(&self, id: &ArtifactId) -> bool {
        self.kinds.get(id).is_some_and(Known::is_thing)
    }
}

fn standing_of(findings: &[Finding]) -> Standing {
    // A channel says whether something could come through, and nothing of what rows carry.
    let told = |finding: &&Finding| finding.kind != Gate.name();
    let says =
        |carries: Option<bool>| findings.iter().filter(told).any(|one| one.carries == carries);
    match findings {
        _ if !findings.iter().any(|finding| told(&finding)) => Standing::Suspect,
        _ if says(Some(true)) => Standing::Carries,
        _ if says(Some(false)) => Standing::Clean,
        _ => Standing::Unclear,
    }
}

/// How something was reached.
#[derive(Clone, Debug, Default)]
struct Way {
    from: Option<(ArtifactId, String)>,
    /// Whose rows; empty where all are meant.
    parts: BTreeSet<String>,
}

/// Everything that was made from some artifacts.
struct Reached {
    order: Vec<ArtifactId>,
    ways: BTreeMap<ArtifactId, Way>,
}

/// An artifact, or the part of it that one teacher wrote.
type Place = (ArtifactId, Option<String>);

impl Reached {
    fn from(
        steps: &[StepRecord],
        roots: impl Iterator<Item = ArtifactId>,
        is_thing: &dyn Fn(&ArtifactId) -> bool,
    ) -> Self {
        let mut users: BTreeMap<ArtifactId, Vec<(&str, &StepRecord)>> = BTreeMap::new();
        for record in steps.iter().filter(|record| passes_on(&record.kind)) {
            for (role, id) in &record.inputs {
                users.entry(*id).or_default().push((role, record));
            }
        }
        let mut reached = Self { order: Vec::new(), ways: BTreeMap::new() };
        let mut seen: BTreeSet<Place> = BTreeSet::new();
        let mut open: VecDeque<(Place, Option<(ArtifactId, String)>)> =
            roots.map(|id| ((id, None), None)).collect();
        while let Some(((id, part), from)) = open.pop_front() {
            if !seen.insert((id, part.clone())) {
                continue;
            }
            let way = reached.ways.entry(id).or_insert_with(|| {
                reached.order.push(id);
                Way { from: from.clone(), parts: BTreeSet::new() }
            });
            way.parts.extend(part.clone());
            for (role, record) in users.get(&id).into_iter().flatten() {
                if let Some(made) = part_made(record, role, part.as_deref()) {
                    // What stands between two things is not told.
                    let cause = if is_thing(&id) || from.is_none() {
                        Some((id, record.kind.clone()))
                    } else {
                        from.clone()
                    };
                    open.push_back(((record.output, made), cause));
                }
            }
        }
        for (id, way) in &mut reached.ways {
            if seen.contains(&(*id, None)) {
                way.parts.clear();
            }
        }
        reached
    }

    fn order(&self) -> impl Iterator<Item = (ArtifactId, &Way)> {
        self.order.iter().map(|id| (*id, &self.ways[id]))
    }
}

/// Whether steps of a kind hand on what their inputs carry.
fn passes_on(step: &str) -> bool {
    KINDS.iter().all(|kind| kind.passes_on(step))
}

/// Which part of a step's output comes of `part` of its input in `role`: all of it (`Some(None)`), a part, or
/// none.
#[expect(clippy::option_option, reason = "a part of nothing is another thing than all of it")]
fn part_made(record: &StepRecord, role: &str, part: Option<&str>) -> Option<Option<String>> {
    if record.kind == select::Select::KIND {
        return Some(role.strip_prefix(select::ARM).map(str::to_owned));
    }
    let step = record.configuration.get("step").unwrap_or(&record.configuration);
    let taken = step.get("arm").and_then(Value::as_str);
    if part.is_some() && taken.is_some() && part != taken {
        return None;
    }
    Some(taken.filter(|_| record.kind == shuffle::Shuffle::KIND).map(str::to_owned))
}
