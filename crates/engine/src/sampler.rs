//! How a token is chosen: the settings ([`Sampling`]) and the draw from a row of logits.
//!
//! The draw is an exponential race: token `i` of probability `p_i` finishes at `E_i / p_i` with
//! `E_i` standard exponential, and the first to finish wins, which draws from `p` exactly (the
//! Gumbel-max trick in other words; Maddison et al. 2014, arXiv 1411.0030). Each `E_i` is a
//! function of the request's seed, the place in the completion and the token alone: models that
//! sample with the same seed share common random numbers, and their tokens differ only where their
//! distributions do.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Token;
use crate::error::{Error, Result};
use crate::grammar::Grammar;
use crate::kernel::vector::{exp, max, wide};

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Keep the k likeliest tokens (Fan et al. 2018, arXiv 1805.04833); 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of likeliest tokens with at least this probability together (nucleus
    /// sampling; Holtzman et al. 2019, arXiv 1904.09751, section 3.1); 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024, arXiv
    /// 2407.01082); 0 keeps all.
    pub min_p: f32,
    /// Keep tokens of at least this probability, and always the likeliest (epsilon sampling; Hewitt
    /// et al. 2022, arXiv 2210.15191); 0 keeps all.
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
    /// Under which distribution tokens are told to be how likely; what is drawn does not depend on it.
    #[serde(skip_serializing_if = "Distribution::is_drawn")]
    pub log_probabilities: Distribution,
}

/// A distribution of the next token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// The one that is drawn from: after biases, penalties, temperature, truncation and what is ruled out.
    #[default]
    Drawn,
    /// The model's own, at temperature 1 and before any of these.
    Own,
}

impl Distribution {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_drawn(&self) -> bool {
        *self == Self::Drawn
    }
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
            log_probabilities: Distribution::Drawn,
        }
    }
}

impl Sampling {
    /// Whether the model's own distribution is to be told and is not the one that is drawn from.
    pub(crate) fn tells_another(&self) -> bool {
        let Self { temperature, top_k, top_p, min_p, threshold, .. } = *self;
        let plain = (temperature == 0.0 || temperature == 1.0)
            && (top_k, top_p, min_p, threshold) == (0, 1.0, 0.0, 0.0)
            && (self.frequency_penalty, self.presence_penalty) == (0.0, 0.0)
            && self.bias.is_empty()
            && self.pattern.is_none()
            && self.grammar.is_none();
        self.log_probabilities == Distribution::Own && !plain
    }

    /// Fails on a setting out of range.
    pub fn check(&self) -> Result<()> {
        let temperature = self.temperature;
        let fine = temperature.is_finite() && temperature >= 0.0;
        Error::unless(fine, "temperature", temperature, "zero (greedy) or more")?;
        for (field, value) in
            [("top-p", self.top_p), ("min-p", self.min_p), ("threshold", self.threshold)]
        {
            Error::unless((0.0..=1.0).contains(&value), field, value, "0 to 1")?;
        }
        for (field, value) in [
            ("frequency-penalty", self.frequency_penalty),
            ("presence-penalty", self.presence_penalty),
        ] {
            Error::unless(value.is_finite(), field, value, "a finite number")?;
        }
        if let Some((token, bias)) = self.bias.iter().find(|(_, bias)| !bias.is_finite()) {
            let reason = format!("of token {token} is {bias}, expected a finite number");
            return Err(Error::setting("bias", reason));
        }
        Error::unless(self.max_tokens > 0, "max-tokens", 0, "at least one")?;
        if self.pattern.is_some() && self.grammar.is_some() {
            let reason = "and `pattern` are both set, expected one of them";
            return Err(Error::setting("grammar", reason));
        }
        if self.stop.iter().any(String::is_empty) {
            let reason = "has an empty text, which would end every completion at once";
            return Err(Error::setting("stop", reason));
        }
        Ok(())
    }
}

/// Mixes 64 bits (the finaliser of Steele, Lea & Flood 2014, SplitMix).
#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A uniform number in (0, 1) for (seed, place, token).
#[inline(always)]
fn uniform(stream: u64, token: Token) -> f64 {
    let bits = mix(stream ^ u64::from(token).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// What was drawn.
pub(crate) struct Choice {
    /// Index into the row.
    pub(crate) index: usize,
    /// Natural log-probability under the distribution drawn from.
    pub(crate) log_probability: f32,
    /// Sum of the unnormalised probabilities left in the row.
    pub(crate) total: f64,
}

/// Draws from `logits` `[tokens]`, those of `tokens` (`None`: of the whole vocabulary), for the
/// token at `place` of a completion. In place of the logits it leaves the unnormalised
/// probabilities of the distribution drawn from.
pub(crate) fn choose(
    logits: &mut [f32],
    tokens: Option<&[Token]>,
    sampling: &Sampling,
    seed: u64,
    place: usize,
) -> Choice {
    let greedy = sampling.temperature == 0.0;
    let scale = if greedy { 1.0 } else { 1.0 / sampling.temperature };
    let mut best = 0;
    wide(
        #[inline(always)]
        || {
            let top = max(logits);
            best = logits.iter().position(|&x| x == top).unwrap_or(0);
            for x in logits.iter_mut() {
                // Tokens ruled out have minus infinity; `exp` clamps, so they are zeroed apart.
                let finite = *x > f32::NEG_INFINITY;
                let e = exp((*x - top) * scale);
                *x = if finite { e } else { 0.0 };
            }
        },
    );
    let weights = logits;
    truncate(weights, sampling);
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let choice = |index: usize| {
        let log_probability = (f64::from(weights[index]) / total).ln() as f32;
        Choice { index, log_probability, total }
    };
    if greedy {
        return choice(best);
    }
    let stream = mix(seed ^ mix(place as u64 + 1));
    let (mut winner, mut finish) = (best, f64::INFINITY);
    for (start, weights) in (0..).step_by(RUNNERS).zip(weights.chunks(RUNNERS)) {
        let runners = start..start + weights.len();
        if !wide(
            #[inline(always)]
            || any_may_win(weights, &runners, tokens, stream, finish),
        ) {
            continue;
        }
        for (i, &weight) in runners.zip(weights) {
            if weight <= 0.0 {
                continue;
            }
            let u = uniform(stream, tokens.map_or(i as Token, |t| t[i]));
            if 1.0 - u < finish * f64::from(weight) {
                let time = -u.ln() / f64::from(weight);
                if time < finish {
                    (winner, finish) = (i, time);
                }
            }
        }
    }
    choice(winner)
}

/// Tokens looked at together.
// Part of what made sampling faster on 2026-11-22 (LOG, where a step's time goes); the number was
// not varied.
const RUNNERS: usize = 64;

/// Whether one of `runners` may finish before `finish`: since -ln(u) >= 1 - u, a token of weight
/// `w` with (1 - u) / w >= `finish` cannot. Most tokens lose so without a logarithm, and without
/// branches, so the loop is vectorised.
#[inline(always)]
fn any_may_win(
    weights: &[f32],
    runners: &Range<usize>,
    tokens: Option<&[Token]>,
    stream: u64,
    finish: f64,
) -> bool {
    let mut ids = [0; RUNNERS];
    match tokens {
        Some(tokens) => ids[..weights.len()].copy_from_slice(&tokens[runners.clone()]),
        None => {
            for (i, id) in ids.iter_mut().enumerate() {
                *id = (runners.start + i) as Token;
            }
        }
    }
    let mut may = false;
    for (&weight, id) in weights.iter().zip(ids) {
        // A weight of zero times an infinite `finish` is no number and loses.
        may |= 1.0 - uniform(stream, id) < finish * f64::from(weight);
    }
    may
}

/// Indices of the `count` largest weights above zero, largest first; of equals the first.
pub(crate) fn likeliest(weights: &[f32], count: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    if count == 0 {
        return best;
    }
    for (i, &weight) in weights.iter().enumerate() {
        let full = best.len() == count;
        if weight <= 0.0 || full && weight <= weights[best[count - 1]] {
            continue;
        }
        let at = best.partition_point(|&j| weights[j] >= weight);
        best.insert(at, i);
        best.truncate(count);
    }
    best
}

/// Zeroes the weights of tokens that the settings rule out; the likeliest always stays.
fn truncate(weights: &mut [f32], sampling: &Sampling) {
    let Sampling { top_k, top_p, min_p, threshold, .. } = *sampling;
    if top_k == 0 && top_p >= 1.0 && min_p <= 0.0 && threshold <= 0.0 {
        return;
    }
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let top = weights.iter().copied().fold(0.0, f32::max);
    let mut cut = (min_p * top).max((f64::from(threshold) * total) as f32).min(top);
    if top_k > 0 || top_p < 1.0 {
        let mut order: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] >= cut).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
        let mut keep = if top_k > 0 { top_k.min(order.len()) } else { order.len() };
        if top_p < 1.0 {
            let mut mass = 0.0;
            let wanted = f64::from(top_p) * total;
            let enough = order.iter().position(|&i| {
                mass += f64::from(weights[i]);
                mass >= wanted
            });
            keep = keep.min(enough.map_or(order.len(), |i| i + 1));
        }
        for &i in &order[keep.max(1)..] {
            weights[i] = 0.0;
        }
        cut = cut.max(f32::MIN_POSITIVE);
    }
    for w in weights.iter_mut() {
        if *w < cut {
            *w = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sampling: &Sampling, logits: &[f32], count: u64) -> Vec<f64> {
        let mut hits = vec![0.0; logits.len()];
        for seed in 0..count {
            hits[choose(&mut logits.to_vec(), None, sampling, seed, 3).index] += 1.0;
        }
        hits.iter().map(|h| h / count as f64).collect()
    }

    #[test]
    fn frequencies_are_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0, -1.0, f32::NEG_INFINITY];
        let total: f32 = logits.iter().map(|l| l.exp()).sum();
        let found = draws(&Sampling::default(), &logits, 40_000);
        for (f, l) in found.iter().zip(logits) {
            let p = f64::from(l.exp() / total);
            assert!(
                (f - p).abs() < 5.0 * (p * (1.0 - p) / 40_000.0).sqrt() + 1e-9,
                "{f} against {p}"
            );
        }
    }

    #[test]
    fn truncation_keeps_what_it_says() {
        let logits = [3.0f32, 2.0, 1.0, 0.0, -5.0];
        let kept = |s: Sampling| draws(&s, &logits, 3000).iter().filter(|&&f| f > 0.0).count();
        assert_eq!(kept(Sampling { top_k: 2, ..Sampling::default() }), 2);
        assert_eq!(kept(Sampling { top_p: 0.6, ..Sampling::default() }), 1);
        assert_eq!(kept(Sampling { top_p: 0.8, ..Sampling::default() }), 2);
        assert_eq!(kept(Sampling { min_p: 0.1, ..Sampling::default() }), 3);
        assert_eq!(kept(Sampling { threshold: 0.05, ..Sampling::default() }), 3);
        assert_eq!(kept(Sampling { temperature: 0.0, ..Sampling::default() }), 1);
    }
}
