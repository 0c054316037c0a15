//! What an artifact was made from and what was made from it, as a graph whose boxes and lines lead
//! there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use maud::{Markup, html};
use owlet_lab::report::{DrawingSettings, Graph, GraphEdge, GraphNode, NodeLook, drawing};
use owlet_lab::value::text;
use owlet_store::ArtifactId;
use serde::Serialize;

use super::parts::{cell, link, name, table};
use super::window::Window;

/// Most relatives of each side.
const MOST: usize = 300;
/// Relatives in the table.
const LISTED: usize = 100;

/// How something is related to the artifact looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Relation {
    Ancestor,
    Itself,
    Descendant,
}

/// One relative.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Relative {
    pub(super) id: ArtifactId,
    pub(super) relation: Relation,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) step: Option<String>,
}

/// The relatives of an artifact, and what was made from what among them.
#[derive(Default, Serialize)]
pub(super) struct Relatives {
    pub(super) nodes: Vec<Relative>,
    /// From, to, as what.
    pub(super) edges: Vec<(ArtifactId, ArtifactId, String)>,
    /// There are more than are listed.
    pub(super) cut: bool,
}

impl Window {
    /// Ancestors and descendants, nearest first, up to a number.
    pub(super) fn relatives(&self, of: &ArtifactId) -> Relatives {
        let mut relations = BTreeMap::from([(*of, Relation::Itself)]);
        let mut cut = false;
        for (relation, next) in [
            (Relation::Ancestor, Self::above as fn(&Self, &ArtifactId) -> BTreeSet<ArtifactId>),
            (Relation::Descendant, Self::below),
        ] {
            let mut waiting = VecDeque::from([*of]);
            let mut found = 0;
            while let Some(id) = waiting.pop_front() {
                for relative in next(self, &id) {
                    if relations.contains_key(&relative) {
                        continue;
                    }
                    if found == MOST {
                        cut = true;
                        break;
                    }
                    found += 1;
                    relations.insert(relative, relation);
                    waiting.push_back(relative);
                }
            }
        }
        let mut relatives = Relatives { cut, ..Relatives::default() };
        for (id, relation) in &relations {
            let maker = self.index.makers(id).into_iter().next();
            if let Some(maker) = &maker {
                for (role, input) in &maker.inputs {
                    if relations.contains_key(input) {
                        relatives.edges.push((*input, *id, role.clone()));
                    }
                }
            }
            relatives.nodes.push(Relative {
                id: *id,
                relation: *relation,
                kind: maker.as_ref().map_or_else(|| "given".to_owned(), |step| step.kind.clone()),
                name: self.called(id),
                step: maker.map(|step| step.key.to_string()),
            });
        }
        relatives
    }

    fn above(&self, id: &ArtifactId) -> BTreeSet<ArtifactId> {
        self.index.makers(id).iter().flat_map(|step| step.inputs.values().copied()).collect()
    }

    fn below(&self, id: &ArtifactId) -> BTreeSet<ArtifactId> {
        self.index.users(id).iter().map(|step| step.output).collect()
    }
}

/// What a box says of a step below its kind: its name without it.
pub(super) fn short(node: &GraphNode) -> String {
    let rest = node.label.strip_prefix(&node.kind).and_then(|rest| rest.strip_prefix('/'));
    rest.unwrap_or(&node.label).to_owned()
}

/// The graph and the table that says the same.
pub(super) fn lineage(relatives: &Relatives) -> Markup {
    let by_id: BTreeMap<String, &Relative> =
        relatives.nodes.iter().map(|node| (node.id.to_string(), node)).collect();
    let graph = Graph {
        nodes: relatives
            .nodes
            .iter()
            .map(|node| GraphNode {
                id: node.id.to_string(),
                kind: node.kind.clone(),
                label: node.name.clone(),
            })
            .collect(),
        edges: relatives
            .edges
            .iter()
            .map(|(from, to, role)| GraphEdge {
                from: from.to_string(),
                to: to.to_string(),
                role: Some(role.clone()),
            })
            .collect(),
    };
    let look = |members: &[&GraphNode]| -> NodeLook {
        let itself = members
            .iter()
            .any(|node| by_id.get(&node.id).is_some_and(|node| node.relation == Relation::Itself));
        let class = if itself { "itself" } else { "" };
        match members {
            [only] => NodeLook {
                href: Some(format!("/artifact/{}", only.id)),
                step_href: by_id
                    .get(&only.id)
                    .and_then(|node| node.step.as_ref())
                    .map(|key| format!("/step/{key}")),
                label: Some(short(only)),
                class,
            },
            _ => NodeLook {
                href: Some("#relatives".to_owned()),
                step_href: Some("#relatives".to_owned()),
                label: None,
                class,
            },
        }
    };
    let rows: Vec<Vec<Markup>> = [Relation::Ancestor, Relation::Descendant]
        .into_iter()
        .flat_map(|relation| relatives.nodes.iter().filter(move |node| node.relation == relation))
        .take(LISTED)
        .map(|node| {
            vec![
                link(&format!("/artifact/{}", node.id), name(&node.name)),
                cell(match node.relation {
                    Relation::Ancestor => "went into it",
                    Relation::Itself => "itself",
                    Relation::Descendant => "was made from it",
                }),
                match &node.step {
                    Some(key) => link(
                        &format!("/step/{key}"),
                        format!("{} {}", name(&node.kind), text::cut(key, 13)),
                    ),
                    None => cell("given"),
                },
            ]
        })
        .collect();
    html! {
        @if relatives.nodes.len() > 1 {
            div class="scroll" tabindex="0" role="region" aria-label="Lineage graph" {
                (drawing(&graph, &DrawingSettings { most: 40, widest: 7, look: &look }))
            }
            p class="note" { "Boxes are artifacts and lead to their pages; lines lead to the step that made what they end in." }
            details id="relatives" open[rows.len() <= 12] {
                summary { "Every relative: " (text::count(relatives.nodes.len() - 1)) @if relatives.cut { " and more" } }
                (table("Relatives", &["artifact", "relation", "made by"], &rows))
                @if relatives.nodes.len() > LISTED + 1 || relatives.cut {
                    p class="note" { "The nearest are shown; " code { "owlet lineage" } " lists all." }
                }
            }
        } @else {
            p { "Nothing on record went into it, and nothing was made from it." }
        }
    }
}
