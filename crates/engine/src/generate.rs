//! Batched sampling with a key-value cache: continuous batching, shared prefixes, constraints,
//! one random stream per request, log-probabilities of what was sampled.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::constraint::{Allowed, Constraint, State};
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::matrix::{View, ViewMut, product};
use crate::model::Model;
use crate::pass::{Cache, Network, Piece};
use crate::prefix::{Prefixes, Prompt};
use crate::sampler::choose;

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

/// Sequences under way at once.
const ACTIVE: usize = 128;

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
    sampling.check()?;
    for (i, request) in requests.iter().enumerate() {
        check_prompt(|| format!("request {}", i + 1), &request.prompt, model)?;
    }
    let network = Network::new(model);
    let mut batch = Batch {
        model,
        network: &network,
        sampling,
        threads,
        constraint: match &sampling.pattern {
            Some(pattern) => Some(Constraint::new(pattern, &model.tokenizer)?),
            None => None,
        },
        narrow: Narrow::default(),
    };
    let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
    let mut active: Vec<Active> = Vec::new();
    let mut done: Vec<Option<Completion>> = vec![None; requests.len()];
    let mut prefixes = Prefixes::default();
    let mut finished = 0;
    while finished < requests.len() {
        if active.len() <= ACTIVE * 3 / 4 && !waiting.is_empty() {
            let admitted: Vec<usize> =
                waiting.drain(..waiting.len().min(ACTIVE - active.len())).collect();
            let prompts: Vec<&[Token]> =
                admitted.iter().map(|&i| &requests[i].prompt[..]).collect();
            let prompts = prefixes.prefill(&network, threads, &prompts);
            let mut fresh = Vec::new();
            for (index, prompt) in admitted.into_iter().zip(prompts) {
                fresh.push(batch.begin(index, &requests[index], prompt)?);
            }
            let stream: Vec<f32> =
                fresh.iter().flat_map(|a| a.prompt.last.iter().copied()).collect();
            batch.sample(&mut fresh, &stream)?;
            active.append(&mut fresh);
        }
        active.retain_mut(|a| {
            let Some(stop) = a.stop else { return true };
            done[a.index] = Some(Completion {
                tokens: std::mem::take(&mut a.tokens),
                text: std::mem::take(&mut a.text),
                log_probabilities: std::mem::take(&mut a.log_probabilities),
                stop,
            });
            finished += 1;
            false
        });
        if progress(finished).is_break() {
            return Err(Error::Interrupted);
        }
        if !active.is_empty() {
            let mut pieces: Vec<Piece> = active
                .iter_mut()
                .map(|a| Piece {
                    tokens: &a.tokens[a.tokens.len() - 1..],
                    before: a.prompt.blocks.clone(),
                    own: &mut a.cache,
                })
                .collect();
            let stream = network.forward_cached(threads, &mut pieces);
            batch.sample(&mut active, &stream)?;
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

/// One request under way.
struct Active {
    index: usize,
    seed: u64,
    prompt: Prompt,
    cache: Cache,
    state: Option<State>,
    tokens: Vec<Token>,
    text: String,
    log_probabilities: Vec<f32>,
    room: usize,
    stop: Option<StopReason>,
}

/// The output head's rows for a few tokens, gathered once.
#[derive(Default)]
struct Narrow {
    tokens: Vec<Token>,
    head: Vec<f32>,
}

struct Batch<'a> {
    model: &'a Model,
    network: &'a Network,
    sampling: &'a Sampling,
    threads: &'a Threads,
    constraint: Option<Constraint>,
    narrow: Narrow,
}

impl Batch<'_> {
    fn begin(&self, index: usize, request: &Request, prompt: Prompt) -> Result<Active> {
        let config = self.network.config();
        let room = self.sampling.max_tokens.min(config.context - request.prompt.len());
        Ok(Active {
            index,
            seed: request.seed,
            prompt,
            cache: Cache::new(config, room.min(256)),
            state: self.constraint.as_ref().map(Constraint::start).transpose()?,
            tokens: Vec::new(),
            text: String::new(),
            log_probabilities: Vec::new(),
            room,
            stop: (room == 0).then_some(StopReason::Length),
        })
    }

    /// Samples the next token of each active sequence from its row of the residual stream.
    fn sample(&mut self, active: &mut [Active], stream: &[f32]) -> Result<()> {
        let rows: Vec<usize> = (0..active.len()).collect();
        let (normed, _, _) = self.network.final_norm(self.threads, stream, &rows);
        let allowed: Vec<Option<Arc<Allowed>>> = active
            .iter()
            .map(|a| a.state.and_then(|s| self.constraint.as_mut().map(|c| c.allowed(s))))
            .collect();
        if let Some(narrow) = self.narrow(&allowed) {
            self.sample_narrow(active, &normed, &allowed, narrow)?;
        } else {
            let vocabulary = self.network.config().vocabulary;
            let mut chosen = Vec::with_capacity(active.len());
            self.network.logits(self.threads, &normed, |first, logits| {
                for (i, row) in logits.chunks_exact_mut(vocabulary).enumerate() {
                    let a = &active[first + i];
                    if let Some(allowed) = &allowed[first + i] {
                        self.mask(row, allowed);
                    }
                    chosen.push(choose(row, None, self.sampling, a.seed, a.tokens.len()));
                }
            });
            for (a, (token, log_probability)) in active.iter_mut().zip(chosen) {
                self.accept(a, token as Token, log_probability)?;
            }
        }
        // A pattern that allows nothing more is done without another pass.
        if let Some(constraint) = &mut self.constraint {
            for a in active.iter_mut().filter(|a| a.stop.is_none()) {
                if a.state.is_some_and(|s| constraint.allowed(s).tokens.is_empty()) {
                    a.stop = Some(StopReason::Pattern);
                }
            }
        }
        Ok(())
    }

    fn mask(&self, row: &mut [f32], allowed: &Allowed) {
        let mut kept: Vec<(usize, f32)> =
            allowed.tokens.iter().map(|&t| (t as usize, row[t as usize])).collect();
        if allowed.end {
            kept.extend(
                self.model.tokenizer.end_tokens().iter().map(|&t| (t as usize, row[t as usize])),
            );
        }
        row.fill(f32::NEG_INFINITY);
        for (token, logit) in kept {
            row[token] = logit;
        }
    }

    /// All tokens any sequence may take next, where they are few: the head is then computed for
    /// them alone.
    fn narrow(&self, allowed: &[Option<Arc<Allowed>>]) -> Option<Vec<Token>> {
        let mut union = std::collections::BTreeSet::new();
        for allowed in allowed {
            let allowed = allowed.as_ref()?;
            union.extend(allowed.tokens.iter().copied());
            if union.len() * 8 > self.network.config().vocabulary {
                return None;
            }
        }
        union.extend(self.model.tokenizer.end_tokens().iter().copied());
        Some(union.into_iter().collect())
    }

    fn sample_narrow(
        &mut self,
        active: &mut [Active],
        normed: &[f32],
        allowed: &[Option<Arc<Allowed>>],
        tokens: Vec<Token>,
    ) -> Result<()> {
        let width = self.network.config().width;
        if self.narrow.tokens != tokens {
            let head = self.network.head();
            self.narrow.head = tokens
                .iter()
                .flat_map(|&t| head[t as usize * width..][..width].iter().copied())
                .collect();
            self.narrow.tokens = tokens;
        }
        let tokens = self.narrow.tokens.clone();
        let mut logits = vec![0.0; active.len() * tokens.len()];
        let x = View::dense(normed, active.len(), width);
        let head = View::dense(&self.narrow.head, tokens.len(), width);
        product(self.threads, x, head.t(), false, ViewMut::new(&mut logits, tokens.len()));
        let end = self.model.tokenizer.end_tokens();
        for ((a, row), allowed) in
            active.iter_mut().zip(logits.chunks_exact_mut(tokens.len())).zip(allowed)
        {
            let allowed = allowed.as_deref();
            for (token, logit) in tokens.iter().zip(row.iter_mut()) {
                let may = allowed.is_none_or(|allowed| {
                    allowed.tokens.binary_search(token).is_ok()
                        || allowed.end && end.contains(token)
                });
                if !may {
                    *logit = f32::NEG_INFINITY;
                }
            }
            let (i, log_probability) =
                choose(row, Some(&tokens), self.sampling, a.seed, a.tokens.len());
            self.accept(a, tokens[i], log_probability)?;
        }
        Ok(())
    }

    /// Adds a token to a sequence, or ends it.
    fn accept(&self, a: &mut Active, token: Token, log_probability: f32) -> Result<()> {
        if a.stop.is_some() {
            return Ok(());
        }
        if self.model.tokenizer.end_tokens().contains(&token) {
            a.stop = Some(StopReason::End);
            return Ok(());
        }
        a.tokens.push(token);
        a.log_probabilities.push(log_probability);
        if let (Some(state), Some(constraint)) = (&mut a.state, &self.constraint) {
            *state = constraint.next(*state, token);
        }
        a.text = self.model.tokenizer.decode(&a.tokens)?;
        if let Some(at) = self.sampling.stop.iter().filter_map(|s| a.text.find(&**s)).min() {
            a.text.truncate(at);
            a.stop = Some(StopReason::Stop);
        } else if a.tokens.len() >= a.room {
            a.stop = Some(StopReason::Length);
        }
        Ok(())
    }
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
        if self.max_tokens == 0 {
            return fail("max-tokens", "is 0, expected at least one".to_owned());
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
