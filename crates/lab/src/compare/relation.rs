//! What changed from one model to another of the same base.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::grid::{self, Grid};
use super::{Compared, Settings, units};
use crate::error::Result;
use crate::stats::rank;

/// Layers looked at: the first, the last and one between.
const LAYERS: usize = 3;
/// Rows looked at in a matrix: ranks up to 128 are told from full ones.
const ROWS: usize = 136;
/// Relative rounding of half a unit in the last place, by how numbers are stored.
const ROUNDINGS: [(&str, f64); 3] =
    [("F32", 1.0 / 16_777_216.0), ("F16", 1.0 / 2048.0), ("BF16", 1.0 / 256.0)];

/// What is left of rows that others explain, in roundings: these are rounded, too. Measured: an update of
/// rank 8 leaves up to 1.5.
const ROUNDED: f64 = 4.0;

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Relation {
    /// By kind of tensor, over the layers looked at.
    pub differences: Vec<Difference>,
    /// The rank of all changed matrices, where it is one and less than theirs: an adapter that was merged, or
    /// is on one of the models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_rank: Option<usize>,
    /// The grid that one of the models was rounded to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<Grid>,
}

/// What changed in tensors of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// `up`, `q`, `embed`, ...
    pub kind: String,
    /// Length of the difference over that of the first model's numbers.
    pub size: f64,
    /// The smallest and the largest rank of the difference, where rounding lets it be told; `None` where the
    /// numbers of one are quantised, and for vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<[usize; 2]>,
    /// The largest rank that would be seen.
    pub full: usize,
}

/// The relation of the second model to the first.
pub(super) fn of(
    first: &mut Compared,
    second: &mut Compared,
    settings: &Settings,
) -> Result<Relation> {
    let mut kinds: BTreeMap<String, (Difference, f64, f64)> = BTreeMap::new();
    let mut grids = grid::Search::default();
    for (name, shape) in chosen(first, second) {
        settings.check()?;
        let rows = units::sample(
            shape[0],
            if shape.len() > 1 { ROWS } else { usize::MAX },
            settings.seed,
            &name,
        );
        let ours = first.weights.rows(&name, &rows)?;
        let theirs = second.weights.rows(&name, &rows)?;
        let (of, part) = name.rsplit_once('.').unwrap_or(("", &name));
        let kind = of.rsplit('.').next().filter(|kind| !kind.is_empty()).unwrap_or(&name);
        let field = if part == "bias" { format!("{kind}.bias") } else { kind.to_owned() };
        let (difference, changed, whole) = kinds.entry(field.clone()).or_default();
        difference.kind = field;
        for (one, other) in ours.iter().zip(&theirs) {
            *changed += f64::from(other - one).powi(2);
            *whole += f64::from(*one).powi(2);
        }
        let [_, width] = shape[..] else { continue };
        grids.add(&ours, &theirs, width);
        difference.full = difference.full.max(rows.len().min(width));
        let stored = [first.weights.storage(&name)?.0, second.weights.storage(&name)?.0];
        if let Some(found) = rank_of(&ours, &theirs, width, stored) {
            let known = difference.rank.get_or_insert([found, found]);
            *known = [known[0].min(found), known[1].max(found)];
        }
    }
    let differences: Vec<Difference> = kinds
        .into_values()
        .map(|(difference, changed, whole)| Difference {
            size: (changed / whole.max(f64::MIN_POSITIVE)).sqrt(),
            ..difference
        })
        .collect();
    Ok(Relation { adapter_rank: adapter_rank(&differences), grid: grids.found(), differences })
}

/// Tensors of the layers looked at, and those outside of layers.
fn chosen(first: &Compared, second: &Compared) -> Vec<(String, Vec<usize>)> {
    let layers = first.weights.config().layers.min(second.weights.config().layers);
    let kept: Vec<String> =
        (0..LAYERS).map(|part| format!("layers.{}.", part * (layers - 1) / (LAYERS - 1))).collect();
    let tensors = first.weights.tensors().filter(|(name, shape)| {
        let in_layer = name.starts_with("layers.");
        second.weights.shape(name) == Some(*shape)
            && (!in_layer || kept.iter().any(|layer| name.starts_with(layer)))
    });
    tensors.map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
}

/// The rank of a difference over what rounding leaves. It is looked for at the finest rounding first: an
/// adapter's sum is as exact as it is computed, however coarsely its base is stored.
fn rank_of(ours: &[f32], theirs: &[f32], width: usize, stored: [&str; 2]) -> Option<usize> {
    let place = |stored: &str| ROUNDINGS.iter().position(|(name, _)| *name == stored);
    let coarsest = place(stored[0])?.max(place(stored[1])?);
    let full = (ours.len() / width).min(width);
    let mut found = full;
    for (_, rounding) in ROUNDINGS.iter().filter(|one| one.1 <= ROUNDINGS[coarsest].1) {
        let mut difference: Vec<f64> = ours
            .iter()
            .zip(theirs)
            .map(|(one, other)| f64::from(*other) - f64::from(*one))
            .collect();
        let lengths = ours.chunks_exact(width).zip(theirs.chunks_exact(width));
        let floors: Vec<f64> = lengths
            .map(|rows| {
                let sum = |row: &[f32]| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
                ROUNDED * rounding * sum(rows.0).max(sum(rows.1)).sqrt()
            })
            .collect();
        found = rank(&mut difference, width, &floors);
        if found < full {
            break;
        }
    }
    Some(found)
}

/// The largest rank of the matrices that changed, if all of them have a low one.
fn adapter_rank(differences: &[Difference]) -> Option<usize> {
    let changed = differences.iter().filter(|one| one.full > 0 && one.size > 0.0);
    let ranks: Option<Vec<(usize, usize)>> =
        changed.map(|one| one.rank.map(|rank| (rank[1], one.full))).collect();
    let ranks = ranks?;
    let rank = ranks.iter().map(|(rank, _)| *rank).max()?;
    // A rank near the full one is no sign of an adapter.
    (rank > 0 && ranks.iter().all(|(_, full)| 2 * rank <= *full)).then_some(rank)
}
