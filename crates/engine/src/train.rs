//! Fine-tuning: every weight or a low-rank adapter; cross-entropy, distillation on logits, or
//! preference pairs; checkpoints that resume bit for bit.

mod optimizer;
mod preference;
mod state;
mod trainer;

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::adapter::AdapterConfig;
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::model::Model;
use crate::pass::{Activations, CommonPrefix, Network, Packing};

pub use optimizer::Optimizer;
pub use preference::{Answers, Rewards, compare, log_probabilities};
pub use trainer::Trainer;

/// A sequence and which of its tokens are targets: learned from the tokens before them (teacher
/// forcing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// `true` where the token is a target (never the first), `[tokens]`.
    pub target: Vec<bool>,
}

impl Example {
    /// A prompt followed by a completion that is learned.
    pub fn completion(prompt: &[Token], completion: &[Token]) -> Self {
        let tokens = [prompt, completion].concat();
        let target = (0..tokens.len()).map(|i| i >= prompt.len().max(1)).collect();
        Self { tokens, target }
    }

    /// A text that is learned from its second token on.
    pub fn whole(tokens: Vec<Token>) -> Self {
        let target = (0..tokens.len()).map(|i| i > 0).collect();
        Self { tokens, target }
    }

    /// How many tokens are learned.
    pub fn targets(&self) -> usize {
        self.target.iter().filter(|&&t| t).count()
    }

    /// Fails unless `model` can learn from this.
    fn check(&self, item: impl Fn() -> String, model: &Model) -> Result<()> {
        let fail = |reason: String| Err(Error::request(item(), reason));
        let (tokens, marks) = (self.tokens.len(), self.target.len());
        if tokens != marks {
            return fail(format!("has {tokens} tokens but {marks} target marks"));
        }
        if self.target.first() == Some(&true) {
            return fail(
                "marks its first token as a target; there is nothing to predict it from".to_owned(),
            );
        }
        if self.targets() == 0 {
            return fail("has no target tokens; there is nothing to learn from it".to_owned());
        }
        model.check_tokens(item, 0, &self.tokens)
    }
}

/// What is learned from.
#[derive(Clone, Debug)]
pub enum Data {
    /// Cross-entropy on target tokens.
    Rows(Vec<Example>),
    /// Distillation on logits (Hinton et al. 2015, arXiv 1503.02531, section 2, at temperature 1):
    /// the Kullback-Leibler divergence from the teacher's next-token distribution to the student's,
    /// in nats, at target tokens.
    Distillation {
        /// Where the distributions are compared.
        rows: Vec<Example>,
        /// Whose distribution is learned.
        teacher: Model,
        /// The tokens compared, ascending, both distributions renormalised over them; `None`: all.
        support: Option<Vec<Token>>,
    },
    /// Direct preference optimisation, DPO (Rafailov et al. 2023, arXiv 2305.18290, equation 7);
    /// the reference is the model before training.
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
    /// Every weight, or all but the token embeddings.
    Full {
        /// Train the token embeddings (and an untied head) too.
        #[serde(default = "yes")]
        embeddings: bool,
    },
    /// A low-rank adapter; the weights stay.
    LowRank(AdapterConfig),
}

fn yes() -> bool {
    true
}

/// How the learning rate goes after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays.
    Constant,
    /// Falls to zero on a line.
    Linear,
    /// Falls to zero on half a cosine (Loshchilov & Hutter 2016, arXiv 1608.03983, equation 5,
    /// without restarts).
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
    /// Largest gradient norm; larger gradients are scaled down (Pascanu et al. 2013, arXiv
    /// 1211.5063, algorithm 1). `None`: never.
    pub clip: Option<f64>,
    /// Rows (or pairs) per update.
    pub batch: usize,
    /// Number of updates.
    pub updates: usize,
    /// Seed of the row order and of the adapter's initialisation.
    pub seed: u64,
    /// What of the method's numbers is trained; the rest stays as it is.
    #[serde(default)]
    pub part: Part,
}

/// A part of the numbers that a method trains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Part {
    /// The layers, from 0; none named: everything, what is in no layer as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
    /// An adapter's `A` stays as it was drawn, and `B` alone learns.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen_a: bool,
}

impl Part {
    /// Whether the tensor called `name` is in it.
    fn holds(&self, name: &str) -> bool {
        let mut words = name.split('.');
        let layer = (words.next() == Some("layers")).then(|| words.next()?.parse().ok()).flatten();
        let is_in = |layer: usize| self.layers.contains(&layer);
        (self.layers.is_empty() || layer.is_some_and(is_in))
            && !(self.frozen_a && name.rsplit('.').next() == Some("a"))
    }
}

/// What one update did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    /// Its number, from 1.
    pub update: usize,
    /// Mean loss, in nats per target token (or pair).
    pub loss: f64,
    /// Euclidean norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Of preference pairs, as the model was before the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewards: Option<Rewards>,
}

/// Where the loss of packed examples is read: rows of the stream `[targets]`, and the tokens they
/// predict `[targets]`. A row of the common prefix is there once for each example that has a target
/// after it.
fn positions(packing: &Packing, examples: &[&Example]) -> (Vec<usize>, Vec<Token>) {
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for (number, example) in examples.iter().enumerate() {
        for i in 1..example.tokens.len() {
            if example.target[i] {
                rows.push(packing.row(number, i - 1));
                targets.push(example.tokens[i]);
            }
        }
    }
    (rows, targets)
}

/// Cuts examples into parts that a pass runs as at most `most` rows (or one example); their
/// gradients are accumulated.
fn parts<'e>(examples: &[&'e Example], most: usize) -> Vec<Vec<&'e Example>> {
    let mut parts: Vec<Vec<&Example>> = Vec::new();
    let mut prefix = CommonPrefix::default();
    for &example in examples {
        prefix.add(&example.tokens);
        match parts.last_mut() {
            Some(part) if prefix.rows() <= most => part.push(example),
            _ => {
                parts.push(vec![example]);
                prefix = CommonPrefix::default();
                prefix.add(&example.tokens);
            }
        }
    }
    parts
}

/// How a part's examples lie in a pass.
fn packed(examples: &[&Example]) -> Packing {
    let sequences: Vec<&[Token]> = examples.iter().map(|example| &example.tokens[..]).collect();
    Packing::sharing_prefix(&sequences)
}

/// Mean cross-entropy, in nats per target token.
pub fn loss(model: &Model, rows: &[Example], threads: &Threads) -> Result<f64> {
    let network = Network::new(model, threads);
    for (i, row) in rows.iter().enumerate() {
        row.check(|| format!("row {}", i + 1), model)?;
    }
    let (mut total, mut count) = (0.0, 0usize);
    let mut memory = Activations::default();
    for part in parts(&rows.iter().collect::<Vec<_>>(), network.tokens_at_once()) {
        let packing = packed(&part);
        let (at, targets) = positions(&packing, &part);
        let activations = network.forward_training(packing, memory);
        let (normed, _) = network.final_norm(&network.pick(&activations.last, &at));
        let found = network.cross_entropy(&normed, &targets, None);
        total -= found.iter().map(|&l| f64::from(l)).sum::<f64>();
        count += targets.len();
        memory = activations;
    }
    if count == 0 {
        return Err(Error::request("rows", "are empty"));
    }
    Ok(total / count as f64)
}
