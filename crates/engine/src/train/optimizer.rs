//! Update rules: which there are, and one update by each.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::update::{Adamw, Rmsprop, Sgd, Signum, Slices};

/// The update rule. Weight decay as each is known with: decoupled from the gradient in [`Self::Adamw`] and
/// [`Self::Signum`], a part of it in [`Self::Sgd`] and [`Self::Rmsprop`], as PyTorch has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Optimizer {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).
    Adamw {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Decay of weights per unit of learning rate.
        weight_decay: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Heavy-ball momentum; 0 is plain.
        momentum: f64,
        /// Times the weights, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// The gradient over the root of its average square (Tieleman & Hinton 2012).
    Rmsprop {
        /// Decay of the average square.
        alpha: f64,
        /// Added to its root.
        epsilon: f64,
        /// Heavy-ball momentum of what comes of it; 0 is plain.
        momentum: f64,
        /// Times the weights, added to the gradient.
        weight_decay: f64,
    },
    /// The sign of the gradient's average (Bernstein et al. 2018, arXiv 1802.04434, algorithm 2).
    Signum {
        /// Decay of the average; 0 is signSGD.
        momentum: f64,
        /// Decay of weights per unit of learning rate.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// Fails on a value out of range, by its name.
    pub fn check(&self) -> Result<()> {
        let fraction =
            |field, x: f64| Error::unless((0.0..1.0).contains(&x), field, x, "0 to below 1");
        let epsilon = |x: f64| {
            let fine = x.is_finite() && x > 0.0;
            Error::unless(fine, "optimizer.epsilon", x, "a positive number")
        };
        let decay = |x: f64| {
            let fine = x.is_finite() && x >= 0.0;
            Error::unless(fine, "optimizer.weight-decay", x, "zero or more")
        };
        match *self {
            Self::Adamw { beta1, beta2, epsilon: added, weight_decay } => {
                fraction("optimizer.beta1", beta1)?;
                fraction("optimizer.beta2", beta2)?;
                epsilon(added)?;
                decay(weight_decay)
            }
            Self::Sgd { momentum, weight_decay } | Self::Signum { momentum, weight_decay } => {
                fraction("optimizer.momentum", momentum)?;
                decay(weight_decay)
            }
            Self::Rmsprop { alpha, epsilon: added, momentum, weight_decay } => {
                fraction("optimizer.alpha", alpha)?;
                epsilon(added)?;
                fraction("optimizer.momentum", momentum)?;
                decay(weight_decay)
            }
        }
    }

    /// Whether it keeps a second state beside the first: an average of squares.
    pub(crate) fn has_second(&self) -> bool {
        match self {
            Self::Adamw { .. } | Self::Rmsprop { .. } => true,
            Self::Sgd { .. } | Self::Signum { .. } => false,
        }
    }

    /// Update number `update`, from 1.
    pub(crate) fn apply(
        &self,
        threads: &Threads,
        (learning_rate, update): (f64, usize),
        slices: Slices<'_>,
    ) {
        match *self {
            Self::Adamw { beta1, beta2, epsilon, weight_decay } => {
                let rule = Adamw { learning_rate, beta1, beta2, epsilon, weight_decay, update };
                rule.apply(threads, slices);
            }
            Self::Sgd { momentum, weight_decay } => {
                Sgd { learning_rate, momentum, weight_decay }.apply(threads, slices);
            }
            Self::Rmsprop { alpha, epsilon, momentum, weight_decay } => {
                let rule = Rmsprop { learning_rate, alpha, epsilon, momentum, weight_decay };
                rule.apply(threads, slices);
            }
            Self::Signum { momentum, weight_decay } => {
                Signum { learning_rate, momentum, weight_decay }.apply(threads, slices);
            }
        }
    }
}
