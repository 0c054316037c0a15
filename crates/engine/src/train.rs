//! Fine-tuning: every weight or a low-rank adapter; cross-entropy, distillation on logits, or
//! preference pairs; checkpoints that resume bit for bit.

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::adapter::AdapterConfig;
use crate::error::Result;
use crate::kernel::Threads;
use crate::model::Model;

/// A sequence and which of its tokens are learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// `true` where the token is a target (never the first); same length as `tokens`.
    pub target: Vec<bool>,
}

impl Example {
    /// A prompt followed by a completion that is learned.
    pub fn completion(prompt: &[Token], completion: &[Token]) -> Self {
        let tokens = [prompt, completion].concat();
        let target = (0..tokens.len())
            .map(|i| i >= prompt.len().max(1))
            .collect();
        Self { tokens, target }
    }
}

/// What is learned from.
#[derive(Clone, Debug)]
pub enum Data {
    /// Cross-entropy on target tokens.
    Rows(Vec<Example>),
    /// Kullback-Leibler divergence from the teacher's next-token distribution to the student's, at
    /// target tokens.
    Distillation {
        /// Where the distributions are compared.
        rows: Vec<Example>,
        /// Whose distribution is learned.
        teacher: Model,
    },
    /// Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7); the
    /// reference is the model before training.
    Preference {
        /// Chosen and rejected.
        pairs: Vec<(Example, Example)>,
        /// Strength of the pull to the reference.
        beta: f32,
    },
}

/// Which numbers are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Method {
    /// Every weight.
    Full,
    /// A low-rank adapter; the weights stay.
    LowRank(AdapterConfig),
}

/// The update rule.
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
    },
}

/// How the learning rate goes after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays.
    Constant,
    /// Falls to zero on a line.
    Linear,
    /// Falls to zero on half a cosine.
    Cosine,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrainSettings {
    /// What is trained.
    pub method: Method,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// What follows warm-up.
    pub schedule: Schedule,
    /// Updates over which the learning rate rises from zero.
    pub warmup: usize,
    /// Largest gradient norm; larger gradients are scaled down. `None`: never.
    pub clip: Option<f64>,
    /// Rows (or pairs) per update.
    pub batch: usize,
    /// Number of updates.
    pub updates: usize,
    /// Seed of the row order and of the adapter's initialisation.
    pub seed: u64,
}

/// What one update did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// Its number, from 1.
    pub update: usize,
    /// Mean loss over the update's target tokens (or pairs), in nats.
    pub loss: f64,
    /// Euclidean norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Tokens that went through the model.
    pub tokens: usize,
}

/// A training run in progress.
pub struct Trainer {}

impl Trainer {
    /// Prepares a run; checks every example against the model's vocabulary and context.
    pub fn new(
        _model: &Model,
        _data: Data,
        _settings: TrainSettings,
        _threads: Threads,
    ) -> Result<Self> {
        unimplemented!()
    }
    /// Does one update.
    pub fn update(&mut self) -> Result<Update> {
        unimplemented!()
    }
    /// Updates done so far.
    pub fn updates_done(&self) -> usize {
        unimplemented!()
    }
    /// The model as it is now: the base with the adapter being trained, or new weights.
    pub fn model(&self) -> Model {
        unimplemented!()
    }
    /// Everything needed to go on later, bit for bit.
    pub fn state(&self) -> Vec<u8> {
        unimplemented!()
    }
    /// Goes on from a [`Trainer::state`] of a run with the same model, data and settings.
    pub fn restore(&mut self, _state: &[u8]) -> Result<()> {
        unimplemented!()
    }
}

/// Mean cross-entropy per target token, in nats.
pub fn loss(_model: &Model, _rows: &[Example], _threads: &Threads) -> Result<f64> {
    unimplemented!()
}
