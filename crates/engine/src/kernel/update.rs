//! Update rules over flat buffers, `[numbers]`: weights, gradient and states in the same layout.

use super::parallel::{Rows, Threads};
use crate::profile::Work;

/// Numbers that one task takes.
// Not measured: the three or four slices of a task, 64 KiB each, fit a second-level cache.
const BLOCK: usize = 1 << 14;

/// What an update reads and writes, all `[numbers]`.
pub(crate) struct Slices<'a> {
    /// What is moved.
    pub(crate) weights: &'a mut [f32],
    /// Against `gradient · factor`.
    pub(crate) gradient: &'a [f32],
    pub(crate) factor: f32,
    /// A momentum.
    pub(crate) first: &'a mut [f32],
    /// An average of squares; empty for rules that keep none.
    pub(crate) second: &'a mut [f32],
}

impl Slices<'_> {
    fn check(&self, has_second: bool) {
        let len = self.weights.len();
        assert_eq!(self.gradient.len(), len, "a gradient for each weight");
        assert_eq!(self.first.len(), len, "a state for each weight");
        assert!(!has_second || self.second.len() == len, "a second state for each weight");
    }
}

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
    /// The states are the moments.
    pub(crate) fn apply(&self, threads: &Threads, slices: Slices<'_>) {
        slices.check(true);
        let Slices { weights, gradient, factor, first, second } = slices;
        let _span = threads.span(Work::Optimizer, "adamw", || (0, 28 * weights.len()));
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

/// Scalars of stochastic gradient descent with heavy-ball momentum (Polyak 1964, in the form of
/// PyTorch's `SGD`): `velocity = momentum·velocity + gradient + weight_decay·weights`, then
/// `weights -= learning_rate·velocity`.
#[derive(Clone, Copy)]
pub(crate) struct Sgd {
    pub(crate) learning_rate: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
}

impl Sgd {
    /// The first state is the velocity.
    pub(crate) fn apply(&self, threads: &Threads, slices: Slices<'_>) {
        slices.check(false);
        let Slices { weights, gradient, factor, first, .. } = slices;
        let _span = threads.span(Work::Optimizer, "sgd", || (0, 20 * weights.len()));
        let (rate, momentum) = (self.learning_rate as f32, self.momentum as f32);
        let decay = self.weight_decay as f32;
        threads.blocks(
            BLOCK,
            (Rows::new(weights, 1), Rows::new(first, 1)),
            #[inline(always)]
            |block, (w, v)| {
                for ((w, v), g) in w.iter_mut().zip(v).zip(&gradient[block]) {
                    *v = momentum * *v + (g * factor + decay * *w);
                    *w -= rate * *v;
                }
            },
        );
    }
}

/// Scalars of RMSprop (Tieleman & Hinton 2012, lecture 6.5 of "Neural networks for machine learning", in the form
/// of PyTorch's `RMSprop`, which adds epsilon to the root): `square = alpha·square + (1 - alpha)·g²`,
/// `velocity = momentum·velocity + g / (√square + epsilon)`, then `weights -= learning_rate·velocity`, where
/// `g = gradient + weight_decay·weights`.
#[derive(Clone, Copy)]
pub(crate) struct Rmsprop {
    pub(crate) learning_rate: f64,
    pub(crate) alpha: f64,
    pub(crate) epsilon: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
}

impl Rmsprop {
    /// The states are the velocity and the average square.
    pub(crate) fn apply(&self, threads: &Threads, slices: Slices<'_>) {
        slices.check(true);
        let Slices { weights, gradient, factor, first, second } = slices;
        let _span = threads.span(Work::Optimizer, "rmsprop", || (0, 28 * weights.len()));
        let (rate, momentum) = (self.learning_rate as f32, self.momentum as f32);
        let (alpha, rest) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        let (epsilon, decay) = (self.epsilon as f32, self.weight_decay as f32);
        threads.blocks(
            BLOCK,
            (Rows::new(weights, 1), Rows::new(first, 1), Rows::new(second, 1)),
            #[inline(always)]
            |block, (w, m, v)| {
                let g = &gradient[block];
                let n = g.len();
                let (w, m, v) = (&mut w[..n], &mut m[..n], &mut v[..n]);
                for i in 0..n {
                    let g = g[i] * factor + decay * w[i];
                    v[i] = v[i] * alpha + g * g * rest;
                    m[i] = momentum * m[i] + g / (v[i].sqrt() + epsilon);
                    w[i] -= rate * m[i];
                }
            },
        );
    }
}

/// Scalars of Signum (Bernstein et al. 2018, arXiv 1802.04434, algorithm 2 with its weight decay):
/// `average = momentum·average + (1 - momentum)·gradient`, then
/// `weights -= learning_rate·(sign(average) + weight_decay·weights)`.
#[derive(Clone, Copy)]
pub(crate) struct Signum {
    pub(crate) learning_rate: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
}

impl Signum {
    /// The first state is the average.
    pub(crate) fn apply(&self, threads: &Threads, slices: Slices<'_>) {
        slices.check(false);
        let Slices { weights, gradient, factor, first, .. } = slices;
        let _span = threads.span(Work::Optimizer, "signum", || (0, 20 * weights.len()));
        let (rate, momentum) = (self.learning_rate as f32, self.momentum as f32);
        let keep = (1.0 - self.learning_rate * self.weight_decay) as f32;
        let rest = (1.0 - self.momentum) as f32;
        threads.blocks(
            BLOCK,
            (Rows::new(weights, 1), Rows::new(first, 1)),
            #[inline(always)]
            |block, (w, m)| {
                for ((w, m), g) in w.iter_mut().zip(m).zip(&gradient[block]) {
                    *m = momentum * *m + g * factor * rest;
                    // Zero has no sign: a number that no row ever touched must stay where it is.
                    let sign = f32::from(*m > 0.0) - f32::from(*m < 0.0);
                    *w = *w * keep - rate * sign;
                }
            },
        );
    }
}
