//! A network that learns, batch by batch.

use super::{Goal, Pass, Perceptron};
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::update::Slices;
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
            second: if optimizer.has_second() { zeros() } else { Vec::new() },
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
        let slices = Slices {
            weights: &mut self.network.parameters.data,
            gradient: &self.gradient,
            factor: 1.0,
            first: &mut self.first,
            second: &mut self.second,
        };
        self.optimizer.apply(threads, (self.learning_rate, self.updates), slices);
        Ok(loss)
    }
}
