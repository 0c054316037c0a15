use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use clap::Args;
use owlet_lab::Record;
use owlet_store::{ArtifactId, Entity, Identities, Lineage, NodeId, Relation, Store};
use renderdag::{Ancestor, GraphRowRenderer, Renderer};

use crate::error::{CliError, Result};
use crate::terminal::{BAD, FAINT, STRONG, Terminal};
use crate::workspace;

/// Draw what something was made from, by which steps
///
/// Newest first, as a commit log; artifacts that differ by their seed alone are drawn as one unless
/// `--full` is given. A run means its result, a step its output. With `--json`, all nodes and edges.
#[derive(Debug, Args)]
pub(crate) struct LineageArgs {
    /// An artifact, step or run: any unique beginning of its id, or `last`
    id: String,

    /// Also draw what was made from it
    #[arg(long)]
    descendants: bool,

    /// Draw every artifact
    #[arg(long)]
    full: bool,
}

/// More artifacts than this are drawn as groups.
const MANY: usize = 16;

pub(crate) fn run(args: &LineageArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let id = artifact(&store, &args.id)?;
    let mut lineage = store.lineage(&id)?;
    if !args.descendants {
        lineage.nodes.retain(|node| node.relation != Relation::Descendant);
        let kept: BTreeSet<NodeId> = lineage.nodes.iter().map(|node| node.id).collect();
        lineage.edges.retain(|edge| kept.contains(&edge.from) && kept.contains(&edge.to));
    }
    if terminal.json {
        return terminal.json(&lineage);
    }
    let graph = Graph::new(&store, &lineage)?;
    let graph = if args.full || graph.groups.len() <= MANY { graph } else { graph.grouped() };
    let mut out = terminal.data();
    write!(out, "{}", graph.draw())?;
    Ok(())
}

/// The artifact that an id is about.
fn artifact(store: &Store, prefix: &str) -> Result<ArtifactId> {
    match workspace::resolve(store, prefix)? {
        Entity::Artifact(id) => Ok(id),
        Entity::Step(key) => {
            store.step_record(&key)?.map(|record| record.output).ok_or_else(|| {
                CliError::usage(format!("the record of step {key} cannot be read"))
                    .hinted("`owlet verify` says what is wrong with it")
            })
        }
        Entity::Run(id) => {
            let run = Record::open(store, &id)?;
            let result = workspace::steps_of(&run).pop().and_then(|step| step.artifact);
            result.ok_or_else(|| {
                CliError::usage(format!("run {id} has no result yet"))
                    .hinted(format!("`owlet resume {}` goes on", id.nonce()))
            })
        }
    }
}

/// What is drawn: groups of artifacts, each before what it was made from.
struct Graph {
    groups: Vec<Group>,
}

#[derive(Clone)]
struct Group {
    label: String,
    kind: String,
    /// Short ids.
    ids: Vec<String>,
    /// What made it, and how long that took.
    step: Option<String>,
    seconds: f64,
    itself: bool,
    missing: bool,
    parents: BTreeSet<usize>,
}

impl Graph {
    fn new(store: &Store, lineage: &Lineage) -> Result<Self> {
        let names = workspace::names(store)?;
        let identities = store.identities()?;
        let steps: BTreeMap<_, _> =
            store.steps()?.into_iter().map(|record| (record.key, record)).collect();
        let mut groups: Vec<Group> = Vec::new();
        let mut places = BTreeMap::new();
        // From the newest to the oldest.
        for node in lineage.nodes.iter().rev() {
            if let NodeId::Artifact(id) = node.id {
                places.insert(id, groups.len());
                groups.push(Group {
                    label: names.get(&id).cloned().unwrap_or_default(),
                    kind: node.kind.clone().unwrap_or_else(|| "unknown".to_owned()),
                    ids: vec![short(&identities, id)],
                    step: None,
                    seconds: 0.0,
                    itself: node.relation == Relation::Itself,
                    missing: node.missing,
                    parents: BTreeSet::new(),
                });
            }
        }
        for node in &lineage.nodes {
            if let NodeId::Step(key) = node.id
                && let Some(record) = steps.get(&key)
                && let Some(&place) = places.get(&record.output)
            {
                groups[place].step = Some(record.kind.clone());
                groups[place].seconds = record.about.seconds;
                let made_from = record.inputs.values().filter_map(|id| places.get(id).copied());
                // What a step makes may be what it used.
                groups[place].parents.extend(made_from.filter(|&parent| parent > place));
            }
        }
        Ok(Self { groups })
    }

    /// Artifacts that differ by seed alone, as one.
    fn grouped(&self) -> Self {
        let key = |group: &Group| (without_seed(&group.label), group.kind.clone());
        let mut first: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut place_of = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let alone = group.label.is_empty() || group.itself;
            let known = first.get(&key(group)).copied().filter(|_| !alone);
            let place = known.unwrap_or_else(|| {
                groups.push(Group {
                    label: without_seed(&group.label),
                    ids: Vec::new(),
                    parents: BTreeSet::new(),
                    seconds: 0.0,
                    ..group.clone()
                });
                groups.len() - 1
            });
            if !alone {
                first.insert(key(group), place);
            }
            groups[place].ids.extend(group.ids.iter().cloned());
            groups[place].seconds += group.seconds;
            groups[place].missing |= group.missing;
            place_of.push(place);
        }
        for (group, &place) in self.groups.iter().zip(&place_of) {
            let parents = group.parents.iter().map(|&parent| place_of[parent]);
            let parents: Vec<usize> = parents.filter(|&parent| parent != place).collect();
            groups[place].parents.extend(parents);
        }
        Self { groups: in_order(&groups) }
    }

    fn draw(&self) -> String {
        let mut renderer =
            GraphRowRenderer::new().output().with_min_row_height(1).build_box_drawing();
        let mut drawn = String::new();
        for (place, group) in self.groups.iter().enumerate() {
            let parents = group.parents.iter().map(|&parent| Ancestor::Parent(parent)).collect();
            let glyph = match group {
                Group { itself: true, .. } => "@",
                Group { missing: true, .. } => "×",
                _ => "○",
            };
            drawn.push_str(&renderer.next_row(place, parents, glyph.to_owned(), group.text()));
        }
        drawn
    }
}

impl Group {
    fn text(&self) -> String {
        let id = match self.ids.as_slice() {
            [id] => id.clone(),
            [first, ..] => format!("{first} and {} more", self.ids.len() - 1),
            [] => String::new(),
        };
        let missing = if self.missing { format!("  {BAD}missing{BAD:#}") } else { String::new() };
        let made = match &self.step {
            Some(step) => format!("by {step}, {:.1} s", self.seconds),
            None => "not made here".to_owned(),
        };
        let label = if self.label.is_empty() { &self.kind } else { &self.label };
        let kind = if label == &self.kind { String::new() } else { format!("  {}", self.kind) };
        format!("{STRONG}{id}{STRONG:#}  {label}{kind}{missing}  {FAINT}{made}{FAINT:#}\n")
    }
}

fn short(identities: &Identities, id: ArtifactId) -> String {
    identities.shortest_prefix(&Entity::Artifact(id))
}

/// `train/owl/seed-3` and its siblings as `train/owl/seed-*`.
fn without_seed(label: &str) -> String {
    let parts: Vec<&str> = label
        .split('/')
        .map(|part| match part.strip_prefix("seed-") {
            Some(seed) if seed.bytes().all(|byte| byte.is_ascii_digit()) => "seed-*",
            _ => part,
        })
        .collect();
    parts.join("/")
}

/// Sorts groups so that each comes before what it was made from; a circle, which only grouping can make,
/// is cut where it is met.
fn in_order(groups: &[Group]) -> Vec<Group> {
    let mut left: Vec<usize> = (0..groups.len()).collect();
    let mut order = Vec::with_capacity(groups.len());
    while !left.is_empty() {
        let is_free =
            |place: &usize| !left.iter().any(|user| groups[*user].parents.contains(place));
        let next = left.iter().position(is_free).unwrap_or(0);
        order.push(left.remove(next));
    }
    let mut new_place = vec![0; groups.len()];
    for (new, &old) in order.iter().enumerate() {
        new_place[old] = new;
    }
    let moved = |(new, &old): (usize, &usize)| {
        let parents = groups[old].parents.iter().map(|&parent| new_place[parent]);
        Group { parents: parents.filter(|&parent| parent > new).collect(), ..groups[old].clone() }
    };
    order.iter().enumerate().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_taken_out_of_names() {
        assert_eq!(without_seed("train/owl/seed-3"), "train/owl/seed-*");
        assert_eq!(without_seed("train/seed-owl/3"), "train/seed-owl/3");
    }
}
