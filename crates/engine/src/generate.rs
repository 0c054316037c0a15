//! Batched sampling with a key-value cache: continuous batching, shared prefixes, constraints,
//! one random stream per request, log-probabilities of what was sampled.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::error::Result;
use crate::kernel::Threads;
use crate::model::Model;

/// One prompt to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt's tokens, at least one.
    pub prompt: Vec<Token>,
    /// Seed of this request's own random stream.
    pub seed: u64,
}

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of likeliest tokens with at least this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Keep tokens of at least this probability (and always the likeliest); 0 keeps all.
    pub threshold: f32,
    /// Most new tokens per request.
    pub max_tokens: usize,
    /// Texts that end a completion (left out of it).
    pub stop: Vec<String>,
    /// A regular expression the whole completion must match; tokens that cannot lead to a match
    /// are never sampled.
    pub pattern: Option<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            threshold: 0.0,
            max_tokens: 256,
            stop: Vec::new(),
            pattern: None,
        }
    }
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The model ended its turn.
    End,
    /// A stop text appeared.
    Stop,
    /// The most new tokens were reached, or the context was full.
    Length,
    /// The pattern was matched and allows nothing more.
    Pattern,
}

/// What was sampled for one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// New tokens, without the one that ended the turn.
    pub tokens: Vec<Token>,
    /// Their text.
    pub text: String,
    /// Natural log-probability of each token under the distribution it was drawn from.
    pub log_probabilities: Vec<f32>,
    /// Why it ended.
    pub stop: StopReason,
}

/// Continues every request; `progress` hears the number of finished requests and may stop early
/// with [`ControlFlow::Break`] (the result is then [`crate::Error::Interrupted`]).
///
/// A request's completion depends on its prompt, seed and the settings alone, not on what else is
/// in the batch.
pub fn generate(
    _model: &Model,
    _requests: &[Request],
    _sampling: &Sampling,
    _threads: &Threads,
    _progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Completion>> {
    unimplemented!()
}
