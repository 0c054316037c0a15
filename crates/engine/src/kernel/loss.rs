//! Losses on rows of logits, in place: each row becomes its gradient. Everything is in nats per
//! token.

use super::parallel::{Rows, Threads};
use super::vector::{add_scaled, exp, exp_sum, max, sum_by};
use crate::profile::Work;

/// Rows that one task takes.
// Not measured: a row is as long as the vocabulary, so a few are work enough.
const ROWS: usize = 4;

/// Softmax cross-entropy (Goodfellow et al. 2016, Deep Learning, section 6.2.2.3): writes the
/// natural log-probability of `targets[i]` in row `i`.
///
/// `logits` is `[rows, vocabulary]`; `targets`, `weights` and `log_probabilities` are `[rows]`.
/// Where `weights` are given, row `i` is replaced by `weight · (softmax - one_hot)`, the gradient
/// of `-weight · log p(target)`; otherwise what it holds afterwards is of no use.
pub(crate) fn cross_entropy(
    threads: &Threads,
    logits: &mut [f32],
    targets: &[u32],
    weights: Option<&[f32]>,
    log_probabilities: &mut [f32],
) {
    let width = logits.len() / targets.len().max(1);
    let _span = threads.span(Work::Head, "cross-entropy", || (0, 12 * logits.len()));
    threads.blocks(
        ROWS,
        (Rows::new(logits, width), Rows::new(log_probabilities, 1)),
        #[inline(always)]
        |rows, (logits, out)| {
            for ((row, i), out) in logits.chunks_exact_mut(width).zip(rows).zip(out) {
                let target = targets[i] as usize;
                let shift = max(row);
                let picked = row[target] - shift;
                let total = exp_sum(row, shift);
                *out = picked - total.ln();
                if let Some(weights) = weights {
                    let factor = weights[i] / total;
                    for x in row.iter_mut() {
                        *x *= factor;
                    }
                    row[target] -= weights[i];
                }
            }
        },
    );
}

/// Distillation on logits (Hinton et al. 2015, arXiv 1503.02531, section 2, at temperature 1, as a
/// Kullback-Leibler divergence): writes `KL(teacher || student)` of each row.
///
/// `logits` (the student's) and `teacher` are logits `[rows, vocabulary]`, `divergence` is
/// `[rows]`. Rows of `logits` become `weight · (softmax - teacher)`, the gradient of
/// `weight · divergence`; rows of `teacher` become probabilities.
pub(crate) fn distillation(
    threads: &Threads,
    logits: &mut [f32],
    teacher: &mut [f32],
    weight: f32,
    divergence: &mut [f32],
) {
    let width = logits.len() / divergence.len().max(1);
    let _span = threads.span(Work::Head, "distillation", || (0, 24 * logits.len()));
    threads.blocks(
        ROWS,
        (Rows::new(logits, width), Rows::new(teacher, width), Rows::new(divergence, 1)),
        #[inline(always)]
        |_, (logits, teacher, out)| {
            let rows = logits.chunks_exact_mut(width).zip(teacher.chunks_exact_mut(width));
            for ((row, goal), out) in rows.zip(out) {
                let (shift, goal_shift) = (max(row), max(goal));
                // Sum of p·(goal - row) before the exponentials overwrite both.
                let mut difference = 0.0f64;
                let mut mass = 0.0f64;
                for (x, g) in row.iter().zip(goal.iter()) {
                    let e = f64::from(exp(g - goal_shift));
                    difference += e * (f64::from(g - goal_shift) - f64::from(x - shift));
                    mass += e;
                }
                let total = exp_sum(row, shift);
                let goal_total = exp_sum(goal, goal_shift);
                *out = (difference / mass - mass.ln() + f64::from(total).ln()) as f32;
                let (factor, goal_factor) = (weight / total, 1.0 / goal_total);
                for (x, g) in row.iter_mut().zip(goal.iter_mut()) {
                    *x *= factor;
                    *g *= goal_factor;
                }
                add_scaled(row, -weight, goal);
            }
        },
    );
}

/// Replaces logits `[rows, width]` by natural log-probabilities.
pub(crate) fn log_softmax(threads: &Threads, logits: &mut [f32], width: usize) {
    let _span = threads.span(Work::Head, "log-softmax", || (0, 12 * logits.len()));
    threads.blocks(
        ROWS,
        Rows::new(logits, width),
        #[inline(always)]
        |_, logits| {
            for row in logits.chunks_exact_mut(width) {
                let shift = max(row);
                let total = sum_by(width, |j| exp(row[j] - shift));
                let offset = shift + total.ln();
                for x in row.iter_mut() {
                    *x -= offset;
                }
            }
        },
    );
}
