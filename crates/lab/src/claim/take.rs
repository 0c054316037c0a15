//! What was handed on, checked: that all claims are there, speak of these files, and fit each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use owlet_store::claim::{Descriptor, PublicKey, Statement, Tree, file};
use owlet_store::{ArtifactId, Error as StoreError, Sha256Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    ARTIFACT, BRING_IN, BUILD_TYPE, BUILDER, CLAIMED, KIND, MODEL, Outcome, PLACE, PROVENANCE,
    Place, Provenance, ROLE, ROOT, TEST_RESULT, TREE, TestResult, Verdict,
};
use crate::error::Result;

/// What the claims of a folder say.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Story {
    /// The key that signed all of it.
    pub key: Sha256Digest,
    /// What was handed on.
    pub subject: Thing,
    /// How things were made, what came first first.
    pub made: Vec<Made>,
    /// What was said of rows.
    pub judged: Vec<Judged>,
    /// What was given from outside, or no claim tells how it was made.
    pub outside: Vec<Thing>,
    /// Lines that say what this build does not read, and what that is called.
    pub unread: Vec<(usize, String)>,
}

/// Something that claims speak of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Thing {
    /// The artifact's id.
    pub id: ArtifactId,
    /// What its maker calls it.
    pub name: Option<String>,
    /// What it is said to be: `teacher`, `rows`.
    pub kind: Option<String>,
    /// What a base is called by whoever gave it.
    pub model: Option<String>,
}

/// How something was made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Made {
    /// What was made.
    pub what: Thing,
    /// By which kind of step.
    pub step: String,
    /// From what.
    pub from: Vec<Use>,
    /// When, as its maker says.
    pub started: String,
    /// Who says to have made it; none where it is whoever signed.
    pub builder: Option<String>,
}

impl Made {
    /// Whether the step made nothing, but brought in what somebody gave.
    pub fn is_given(&self) -> bool {
        self.from.is_empty() && BRING_IN.contains(&self.step.as_str())
    }
}

/// What something was made from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Use {
    /// As what.
    pub role: String,
    /// What it is.
    pub what: Thing,
}

/// What a screen or a gate said.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Judged {
    /// Of what.
    pub what: Thing,
    /// The kind of run.
    pub kind: String,
    /// For which base.
    pub base: String,
    /// What it came to.
    pub result: Outcome,
    /// Behavior by behavior.
    pub verdicts: Vec<Verdict>,
}

/// Reads the claims of a folder whose files are `tree`, as verified by `key`.
///
/// # Errors
/// [`StoreError::Refused`] with the line that is not signed by the key, is missing, speaks of other files, or
/// contradicts another.
pub fn take(folder: &Path, tree: &Tree, key: &PublicKey) -> Result<Story> {
    let path = folder.join(file::FILE);
    let statements = file::read(&path, key)?;
    let mut reader = Reader { path: &path, things: BTreeMap::new() };
    let with = reader.complete(&statements)?;
    let read = reader.read(&statements)?;
    let subject = reader.subject(&with, tree)?;
    let told: BTreeSet<ArtifactId> = read.made.iter().map(|made| made.what.id).collect();
    let used = read.made.iter().flat_map(|made| &made.from).map(|used| &used.what);
    let used = used.filter(|what| !told.contains(&what.id));
    let given = read.made.iter().filter(|made| made.is_given()).map(|made| &made.what);
    let outside: BTreeMap<ArtifactId, Thing> =
        used.chain(given).map(|what| (what.id, what.clone())).collect();
    for (id, line) in &read.claimed {
        if !told.contains(id) {
            let why = format!("says that a claim tells how {} was made, and none does", id.short());
            return Err(reader.refused(*line, why));
        }
    }
    Ok(Story {
        key: key.hint(),
        subject,
        made: read.made,
        judged: read.judged,
        outside: outside.into_values().collect(),
        unread: read.unread,
    })
}

/// Reads statements, and keeps by which digests each thing was named, and first where.
struct Reader<'a> {
    path: &'a Path,
    things: BTreeMap<ArtifactId, (Known, usize)>,
}

#[derive(Clone, Debug)]
struct Known {
    thing: Thing,
    digests: BTreeMap<String, String>,
}

#[derive(Default)]
struct Read {
    made: Vec<Made>,
    judged: Vec<Judged>,
    /// Things of which a claim must tell how they were made, and the line that says so.
    claimed: BTreeMap<ArtifactId, usize>,
    unread: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn refused(&self, line: usize, why: impl Into<String>) -> crate::Error {
        StoreError::Refused { path: self.path.to_owned(), line, why: why.into() }.into()
    }

    /// Makes sure that no claim of the set is missing or stands twice; returns what the set is handed on with.
    fn complete(&self, statements: &[Statement<Value>]) -> Result<String> {
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut set: Option<(usize, String)> = None;
        for (statement, line) in statements.iter().zip(1..) {
            let [subject] = statement.subject.as_slice() else {
                let found = statement.subject.len();
                return Err(self.refused(line, format!("speaks of {found} things, expected one")));
            };
            let place = subject.annotations.get(PLACE).cloned();
            let place: Option<Place> = place.and_then(|place| serde_json::from_value(place).ok());
            let Some(Place { number, count, with }) = place else {
                let why = "does not say which claim of how many it is, so that a missing one would not be missed";
                return Err(self.refused(line, why));
            };
            match &set {
                Some(known) if *known != (count, with.clone()) => {
                    return Err(self.refused(line, "belongs to other claims than the first line"));
                }
                _ => set = Some((count, with)),
            }
            if let Some(before) = places.insert(number, line) {
                return Err(self.refused(line, format!("is the same claim as line {before}")));
            }
        }
        let (count, with) = set.ok_or_else(|| self.refused(0, "has no claims in it"))?;
        match (1..=count).find(|number| !places.contains_key(number)) {
            Some(number) => {
                Err(self.refused(0, format!("lacks claim {number} of {count}; it was taken away")))
            }
            None if places.len() > count => {
                Err(self
                    .refused(0, format!("has {} claims, where {count} were made", places.len())))
            }
            None => Ok(with),
        }
    }

    fn read(&mut self, statements: &[Statement<Value>]) -> Result<Read> {
        let mut read = Read::default();
        for (statement, line) in statements.iter().zip(1..) {
            let what = self.thing(&statement.subject[0], line)?;
            match statement.predicate_type.as_str() {
                PROVENANCE => {
                    let made = self.made(what, statement, line, &mut read.claimed)?;
                    read.made.push(made);
                }
                TEST_RESULT => {
                    let test: TestResult = self.predicate(statement, line)?;
                    let TestResult { kind, base, result, verdicts, .. } = test;
                    read.judged.push(Judged { what, kind, base, result, verdicts });
                }
                other => read.unread.push((line, other.to_owned())),
            }
        }
        // Whoever says what something is, says it where it is the subject.
        for made in &mut read.made {
            for thing in made.from.iter_mut().map(|used| &mut used.what) {
                if let Some((known, _)) = self.things.get(&thing.id) {
                    thing.clone_from(&known.thing);
                }
            }
        }
        Ok(read)
    }

    fn made(
        &mut self,
        what: Thing,
        statement: &Statement<Value>,
        line: usize,
        claimed: &mut BTreeMap<ArtifactId, usize>,
    ) -> Result<Made> {
        let Provenance { build_definition, run_details } = self.predicate(statement, line)?;
        let mut from = Vec::new();
        for dependency in &build_definition.resolved_dependencies {
            let what = self.thing(dependency, line)?;
            if dependency.annotations.get(CLAIMED) == Some(&Value::Bool(true)) {
                claimed.entry(what.id).or_insert(line);
            }
            let role = text(dependency, ROLE).unwrap_or_else(|| "something".to_owned());
            from.push(Use { role, what });
        }
        let builder = run_details.builder.id;
        let kind = build_definition.build_type;
        Ok(Made {
            what,
            step: kind.strip_prefix(BUILD_TYPE).unwrap_or(&kind).to_owned(),
            from,
            started: run_details.metadata.started_on,
            builder: (builder != BUILDER).then_some(builder),
        })
    }

    fn predicate<P: DeserializeOwned>(
        &self,
        statement: &Statement<Value>,
        line: usize,
    ) -> Result<P> {
        P::deserialize(&statement.predicate).map_err(|error| {
            let kind = &statement.predicate_type;
            self.refused(line, format!("is no `{kind}` that this build reads: {error}"))
        })
    }

    /// What a descriptor speaks of; it may not contradict what was said of the same thing before.
    fn thing(&mut self, named: &Descriptor, line: usize) -> Result<Thing> {
        let id = named.digest.get(ARTIFACT).and_then(|id| id.parse::<ArtifactId>().ok());
        let Some(id) = id else {
            return Err(self.refused(line, format!("names something without its `{ARTIFACT}`")));
        };
        let (name, kind) = (named.name.clone(), text(named, KIND));
        let thing = Thing { id, name, kind, model: text(named, MODEL) };
        let Some((known, before)) = self.things.get_mut(&id) else {
            let known = Known { thing: thing.clone(), digests: named.digest.clone() };
            self.things.insert(id, (known, line));
            return Ok(thing);
        };
        for (algorithm, digest) in &named.digest {
            match known.digests.get(algorithm) {
                Some(other) if other != digest => {
                    let why = format!(
                        "names {} by another `{algorithm}` than line {before} does",
                        id.short()
                    );
                    return Err(self.refused(line, why));
                }
                Some(_) => {}
                None => {
                    known.digests.insert(algorithm.clone(), digest.clone());
                }
            }
        }
        known.thing.name = known.thing.name.take().or_else(|| thing.name.clone());
        known.thing.kind = known.thing.kind.take().or_else(|| thing.kind.clone());
        known.thing.model = known.thing.model.take().or_else(|| thing.model.clone());
        Ok(thing)
    }

    /// What the claims were handed on with, which must be these files.
    fn subject(&self, with: &str, tree: &Tree) -> Result<Thing> {
        let known = with.parse().ok().and_then(|id: ArtifactId| self.things.get(&id));
        let Some((Known { thing, digests }, line)) = known else {
            return Err(self.refused(0, "says nothing of the files that it was handed on with"));
        };
        let same = |algorithm: &str, digest: Sha256Digest| {
            digests.get(algorithm).is_some_and(|found| *found == digest.to_string())
        };
        if !same(ROOT, tree.root()) || !same(TREE, tree.digest()) {
            let why = "speaks of other files than those beside it";
            return Err(self.refused(*line, why));
        }
        Ok(thing.clone())
    }
}

fn text(named: &Descriptor, annotation: &str) -> Option<String> {
    named.annotations.get(annotation).and_then(Value::as_str).map(str::to_owned)
}
