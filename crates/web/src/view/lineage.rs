//! What an artifact was made from and what was made from it, as a graph whose boxes and lines lead
//! there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use owlet_lab::report::block::{
    Block, Edge, Graph, Leads, Line, Node, Standing, code, count, words,
};
use owlet_store::ArtifactId;
use serde::Serialize;

use super::Window;

/// Most relatives of each side.
const MOST: usize = 300;

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

/// The graph, and what it shows in words.
pub(super) fn lineage(relatives: &Relatives) -> Vec<Block> {
    if relatives.nodes.len() < 2 {
        let nothing = "Nothing on record went into it, and nothing was made from it.";
        return vec![Block::paragraph(nothing)];
    }
    let node = |relative: &Relative| {
        let step = relative.step.as_ref().map(|key| format!("/step/{key}"));
        Node {
            id: relative.id.to_string(),
            kind: relative.kind.clone(),
            label: relative.name.clone(),
            state: (relative.relation == Relation::Itself).then_some(Standing::Itself),
            leads: Leads {
                node: Some(format!("/artifact/{}", relative.id)),
                edges: step,
                group: Some("#nodes".to_owned()),
            },
        }
    };
    let edge = |(from, to, role): &(ArtifactId, ArtifactId, String)| Edge {
        from: from.to_string(),
        to: to.to_string(),
        role: role.clone(),
    };
    let graph = Graph {
        nodes: relatives.nodes.iter().map(node).collect(),
        edges: relatives.edges.iter().map(edge).collect(),
    };
    let related = |relation: Relation| {
        count(relatives.nodes.iter().filter(|node| node.relation == relation).count())
    };
    let mut said = Line::from(related(Relation::Ancestor))
        .and(words(" went into it, "))
        .and(related(Relation::Descendant))
        .and(words(" were made from it"));
    if relatives.cut {
        said =
            said.and([words("; there are more, which "), code("owlet lineage"), words(" lists")]);
    }
    let note = "Boxes are artifacts and lead to their pages; lines lead to the step that made what they end in.";
    vec![Block::Paragraph(said.and(words("."))), Block::Graph(graph), Block::note(note)]
}
