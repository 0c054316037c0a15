//! Losses on rows of logits, in place: each row becomes its gradient.

use super::parallel::{Parts, Threads};
use super::vector::{add_scaled, exp_sum, max, wide};
use crate::profile::Work;

/// Log-probability of `targets[i]` in row `i`; where `weights` are given, the row is replaced by
/// `weight · (softmax - one_hot)`, the gradient of `-weight · log p(target)`.
pub(crate) fn cross_entropy(
    threads: &Threads,
    logits: &mut [f32],
    targets: &[u32],
    weights: Option<&[f32]>,
    log_probabilities: &mut [f32],
) {
    let width = logits.len() / targets.len().max(1);
    assert!(log_probabilities.len() == targets.len());
    let _span = threads.span(Work::Head, "cross-entropy", || (0, 12 * logits.len()));
    let (logits, out) = (Parts::new(logits), Parts::new(log_probabilities));
    threads.blocks(targets.len(), 4, |block| {
        // SAFETY: blocks of rows are disjoint.
        let (logits, out) = unsafe {
            (logits.range(block.start * width..block.end * width), out.range(block.clone()))
        };
        wide(
            #[inline(always)]
            || {
                for ((row, i), out) in logits.chunks_exact_mut(width).zip(block.clone()).zip(out) {
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
    });
}

/// Kullback-Leibler divergence from `teacher` (logits, left as probabilities) to each row, per row
/// in `divergence`; rows become `weight · (softmax - teacher)`.
pub(crate) fn distillation(
    threads: &Threads,
    logits: &mut [f32],
    teacher: &mut [f32],
    weight: f32,
    divergence: &mut [f32],
) {
    let width = logits.len() / divergence.len().max(1);
    assert!(teacher.len() == logits.len());
    let _span = threads.span(Work::Head, "distillation", || (0, 24 * logits.len()));
    let rows = divergence.len();
    let (logits, teacher, out) = (Parts::new(logits), Parts::new(teacher), Parts::new(divergence));
    threads.blocks(rows, 4, |block| {
        let range = block.start * width..block.end * width;
        // SAFETY: blocks of rows are disjoint.
        let (logits, teacher, out) =
            unsafe { (logits.range(range.clone()), teacher.range(range), out.range(block)) };
        wide(
            #[inline(always)]
            || {
                for ((row, goal), out) in
                    logits.chunks_exact_mut(width).zip(teacher.chunks_exact_mut(width)).zip(out)
                {
                    let (shift, goal_shift) = (max(row), max(goal));
                    // Sum of p·(goal - row) before the exponentials overwrite both.
                    let mut difference = 0.0f64;
                    let mut mass = 0.0f64;
                    for (x, g) in row.iter().zip(goal.iter()) {
                        let e = f64::from(super::vector::exp(g - goal_shift));
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
    });
}

/// Replaces rows of logits by log-probabilities.
pub(crate) fn log_softmax(threads: &Threads, logits: &mut [f32], width: usize) {
    let rows = logits.len() / width.max(1);
    let _span = threads.span(Work::Head, "log-softmax", || (0, 12 * logits.len()));
    let logits = Parts::new(logits);
    threads.blocks(rows, 4, |block| {
        // SAFETY: blocks of rows are disjoint.
        let logits = unsafe { logits.range(block.start * width..block.end * width) };
        wide(
            #[inline(always)]
            || {
                for row in logits.chunks_exact_mut(width) {
                    let shift = max(row);
                    let total =
                        super::vector::sum_by(width, |j| super::vector::exp(row[j] - shift));
                    let offset = shift + total.ln();
                    for x in row.iter_mut() {
                        *x -= offset;
                    }
                }
            },
        );
    });
}
