//! What stays in a workspace and why, and what goes when it is tidied.
//!
//! An artifact's files stay while a run on the list refers to it, or something that stays cannot be used
//! without it. Steps are pure, so that files which go can be made anew; what stays in any case is the record
//! of who made what, and every result: one that was seen counts as a try, whatever became of its run.

mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use owlet_store::{Alone, ArtifactHeader, ArtifactId, RunId, StepKey, StepRecord, Store};
use serde::Serialize;

use super::record::{NamedStep, Record};
use crate::error::Result;
use crate::kind::RESULT;
use crate::model::ModelAbout;

pub use report::report;

/// Why an artifact's files stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why", content = "of")]
pub enum Why {
    /// The record of a run that is on the list refers to it.
    Run(RunId),
    /// Somebody else refers to it, in words: a server's job.
    Other(String),
    /// An artifact that stays cannot be used without it: an adapter's base.
    Needed(ArtifactId),
    /// It is a result, and counts as a try.
    Result,
}

/// An artifact that is looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Looked {
    /// Its id.
    pub id: ArtifactId,
    /// What it is, in one word.
    pub kind: String,
    /// What a run calls it, where one does.
    pub name: Option<String>,
    /// Bytes of its files.
    pub size: u64,
    /// Why it stays; none of one that goes.
    #[serde(flatten)]
    pub why: Option<Why>,
    /// The removed runs that refer to it.
    pub removed_runs: Vec<RunId>,
}

/// Unfinished work of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unfinished {
    /// The step.
    pub step: StepKey,
    /// Bytes it takes.
    pub size: u64,
    /// The run that would go on from it; none of work that goes.
    pub run: Option<RunId>,
}

/// What stays and what goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Keeping {
    /// Artifacts that stay, sorted by id.
    pub stays: Vec<Looked>,
    /// Artifacts whose files go, sorted by id.
    pub goes: Vec<Looked>,
    /// Unfinished work of steps.
    pub scratch: Vec<Unfinished>,
    /// Damaged things that were set aside, all of which go: their names and sizes.
    pub damaged: Vec<(String, u64)>,
    /// Artifacts whose files went before and were not made anew.
    pub removed: usize,
    /// Runs that are off the list.
    pub removed_runs: Vec<RunId>,
    /// Artifacts that cannot be read, which are left alone.
    pub unreadable: usize,
}

/// What else is asked of a tidying.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Who beside runs refers to an artifact, in words.
    pub others: BTreeMap<ArtifactId, String>,
    /// Models that finished runs trained go, too.
    pub models: bool,
}

/// What one run refers to.
#[derive(Default)]
struct Refers {
    /// What its steps made or reused.
    made: BTreeSet<ArtifactId>,
    /// What they were given that none of them made.
    given: BTreeSet<ArtifactId>,
    /// Steps that it began and did not finish.
    begun: BTreeSet<StepKey>,
    named: Vec<NamedStep>,
    is_finished: bool,
}

impl Keeping {
    /// Looks at everything in the workspace; nothing is changed.
    ///
    /// # Errors
    /// A run on the list whose record cannot be read: nobody knows what it refers to.
    pub fn look(store: &Store, wishes: &Wishes) -> Result<Self> {
        let steps = store.steps()?;
        let headers: BTreeMap<ArtifactId, ArtifactHeader> =
            store.artifacts()?.into_iter().map(|header| (header.id, header)).collect();
        let mut reasons: BTreeMap<ArtifactId, Why> = BTreeMap::new();
        let mut begun: BTreeMap<StepKey, RunId> = BTreeMap::new();
        let mut names: BTreeMap<ArtifactId, String> = BTreeMap::new();
        for run in Record::all(store)? {
            let refers = refers(&run, &steps)?;
            names.extend(named(&refers));
            begun.extend(refers.begun.iter().map(|key| (*key, run.id().clone())));
            // What the run made it makes again; what it was given it does not.
            let is_wished_away = wishes.models && refers.is_finished;
            let made = refers.made.iter();
            let made = made.filter(|id| !(is_wished_away && is_trained(headers.get(*id))));
            for id in made.chain(&refers.given) {
                reasons.entry(*id).or_insert_with(|| Why::Run(run.id().clone()));
            }
        }
        for (id, words) in &wishes.others {
            reasons.entry(*id).or_insert_with(|| Why::Other(words.clone()));
        }
        needed(&headers, &mut reasons);
        for header in headers.values() {
            if header.files.iter().any(|file| file.path == RESULT) {
                reasons.entry(header.id).or_insert(Why::Result);
            }
        }
        let mut keeping = Self { removed: store.removed_ids()?.len(), ..Self::default() };
        let mut removed_runs: BTreeMap<ArtifactId, Vec<RunId>> = BTreeMap::new();
        for run in Record::removed(store)? {
            keeping.removed_runs.push(run.id().clone());
            // One that cannot be read keeps nothing, so that nothing hangs on it.
            let Ok(refers) = refers(&run, &steps) else { continue };
            for (id, name) in named(&refers) {
                names.entry(id).or_insert(name);
            }
            for id in refers.made.into_iter().chain(refers.given) {
                removed_runs.entry(id).or_default().push(run.id().clone());
            }
        }
        keeping.unreadable = store.artifact_ids()?.len().saturating_sub(headers.len());
        for header in headers.into_values() {
            let looked = Looked {
                id: header.id,
                kind: header.kind,
                name: names.remove(&header.id),
                size: header.size,
                why: reasons.remove(&header.id),
                removed_runs: removed_runs.remove(&header.id).unwrap_or_default(),
            };
            if looked.why.is_some() { &mut keeping.stays } else { &mut keeping.goes }.push(looked);
        }
        let left = store.left_over()?;
        keeping.scratch = left
            .scratch
            .into_iter()
            .map(|(step, size)| Unfinished { step, size, run: begun.remove(&step) })
            .collect();
        keeping.damaged = left.damaged;
        Ok(keeping)
    }

    /// Takes away what goes; `now` is an RFC 3339 timestamp. Killed at any moment it leaves a sound workspace,
    /// and the same call goes on.
    ///
    /// # Errors
    /// Files that cannot be taken away.
    pub fn carry_out(
        &self,
        store: &Store,
        alone: &Alone,
        now: &str,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        for (done, looked) in self.goes.iter().enumerate() {
            progress(done, self.goes.len());
            store.remove_artifact(alone, &looked.id, now)?;
        }
        for unfinished in self.scratch.iter().filter(|unfinished| unfinished.run.is_none()) {
            store.clear_scratch(&unfinished.step)?;
        }
        for (name, _) in &self.damaged {
            store.discard_damaged(alone, name)?;
        }
        Ok(())
    }

    /// Bytes that go: of artifacts, unfinished work and damaged things.
    pub fn freed(&self) -> u64 {
        let scratch = self.scratch.iter().filter(|one| one.run.is_none()).map(|one| one.size);
        let damaged = self.damaged.iter().map(|(_, size)| *size);
        total(&self.goes).saturating_add(scratch.chain(damaged).sum())
    }

    /// Bytes of artifacts.
    pub fn size(&self) -> u64 {
        total(&self.stays).saturating_add(total(&self.goes))
    }

    /// Bytes of artifacts that go and that a removed run refers to.
    pub fn freed_of(&self, run: &RunId) -> u64 {
        let of_run = self.goes.iter().filter(|looked| looked.removed_runs.contains(run));
        of_run.map(|looked| looked.size).sum()
    }
}

fn total(looked: &[Looked]) -> u64 {
    looked.iter().fold(0, |total, one| total.saturating_add(one.size))
}

/// Whether an artifact is a model that was trained here.
fn is_trained(header: Option<&ArtifactHeader>) -> bool {
    let about = header.and_then(|header| ModelAbout::of(&header.kind, &header.about));
    matches!(about, Some(ModelAbout::Trained(_)))
}

fn named(refers: &Refers) -> BTreeMap<ArtifactId, String> {
    let named = refers.named.iter();
    named.filter_map(|step| Some((step.artifact?, step.name.clone()))).collect()
}

/// What the record of a run refers to.
fn refers(run: &Record, steps: &[StepRecord]) -> Result<Refers> {
    let mut refers = Refers { is_finished: run.is_finished(), ..Refers::default() };
    if refers.is_finished {
        refers.named = run.steps()?.steps;
        refers.made.extend(refers.named.iter().filter_map(|step| step.artifact));
        let makers = steps.iter().filter(|record| refers.made.contains(&record.output));
        let given: BTreeSet<ArtifactId> =
            makers.flat_map(|record| record.inputs.values().copied()).collect();
        refers.given.extend(given.difference(&refers.made));
        return Ok(refers);
    }
    if let Some(plan) = run.planned()? {
        let inputs = plan.steps.iter().flat_map(|step| step.inputs.values());
        refers.given.extend(inputs.filter_map(|from| from.parse::<ArtifactId>().ok()));
        refers.made.extend(plan.steps.iter().filter_map(|step| step.artifact));
    }
    for step in run.progress()?.steps.into_values() {
        match step.artifact.and_then(|id| id.parse().ok()) {
            Some(artifact) => drop(refers.made.insert(artifact)),
            None => refers.begun.extend(step.key.and_then(|key| key.parse::<StepKey>().ok())),
        }
    }
    Ok(refers)
}

/// Adds what artifacts that stay cannot be used without.
fn needed(headers: &BTreeMap<ArtifactId, ArtifactHeader>, reasons: &mut BTreeMap<ArtifactId, Why>) {
    let mut open: Vec<ArtifactId> = reasons.keys().copied().collect();
    while let Some(id) = open.pop() {
        let Some(header) = headers.get(&id) else { continue };
        if let Some(ModelAbout::Trained(model)) = ModelAbout::of(&header.kind, &header.about)
            && !reasons.contains_key(&model.base)
        {
            reasons.insert(model.base, Why::Needed(id));
            open.push(model.base);
        }
    }
}
