//! Which models are mixtures of others: linear combinations, weight by weight.

use serde::{Deserialize, Serialize};

use super::{Compared, Look, Pair, Settings, Verdict, units};
use crate::error::Result;

/// Layers and hidden units of each that are looked at: thousands of numbers for each coefficient.
const LAYERS: usize = 3;
const UNITS: usize = 64;
/// What may be left unexplained of the difference to the nearest other model: lengths, so that of the squares
/// a hundredth.
const LEFT: f64 = 0.1;
/// A part that counts.
const PART: f64 = 0.02;

/// A model that is a combination of others, whose parts add up to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Merge {
    /// Which, by its number from 0.
    pub model: usize,
    /// The others, each with its part.
    pub parts: Vec<(usize, f64)>,
    /// Length of what the combination leaves over that of the difference to the nearest other model.
    pub left: f64,
    /// Whether no part is negative: then it is the mixture. Otherwise the same equation makes each of the
    /// models one of the others, and weights do not say which came last.
    pub is_mixture: bool,
}

/// Finds them, among models that have their units in the same places.
pub(super) fn find(
    models: &mut [Compared],
    pairs: &[Pair],
    settings: &Settings,
) -> Result<Vec<Merge>> {
    let in_place = |one: usize, other: usize| {
        let models = [one.min(other), one.max(other)];
        let pair = pairs.iter().find(|pair| pair.models == models);
        pair.is_some_and(|pair| {
            pair.verdict == Verdict::Dependent
                && matches!(pair.by, Some(Look::Places | Look::Bytes))
                && pair.distance.is_some_and(|distance| distance > 0.0)
        })
    };
    let mut merges = Vec::new();
    for model in 0..models.len() {
        let mut others: Vec<usize> = Vec::new();
        for other in (0..models.len()).filter(|&other| other != model && in_place(model, other)) {
            // Two that are the same would share one part in any way.
            if others.iter().all(|&known| in_place(known, other)) {
                others.push(other);
            }
        }
        if others.len() < 2 {
            continue;
        }
        settings.check()?;
        let own = numbers(&mut models[model], settings)?;
        let known: Result<Vec<Vec<f64>>> =
            others.iter().map(|&other| numbers(&mut models[other], settings)).collect();
        merges.extend(combination(&own, &known?).map(|(parts, left)| Merge {
            model,
            is_mixture: parts.iter().all(|part| *part > -PART),
            parts: others.iter().copied().zip(parts).collect(),
            left,
        }));
    }
    if merges.iter().any(|merge| merge.is_mixture) {
        merges.retain(|merge| merge.is_mixture);
    }
    Ok(merges)
}

fn numbers(model: &mut Compared, settings: &Settings) -> Result<Vec<f64>> {
    let config = model.weights.config();
    let (layers, hidden) = (config.layers, config.hidden);
    let mut numbers = Vec::new();
    for layer in (0..LAYERS).map(|part| part * (layers - 1) / (LAYERS - 1)) {
        let units = units::sample(hidden, UNITS, settings.seed, &format!("merge {layer}"));
        let rows = model.weights.rows(&format!("layers.{layer}.up.weight"), &units)?;
        numbers.extend(rows.into_iter().map(f64::from));
    }
    Ok(numbers)
}

/// The parts of others that come nearest to a model (least squares, parts adding up to one), and what is
/// left over; `None` where it is no combination of several.
fn combination(own: &[f64], others: &[Vec<f64>]) -> Option<(Vec<f64>, f64)> {
    let (origin, rest) = others.split_first()?;
    let minus = |from: &[f64]| -> Vec<f64> {
        from.iter().zip(origin).map(|(value, origin)| value - origin).collect()
    };
    let target = minus(own);
    let axes: Vec<Vec<f64>> = rest.iter().map(|other| minus(other)).collect();
    let rows = axes.iter().map(|axis| {
        let mut row: Vec<f64> = axes.iter().map(|other| dot(axis, other)).collect();
        row.push(dot(axis, &target));
        row
    });
    let parts = solved(rows.collect())?;
    let left = |at: usize| {
        let sum: f64 = parts.iter().zip(&axes).map(|(part, axis)| part * axis[at]).sum();
        target[at] - sum
    };
    let left = (0..target.len()).map(|at| left(at).powi(2)).sum::<f64>().sqrt();
    let distance = |other: &Vec<f64>| {
        own.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
    };
    let nearest = others.iter().map(distance).min_by(f64::total_cmp)?;
    let mut all = vec![1.0 - parts.iter().sum::<f64>()];
    all.extend(parts);
    let counted = all.iter().filter(|part| part.abs() > PART).count();
    (counted > 1 && left < LEFT * nearest).then_some((all, left / nearest))
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// The solution of linear equations (rows of coefficients and right side), by elimination with the largest
/// pivot first; `None` where they do not decide it.
fn solved(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = rows.len();
    let scale = rows.iter().enumerate().map(|(i, row)| row[i]).fold(0.0, f64::max);
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        if rows[column][column].abs() <= 1e-10 * scale {
            return None;
        }
        let pivot = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(place, _)| *place != column) {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    Some(rows.iter().enumerate().map(|(place, row)| row[size] / row[place]).collect())
}
