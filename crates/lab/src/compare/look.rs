//! The looks: tests of all layers for one kind of disguise.

use owlet_engine::linear;

use super::{Compared, Found, Look, Looked, Settings, UNITS, units};
use crate::error::{Error, Result};
use crate::random::derive_seed;
use crate::stats::{Draws, agreement_of_pairs, holm, matched};

/// Units of the first model that are matched with all of the second.
const MATCHED: usize = 256;
/// Draws of an order: at least so many, and so many for every layer, so that Holm's correction over layers
/// and looks can still go below the level: LAYERS * 4 / (800 * LAYERS) = 0.005.
const DRAWS: usize = 20_000;
const DRAWS_PER_LAYER: usize = 800;

/// Two models of one shape of hidden units.
pub(super) struct Both<'a> {
    pub(super) first: &'a mut Compared,
    pub(super) second: &'a mut Compared,
    /// Layers that both have.
    pub(super) layers: usize,
}

impl Both<'_> {
    pub(super) fn name(&self) -> String {
        format!("{} and {}", self.first.name, self.second.name)
    }

    fn width(&self) -> usize {
        self.first.weights.config().width
    }

    fn hidden(&self) -> usize {
        self.first.weights.config().hidden
    }
}

/// Units by their places, in their own bases or, with a turn, in one. Also the length of all differences
/// over that of the first model's units.
pub(super) fn places(
    both: &mut Both,
    turn: Option<&[f32]>,
    settings: &Settings,
) -> Result<(Looked, f64)> {
    let (width, name) = (both.width(), both.name());
    let look = if turn.is_some() { Look::AlignedPlaces } else { Look::Places };
    let mut layers = Vec::new();
    let (mut differences, mut sizes) = (0.0, 0.0);
    for layer in 0..both.layers {
        settings.check()?;
        (settings.progress)(&name, layer, both.layers);
        let units = units::sample(both.hidden(), UNITS, settings.seed, &format!("units {layer}"));
        let read = |model: &mut Compared| match turn {
            None => Ok(model.weights.rows(&format!("layers.{layer}.up.weight"), &units)?),
            Some(_) => units::reading(&mut model.weights, layer, "up", &units),
        };
        let (mut ours, mut theirs) = (read(both.first)?, read(both.second)?);
        if let Some(turn) = turn {
            theirs = linear::transformed(&settings.threads, &theirs, turn, width);
        }
        for (one, other) in ours.iter().zip(&theirs) {
            differences += f64::from(other - one).powi(2);
            sizes += f64::from(*one).powi(2);
        }
        units::unit(&mut ours, width);
        units::unit(&mut theirs, width);
        let similarities = linear::similarities(&settings.threads, &ours, &theirs, width);
        let path = ["compare".into(), "order".into(), (layer as u64).into()];
        let count = DRAWS.max(DRAWS_PER_LAYER * both.layers) - 1;
        let draws = Draws { count, seed: derive_seed(settings.seed, &path) };
        let found = matched(&similarities, units.len(), draws)
            .map_err(|why| Error::model(&both.first.name, why.to_string()))?;
        layers.push(Found::Places(found));
    }
    Ok((looked(look, layers), (differences / sizes.max(f64::MIN_POSITIVE)).sqrt()))
}

/// For units of the first model the nearest of the second, and the reverse.
struct Nearest {
    /// Similarity and number of the nearest.
    best: Vec<(f32, usize)>,
    /// Of each unit of the second, the nearest of the first.
    back: Vec<usize>,
}

impl Nearest {
    fn new(of: usize) -> Self {
        Self { best: vec![(f32::NEG_INFINITY, 0); of], back: Vec::new() }
    }

    /// Looks at the next units of the second; `similarities` has a row for each of the first.
    fn add(&mut self, similarities: &[f32], next: usize) {
        let start = self.back.len();
        let mut back = vec![(f32::NEG_INFINITY, 0); next];
        for (unit, values) in similarities.chunks_exact(next).enumerate() {
            for (other, &value) in values.iter().enumerate() {
                if value > self.best[unit].0 {
                    self.best[unit] = (value, start + other);
                }
                if value > back[other].0 {
                    back[other] = (value, unit);
                }
            }
        }
        self.back.extend(back.into_iter().map(|(_, unit)| unit));
    }

    /// Pairs that are each other's nearest: without that, a few units are the nearest of many.
    fn mutual(&self) -> Vec<Option<usize>> {
        let mutual = |(unit, &(_, other)): (usize, &(f32, usize))| {
            (self.back.get(other) == Some(&unit)).then_some(other)
        };
        self.best.iter().enumerate().map(mutual).collect()
    }
}

/// Units matched by two kinds of their weights, in their own bases and, with a turn, in one.
pub(super) fn matching(
    both: &mut Both,
    turn: Option<&[f32]>,
    settings: &Settings,
) -> Result<(Looked, Option<Looked>)> {
    let (width, hidden, name) = (both.width(), both.hidden(), both.name());
    let mut layers = [Vec::new(), Vec::new()];
    for layer in 0..both.layers {
        let units = units::sample(hidden, MATCHED, settings.seed, &format!("matched {layer}"));
        // By which kind of weights, and in which basis.
        let mut pairs: [[Vec<Option<usize>>; 2]; 2] = Default::default();
        for (second, pairs) in pairs.iter_mut().enumerate() {
            settings.check()?;
            (settings.progress)(&name, layer, both.layers);
            let is_second = second == 1;
            let mut ours = units::kind(&mut both.first.weights, layer, is_second, &units)?;
            if let Some(turn) = turn {
                // Turned back, the few of the first spare a product with all of the second.
                let mut turned = linear::similarities(&settings.threads, &ours, turn, width);
                units::unit(&mut turned, width);
                ours.extend(turned);
            }
            let mut nearest = [Nearest::new(units.len()), Nearest::new(units.len())];
            let all: Vec<usize> = (0..hidden).collect();
            // Columns take a reading of the whole matrix, however few they are.
            let is_column = is_second && !both.second.weights.config().gated;
            for part in all.chunks(if is_column { hidden } else { units::CHUNK }) {
                let theirs = units::kind(&mut both.second.weights, layer, is_second, part)?;
                let similarities = linear::similarities(&settings.threads, &ours, &theirs, width);
                let each = similarities.chunks_exact(units.len() * part.len());
                for (nearest, similarities) in nearest.iter_mut().zip(each) {
                    nearest.add(similarities, part.len());
                }
            }
            *pairs = nearest.map(|nearest| nearest.mutual());
        }
        for (basis, layers) in layers.iter_mut().enumerate() {
            let [first, second] = [&pairs[0][basis], &pairs[1][basis]];
            layers.push(Found::Matching(agreement_of_pairs(first, second, hidden)));
        }
    }
    let [own, turned] = layers;
    let turned = turn.map(|_| looked(Look::AlignedMatching, turned));
    Ok((looked(Look::Matching, own), turned))
}

/// Corrects p-values for all layers and all looks.
fn looked(look: Look, layers: Vec<Found>) -> Looked {
    let p: Vec<f64> = layers.iter().map(Found::p).collect();
    let looks = Look::TESTS.len() as f64;
    // They are between 0 and 1.
    let adjusted = holm(&p).unwrap_or_default();
    let adjusted = adjusted.into_iter().map(|p| (looks * p).min(1.0)).collect();
    Looked { look, layers, adjusted, not_taken: None }
}
