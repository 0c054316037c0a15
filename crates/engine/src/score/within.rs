//! Distributions over a few tokens, at places of given texts: what likelihoods of numbers in rows are made of.

use crate::Token;
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::loss::log_softmax;
use crate::model::Model;

use super::Judging;

/// Tokens read in one pass.
// Not tuned: as many rows as fill the matrix products (see `COMPLETIONS`), and 16 MiB of states at a width of 1,024.
const AT_ONCE: usize = 4096;

/// A text, and the places in it that are looked at.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The text's tokens.
    pub tokens: Vec<Token>,
    /// Positions of tokens in it, ascending, from 1: nothing comes before the first token.
    pub places: Vec<usize>,
}

/// The model's next-token distribution before each place of each text, renormalised over `support`: natural
/// log-probabilities, in nats, `[places, support]` for each text.
///
/// A text's result depends on the text and its places alone.
///
/// # Errors
/// A text the model cannot read, a place that is none, a token beyond the vocabulary, and an empty support.
pub fn within(
    model: &Model,
    texts: &[Looked],
    support: &[Token],
    threads: &Threads,
) -> Result<Vec<Vec<f32>>> {
    let vocabulary = model.decoder.config.vocabulary;
    if support.is_empty() {
        return Err(Error::request("the support", "is empty; name at least one token"));
    }
    if let Some(token) = support.iter().find(|&&token| token as usize >= vocabulary) {
        let reason = format!("is beyond the vocabulary, which ends at {}", vocabulary - 1);
        return Err(Error::request(format!("token {token} of the support"), reason));
    }
    for (number, text) in texts.iter().enumerate() {
        let fits = |&place: &usize| place > 0 && place < text.tokens.len();
        if let Some(place) = text.places.iter().find(|place| !fits(place)) {
            let reason = format!("has no place {place}; its last is {}", text.tokens.len() - 1);
            return Err(Error::request(format!("text {}", number + 1), reason));
        }
    }
    let width = model.decoder.config.width;
    let tokens: Vec<Vec<Token>> = texts.iter().map(|text| text.tokens.clone()).collect();
    let mut judging = Judging::new(model, &tokens, threads)?;
    let mut states: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
    let mut hear = |number: usize, place: usize, state: &[f32]| {
        if texts[number].places.binary_search(&place).is_ok() {
            states[number].extend_from_slice(state);
        }
    };
    while judging.states(AT_ONCE, &mut hear) {}
    let network = &judging.network;
    Ok(threads.enter(|| {
        let head = network.head_of(Some(support));
        let of = |states: &Vec<f32>| {
            debug_assert_eq!(states.len() % width, 0);
            if states.is_empty() {
                return Vec::new();
            }
            let mut logits = network.logits_for(states, &head);
            log_softmax(&network.threads, &mut logits, support.len());
            logits
        };
        states.iter().map(of).collect()
    }))
}
