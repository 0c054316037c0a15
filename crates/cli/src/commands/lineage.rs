use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use clap::Args;
use owlet_lab::run::record::naming::without_seed;
use owlet_store::{ArtifactId, Entity, Identities, Lineage, NodeId, Relation, Store};
use renderdag::{Ancestor, GraphRowRenderer, Renderer};

use crate::error::Result;
use crate::terminal::{self, BAD, FAINT, STRONG, Terminal, duration};
use crate::workspace;

/// Draw what something was made from, by which steps
///
/// Newest first, as a commit log. A large one is folded until it fits the terminal: artifacts that differ by
/// their seed alone are drawn as one, then those that one kind of step made, and what follows from other lines is
/// not drawn; `--full` draws everything. A run means its result, a step its output. With `--json`, all nodes
/// and edges.
#[derive(Debug, Args)]
pub(crate) struct LineageArgs {
    /// A run, artifact or step, by id or name; `owlet help list` says how to call one
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
/// Of a terminal that does not say how wide it is.
const COLUMNS: usize = 80;

pub(crate) fn run(args: &LineageArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let id = workspace::artifact(&store, &args.id)?;
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
    let drawn = if args.full || graph.groups.len() <= MANY {
        graph.draw()
    } else {
        let room = terminal::width().unwrap_or(COLUMNS);
        let drawn = graph.folded(without_seed).draw();
        let fits = |drawn: &str| drawn.lines().all(|line| columns(line) <= room);
        if fits(&drawn) { drawn } else { graph.folded(kind_alone).draw() }
    };
    write!(terminal.data(), "{drawn}")?;
    Ok(())
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
    removed: bool,
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
                    removed: node.removed,
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

    /// Artifacts with the same label under `fold`, as one.
    fn folded(&self, fold: fn(&str) -> String) -> Self {
        let key = |group: &Group| (fold(&group.label), group.kind.clone());
        let mut first: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut place_of = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let alone = group.label.is_empty() || group.itself;
            let known = first.get(&key(group)).copied().filter(|_| !alone);
            let place = known.unwrap_or_else(|| {
                groups.push(Group {
                    label: fold(&group.label),
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
            groups[place].removed |= group.removed;
            place_of.push(place);
        }
        for (group, &place) in self.groups.iter().zip(&place_of) {
            let parents = group.parents.iter().map(|&parent| place_of[parent]);
            let parents: Vec<usize> = parents.filter(|&parent| parent != place).collect();
            groups[place].parents.extend(parents);
        }
        Self { groups: without_implied(in_order(&groups)) }
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
                Group { removed: true, .. } => "·",
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
        let missing = match self {
            Self { missing: true, .. } => format!("  {BAD}missing{BAD:#}"),
            Self { removed: true, .. } => format!("  {FAINT}removed{FAINT:#}"),
            _ => String::new(),
        };
        let made = match &self.step {
            Some(step) => format!("by {step}, {}", duration(self.seconds)),
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

/// `train/owl/seed-3` and all that its kind of step made as `train/*`.
fn kind_alone(label: &str) -> String {
    label.split_once('/').map_or_else(|| label.to_owned(), |(kind, _)| format!("{kind}/*"))
}

/// Columns that a line takes without its styles.
fn columns(line: &str) -> usize {
    anstream::adapter::strip_str(line).to_string().chars().count()
}

/// Groups in order without the lines that others imply.
fn without_implied(mut groups: Vec<Group>) -> Vec<Group> {
    let mut reached: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
    for place in (0..groups.len()).rev() {
        let parents = groups[place].parents.clone();
        let behind = |parent: &usize| parents.iter().any(|other| reached[*other].contains(parent));
        groups[place].parents = parents.iter().copied().filter(|parent| !behind(parent)).collect();
        let beyond = parents.iter().flat_map(|&parent| reached[parent].iter().copied());
        reached[place] = beyond.chain(parents.iter().copied()).collect();
    }
    groups
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
    fn what_follows_from_other_lines_is_not_drawn() {
        let group = |parents: &[usize]| Group {
            label: String::new(),
            kind: String::new(),
            ids: Vec::new(),
            step: None,
            seconds: 0.0,
            itself: false,
            missing: false,
            removed: false,
            parents: parents.iter().copied().collect(),
        };
        let groups = without_implied(vec![group(&[1, 2, 3]), group(&[2]), group(&[3]), group(&[])]);
        let parents = groups.iter().map(|group| group.parents.iter().copied().collect::<Vec<_>>());
        assert_eq!(parents.collect::<Vec<_>>(), [vec![1], vec![2], vec![3], vec![]]);
        assert_eq!(kind_alone("train/owl/seed-3"), "train/*");
        assert_eq!(columns("\u{1b}[1m○ owl\u{1b}[0m"), 5);
    }

    #[test]
    fn seeds_are_taken_out_of_names() {
        assert_eq!(without_seed("train/owl/seed-3"), "train/owl/seed-*");
        assert_eq!(without_seed("train/seed-owl/3"), "train/seed-owl/3");
    }
}
