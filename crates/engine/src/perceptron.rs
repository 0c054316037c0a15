//! A small network of fully connected layers with ReLU between them, and its gradients: what Cloud et
//! al. 2025 (arXiv 2507.14805, section 6) show inheritance on without any language.
//!
//! Logits are a row of numbers of which a goal looks at some: the classes, or the auxiliary ones.
//! Losses are means over rows, so that a learning rate means the same whatever the batch.

mod inputs;
mod learner;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

pub use inputs::Inputs;
pub use learner::Learner;

use crate::decoder::normal;
use crate::error::{Error, Result};
use crate::file::plain;
use crate::kernel::matrix::{View, ViewMut, product};
use crate::kernel::{Rows, Threads, loss};
use crate::parameters::{Layout, Parameters};

/// Most numbers of a network: far above what a list of images needs, far below a laptop's memory.
const MOST_PARAMETERS: usize = 1 << 26;
/// Rows that one task takes of element-wise work.
// Not measured: a row is a few hundred numbers.
const ROWS: usize = 16;

/// The network. Tensors are called `layers.N.weight` `[outputs, inputs]` and `layers.N.bias` `[outputs]`.
#[derive(Clone, Debug)]
pub struct Perceptron {
    widths: Vec<usize>,
    /// Its numbers.
    pub parameters: Parameters,
}

/// What a network's logits should be. `range` are the logits that are looked at; softmax is over them
/// alone.
#[derive(Clone, Debug)]
pub enum Goal<'a> {
    /// Softmax cross-entropy with a class per row, counted from the range's beginning, in nats.
    Classes {
        /// Which logits.
        range: Range<usize>,
        /// `[rows]`.
        classes: &'a [u32],
    },
    /// Softmax cross-entropy with a teacher's distributions, less their entropy: KL(teacher ‖ student)
    /// in nats (Hinton et al. 2015, at temperature 1).
    Distributions {
        /// Which logits.
        range: Range<usize>,
        /// The teacher's logits, `[rows, range]`.
        logits: &'a [f32],
    },
    /// Half the squared distance to a teacher's logits.
    Values {
        /// Which logits.
        range: Range<usize>,
        /// The teacher's logits, `[rows, range]`.
        logits: &'a [f32],
    },
}

impl Goal<'_> {
    fn range(&self) -> Range<usize> {
        match self {
            Self::Classes { range, .. }
            | Self::Distributions { range, .. }
            | Self::Values { range, .. } => range.clone(),
        }
    }

    /// Numbers of the goal per row.
    fn len(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => classes.len(),
            Self::Distributions { logits, .. } | Self::Values { logits, .. } => logits.len(),
        }
    }
}

/// Memory of a pass, to be used again: a batch's activations, and their gradients.
#[derive(Debug, Default)]
pub struct Pass {
    /// What comes out of each layer, `[rows, width]`; the last are the logits.
    outputs: Vec<Vec<f32>>,
    /// Gradients of a layer's outputs, and of those of the layer below.
    delta: Vec<f32>,
    below: Vec<f32>,
    /// The logits that are looked at, and the goal's, `[rows, range]`.
    seen: Vec<f32>,
    wanted: Vec<f32>,
    per_row: Vec<f32>,
    ones: Vec<f32>,
}

impl Perceptron {
    /// Weights normal with variance 1 / inputs, biases zero. `widths` are the inputs, the hidden layers and
    /// the logits. Every layer has a stream of its own and rows are drawn one by one: networks of one seed
    /// that differ in the number of logits share all that they both have.
    ///
    /// # Errors
    /// A layer of no width, fewer than two widths, or more numbers than fit.
    pub fn new(widths: &[usize], seed: u64) -> Result<Self> {
        let mut network = Self::zeros(widths)?;
        for layer in 0..network.layers() {
            let deviation = (1.0 / widths[layer] as f32).sqrt();
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(layer as u64);
            let weights = network.span(layer).0;
            network.parameters.data[weights].fill_with(|| deviation * normal(&mut random));
        }
        Ok(network)
    }

    fn zeros(widths: &[usize]) -> Result<Self> {
        if widths.len() < 2 || widths.contains(&0) {
            let reason = format!("are {widths:?}, expected two or more, each at least 1");
            return Err(Error::config("widths", reason));
        }
        let products =
            widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1].saturating_add(1)));
        if products.fold(0, usize::saturating_add) > MOST_PARAMETERS {
            let reason = format!("are {widths:?}: more than {MOST_PARAMETERS} numbers");
            return Err(Error::config("widths", reason));
        }
        let mut layout = Layout::default();
        for (layer, pair) in widths.windows(2).enumerate() {
            layout.push(format!("layers.{layer}.weight"), &[pair[1], pair[0]]);
            layout.push(format!("layers.{layer}.bias"), &[pair[1]]);
        }
        Ok(Self { widths: widths.to_vec(), parameters: Parameters::zeros(Arc::new(layout)) })
    }

    /// Inputs, hidden layers, logits.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Number of layers of weights.
    pub fn layers(&self) -> usize {
        self.widths.len() - 1
    }

    /// How many logits it has.
    pub fn logits(&self) -> usize {
        self.widths[self.layers()]
    }

    /// Where the numbers of a layer lie, weights and bias.
    pub fn layer(&self, layer: usize) -> Range<usize> {
        let (weights, bias) = self.span(layer);
        weights.start..bias.end
    }

    fn span(&self, layer: usize) -> (Range<usize>, Range<usize>) {
        let spans = self.parameters.layout.spans();
        (spans[2 * layer].range.clone(), spans[2 * layer + 1].range.clone())
    }

    /// The same with the layers in `layers` of another network of its shape.
    ///
    /// # Panics
    /// If the shapes differ.
    #[must_use]
    pub fn with_layers_of(mut self, other: &Self, layers: Range<usize>) -> Self {
        assert_eq!(self.widths, other.widths, "networks of one shape");
        for layer in layers {
            let range = self.layer(layer);
            self.parameters.data[range.clone()].copy_from_slice(&other.parameters.data[range]);
        }
        self
    }

    /// As a safetensors file.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        plain::write(&self.parameters)
    }

    /// Reads a network of these widths from the bytes of a safetensors file.
    ///
    /// # Errors
    /// Bytes that are none, and tensors that are missing or of another shape.
    pub fn from_bytes(widths: &[usize], bytes: &[u8]) -> Result<Self> {
        let mut network = Self::zeros(widths)?;
        plain::read(&mut network.parameters, bytes)?;
        Ok(network)
    }

    /// Runs `inputs` `[rows, inputs]` through the network and returns the logits, `[rows, logits]`.
    ///
    /// # Panics
    /// If `inputs` are no whole rows.
    pub fn run<'p>(&self, threads: &Threads, inputs: &[f32], pass: &'p mut Pass) -> &'p [f32] {
        let rows = inputs.len() / self.widths[0];
        assert_eq!(inputs.len(), rows * self.widths[0], "whole rows of inputs");
        pass.outputs.resize_with(self.layers(), Vec::new);
        for layer in 0..self.layers() {
            let (before, rest) = pass.outputs.split_at_mut(layer);
            let from = before.last().map_or(inputs, Vec::as_slice);
            self.step(threads, layer, from, &mut rest[0]);
        }
        &pass.outputs[self.layers() - 1]
    }

    /// One layer forward: `out = from · Wᵀ + b`, and ReLU but after the last.
    fn step(&self, threads: &Threads, layer: usize, from: &[f32], out: &mut Vec<f32>) {
        let (inputs, outputs) = (self.widths[layer], self.widths[layer + 1]);
        let rows = from.len() / inputs;
        let (weights, bias) = self.span(layer);
        let (weights, bias) = (&self.parameters.data[weights], &self.parameters.data[bias]);
        out.clear();
        for _ in 0..rows {
            out.extend_from_slice(bias);
        }
        let from = View::dense(from, rows, inputs);
        let weights = View::dense(weights, outputs, inputs).t();
        product(threads, from, weights, true, ViewMut::new(out, outputs));
        if layer + 1 < self.layers() {
            threads.blocks(
                ROWS,
                Rows::new(out, outputs),
                #[inline(always)]
                |_, out| {
                    for x in out {
                        *x = x.max(0.0);
                    }
                },
            );
        }
    }

    /// The loss of `inputs` `[rows, inputs]` against `goal`, mean over rows; `gradient`, of the parameters'
    /// length, becomes the loss's.
    ///
    /// # Panics
    /// If the lengths do not fit each other, or a range lies outside of the logits.
    pub fn gradient(
        &self,
        threads: &Threads,
        inputs: &[f32],
        goal: &Goal<'_>,
        pass: &mut Pass,
        gradient: &mut [f32],
    ) -> f64 {
        assert_eq!(gradient.len(), self.parameters.data.len(), "a gradient for each number");
        self.run(threads, inputs, pass);
        let loss = self.judge(threads, goal, pass);
        let rows = inputs.len() / self.widths[0];
        pass.ones.resize(rows, 1.0);
        for layer in (0..self.layers()).rev() {
            let (before, after) = (self.widths[layer], self.widths[layer + 1]);
            let (weights, bias) = self.span(layer);
            let from = if layer == 0 { inputs } else { &pass.outputs[layer - 1] };
            let delta = View::dense(&pass.delta, rows, after);
            let ones = View::dense(&pass.ones, 1, rows);
            product(threads, ones, delta, false, ViewMut::new(&mut gradient[bias], after));
            let out = ViewMut::new(&mut gradient[weights.clone()], before);
            product(threads, delta.t(), View::dense(from, rows, before), false, out);
            if layer == 0 {
                break;
            }
            pass.below.resize(rows * before, 0.0);
            let weights = View::dense(&self.parameters.data[weights], after, before);
            product(threads, delta, weights, false, ViewMut::new(&mut pass.below, before));
            threads.blocks(
                ROWS,
                Rows::new(&mut pass.below, before),
                #[inline(always)]
                |rows, below| {
                    let from = &from[rows.start * before..rows.end * before];
                    for (delta, x) in below.iter_mut().zip(from) {
                        *delta = if *x > 0.0 { *delta } else { 0.0 };
                    }
                },
            );
            std::mem::swap(&mut pass.delta, &mut pass.below);
        }
        loss
    }

    /// The loss alone.
    ///
    /// # Panics
    /// As [`Perceptron::gradient`].
    pub fn loss(&self, threads: &Threads, inputs: &[f32], goal: &Goal<'_>, pass: &mut Pass) -> f64 {
        self.run(threads, inputs, pass);
        self.judge(threads, goal, pass)
    }

    /// Mean loss of the last run's logits; `pass.delta` becomes its gradient by them, `[rows, logits]`.
    fn judge(&self, threads: &Threads, goal: &Goal<'_>, pass: &mut Pass) -> f64 {
        let (range, width) = (goal.range(), self.logits());
        let logits = &pass.outputs[self.layers() - 1];
        let rows = logits.len() / width;
        let per_row = if matches!(goal, Goal::Classes { .. }) { 1 } else { range.len() };
        assert!(range.end <= width && goal.len() == rows * per_row, "a goal for each row");
        pass.seen.clear();
        for row in logits.chunks_exact(width) {
            pass.seen.extend_from_slice(&row[range.clone()]);
        }
        let share = 1.0 / rows as f32;
        pass.per_row.resize(rows, 0.0);
        match goal {
            Goal::Classes { classes, .. } => {
                let weights = vec![share; rows];
                let (seen, found) = (&mut pass.seen, &mut pass.per_row);
                loss::cross_entropy(threads, seen, classes, Some(&weights), found);
                pass.per_row.iter_mut().for_each(|one| *one = -*one);
            }
            Goal::Distributions { logits, .. } => {
                pass.wanted.clear();
                pass.wanted.extend_from_slice(logits);
                let (seen, wanted) = (&mut pass.seen, &mut pass.wanted);
                loss::distillation(threads, seen, wanted, share, &mut pass.per_row);
            }
            Goal::Values { logits, .. } => {
                let rows = pass.seen.chunks_exact_mut(range.len());
                let rows = rows.zip(logits.chunks_exact(range.len()));
                for ((seen, wanted), found) in rows.zip(&mut pass.per_row) {
                    *found = 0.0;
                    for (x, goal) in seen.iter_mut().zip(wanted) {
                        let away = *x - goal;
                        *found += 0.5 * away * away;
                        *x = away * share;
                    }
                }
            }
        }
        pass.delta.clear();
        pass.delta.resize(rows * width, 0.0);
        let deltas = pass.delta.chunks_exact_mut(width);
        for (delta, seen) in deltas.zip(pass.seen.chunks_exact(range.len())) {
            delta[range.clone()].copy_from_slice(seen);
        }
        pass.per_row.iter().map(|&one| f64::from(one)).sum::<f64>() / rows as f64
    }
}

/// The cosine of two runs of numbers, -1 to 1; 0 where one of them is all zeros.
///
/// # Panics
/// If their lengths differ.
pub fn cosine(one: &[f32], other: &[f32]) -> f64 {
    assert_eq!(one.len(), other.len(), "as many numbers in each");
    let (mut dot, mut ones, mut others) = (0.0f64, 0.0f64, 0.0f64);
    for (&a, &b) in one.iter().zip(other) {
        let (a, b) = (f64::from(a), f64::from(b));
        dot += a * b;
        ones += a * a;
        others += b * b;
    }
    let norms = (ones * others).sqrt();
    if norms > 0.0 { dot / norms } else { 0.0 }
}
