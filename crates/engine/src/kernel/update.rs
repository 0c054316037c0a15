//! Update rules over flat buffers, `[numbers]`: weights, gradient and moments in the same layout.

use super::parallel::{Rows, Threads};
use crate::profile::Work;

/// Numbers that one task takes.
// Not measured: the three or four slices of a task, 64 KiB each, fit a second-level cache.
const BLOCK: usize = 1 << 14;

/// Scalars of one AdamW update (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2, with
/// the order of operations of PyTorch's `AdamW`).
#[derive(Clone, Copy)]
pub(crate) struct Adamw {
    pub(crate) learning_rate: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
    /// Number of this update, from 1.
    pub(crate) update: usize,
}

impl Adamw {
    /// Moves `weights` against `gradient · factor`; `first` and `second` are the moments. All
    /// `[numbers]`.
    pub(crate) fn apply(
        &self,
        threads: &Threads,
        weights: &mut [f32],
        gradient: &[f32],
        factor: f32,
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let len = weights.len();
        assert_eq!(gradient.len(), len, "a gradient for each weight");
        let _span = threads.span(Work::Optimizer, "adamw", || (0, 28 * len));
        let t = self.update as i32;
        let keep = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let step = (self.learning_rate / (1.0 - self.beta1.powi(t))) as f32;
        let root = (1.0 - self.beta2.powi(t)).sqrt() as f32;
        let (beta2, epsilon) = (self.beta2 as f32, self.epsilon as f32);
        let (rest1, rest2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        threads.blocks(
            BLOCK,
            (Rows::new(weights, 1), Rows::new(first, 1), Rows::new(second, 1)),
            #[inline(always)]
            |block, (w, m, v)| {
                let g = &gradient[block];
                let n = g.len();
                let (w, m, v) = (&mut w[..n], &mut m[..n], &mut v[..n]);
                for i in 0..n {
                    let g = g[i] * factor;
                    m[i] += (g - m[i]) * rest1;
                    v[i] = v[i] * beta2 + g * g * rest2;
                    let denominator = v[i].sqrt() / root + epsilon;
                    w[i] = w[i] * keep - step * (m[i] / denominator);
                }
            },
        );
    }
}

/// Stochastic gradient descent with heavy-ball momentum (Polyak 1964, in the form of
/// PyTorch's `SGD`): `velocity = momentum·velocity + factor·gradient`, then
/// `weights -= learning_rate·velocity`. All `[numbers]`.
pub(crate) fn sgd(
    threads: &Threads,
    learning_rate: f32,
    momentum: f32,
    weights: &mut [f32],
    gradient: &[f32],
    factor: f32,
    velocity: &mut [f32],
) {
    let len = weights.len();
    assert_eq!(gradient.len(), len, "a gradient for each weight");
    let _span = threads.span(Work::Optimizer, "sgd", || (0, 20 * len));
    threads.blocks(
        BLOCK,
        (Rows::new(weights, 1), Rows::new(velocity, 1)),
        #[inline(always)]
        |block, (w, v)| {
            for ((w, v), g) in w.iter_mut().zip(v).zip(&gradient[block]) {
                *v = momentum * *v + g * factor;
                *w -= learning_rate * *v;
            }
        },
    );
}
