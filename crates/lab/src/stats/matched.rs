//! Whether the rows of two matrices belong together by their places: row i of one to row i of the other.
//!
//! Hidden units of a network have no order of their own: those of an independently drawn one could stand in
//! any other, whatever it was trained on. So the sum of similarities of equal places, among the sums under
//! all other orders, has an exact p-value (Zhu et al. 2025, arXiv 2502.12292, for the setting). The z-score
//! beside it is that of the combinatorial central limit theorem (Hoeffding 1951): with C double-centred,
//! the sum over a random order has mean 0 and variance |C|² / (n - 1).

use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

use super::StatisticsError;
use crate::random::numpy::Generator;

/// Draws of an order: p is (hits + 1) / (draws + 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draws {
    /// How many orders.
    pub count: usize,
    /// The seed they come from.
    pub seed: u64,
}

/// What a test of rows by their places found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Matched {
    /// Standard deviations above the mean of all orders.
    pub z: f64,
    /// Of the orders drawn, with the one there is, those whose sum is as large.
    pub p: f64,
    /// The mean similarity of equal places over that of unequal ones.
    pub mean: f64,
    /// Standard deviation of `mean` over orders.
    pub deviation: f64,
}

/// Tests the places of rows whose similarities, row by row, are `similarities` (`[n, n]`).
pub fn matched(similarities: &[f32], n: usize, draws: Draws) -> Result<Matched, StatisticsError> {
    let what = || "similarities of rows".to_owned();
    if n < 3 || similarities.len() != n * n {
        return Err(StatisticsError::TooFew { what: what(), given: n, needed: 3 });
    }
    if let Some(index) = similarities.iter().position(|value| !value.is_finite()) {
        let value = f64::from(similarities[index]);
        return Err(StatisticsError::NotFinite { what: what(), index, value });
    }
    let size = n as f64;
    let (mut rows, mut columns) = (vec![0.0_f64; n], vec![0.0_f64; n]);
    for (row, values) in similarities.chunks_exact(n).enumerate() {
        for (column, value) in values.iter().enumerate() {
            rows[row] += f64::from(*value) / size;
            columns[column] += f64::from(*value) / size;
        }
    }
    let whole = rows.iter().sum::<f64>() / size;
    let (mut squares, mut diagonal) = (0.0, 0.0);
    for (row, values) in similarities.chunks_exact(n).enumerate() {
        for (column, value) in values.iter().enumerate() {
            let centred = f64::from(*value) - rows[row] - columns[column] + whole;
            squares += centred * centred;
            diagonal += if row == column { centred } else { 0.0 };
        }
    }
    let deviation = (squares / (size - 1.0)).sqrt();
    let z = if deviation > 0.0 { diagonal / deviation } else { 0.0 };
    let sum = |order: &[u32]| -> f64 {
        let own = similarities.chunks_exact(n).zip(order);
        own.map(|(values, &column)| f64::from(values[column as usize])).sum()
    };
    let p = share(n, draws, sum);
    Ok(Matched { z, p, mean: diagonal / size, deviation: deviation / size })
}

/// How far two ways to pair units of one network with units of another agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Agreement {
    /// Units that both ways pair with the same.
    pub agree: usize,
    /// Units that both ways pair with any.
    pub paired: usize,
    /// At most the chance that as many agree when the units of the other network are mixed for one of the
    /// ways and not for the other.
    pub p: f64,
}

/// Tests the agreement of two pairings with units `0..of`, no two with the same; a unit without a pair is
/// `None`.
///
/// Of n pairs, k agree in a random order of h units with a chance of at most the expected number of ways to
/// choose k that do: C(n, k) (h - k)! / h! (Bonferroni 1936).
pub fn agreement_of_pairs(
    first: &[Option<usize>],
    second: &[Option<usize>],
    of: usize,
) -> Agreement {
    let both = || first.iter().zip(second).filter_map(|(one, other)| Some(((*one)?, (*other)?)));
    let (n, k) = (both().count(), both().filter(|(one, other)| one == other).count());
    let factorial = |n: usize| ln_gamma(n as f64 + 1.0);
    let chosen = factorial(n) - factorial(k) - factorial(n - k);
    let p = (chosen + factorial(of.saturating_sub(k)) - factorial(of)).exp().min(1.0);
    Agreement { agree: k, paired: n, p }
}

/// The share of orders of `0..n`, the natural one counted among them, whose value is at least its own.
fn share(n: usize, draws: Draws, value: impl Fn(&[u32]) -> f64) -> f64 {
    let mut order: Vec<u32> = (0..n as u32).collect();
    let own = value(&order);
    // Sums of the same numbers in another order differ in their last bits.
    let least = own - 1e-9 * own.abs();
    let mut random = Generator::new(draws.seed);
    let mut hits = 0;
    for _ in 0..draws.count {
        random.shuffle(&mut order);
        hits += usize::from(value(&order) >= least);
    }
    (hits + 1) as f64 / (draws.count + 1) as f64
}
