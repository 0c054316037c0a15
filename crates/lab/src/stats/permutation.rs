//! Permutation tests: what the data would show if the labels meant nothing.
//!
//! *Sign flips* of paired differences: under the null a pair's treatment and control could have
//! been swapped (Fisher 1935). *Relabelling* of a behavior matrix: under the null a replicate's
//! teachers could have been labelled in any order. Both are exact while the arrangements can be
//! listed; above that they are sampled with a seed, the p-value is (b + 1) / (m + 1), and its own
//! Monte Carlo interval stands beside it. The floor is the smallest p the data could give: a p at
//! the floor cannot be read as "just significant".

use serde::{Deserialize, Serialize};

use super::{Interval, Matrix, StatisticsError, clopper_pearson, finite};
use crate::random::cpython::Random;

/// Most arrangements that are listed one by one.
const MOST_LISTED: u64 = 1 << 20;

/// Arrangements sampled when they cannot be listed.
const SAMPLED: u64 = 99_999;

/// The confidence level of a Monte Carlo interval.
const MONTE_CARLO_LEVEL: f64 = 0.99;

/// A p-value for each alternative, and how it was got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PermutationTest {
    /// What was permuted: the mean difference, or λ averaged over replicates.
    pub statistic: f64,
    /// P(statistic at least as large).
    pub p_greater: f64,
    /// P(statistic at least as far from 0).
    pub p_two_sided: f64,
    /// The smallest `p_greater` possible with these data.
    pub floor_greater: f64,
    /// The smallest `p_two_sided` possible with these data.
    pub floor_two_sided: f64,
    /// Which arrangements were looked at.
    pub arrangements: Arrangements,
}

/// Which arrangements of the labels were looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Arrangements {
    /// All of them: the p-values are exact.
    #[serde(rename_all = "kebab-case")]
    Listed {
        /// How many.
        count: u64,
    },
    /// A sample.
    #[serde(rename_all = "kebab-case")]
    Sampled {
        /// How many.
        count: u64,
        /// The seed of the sample.
        seed: u64,
        /// 99% interval of `p_greater` over other samples.
        greater: Interval,
        /// 99% interval of `p_two_sided` over other samples.
        two_sided: Interval,
    },
}

/// Tests whether paired differences are symmetric about 0. `seed` is used only when there are too
/// many pairs to list all sign flips.
pub fn sign_flips(differences: &[f64], seed: u64) -> Result<PermutationTest, StatisticsError> {
    finite("paired differences", differences, 1)?;
    let scale: f64 = differences.iter().map(|difference| difference.abs()).sum();
    let mut tally = Tally::new(differences.iter().sum(), scale);
    let pairs = differences.len() as u32;
    let arrangements = 1_u64.checked_shl(pairs).filter(|count| *count <= MOST_LISTED);
    if let Some(count) = arrangements {
        for flips in 0..count {
            tally.add(flipped_sum(differences, |pair| flips >> pair & 1 == 1));
        }
    } else {
        let mut random = Random::new(seed);
        for _ in 0..SAMPLED {
            tally.add(flipped_sum(differences, |_| random.bits(1) == 1));
        }
    }
    // A pair without a difference counts twice whichever way it is flipped.
    let effective = differences.iter().filter(|difference| **difference != 0.0).count();
    let floor = 0.5_f64.powi(i32::try_from(effective).unwrap_or(i32::MAX));
    tally.test(differences.len() as f64, floor, (2.0 * floor).min(1.0), arrangements, seed)
}

fn flipped_sum(differences: &[f64], mut flip: impl FnMut(usize) -> bool) -> f64 {
    let signed =
        |(pair, difference): (usize, &f64)| if flip(pair) { -difference } else { *difference };
    differences.iter().enumerate().map(signed).sum()
}

/// Tests whether the diagonal of the matrices is special: teacher labels are permuted within each
/// replicate. The statistic is λ averaged over replicates. Needs complete matrices of one size;
/// `seed` is used only when there are too many relabellings to list.
pub fn relabelling(replicates: &[Matrix], seed: u64) -> Result<PermutationTest, StatisticsError> {
    let refuse = |message: String| Err(StatisticsError::Matrix { message });
    let Some(size) = replicates.first().map(Matrix::size) else {
        return refuse("no replicates; expected at least one".to_owned());
    };
    let mut cells = Vec::with_capacity(replicates.len());
    for (index, replicate) in replicates.iter().enumerate() {
        match replicate.full() {
            Some(full) if full.len() == size => cells.push(full),
            Some(full) => {
                return refuse(format!(
                    "replicate {index} has {} behaviors; expected {size} as in the first",
                    full.len()
                ));
            }
            None => {
                return refuse(format!(
                    "replicate {index} has missing cells; relabelling needs complete matrices"
                ));
            }
        }
    }
    // λ is an affine function of the diagonal sum, with the same factor in every replicate.
    let k = size as f64;
    let total: f64 = cells.iter().flatten().flatten().sum();
    let lambda_sum = |diagonals: f64| diagonals / k - (total - diagonals) / (k * (k - 1.0));
    let scale: f64 = cells.iter().flatten().flatten().map(|y| y.abs()).sum();
    let observed: f64 = cells.iter().map(|y| (0..size).map(|i| y[i][i]).sum::<f64>()).sum();
    let mut tally = Tally::new(lambda_sum(observed), scale);

    let orders = (1..=size as u64).try_fold(1_u64, u64::checked_mul);
    let count = orders
        .and_then(|orders| orders.checked_pow(u32::try_from(cells.len()).ok()?))
        .filter(|count| *count <= MOST_LISTED);
    if count.is_some() {
        let orders = permutations(size);
        let sums: Vec<Vec<f64>> = cells
            .iter()
            .map(|y| orders.iter().map(|order| diagonal_sum(y, order)).collect())
            .collect();
        each_combination(&sums, 0.0, &mut |diagonals| {
            tally.add(lambda_sum(diagonals));
        });
    } else {
        let mut random = Random::new(seed);
        let mut order: Vec<usize> = (0..size).collect();
        for _ in 0..SAMPLED {
            let mut diagonals = 0.0;
            for y in &cells {
                random.shuffle(&mut order);
                diagonals += diagonal_sum(y, &order);
            }
            tally.add(lambda_sum(diagonals));
        }
    }
    let orders: f64 = (1..=size).map(|value| value as f64).product();
    let floor = orders.powf(-(cells.len() as f64));
    // Two behaviors: exchanging them everywhere only turns the sign.
    let floor_two_sided = if size == 2 { 2.0 * floor } else { floor };
    tally.test(cells.len() as f64, floor, floor_two_sided, count, seed)
}

fn diagonal_sum(cells: &[Vec<f64>], order: &[usize]) -> f64 {
    order.iter().enumerate().map(|(column, row)| cells[*row][column]).sum()
}

fn each_combination(sums: &[Vec<f64>], so_far: f64, visit: &mut impl FnMut(f64)) {
    match sums.split_first() {
        None => visit(so_far),
        Some((first, rest)) => {
            for sum in first {
                each_combination(rest, so_far + sum, visit);
            }
        }
    }
}

/// All orders of `0..size`.
fn permutations(size: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for value in 0..size {
        let insert = |order: &Vec<usize>| -> Vec<Vec<usize>> {
            (0..=order.len())
                .map(|at| {
                    let mut longer = order.clone();
                    longer.insert(at, value);
                    longer
                })
                .collect()
        };
        orders = orders.iter().flat_map(insert).collect();
    }
    orders
}

/// Counts arrangements at least as extreme as the observed one.
struct Tally {
    observed: f64,
    tolerance: f64,
    greater: u64,
    two_sided: u64,
    count: u64,
}

impl Tally {
    /// `scale` bounds the sums, so that ties survive rounding.
    fn new(observed: f64, scale: f64) -> Self {
        Self { observed, tolerance: 1e-12 * scale, greater: 0, two_sided: 0, count: 0 }
    }

    fn add(&mut self, statistic: f64) {
        self.count += 1;
        self.greater += u64::from(statistic >= self.observed - self.tolerance);
        self.two_sided += u64::from(statistic.abs() >= self.observed.abs() - self.tolerance);
    }

    fn test(
        &self,
        units: f64,
        floor_greater: f64,
        floor_two_sided: f64,
        listed: Option<u64>,
        seed: u64,
    ) -> Result<PermutationTest, StatisticsError> {
        let (p, arrangements): (fn(u64, u64) -> f64, _) = if let Some(count) = listed {
            (|extreme, count| extreme as f64 / count as f64, Arrangements::Listed { count })
        } else {
            let arrangements = Arrangements::Sampled {
                count: self.count,
                seed,
                greater: clopper_pearson(self.greater, self.count, MONTE_CARLO_LEVEL)?,
                two_sided: clopper_pearson(self.two_sided, self.count, MONTE_CARLO_LEVEL)?,
            };
            (|extreme, count| (extreme + 1) as f64 / (count + 1) as f64, arrangements)
        };
        // A sample cannot show less than one in its own size.
        let least = if listed.is_some() { 0.0 } else { 1.0 / (self.count + 1) as f64 };
        Ok(PermutationTest {
            statistic: self.observed / units,
            p_greater: p(self.greater, self.count),
            p_two_sided: p(self.two_sided, self.count),
            floor_greater: floor_greater.max(least),
            floor_two_sided: floor_two_sided.max(least),
            arrangements,
        })
    }
}
