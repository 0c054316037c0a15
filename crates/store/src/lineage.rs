//! Lineage: what an artifact was made from and what was made from it.
//!
//! The graph has two kinds of node: steps use artifacts, under a role, and make one. It is computed
//! from the step records on demand and kept nowhere. A step may make what it used (when nothing
//! changed), so the graph can have cycles.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{ArtifactId, Error, Result, StepKey, StepRecord, Store};

/// Names a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "node", content = "id", rename_all = "kebab-case")]
pub enum NodeId {
    /// An artifact.
    Artifact(ArtifactId),
    /// A step.
    Step(StepKey),
}

/// How a node is related to the artifact asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It was made from this; wins where a cycle makes a node both.
    Ancestor,
    /// It is this.
    Itself,
    /// This was made from it.
    Descendant,
}

/// A step or an artifact in a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The node's id.
    pub id: NodeId,
    /// What it is or does, in one word; `None` when nobody knows.
    pub kind: Option<String>,
    /// Whether an artifact is named by a record but not in the workspace (or has no sound manifest).
    pub missing: bool,
    /// Whether an artifact's files were removed on purpose.
    pub removed: bool,
    /// How it is related to the artifact asked about.
    pub relation: Relation,
}

/// An artifact used by a step, or made by one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// Where data comes from.
    pub from: NodeId,
    /// Where it goes.
    pub to: NodeId,
    /// The role of an input; `None` for what a step made.
    pub role: Option<String>,
}

/// The ancestors and descendants of an artifact.
///
/// Relatives of neither kind, such as another artifact made from the same ancestor, are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// The artifact asked about.
    pub of: ArtifactId,
    /// All nodes; what something was made from comes before it, ties are sorted by id.
    pub nodes: Vec<Node>,
    /// All edges between them, sorted.
    pub edges: Vec<Edge>,
}

impl Store {
    /// Computes what an artifact was made from and what was made from it.
    ///
    /// # Errors
    /// [`Error::MissingArtifact`] when neither the workspace nor any record knows the artifact.
    pub fn lineage(&self, of: &ArtifactId) -> Result<Lineage> {
        let steps = self.steps()?;
        let lineage = lineage(of, &steps, &|id| match self.artifact_header(id) {
            Some(header) => Known::There(header.kind),
            None => self.removed(id).map_or(Known::Missing, |removed| Known::Removed(removed.kind)),
        });
        if lineage.nodes.len() == 1 && lineage.nodes[0].missing {
            return Err(Error::MissingArtifact { id: *of });
        }
        Ok(lineage)
    }
}

/// What is known of an artifact, beside what steps say.
enum Known {
    There(String),
    Removed(String),
    Missing,
}

/// Neighbours of nodes in one direction.
type Neighbours = BTreeMap<NodeId, BTreeSet<NodeId>>;

fn lineage(of: &ArtifactId, steps: &[StepRecord], known: &dyn Fn(&ArtifactId) -> Known) -> Lineage {
    let mut edges = BTreeSet::new();
    let mut makers = Neighbours::new();
    let mut users = Neighbours::new();
    let mut step_kinds = BTreeMap::new();
    for record in steps {
        let step = NodeId::Step(record.key);
        step_kinds.insert(record.key, record.kind.clone());
        let uses = record.inputs.iter().map(|(role, id)| Edge {
            from: NodeId::Artifact(*id),
            to: step,
            role: Some(role.clone()),
        });
        let makes = Edge { from: step, to: NodeId::Artifact(record.output), role: None };
        for edge in uses.chain([makes]) {
            makers.entry(edge.to).or_default().insert(edge.from);
            users.entry(edge.from).or_default().insert(edge.to);
            edges.insert(edge);
        }
    }

    let start = NodeId::Artifact(*of);
    let mut relations = BTreeMap::new();
    relations.extend(reachable(start, &users).into_iter().map(|id| (id, Relation::Descendant)));
    relations.extend(reachable(start, &makers).into_iter().map(|id| (id, Relation::Ancestor)));
    relations.insert(start, Relation::Itself);
    edges.retain(|edge| relations.contains_key(&edge.from) && relations.contains_key(&edge.to));

    let nodes = ordered(&relations.keys().copied().collect(), &edges)
        .into_iter()
        .map(|id| {
            let (kind, missing, removed) = match &id {
                NodeId::Step(key) => (step_kinds.get(key).cloned(), false, false),
                NodeId::Artifact(id) => match known(id) {
                    Known::There(kind) => (Some(kind), false, false),
                    Known::Removed(kind) => (Some(kind), false, true),
                    Known::Missing => (None, true, false),
                },
            };
            Node { id, kind, missing, removed, relation: relations[&id] }
        })
        .collect();
    Lineage { of: *of, nodes, edges: edges.into_iter().collect() }
}

fn reachable(start: NodeId, neighbours: &Neighbours) -> BTreeSet<NodeId> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for next in neighbours.get(&id).into_iter().flatten() {
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    seen
}

/// Sorts nodes so that edges lead forward. A cycle is entered at its smallest node.
fn ordered(nodes: &BTreeSet<NodeId>, edges: &BTreeSet<Edge>) -> Vec<NodeId> {
    let mut waiting: BTreeMap<NodeId, BTreeSet<NodeId>> =
        nodes.iter().map(|id| (*id, BTreeSet::new())).collect();
    for edge in edges {
        if let Some(before) = waiting.get_mut(&edge.to) {
            before.insert(edge.from);
        }
    }
    let mut ready: BTreeSet<NodeId> =
        waiting.iter().filter(|(_, before)| before.is_empty()).map(|(id, _)| *id).collect();
    let mut order = Vec::with_capacity(nodes.len());
    loop {
        let next = ready.pop_first().or_else(|| waiting.keys().next().copied());
        let Some(next) = next else { return order };
        waiting.remove(&next);
        order.push(next);
        let after = edges.range(first_edge(next)..).take_while(|edge| edge.from == next);
        for edge in after {
            if let Some(before) = waiting.get_mut(&edge.to) {
                before.remove(&next);
                if before.is_empty() {
                    ready.insert(edge.to);
                }
            }
        }
    }
}

/// The smallest edge that can leave a node.
fn first_edge(from: NodeId) -> Edge {
    Edge { from, to: NodeId::Artifact(ArtifactId::from_bytes([0; 32])), role: None }
}
