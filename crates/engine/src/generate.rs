//! Batched sampling with a key-value cache: continuous batching, shared prefixes, constraints,
//! one random stream per request, log-probabilities of what was sampled.
//!
//! [`generate`] continues a list of prompts; a [`Generator`] is the same machine kept open, to which
//! requests are added (each with its own settings) and from which they are taken while it runs.

mod generator;
mod written;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::error::{Error, Result};
use crate::grammar::Grammar;
use crate::kernel::Threads;
use crate::model::Model;

pub use generator::{Event, Generator, Sampled};

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
    /// A grammar the whole completion must match, compiled for the model's tokenizer.
    #[serde(skip)]
    pub grammar: Option<Grammar>,
    /// Added to the logits of tokens, before the temperature.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bias: BTreeMap<Token, f32>,
    /// Taken from a token's logit for each time it is in the completion.
    #[serde(skip_serializing_if = "is_zero")]
    pub frequency_penalty: f32,
    /// Taken from a token's logit if it is in the completion.
    #[serde(skip_serializing_if = "is_zero")]
    pub presence_penalty: f32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &f32) -> bool {
    *number == 0.0
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
            grammar: None,
            bias: BTreeMap::new(),
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
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
    /// The pattern or grammar was matched and allows nothing more.
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
    model: &Model,
    requests: &[Request],
    sampling: &Sampling,
    threads: &Threads,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Completion>> {
    let mut finished = 0;
    drive(model, requests, sampling, threads, &mut |event| match event {
        Some(Event::Finished { .. }) => {
            finished += 1;
            ControlFlow::Continue(())
        }
        Some(_) => ControlFlow::Continue(()),
        None => progress(finished),
    })
}

/// [`generate`] that tells every token as it is chosen and every completion as it ends: an event's
/// `request` is the place in `requests`.
pub fn generate_streaming(
    model: &Model,
    requests: &[Request],
    sampling: &Sampling,
    threads: &Threads,
    hear: &mut dyn FnMut(&Event) -> ControlFlow<()>,
) -> Result<Vec<Completion>> {
    let mut hear = |event: Option<&Event>| event.map_or(ControlFlow::Continue(()), &mut *hear);
    drive(model, requests, sampling, threads, &mut hear)
}

/// Runs all requests; `hear` gets every event, and `None` after each pass.
fn drive(
    model: &Model,
    requests: &[Request],
    sampling: &Sampling,
    threads: &Threads,
    hear: &mut dyn FnMut(Option<&Event>) -> ControlFlow<()>,
) -> Result<Vec<Completion>> {
    sampling.check()?;
    let mut generator = Generator::new(model, threads);
    let sampling = Arc::new(sampling.clone());
    for request in requests {
        generator.add(request.clone(), Arc::clone(&sampling), 0)?;
    }
    let mut done: Vec<Option<Completion>> = vec![None; requests.len()];
    while !generator.is_idle() {
        let (mut flow, mut failed) = (ControlFlow::Continue(()), None);
        generator.step(&mut |event| {
            if flow.is_continue() {
                flow = hear(Some(&event));
            }
            match event {
                Event::Sampled(_) => {}
                Event::Finished { request, completion, .. } => done[request] = Some(completion),
                Event::Failed { error, .. } => failed = failed.take().or(Some(error)),
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if flow.is_break() || hear(None).is_break() {
            return Err(Error::Interrupted);
        }
    }
    Ok(done.into_iter().flatten().collect())
}

/// Fails unless a prompt is a usable one for the model.
pub(crate) fn check_prompt(
    item: impl Fn() -> String,
    prompt: &[Token],
    model: &Model,
) -> Result<()> {
    let config = &model.decoder.config;
    let fail = |reason: String| Err(Error::Request { item: item(), reason });
    if prompt.is_empty() {
        return fail("has an empty prompt; expected at least one token".to_owned());
    }
    if prompt.len() > config.context {
        return fail(format!(
            "has {} tokens, the model's context is {}",
            prompt.len(),
            config.context
        ));
    }
    if let Some(token) = prompt.iter().find(|&&t| t as usize >= config.vocabulary) {
        return fail(format!(
            "has token {token}, the vocabulary ends at {}",
            config.vocabulary - 1
        ));
    }
    Ok(())
}

impl Sampling {
    /// Fails on a setting out of range.
    pub fn check(&self) -> Result<()> {
        let fail = |field, reason: String| Err(Error::Setting { field, reason });
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return fail(
                "temperature",
                format!("is {}, expected zero (greedy) or more", self.temperature),
            );
        }
        for (field, value) in
            [("top-p", self.top_p), ("min-p", self.min_p), ("threshold", self.threshold)]
        {
            if !(0.0..=1.0).contains(&value) {
                return fail(field, format!("is {value}, expected 0 to 1"));
            }
        }
        for (field, value) in [
            ("frequency-penalty", self.frequency_penalty),
            ("presence-penalty", self.presence_penalty),
        ] {
            if !value.is_finite() {
                return fail(field, format!("is {value}, expected a finite number"));
            }
        }
        if let Some((token, bias)) = self.bias.iter().find(|(_, bias)| !bias.is_finite()) {
            return fail("bias", format!("of token {token} is {bias}, expected a finite number"));
        }
        if self.max_tokens == 0 {
            return fail("max-tokens", "is 0, expected at least one".to_owned());
        }
        if self.pattern.is_some() && self.grammar.is_some() {
            return fail("grammar", "and `pattern` are both set, expected one of them".to_owned());
        }
        if self.stop.iter().any(String::is_empty) {
            return fail(
                "stop",
                "has an empty text, which would end every completion at once".to_owned(),
            );
        }
        Ok(())
    }
}
