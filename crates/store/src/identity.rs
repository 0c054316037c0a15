//! Short names: any unique beginning of an id means the thing, as in `jj` and `git`.
//!
//! Runs may also be called by the beginning of their last four digits, because all runs of one day
//! begin alike.

use std::fmt;

use serde::Serialize;

use crate::{ArtifactId, Error, Result, RunId, StepKey, Store};

/// Fewest characters of a short name; fewer would become ambiguous with the next few steps.
const SHORTEST: usize = 4;
/// Most candidates named when a prefix is ambiguous.
const CANDIDATES: usize = 10;

/// Something that has an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", content = "id", rename_all = "kebab-case")]
pub enum Entity {
    /// A run.
    Run(RunId),
    /// A recorded step.
    Step(StepKey),
    /// An artifact.
    Artifact(ArtifactId),
}

impl Entity {
    /// Returns what kind of thing it is, and its id.
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Run(id) => ("run", id.to_string()),
            Self::Step(key) => ("step", key.to_string()),
            Self::Artifact(id) => ("artifact", id.to_string()),
        }
    }

    /// Names the thing with its kind and, for digests, 12 characters or `length` if that is more.
    fn abridged(&self, length: usize) -> String {
        let (kind, id) = self.parts();
        let length = if matches!(self, Self::Run(_)) { id.len() } else { length.max(12) };
        format!("{kind} {id:.length$}")
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.abridged(usize::MAX))
    }
}

/// The ids of a workspace at one moment.
#[derive(Clone, Debug)]
pub struct Identities {
    /// Every name something can be called by, sorted; an index into `entities`.
    names: Vec<(String, usize)>,
    entities: Vec<Entity>,
}

impl Identities {
    /// Collects the names of things.
    pub fn new(entities: Vec<Entity>) -> Self {
        let mut names = Vec::new();
        for (index, entity) in entities.iter().enumerate() {
            names.push((entity.parts().1, index));
            if let Entity::Run(id) = entity {
                names.push((id.nonce().to_owned(), index));
            }
        }
        names.sort();
        Self { names, entities }
    }

    /// Finds what a prefix means.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Ambiguous`].
    pub fn resolve(&self, prefix: &str) -> Result<Entity> {
        let start = self.names.partition_point(|(name, _)| name.as_str() < prefix);
        let mut found: Vec<usize> = self.names[start..]
            .iter()
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(_, index)| *index)
            .collect();
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [] => Err(Error::NotFound {
                prefix: prefix.chars().take(80).collect(),
                holds: self.summary(),
            }),
            [index] => Ok(self.entities[*index].clone()),
            several => {
                let mut candidates: Vec<String> = several
                    .iter()
                    .take(CANDIDATES)
                    .map(|index| self.entities[*index].abridged(prefix.len() + 4))
                    .collect();
                if several.len() > CANDIDATES {
                    candidates.push(format!("and {} more", several.len() - CANDIDATES));
                }
                Err(Error::Ambiguous {
                    prefix: prefix.to_owned(),
                    candidates: candidates.join(", "),
                })
            }
        }
    }

    /// Returns the shortest name, of four characters or more, that means this thing alone.
    pub fn shortest_prefix(&self, entity: &Entity) -> String {
        let unique = |id: &str| {
            // Names are sorted, so only neighbours can share more characters than others do.
            let start = self.names.partition_point(|(name, _)| name.as_str() < id);
            let end = self.names.partition_point(|(name, _)| name.as_str() <= id);
            let neighbours = [start.checked_sub(1), Some(end)];
            let others = neighbours.into_iter().flatten().filter_map(|index| self.names.get(index));
            let shared = others.map(|(name, _)| shared_length(name, id)).max().unwrap_or(0);
            let length = (shared + 1).max(SHORTEST);
            // The same name twice, or a name that begins another, has no short form.
            (end - start <= 1 && length <= id.len()).then(|| id[..length].to_owned())
        };
        let id = entity.parts().1;
        if let Entity::Run(run) = entity
            && let Some(name) = unique(run.nonce())
        {
            return name;
        }
        unique(&id).unwrap_or(id)
    }

    fn summary(&self) -> String {
        let mut counts = [0usize; 3];
        let mut latest = None;
        for entity in &self.entities {
            match entity {
                Entity::Run(id) => {
                    counts[0] += 1;
                    latest = latest.max(Some(id));
                }
                Entity::Step(_) => counts[1] += 1,
                Entity::Artifact(_) => counts[2] += 1,
            }
        }
        let several = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let [runs, steps, artifacts] = counts;
        let latest = latest.map(|id| format!("; the latest run is `{id}`")).unwrap_or_default();
        format!(
            "the workspace holds {}, {} and {}{latest}",
            several(runs, "run"),
            several(steps, "step"),
            several(artifacts, "artifact")
        )
    }
}

/// Counts the bytes two ASCII names share at their beginning.
fn shared_length(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

impl Store {
    /// Collects the ids of everything in the workspace, for many short names at once.
    pub fn identities(&self) -> Result<Identities> {
        let mut entities = Vec::new();
        entities.extend(self.run_ids()?.into_iter().map(Entity::Run));
        entities.extend(self.step_keys()?.into_iter().map(Entity::Step));
        entities.extend(self.artifact_ids()?.into_iter().map(Entity::Artifact));
        // What was removed can still be asked about.
        entities.extend(self.removed_ids()?.into_iter().map(Entity::Artifact));
        Ok(Identities::new(entities))
    }

    /// Finds the run, step or artifact whose id begins with `prefix`.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] listing the candidates, [`Error::NotFound`] naming what exists.
    pub fn resolve(&self, prefix: &str) -> Result<Entity> {
        self.identities()?.resolve(prefix)
    }
}
