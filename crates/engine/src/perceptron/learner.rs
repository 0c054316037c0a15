//! A network that learns, batch by batch.

use super::{Goal, Pass, Perceptron};
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::update::{Adamw, sgd};
use crate::train::Optimizer;

/// A network with the state of its optimiser.
#[derive(Debug)]
pub struct Learner {
    /// The network.
    pub network: Perceptron,
    optimizer: Optimizer,
    learning_rate: f64,
    gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    pass: Pass,
    updates: usize,
}

impl Learner {
    /// `network`, about to learn.
    pub fn new(network: Perceptron, optimizer: Optimizer, learning_rate: f64) -> Self {
        let zeros = || vec![0.0; network.parameters.data.len()];
        Self {
            gradient: zeros(),
            first: zeros(),
            second: if matches!(optimizer, Optimizer::Adamw { .. }) { zeros() } else { Vec::new() },
            pass: Pass::default(),
            updates: 0,
            network,
            optimizer,
            learning_rate,
        }
    }

    /// How many updates it took.
    pub fn updates(&self) -> usize {
        self.updates
    }

    /// One update on a batch `[rows, inputs]`; returns the loss before it, mean over rows.
    ///
    /// # Errors
    /// A loss that is no number: nothing is changed.
    pub fn update(&mut self, threads: &Threads, inputs: &[f32], goal: &Goal<'_>) -> Result<f64> {
        let loss = self.network.gradient(threads, inputs, goal, &mut self.pass, &mut self.gradient);
        self.updates += 1;
        if !loss.is_finite() {
            let (update, learning_rate) = (self.updates, self.learning_rate);
            return Err(Error::NotFinite { update, what: "loss", learning_rate });
        }
        let weights = &mut *self.network.parameters.data;
        match self.optimizer {
            Optimizer::Adamw { beta1, beta2, epsilon, weight_decay } => Adamw {
                learning_rate: self.learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                update: self.updates,
            }
            .apply(
                threads,
                weights,
                &self.gradient,
                1.0,
                &mut self.first,
                &mut self.second,
            ),
            Optimizer::Sgd { momentum } => {
                let (rate, momentum) = (self.learning_rate as f32, momentum as f32);
                sgd(threads, rate, momentum, weights, &self.gradient, 1.0, &mut self.first);
            }
        }
        Ok(loss)
    }
}
