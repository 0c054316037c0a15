//! Which rows are read of which tensors.

use owlet_engine::file::Weights;

use crate::error::Result;
use crate::random::derive_seed;
use crate::random::numpy::Generator;

/// Rows read at once where all of a matrix are: 16 MB of a model 2,048 wide.
pub(super) const CHUNK: usize = 2048;

/// `most` of `0..of`, or all, in ascending order.
pub(super) fn sample(of: usize, most: usize, seed: u64, what: &str) -> Vec<usize> {
    if of <= most {
        return (0..of).collect();
    }
    let mut random = Generator::new(derive_seed(seed, &["compare".into(), what.into()]));
    let mut all: Vec<usize> = (0..of).collect();
    for place in 0..most {
        all.swap(place, random.integers(place as u64, of as u64) as usize);
    }
    all.truncate(most);
    all.sort_unstable();
    all
}

/// Makes every row a unit vector; one of zeros stays.
pub(super) fn unit(values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width) {
        let squares: f64 = row.iter().map(|&value| f64::from(value).powi(2)).sum();
        if squares > 0.0 {
            let scale = (1.0 / squares.sqrt()) as f32;
            for value in row {
                *value *= scale;
            }
        }
    }
}

/// What the normalisation before the feed-forward block multiplies each dimension by.
pub(super) fn gain(weights: &mut Weights, layer: usize) -> Result<Vec<f32>> {
    let config = weights.config();
    let (all, offset) = ((0..config.width).collect::<Vec<_>>(), config.norm.unit_offset);
    let mut gain = weights.rows(&format!("layers.{layer}.norm2.weight"), &all)?;
    if offset {
        for value in &mut gain {
            *value += 1.0;
        }
    }
    Ok(gain)
}

/// The weights by which hidden units read the residual stream, the gain before them taken in: what a
/// rotation of the stream leaves comparable.
pub(super) fn reading(
    weights: &mut Weights,
    layer: usize,
    matrix: &str,
    units: &[usize],
) -> Result<Vec<f32>> {
    let mut rows = weights.rows(&format!("layers.{layer}.{matrix}.weight"), units)?;
    let gain = gain(weights, layer)?;
    for row in rows.chunks_exact_mut(gain.len()) {
        row.iter_mut().zip(&gain).for_each(|(value, gain)| *value *= gain);
    }
    unit(&mut rows, gain.len());
    Ok(rows)
}

/// The weights by which hidden units write the residual stream: columns of the second projection.
fn writing(weights: &mut Weights, layer: usize, units: &[usize]) -> Result<Vec<f32>> {
    let (width, name) = (weights.config().width, format!("layers.{layer}.down.weight"));
    let hidden = weights.config().hidden;
    let mut columns = vec![0.0; units.len() * width];
    let all: Vec<usize> = (0..width).collect();
    for part in all.chunks(CHUNK) {
        for (row, values) in part.iter().zip(weights.rows(&name, part)?.chunks_exact(hidden)) {
            for (column, &own) in units.iter().enumerate() {
                columns[column * width + row] = values[own];
            }
        }
    }
    unit(&mut columns, width);
    Ok(columns)
}

/// Two kinds of weights of hidden units that say apart from each other which unit is which: the two by
/// which gated units read, or those by which others read and write.
pub(super) fn kind(
    weights: &mut Weights,
    layer: usize,
    second: bool,
    units: &[usize],
) -> Result<Vec<f32>> {
    match (second, weights.config().gated) {
        (false, _) => reading(weights, layer, "up", units),
        (true, true) => reading(weights, layer, "gate", units),
        (true, false) => writing(weights, layer, units),
    }
}
