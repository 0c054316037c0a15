//! What a plan will do and what it can reuse, before it runs.

use std::collections::BTreeMap;

use owlet_store::{ArtifactId, Store};

use super::plan::{Plan, Source};
use crate::error::Result;

/// Floating-point operations per second and core, until a step of the kind was recorded: near enough
/// to tell minutes from hours.
const FIRST_RATE: f64 = 5e10;
/// Seconds of a step that computes nothing, until one was recorded.
const FIRST_SECONDS: f64 = 0.02;
/// Records a guess is made of: those whose work was most alike.
const ALIKE: usize = 5;
/// How many times more work than the records' makes a guess from them too slow: small models are slow
/// for their work.
const FAR: f64 = 10.0;

/// How long steps of each kind took before, in this workspace.
#[derive(Clone, Debug, Default)]
pub struct Speeds {
    /// Work and thread-seconds of recorded steps by kind.
    known: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Speeds {
    /// What the workspace's records tell.
    pub fn remembered(store: &Store) -> Result<Self> {
        let mut known: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for record in store.steps()? {
            if let Some(work) = record.about.work {
                let seconds = record.about.seconds * record.about.threads as f64;
                known.entry(record.kind).or_default().push((work, seconds));
            }
        }
        Ok(Self { known })
    }

    /// Core-seconds that a step of `kind` will take, from the steps of its kind nearest in work.
    pub fn seconds(&self, kind: &str, work: f64) -> f64 {
        let known = self.known.get(kind).map_or(&[][..], Vec::as_slice);
        let distance = |other: f64| ((work + 1.0).ln() - (other + 1.0).ln()).abs();
        let mut alike: Vec<(f64, f64)> = known.to_vec();
        alike.sort_by(|one, other| distance(one.0).total_cmp(&distance(other.0)));
        alike.truncate(ALIKE);
        let mut guesses: Vec<f64> = alike
            .iter()
            .map(|&(done, seconds)| match work / done {
                _ if done <= 0.0 => seconds,
                times if times > FAR => (seconds * times).min(work / FIRST_RATE),
                times => seconds * times,
            })
            .collect();
        guesses.sort_by(f64::total_cmp);
        match guesses.get(guesses.len() / 2) {
            Some(guess) => *guess,
            None if work > 0.0 => work / FIRST_RATE,
            None => FIRST_SECONDS,
        }
    }
}

/// What is known of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Done before; its artifact is used.
    Reused(ArtifactId),
    /// Its inputs are there and it is not done.
    ToDo,
    /// Whether it is done depends on what its inputs will be.
    Depends,
}

/// What a plan will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// One per node, in the plan's order.
    pub states: Vec<NodeState>,
    /// Estimated thread-seconds per node; 0 for reused ones.
    pub seconds: Vec<f64>,
}

impl Survey {
    /// Nodes that are reused.
    pub fn reused(&self) -> usize {
        let reused = |state: &&NodeState| matches!(state, NodeState::Reused(_));
        self.states.iter().filter(reused).count()
    }

    /// Estimated seconds of all nodes together, on `cores` cores.
    pub fn total_seconds(&self, cores: usize) -> f64 {
        self.seconds.iter().sum::<f64>() / cores.max(1) as f64
    }
}

impl Plan {
    /// Looks up what is done already; nothing where there is no store yet.
    pub fn survey(&self, store: Option<&Store>) -> Result<Survey> {
        let mut states: Vec<NodeState> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Option<BTreeMap<_, _>> = node
                .inputs
                .iter()
                .map(|(role, source)| {
                    let id = match source {
                        Source::Artifact(id) => *id,
                        Source::Node(place) => match states[*place] {
                            NodeState::Reused(id) => id,
                            NodeState::ToDo | NodeState::Depends => return None,
                        },
                    };
                    Some((role.clone(), id))
                })
                .collect();
            states.push(match inputs {
                None => NodeState::Depends,
                Some(inputs) => {
                    let key = self.key(node, &inputs).1;
                    match store.map(|store| store.step(&key)).transpose()?.flatten() {
                        Some(record) => NodeState::Reused(record.output),
                        None => NodeState::ToDo,
                    }
                }
            });
        }
        let speeds = store.map(Speeds::remembered).transpose()?.unwrap_or_default();
        let seconds = self
            .nodes
            .iter()
            .zip(&states)
            .map(|(node, state)| match state {
                NodeState::Reused(_) => 0.0,
                NodeState::ToDo | NodeState::Depends => speeds.seconds(node.kind.name, node.cost),
            })
            .collect();
        Ok(Survey { states, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_made_of_the_steps_most_alike() {
        let mut speeds = Speeds::default();
        assert!((speeds.seconds("train", 1e11) - 2.0).abs() < 1e-9);
        assert!((speeds.seconds("filter", 0.0) - FIRST_SECONDS).abs() < 1e-9);
        let small = (0..ALIKE).map(|_| (1e9, 1.0));
        let large = (0..ALIKE).map(|_| (1e13, 100.0));
        speeds.known.insert("train".to_owned(), small.clone().chain(large).collect());
        assert!((speeds.seconds("train", 2e9) - 2.0).abs() < 1e-9);
        assert!((speeds.seconds("train", 5e12) - 50.0).abs() < 1e-9);
        // What only tiny models showed is not held against a large one.
        speeds.known.insert("train".to_owned(), small.collect());
        assert!((speeds.seconds("train", 1e12) - 20.0).abs() < 1e-9);
    }
}
