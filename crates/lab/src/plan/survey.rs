//! What a plan will do and what it can reuse, before it runs.

use std::collections::BTreeMap;

use owlet_store::{ArtifactId, Store};

use super::{Plan, Source};
use crate::error::Result;

/// Floating-point operations per second and core, until something was measured.
pub(crate) const FIRST_RATE: f64 = 2e10;

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
    /// Estimated seconds per node; 0 for reused ones.
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
    /// Looks up what is done already.
    pub fn survey(&self, store: &Store) -> Result<Survey> {
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
                Some(inputs) => match store.step(&self.key(node, &inputs).1)? {
                    Some(record) => NodeState::Reused(record.output),
                    None => NodeState::ToDo,
                },
            });
        }
        let seconds = self
            .nodes
            .iter()
            .zip(&states)
            .map(|(node, state)| match state {
                NodeState::Reused(_) => 0.0,
                NodeState::ToDo | NodeState::Depends => node.cost / FIRST_RATE,
            })
            .collect();
        Ok(Survey { states, seconds })
    }
}
