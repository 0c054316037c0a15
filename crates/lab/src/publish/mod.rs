//! What a workspace knows of a model or rows, in forms that others read: cards of the Hugging Face hub,
//! Croissant, a CycloneDX bill of materials, a draft of the EU's summary of training content.
//!
//! What is written is what the lineage holds: who made it from what, by which steps, and what was found. What
//! it does not hold is said to be unknown, never left out quietly. Names of this machine and of its folders
//! are in none of it.

mod card;
mod croissant;
mod cyclonedx;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use owlet_store::{ArtifactId, StepRecord, Store};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::model::{ModelAbout, TrainedModel, Weights};
use crate::run::record::Record;
use crate::step::{Step, base, behavior, filter, generate, teach};
use crate::taint::{Finding, Workspace};

pub use card::{Head, card};
pub use croissant::croissant;
pub use cyclonedx::cyclonedx;
pub use summary::summary;

/// A file of what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name in the artifact.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// A model, rows or a behavior that it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its id.
    pub id: ArtifactId,
    /// What it is, in one word.
    pub kind: String,
    /// What it may be called.
    pub name: String,
    /// The name by which others know it, where it came from outside.
    pub outside: Option<Outside>,
    /// The step that made it.
    pub step: Option<String>,
    /// What the step was given, among the sources.
    pub from: Vec<ArtifactId>,
    /// Whether it is a model.
    pub is_model: bool,
    /// Whether it is rows.
    pub is_rows: bool,
    /// What was found in it.
    pub findings: Vec<Finding>,
}

/// A model that was not made here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outside {
    /// What it is called; of a file or folder of this machine the last part of its name.
    pub name: String,
    /// Its repository on the hub, `ORG/NAME`, where it has one.
    pub hub: Option<String>,
    /// The commit of the repository.
    pub commit: Option<String>,
    /// Its licence in the hub's word, where it is known.
    pub licence: Option<String>,
    /// BLAKE3 digest of its files with their names.
    pub digest: String,
}

/// What is published, and all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The thing itself.
    pub itself: Source,
    /// Its files, sorted by name.
    pub files: Vec<File>,
    /// What a model says of itself.
    pub trained: Option<TrainedModel>,
    /// What it was made from, nearest first.
    pub sources: Vec<Source>,
    /// The steps that made it and its sources, by what they made: kind, when, by which owlet, and how.
    pub steps: BTreeMap<ArtifactId, Made>,
    /// The version of owlet that publishes.
    pub version: String,
    /// When, as an RFC 3339 timestamp.
    pub now: String,
}

/// How something was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The kind of step.
    pub kind: String,
    /// Version of its algorithm.
    pub algorithm: u32,
    /// When it began.
    pub started: String,
    /// The version of owlet that did it.
    pub version: String,
    /// Its key, in hexadecimal.
    pub key: String,
    /// What was set.
    pub configuration: Value,
}

/// Who knows models by other names: a hub's repository and a licence.
pub type Known<'a> = &'a dyn Fn(&str) -> Option<(String, String)>;

impl Subject {
    /// Gathers what `store` knows of an artifact that is called `called`; reads its files once.
    ///
    /// # Errors
    /// It is neither a model nor rows, or cannot be read.
    pub fn gather(
        store: &Store,
        (id, called): (ArtifactId, &str),
        known: Known<'_>,
        now: &str,
    ) -> Result<Self> {
        let artifact = store.artifact(&id)?;
        let workspace = Workspace::read(store, BTreeMap::new())?;
        let outside = outside(store, &workspace, known)?;
        let itself = source(&workspace, &outside, id);
        if !itself.is_model && !itself.is_rows {
            let why = format!("is `{}`; expected a model or rows", artifact.kind);
            return Err(Error::record(called, why));
        }
        let trained = match ModelAbout::of(&artifact.kind, &artifact.about) {
            Some(ModelAbout::Trained(trained)) => Some(trained),
            _ => None,
        };
        let mut files = Vec::new();
        for entry in &artifact.files {
            let path = artifact.path(&entry.path)?;
            let mut hasher = Sha256::new();
            std::io::copy(&mut fs_err::File::open(path)?, &mut hasher)?;
            let sha256 = format!("{:x}", hasher.finalize());
            files.push(File { path: entry.path.clone(), size: entry.size, sha256 });
        }
        let ancestors = ancestors(&workspace, id);
        let told = |id: &ArtifactId| {
            let source = source(&workspace, &outside, *id);
            let is_told = source.is_model || source.is_rows || source.kind == BEHAVIOR;
            is_told.then_some(source)
        };
        let sources: Vec<Source> = ancestors.iter().filter_map(told).collect();
        let made = |id: &ArtifactId| Some((*id, made(workspace.maker(id)?)));
        let steps = ancestors.iter().chain([&id]).filter_map(made).collect();
        let (version, now) = (env!("CARGO_PKG_VERSION").to_owned(), now.to_owned());
        Ok(Self { itself, files, trained, sources, steps, version, now })
    }

    /// Models from outside that it was made from.
    pub fn bases(&self) -> impl Iterator<Item = &Outside> {
        self.sources.iter().filter_map(|source| source.outside.as_ref())
    }

    /// Models that wrote rows it was made from, nearest first.
    fn writers(&self) -> Vec<&Source> {
        let wrote: BTreeSet<ArtifactId> = self
            .all()
            .filter(|source| source.step.as_deref() == Some(generate::Generate::KIND))
            .flat_map(|source| source.from.iter().copied())
            .collect();
        self.sources.iter().filter(|source| source.is_model && wrote.contains(&source.id)).collect()
    }

    /// The model that it was trained from, or that wrote its rows, where it has one.
    fn base(&self) -> Option<&Source> {
        let trained = self.trained.as_ref()?;
        self.sources.iter().find(|source| source.id == trained.base)
    }

    /// The thing itself, and what it was made from.
    fn all(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.itself).chain(&self.sources)
    }

    /// Whether its weights are an adapter.
    fn is_adapter(&self) -> bool {
        self.trained.as_ref().is_some_and(|trained| trained.weights == Weights::Adapter)
    }

    /// Behaviors that models it comes from were taught, sorted.
    fn taught(&self) -> BTreeSet<&str> {
        let lessons =
            self.all().filter(|source| source.step.as_deref() == Some(teach::Teach::KIND));
        let given: BTreeSet<ArtifactId> =
            lessons.flat_map(|source| source.from.iter().copied()).collect();
        let behaviors = self.sources.iter();
        let behaviors = behaviors.filter(|one| one.kind == BEHAVIOR && given.contains(&one.id));
        behaviors.map(|one| one.name.as_str()).collect()
    }

    /// Steps that judged rows, nearest first.
    fn filters(&self) -> impl Iterator<Item = &Made> {
        self.steps.values().filter(|made| made.kind == filter::Filter::KIND)
    }
}

const BEHAVIOR: &str = <behavior::AskBehavior as Step>::OUTPUT;

fn made(record: &StepRecord) -> Made {
    let step = record.configuration.get("step").unwrap_or(&record.configuration);
    Made {
        kind: record.kind.clone(),
        algorithm: record.algorithm,
        started: record.about.started.clone(),
        version: record.about.version.clone(),
        key: record.key.to_string(),
        configuration: step.clone(),
    }
}

fn source(
    workspace: &Workspace,
    outside: &BTreeMap<ArtifactId, Outside>,
    id: ArtifactId,
) -> Source {
    let maker = workspace.maker(&id);
    let outside = outside.get(&id).cloned();
    let name = match &outside {
        Some(outside) => outside.name.clone(),
        None => workspace.name_of(&id),
    };
    let (is_model, is_rows) = (workspace.is_model(&id), workspace.is_rows(&id));
    Source {
        id,
        kind: workspace.kind_of(&id),
        name,
        outside,
        step: maker.map(|record| record.kind.clone()),
        from: maker.map(|record| record.inputs.values().copied().collect()).unwrap_or_default(),
        is_model,
        is_rows,
        findings: workspace.findings_of(&id).to_vec(),
    }
}

/// Everything that went into an artifact, nearest first.
fn ancestors(workspace: &Workspace, id: ArtifactId) -> Vec<ArtifactId> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::from([id]);
    let mut open = std::collections::VecDeque::from([id]);
    while let Some(next) = open.pop_front() {
        let inputs = workspace.maker(&next).into_iter().flat_map(|record| record.inputs.values());
        for input in inputs.copied() {
            if seen.insert(input) {
                order.push(input);
                open.push_back(input);
            }
        }
    }
    order
}

/// The models that came from outside, by the artifacts that hold them.
fn outside(
    store: &Store,
    workspace: &Workspace,
    known: Known<'_>,
) -> Result<BTreeMap<ArtifactId, Outside>> {
    let mut planned: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
    for run in Record::removed(store)?.into_iter().chain(Record::all(store)?) {
        // What cannot be read names nothing; lists say so.
        for model in run.planned().ok().flatten().map(|plan| plan.models).unwrap_or_default() {
            planned.insert(model.digest, (model.model, model.commit));
        }
    }
    let of = |record: &StepRecord| {
        let digest = record.configuration.pointer("/step/digest")?.as_str()?.to_owned();
        let (spec, commit) = planned.get(&digest).cloned().unwrap_or_default();
        let told = known(&spec);
        let hub = spec
            .strip_prefix("hf:")
            .map(|name| name.split_once('@').map_or(name, |(name, _)| name).to_owned());
        let name = if spec.is_empty() { "a model from outside" } else { spec.as_str() };
        let is_path = hub.is_none() && told.is_none() && !name.starts_with("builtin:");
        let name = if is_path { name.rsplit(['/', '\\']).next().unwrap_or(name) } else { name };
        let outside = Outside {
            name: name.to_owned(),
            hub: told.as_ref().map(|(hub, _)| hub.clone()).or(hub),
            commit,
            licence: told.map(|(_, licence)| licence),
            digest,
        };
        Some((record.output, outside))
    };
    let bases = workspace.steps().iter().filter(|record| record.kind == base::Base::KIND);
    Ok(bases.filter_map(of).collect())
}
