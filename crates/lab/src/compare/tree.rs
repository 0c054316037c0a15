//! How near several models are to one another, as a tree: average linkage over the lengths of differences
//! (Sokal and Michener 1958).

use serde::{Deserialize, Serialize};

use super::{Pair, Verdict};

/// The distance of models that have nothing to measure one by: more than that of unrelated ones of one
/// size, which is the root of 2.
const APART: f64 = 2.0;

/// A model, or what two groups of them are to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Tree {
    /// A model, by its number.
    Model(usize),
    /// Two groups.
    #[serde(rename_all = "kebab-case")]
    Group {
        /// The mean length of the difference between their models over that of their weights.
        distance: f64,
        /// Whether models of the two share a base.
        tied: bool,
        /// The groups.
        of: Box<[Tree; 2]>,
    },
}

impl Tree {
    fn models(&self) -> Vec<usize> {
        match self {
            Self::Model(model) => vec![*model],
            Self::Group { of, .. } => of.iter().flat_map(Self::models).collect(),
        }
    }

    /// Drawn with the names of the models, a line each.
    pub fn drawn(&self, names: &[String]) -> String {
        let mut lines = Vec::new();
        self.draw(names, "", "", &mut lines);
        lines.join("\n")
    }

    fn draw(&self, names: &[String], first: &str, rest: &str, lines: &mut Vec<String>) {
        match self {
            Self::Model(model) => lines.push(format!("{first}{}", names[*model])),
            Self::Group { distance, tied, of } => {
                let what = if *tied { "one base" } else { "no common base seen" };
                let apart = if *tied { format!(", {distance:.3} apart") } else { String::new() };
                lines.push(format!("{first}{what}{apart}"));
                of[0].draw(names, &format!("{rest}├─ "), &format!("{rest}│  "), lines);
                of[1].draw(names, &format!("{rest}└─ "), &format!("{rest}   "), lines);
            }
        }
    }
}

/// The tree of `count` models.
pub(super) fn of(count: usize, pairs: &[Pair]) -> Tree {
    let pair = |one: usize, other: usize| {
        pairs.iter().find(|pair| pair.models == [one.min(other), one.max(other)])
    };
    let between = |one: &Tree, other: &Tree| -> (f64, bool) {
        let (one, other) = (one.models(), other.models());
        let both = || one.iter().flat_map(|&one| other.iter().map(move |&other| (one, other)));
        let distance = |(one, other)| match pair(one, other) {
            Some(Pair { verdict: Verdict::Dependent, distance, .. }) => distance.unwrap_or(1.0),
            _ => APART,
        };
        let count = (one.len() * other.len()) as f64;
        let tied =
            |(one, other)| pair(one, other).is_some_and(|pair| pair.verdict == Verdict::Dependent);
        (both().map(distance).sum::<f64>() / count, both().any(tied))
    };
    let mut groups: Vec<Tree> = (0..count).map(Tree::Model).collect();
    while groups.len() > 1 {
        let mut nearest = (0, 1, (f64::INFINITY, false));
        for second in 1..groups.len() {
            for first in 0..second {
                let found = between(&groups[first], &groups[second]);
                if found.0 < nearest.2.0 {
                    nearest = (first, second, found);
                }
            }
        }
        let (first, second, (distance, tied)) = nearest;
        let later = groups.remove(second);
        let earlier = std::mem::replace(&mut groups[first], Tree::Model(0));
        groups[first] = Tree::Group { distance, tied, of: Box::new([earlier, later]) };
    }
    groups.pop().unwrap_or(Tree::Model(0))
}
