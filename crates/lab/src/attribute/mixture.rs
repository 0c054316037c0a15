//! Shares of a mixture whose parts are known.

use crate::random::numpy::Generator;

/// Steps of expectation and maximisation; the shares of a mixture of known parts have one best place, which they
/// near steadily.
const STEPS: usize = 200;
/// Resamples of the rows.
const RESAMPLES: usize = 400;

/// The likeliest shares, and what each part is worth.
pub(super) struct Mixed {
    /// By part; they add up to 1.
    pub(super) shares: Vec<f64>,
    /// What the log-likelihood loses without the part, in nats; never below zero.
    pub(super) gains: Vec<f64>,
}

/// Likelihoods of rows under the parts, each divided by its row's largest: `[rows][parts]`.
struct Likelihoods {
    rows: Vec<Vec<f64>>,
    parts: usize,
}

impl Likelihoods {
    /// Of `logs[parts][rows]`, those of `kept` parts.
    fn of(logs: &[Vec<f64>], kept: &[usize]) -> Self {
        let count = logs.first().map_or(0, Vec::len);
        let row = |at: usize| {
            // The same divisor whatever parts are kept, so that log-likelihoods compare.
            let most = logs.iter().map(|part| part[at]).fold(f64::NEG_INFINITY, f64::max);
            kept.iter().map(|&part| (logs[part][at] - most).exp()).collect()
        };
        Self { rows: (0..count).map(row).collect(), parts: kept.len() }
    }

    /// The likeliest shares for rows of these weights.
    fn shares(&self, weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let mut shares = vec![1.0 / self.parts as f64; self.parts];
        for _ in 0..STEPS {
            let mut next = vec![0.0; self.parts];
            for (row, weight) in self.rows.iter().zip(weights) {
                let mixed: f64 = row.iter().zip(&shares).map(|(one, share)| one * share).sum();
                // A row that no part can have written says nothing of the shares.
                if *weight > 0.0 && mixed > 0.0 {
                    for ((next, one), share) in next.iter_mut().zip(row).zip(&shares) {
                        *next += weight * one * share / mixed;
                    }
                }
            }
            let sum: f64 = next.iter().sum();
            if sum <= 0.0 {
                break;
            }
            debug_assert!(sum <= total * (1.0 + 1e-9));
            shares = next.into_iter().map(|share| share / sum).collect();
        }
        shares
    }

    fn log_likelihood(&self, shares: &[f64]) -> f64 {
        let of = |row: &Vec<f64>| -> f64 {
            row.iter().zip(shares).map(|(one, share)| one * share).sum::<f64>()
        };
        // Bounded, as a row that no part can have written would decide all.
        self.rows.iter().map(|row| of(row).max(1e-300).ln()).sum()
    }
}

/// Fits the shares to `logs[parts][rows]`, natural log-likelihoods.
pub(super) fn fit(logs: &[Vec<f64>]) -> Mixed {
    let all: Vec<usize> = (0..logs.len()).collect();
    let whole = Likelihoods::of(logs, &all);
    let weights = vec![1.0; whole.rows.len()];
    let shares = whole.shares(&weights);
    let best = whole.log_likelihood(&shares);
    let gain = |&without: &usize| {
        let kept: Vec<usize> = all.iter().copied().filter(|&part| part != without).collect();
        let rest = Likelihoods::of(logs, &kept);
        (best - rest.log_likelihood(&rest.shares(&weights))).max(0.0)
    };
    Mixed { gains: all.iter().map(gain).collect(), shares }
}

/// Ends of each part's share over resampled rows, at `level`.
pub(super) fn resampled(logs: &[Vec<f64>], level: f64, seed: u64) -> Vec<(f64, f64)> {
    let all: Vec<usize> = (0..logs.len()).collect();
    let whole = Likelihoods::of(logs, &all);
    let count = whole.rows.len();
    let mut random = Generator::new(seed);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(RESAMPLES); logs.len()];
    for _ in 0..RESAMPLES {
        let mut weights = vec![0.0; count];
        for _ in 0..count {
            weights[random.integers(0, count as u64) as usize] += 1.0;
        }
        for (drawn, share) in drawn.iter_mut().zip(whole.shares(&weights)) {
            drawn.push(share);
        }
    }
    let ends = |mut drawn: Vec<f64>| {
        drawn.sort_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        let at = |part: f64| drawn[((RESAMPLES - 1) as f64 * part).round() as usize];
        (at(tail), at(1.0 - tail))
    };
    drawn.into_iter().map(ends).collect()
}
