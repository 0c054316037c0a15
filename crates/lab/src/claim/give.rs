//! What is handed on: the files, their signature, and the claims about where they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fs_err as fs;
use owlet_store::claim::{Descriptor, PrivateKey, Statement, Tree, file, signature};
use owlet_store::{
    Artifact, ArtifactId, Error as StoreError, NodeId, Relation, Sha256Digest, StepRecord, Store,
    canonical_json,
};
use serde_json::{Value, json};

use super::{
    ABOUT, ARTIFACT, BUILD_TYPE, BUILDER, BuildDefinition, Builder, CLAIMED, KIND, MODEL, Metadata,
    Outcome, PLACE, PROVENANCE, Parameters, Place, Provenance, ROLE, ROOT, RunDetails, TEST_RESULT,
    TREE, TestResult, Verdict,
};
use crate::error::{Error, Result};
use crate::kind::{RESULT, RunResult, VerdictLine};
use crate::report::block::Mark;
use crate::run::record::{PlannedModel, Record, naming};
use crate::step::Step as _;
use crate::step::base::Base;

/// A configuration that is longer, in bytes, is named by its digest: that of `import` holds rows.
const LONGEST: usize = 16 << 10;
/// The kinds of runs that judge rows.
const JUDGES: [&str; 2] = ["screen", "gate"];
/// The role of what they judge.
const ROWS: &str = "rows";

/// A claim before it is signed and numbered.
struct Unsigned {
    subject: Descriptor,
    predicate_type: &'static str,
    predicate: Value,
}

/// Writes an artifact's files into a new folder, signed, with claims about all that it was made from; returns how
/// many claims there are. `progress` is called with the artifacts that are read and how many there are.
///
/// # Errors
/// An artifact that is damaged, has no files, or of whose making nothing is known; a folder that cannot be written.
pub fn give(
    store: &Store,
    of: &ArtifactId,
    key: &PrivateKey,
    folder: &Path,
    name: &str,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<usize> {
    let artifact = store.artifact(of)?;
    let sources = Sources::read(store, of, progress)?;
    let mut claims = sources.steps()?;
    claims.extend(sources.judgements(store)?);
    if claims.is_empty() {
        return Err(Error::record(
            of.short(),
            "was not made by a step, so there is nothing to claim; `owlet sign` signs its files alone",
        ));
    }
    fs::create_dir(folder)?;
    copy(&artifact, folder)?;
    let beside = [signature::FILE, file::FILE];
    // What is signed is what lies there, and it must be what the claims speak of.
    let tree = Tree { name: name.to_owned(), ..Tree::read(folder, &beside, &mut |_, _| {})? };
    if sources.digests(of).get(TREE) != Some(&tree.digest().to_string()) {
        return Err(Error::record(folder, "is not what was copied into it"));
    }
    let signed =
        signature::sign(&tree, &beside, key).map_err(|error| Error::record(folder, error))?;
    fs::write(folder.join(signature::FILE), signed)?;
    let count = claims.len();
    let mut lines = String::new();
    for (claim, number) in claims.into_iter().zip(1..) {
        let Unsigned { mut subject, predicate_type, predicate } = claim;
        let place = Place { number, count, with: of.to_string() };
        subject.annotations.insert(PLACE.to_owned(), json!(place));
        let line = Statement::new(subject, predicate_type, predicate).sign(key);
        lines += &line.map_err(|error| Error::record(file::FILE, error))?;
        lines.push('\n');
    }
    if lines.len() as u64 > file::LARGEST {
        let why = format!("needs {count} claims of {} bytes, more than anybody reads", lines.len());
        return Err(Error::record(of.short(), why));
    }
    fs::write(folder.join(file::FILE), lines)?;
    Ok(count)
}

fn copy(artifact: &Artifact, folder: &Path) -> Result<()> {
    for entry in &artifact.files {
        if [signature::FILE, file::FILE].contains(&entry.path.as_str()) {
            let why =
                format!("has a file `{}` of its own, which would be written over", entry.path);
            return Err(Error::record(artifact.id.short(), why));
        }
        let to = folder.join(&entry.path);
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        fs::copy(artifact.path(&entry.path)?, to)?;
    }
    Ok(())
}

/// An artifact and all that it was made from.
struct Sources {
    /// The records of the steps, what came first first.
    records: Vec<StepRecord>,
    /// How each artifact is named.
    named: BTreeMap<ArtifactId, Descriptor>,
}

impl Sources {
    fn read(
        store: &Store,
        of: &ArtifactId,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let mut nodes = store.lineage(of)?.nodes;
        nodes.retain(|node| node.relation != Relation::Descendant);
        let mut records: BTreeMap<_, _> =
            store.steps()?.into_iter().map(|record| (record.key, record)).collect();
        let names = naming::names(store)?;
        let total = nodes.iter().filter(|node| matches!(node.id, NodeId::Artifact(_))).count();
        let mut sources = Self { records: Vec::new(), named: BTreeMap::new() };
        for node in nodes {
            match node.id {
                NodeId::Step(key) => sources.records.extend(records.remove(&key)),
                NodeId::Artifact(id) => {
                    let name = names.get(&id).cloned();
                    sources.named.insert(id, named(store, &id, name)?);
                    progress(sources.named.len(), total);
                }
            }
        }
        sources.call_models(store)?;
        Ok(sources)
    }

    /// Says of bases what the plans of runs call them.
    fn call_models(&mut self, store: &Store) -> Result<()> {
        let mut called = BTreeMap::new();
        for run in Record::all(store)? {
            // What an older owlet did not write down names nothing.
            let models = run.plan().map(|plan| plan.models).unwrap_or_default();
            called.extend(models.into_iter().map(|model| (model.digest.clone(), public(&model))));
        }
        for record in self.records.iter().filter(|record| record.kind == Base::KIND) {
            let digest = record.configuration["step"]["digest"].as_str();
            let name = digest.and_then(|digest| called.get(digest));
            if let (Some(name), Some(named)) = (name, self.named.get_mut(&record.output)) {
                named.annotations.insert(MODEL.to_owned(), json!(name));
            }
        }
        Ok(())
    }

    fn digests(&self, id: &ArtifactId) -> BTreeMap<String, String> {
        self.named.get(id).map(|named| named.digest.clone()).unwrap_or_default()
    }

    /// What the records of steps say.
    fn steps(&self) -> Result<Vec<Unsigned>> {
        let made: BTreeSet<ArtifactId> = self.records.iter().map(|record| record.output).collect();
        let claim = |record: &StepRecord| {
            let dependency = |(role, id): (&String, &ArtifactId)| {
                let mut named = self.named.get(id).cloned().unwrap_or_default();
                // It says of itself what it is where it is the subject.
                named.annotations.remove(ABOUT);
                named.annotations.insert(ROLE.to_owned(), json!(role));
                named.annotations.insert(CLAIMED.to_owned(), json!(made.contains(id)));
                named
            };
            let text = canonical_json(&record.configuration);
            let is_long = text.len() > LONGEST;
            let digest = || Sha256Digest::of(text.as_bytes()).to_string();
            let provenance = Provenance {
                build_definition: BuildDefinition {
                    build_type: format!("{BUILD_TYPE}{}", record.kind),
                    external_parameters: Parameters {
                        algorithm: record.algorithm,
                        configuration: (!is_long).then(|| record.configuration.clone()),
                        configuration_sha256: is_long.then(digest),
                    },
                    resolved_dependencies: record.inputs.iter().map(dependency).collect(),
                },
                run_details: RunDetails {
                    builder: Builder {
                        id: BUILDER.to_owned(),
                        version: [("owlet".to_owned(), record.about.version.clone())].into(),
                    },
                    metadata: Metadata {
                        invocation_id: record.key.to_string(),
                        started_on: record.about.started.clone(),
                    },
                },
            };
            Ok(Unsigned {
                subject: self.named.get(&record.output).cloned().unwrap_or_default(),
                predicate_type: PROVENANCE,
                predicate: value(&provenance)?,
            })
        };
        self.records.iter().map(claim).collect()
    }

    /// What screens and gates said of any of it.
    fn judgements(&self, store: &Store) -> Result<Vec<Unsigned>> {
        let mut claims = Vec::new();
        for run in Record::all(store)?.iter().filter(|run| run.is_finished()) {
            let Some(last) = run.steps()?.steps.pop() else { continue };
            if !JUDGES.contains(&last.kind.as_str()) {
                continue;
            }
            let record = last.key.map(|key| store.step_record(&key)).transpose()?.flatten();
            let Some(record) = record else { continue };
            let rows = record.inputs.get(ROWS).unwrap_or(&record.output);
            if let Some(subject) = self.named.get(rows) {
                let predicate = value(&judgement(run, &run.result()?)?)?;
                let subject = subject.clone();
                claims.push(Unsigned { subject, predicate_type: TEST_RESULT, predicate });
            }
        }
        Ok(claims)
    }
}

/// A model's name without where it lies on this machine, and with its commit.
fn public(model: &PlannedModel) -> String {
    let name = &model.model;
    let is_public = ["builtin:", "hf:"].iter().any(|scheme| name.starts_with(scheme));
    let file = Path::new(name).file_name().filter(|_| !is_public);
    let name = file.map_or_else(|| name.clone(), |file| file.to_string_lossy().into_owned());
    match &model.commit {
        Some(commit) => format!("{name}@{commit}"),
        None => name,
    }
}

/// How an artifact is named: by all digests that can be had.
fn named(store: &Store, id: &ArtifactId, name: Option<String>) -> Result<Descriptor> {
    let mut named = Descriptor {
        name,
        digest: [(ARTIFACT.to_owned(), id.to_string())].into(),
        annotations: BTreeMap::new(),
    };
    let artifact = match store.artifact(id) {
        // What was removed is named by its id, which its manifest and the step that made it bear.
        Err(StoreError::MissingArtifact { .. }) => return Ok(named),
        artifact => artifact?,
    };
    named.annotations.insert(KIND.to_owned(), json!(artifact.kind));
    if canonical_json(&artifact.about).len() <= LONGEST {
        named.annotations.insert(ABOUT.to_owned(), artifact.about.clone());
    }
    match Tree::of(&artifact, &mut |_, _| {}) {
        Ok(tree) => {
            named.digest.insert(ROOT.to_owned(), tree.root().to_string());
            named.digest.insert(TREE.to_owned(), tree.digest().to_string());
        }
        // A teacher that is its base with a prompt, a model behind an endpoint.
        Err(StoreError::Unsignable { .. }) if artifact.files.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(named)
}

/// What a run that judges rows says of them.
fn judgement(run: &Record, result: &RunResult) -> Result<TestResult> {
    let brief = result.brief();
    let verdicts = brief.verdicts.iter();
    let of = |wanted: Outcome| -> Vec<String> {
        let of = brief.verdicts.iter().filter(|line| outcome(line) == wanted);
        of.map(|line| line.behavior.clone()).collect()
    };
    let configuration = |name: &str, bytes: &[u8]| Descriptor {
        name: Some(name.to_owned()),
        digest: [(ROOT.to_owned(), Sha256Digest::of(bytes).to_string())].into(),
        annotations: BTreeMap::new(),
    };
    Ok(TestResult {
        // Nothing that was asked is nothing that was found.
        result: verdicts.clone().map(outcome).max().unwrap_or(Outcome::Warned),
        configuration: vec![
            configuration("recipe.toml", run.resolved()?.as_bytes()),
            configuration(RESULT, &run.read_file(RESULT)?),
        ],
        passed_tests: of(Outcome::Passed),
        warned_tests: of(Outcome::Warned),
        failed_tests: of(Outcome::Failed),
        kind: result.kind().name().to_owned(),
        base: brief.base.clone(),
        verdicts: verdicts
            .map(|line| Verdict {
                behavior: line.behavior.clone(),
                outcome: line.outcome.clone(),
                words: line.words(),
            })
            .collect(),
    })
}

/// What is found is a failure; what has a caveat is never passed.
fn outcome(line: &VerdictLine) -> Outcome {
    match line.mark {
        Mark::Yes => Outcome::Failed,
        Mark::No if line.caveats.is_empty() => Outcome::Passed,
        Mark::No | Mark::Unclear => Outcome::Warned,
    }
}

fn value<T: serde::Serialize>(predicate: &T) -> Result<Value> {
    serde_json::to_value(predicate).map_err(|error| Error::record(file::FILE, error))
}
