//! Answers as a model sees them: each token with its log-probability.
//!
//! Computed when somebody looks or exports, never a step: what it says follows from the model and the
//! text. The text is encoded anew, so where a model wrote it in other pieces than its tokenizer would,
//! these are the tokenizer's.

use owlet_engine::score::{Scored, score};
use owlet_engine::{Model, Threads};

use crate::error::Result;
use crate::model::chat;

/// An answer to a question.
#[derive(Clone, Copy, Debug)]
pub struct GivenAnswer<'a> {
    /// What was asked.
    pub question: &'a str,
    /// What the answer was begun with.
    pub opening: &'a str,
    /// What was answered.
    pub text: &'a str,
    /// Whether the model ended it, so that its end is a token like the others.
    pub ended: bool,
}

/// Tokens of an answer with natural log-probabilities at temperature 1, without any constraint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenScores {
    /// The tokens as text; `end` or the token's name where it has none.
    pub tokens: Vec<String>,
    /// In nats, one for each token.
    pub values: Vec<f32>,
}

impl TokenScores {
    /// Log-probability of the whole.
    pub fn sum(&self) -> f64 {
        self.values.iter().map(|value| f64::from(*value)).sum()
    }
}

/// Scores of answers in the chat context `context` (see [`chat`]).
///
/// # Errors
/// Those of text the model cannot encode.
pub fn scores(
    model: &Model,
    context: &str,
    answers: &[GivenAnswer<'_>],
    threads: &Threads,
) -> Result<Vec<TokenScores>> {
    let items = answers
        .iter()
        .map(|answer| {
            let before = [chat::message("user", answer.question)];
            let said = (answer.opening, answer.text);
            let placed = chat::placed(model, context, &before, said, answer.ended)?;
            Ok(Scored { completion: placed.learned(), prompt: placed.before })
        })
        .collect::<Result<Vec<_>>>()?;
    // An answer with nothing in it has nothing to score.
    let full: Vec<Scored> =
        items.iter().filter(|item| !item.completion.is_empty()).cloned().collect();
    let mut values = score(model, &full, threads)?.into_iter();
    let tokenizer = &model.tokenizer;
    Ok(items
        .iter()
        .map(|item| {
            let some = !item.completion.is_empty();
            let values = if some { values.next().unwrap_or_default() } else { Vec::new() };
            let tokens = item.completion.iter().enumerate().map(|(place, &token)| {
                let bytes = match place {
                    0 => tokenizer.first_token_bytes(token),
                    _ => tokenizer.token_bytes(token),
                };
                match bytes {
                    Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    None => tokenizer.name(token).unwrap_or_else(|| "end".to_owned()),
                }
            });
            TokenScores { tokens: tokens.collect(), values }
        })
        .collect())
}
