//! Do two models share a base? From weights alone, read row by row, with a p-value.
//!
//! Four looks, each at a way a copy may have been disguised: hidden units by their places, the same after
//! the residual stream was turned back by the tokens both know, and units matched by their weights, with
//! and without that turn. What two models of one base have between them is then told: the size of the
//! difference, its rank, a grid it was rounded to, and of several models which is a merge of others.

mod align;
mod grid;
mod judge;
mod look;
mod merge;
mod relation;
mod report;
mod tree;
mod units;

use owlet_engine::Threads;
use owlet_engine::file::Weights;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::stats::{Agreement, Matched};
use crate::value::interrupt::Interrupt;

pub use grid::Grid;
pub use merge::Merge;
pub use relation::{Difference, Relation};
pub(crate) use report::exact;
pub use report::report;
pub use tree::Tree;

/// The level of all tests of a pair together.
pub const LEVEL: f64 = 0.01;
/// Hidden units looked at in a layer, by their places.
pub const UNITS: usize = 512;

/// A model to compare, opened.
pub struct Compared {
    /// What the user calls it.
    pub name: String,
    /// Its weights.
    pub weights: Weights,
    /// Its tokens in the order of their ids, once they were asked for.
    tokens: Option<Vec<String>>,
}

impl Compared {
    /// One that nothing is known of yet.
    pub fn new(name: impl Into<String>, weights: Weights) -> Self {
        Self { name: name.into(), weights, tokens: None }
    }
}

/// What was found about two or more models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// Their names, in the order given.
    pub models: Vec<String>,
    /// The seed of all draws.
    pub seed: u64,
    /// Every two of them.
    pub pairs: Vec<Pair>,
    /// Models that are mixtures of others.
    pub merges: Vec<Merge>,
    /// How near they are to one another, from three models on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
}

/// What two models are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// They share a base, or one is the other's.
    Dependent,
    /// Nothing ties them, as far as the bound says.
    Independent,
    /// It could not be looked at, or not far enough.
    NotComparable,
}

/// A way to look for a common base, by what it sees through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// Matrices that are the same bytes.
    Bytes,
    /// Hidden units by their places: training, noise, rounding, low-rank updates.
    Places,
    /// The same in one model's residual basis: permuted or rotated dimensions, too.
    AlignedPlaces,
    /// Units matched by two kinds of their weights: permuted hidden units.
    Matching,
    /// The same in one model's residual basis: both permuted.
    AlignedMatching,
}

impl Look {
    /// All that have p-values, in the order they are taken.
    pub const TESTS: [Self; 4] =
        [Self::Places, Self::AlignedPlaces, Self::Matching, Self::AlignedMatching];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "equal bytes",
            Self::Places => "units by place",
            Self::AlignedPlaces => "units by place, residual stream aligned",
            Self::Matching => "units matched by weights",
            Self::AlignedMatching => "units matched by weights, residual stream aligned",
        }
    }
}

/// What a look found in one layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Found {
    /// By places.
    Places(Matched),
    /// By matching.
    Matching(Agreement),
}

impl Found {
    /// The p-value as it is, before Holm's correction.
    pub fn p(&self) -> f64 {
        match self {
            Self::Places(found) => found.p,
            Self::Matching(found) => found.p,
        }
    }
}

/// A look at every layer, or why there was none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Looked {
    /// Which.
    pub look: Look,
    /// What it found, layer by layer.
    pub layers: Vec<Found>,
    /// p-values corrected for all layers (Holm) and all looks, layer by layer.
    pub adjusted: Vec<f64>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_taken: Option<String>,
}

impl Looked {
    /// The smallest corrected p-value, and its layer.
    pub fn best(&self) -> Option<(usize, f64)> {
        let layers = self.adjusted.iter().copied().enumerate();
        layers.min_by(|one, other| one.1.total_cmp(&other.1))
    }
}

/// Tensors that are the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Equal {
    /// How many.
    pub equal: usize,
    /// Of how many that both have in one shape.
    pub of: usize,
    /// How many of the equal ones are matrices whose numbers differ among themselves: no accident.
    pub telling: usize,
}

/// What there is between two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pair {
    /// Which two, by their numbers from 0.
    pub models: [usize; 2],
    /// What they are to each other.
    pub verdict: Verdict,
    /// The look that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Look>,
    /// The smallest corrected p-value of the look that decided, or of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Why, in words.
    pub why: String,
    /// Tensors that are the same bytes.
    pub equal: Equal,
    /// What was looked at.
    pub looks: Vec<Looked>,
    /// Were one a copy of the other with noise, the noise would be so many times the weights, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_noise: Option<f64>,
    /// Length of the difference between hidden units over that of the units, where units are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
    /// What changed from one to the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
}

/// What a comparison is made with.
#[derive(Clone)]
pub struct Settings<'a> {
    /// Of all draws.
    pub seed: u64,
    /// Threads for products.
    pub threads: Threads,
    /// Asked between layers.
    pub interrupt: Interrupt,
    /// Told of the pair, how many layers are done and of how many.
    pub progress: &'a dyn Fn(&str, usize, usize),
}

impl Settings<'_> {
    fn check(&self) -> Result<()> {
        if self.interrupt.is_set() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Compares every two models, and with three or more all of them.
///
/// Fails for tensors that cannot be read or hold numbers that are not finite.
pub fn compare(models: &mut [Compared], settings: &Settings) -> Result<Comparison> {
    if models.len() < 2 {
        return Err(Error::model(
            models.first().map_or("", |model| model.name.as_str()),
            "is alone; name two models or more",
        ));
    }
    let mut pairs = Vec::new();
    for second in 1..models.len() {
        for first in 0..second {
            let (before, after) = models.split_at_mut(second);
            let pair = judge::pair(&mut before[first], &mut after[0], settings)?;
            pairs.push(Pair { models: [first, second], ..pair });
        }
    }
    pairs.sort_by_key(|pair| pair.models);
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    let merges = merge::find(models, &pairs, settings)?;
    let tree = (models.len() > 2).then(|| tree::of(models.len(), &pairs));
    Ok(Comparison { models: names, seed: settings.seed, pairs, merges, tree })
}
