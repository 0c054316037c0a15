//! Log-probabilities of given completions under given prompts; prompts that repeat are computed
//! once.

use crate::Token;
use crate::error::Result;
use crate::kernel::Threads;
use crate::model::Model;

/// A completion to score under a prompt.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The prompt's tokens, at least one.
    pub prompt: Vec<Token>,
    /// The completion's tokens.
    pub completion: Vec<Token>,
}

/// Natural log-probability of each completion token, in order, for each item.
pub fn score(_model: &Model, _items: &[Scored], _threads: &Threads) -> Result<Vec<Vec<f32>>> {
    unimplemented!()
}

/// Natural log-probability of each of `candidates` as the next token after each prompt:
/// one row per prompt, one column per candidate.
pub fn next_token(
    _model: &Model,
    _prompts: &[Vec<Token>],
    _candidates: &[Token],
    _threads: &Threads,
) -> Result<Vec<Vec<f32>>> {
    unimplemented!()
}
