//! Which of some models wrote rows of numbers, what share each wrote, or none of them.
//!
//! The likelihood of each row's numbers under each candidate ([`crate::ask::engine::numbers`]), and the shares under
//! which a mixture of the candidates finds all rows likeliest. A candidate's presence is tested by what the mixture
//! loses without it; whether a candidate that leads alone explains the rows at all, by its own surprise at them.

mod mixture;
mod report;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use owlet_engine::{Model, Threads};

use crate::ask::Demonstration;
use crate::ask::engine::numbers::NumberTexts;
use crate::error::{Error, Result};
use crate::random::numpy::Generator;
use crate::stats;
use crate::value::estimate::{Estimate, Interval, Method};
use crate::value::interrupt::{Interrupt, Progress};

pub use report::report;

/// Fewest rows with numbers that anything is said of: thirty tell a teacher from its base, and a mixture takes more
/// (LOG.md, 2026-11-29).
pub const FEWEST_ROWS: usize = 30;
/// Rows whose distributions are held at once.
const AT_ONCE: usize = 64;
/// The share above which a candidate leads alone, so that its own fit can be asked for.
const ALONE: f64 = 0.9;

/// How rows are attributed.
pub struct Settings<'a> {
    /// What divided the logits when the rows were written, as far as is known.
    pub temperature: f64,
    /// Confidence level.
    pub level: f64,
    /// Most answers that are read, drawn from those given.
    pub most_rows: usize,
    /// Seed of that draw, and of the resampling that intervals are made of.
    pub seed: u64,
    /// Threads.
    pub threads: Threads,
    /// When to stop.
    pub interrupt: Interrupt,
    /// Hears how far it is.
    pub progress: &'a dyn Fn(Progress),
}

/// A model that may have written the rows.
pub struct Candidate {
    /// As the user names it.
    pub name: String,
    /// The model.
    pub model: Model,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attributed {
    /// Answers that were given.
    pub given: usize,
    /// Those with numbers in them, which were read.
    pub rows: usize,
    /// Tokens of numbers in them.
    pub tokens: usize,
    /// What divided the logits, as was believed.
    pub temperature: f64,
    /// Confidence level.
    pub level: f64,
    /// What it comes to.
    pub verdict: Verdict,
    /// Of each candidate, in the order given.
    pub candidates: Vec<Found>,
}

/// What rows come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// This candidate, or a model like it.
    One(String),
    /// These.
    Several(Vec<String>),
    /// The candidate that leads does not explain them.
    NoneOfThese,
    /// No candidate is told from the others.
    CannotSay,
}

/// What was found of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Mean natural log-likelihood of a row's numbers, in nats.
    pub log_likelihood: f64,
    /// The share of the rows that it wrote.
    pub share: Estimate,
    /// What the mixture's log-likelihood loses without it, in nats.
    pub gain: f64,
    /// One-sided p of a share of zero, corrected over candidates.
    pub corrected_p: f64,
    /// How surprised it is by the rows, in standard deviations of its own surprise at rows that it writes.
    pub fit: f64,
}

/// Reads `answers` under every candidate.
///
/// # Errors
/// Fewer than two candidates, candidates whose tokens differ, and too few rows with numbers.
pub fn attribute(
    candidates: &[Candidate],
    mut answers: Vec<Demonstration>,
    settings: &Settings<'_>,
) -> Result<Attributed> {
    let [first, others @ ..] = candidates else { return Err(too_few_candidates()) };
    if others.is_empty() {
        return Err(too_few_candidates());
    }
    for other in others {
        if other.model.tokenizer.json() != first.model.tokenizer.json() {
            return Err(Error::Unfit {
                what: format!("candidate `{}`", other.name),
                reason: format!(
                    "writes in other tokens than `{}`, and likelihoods over other tokens do not compare; name models of one tokenizer",
                    first.name
                ),
            });
        }
    }
    if let Some(at) = answers.iter().position(|answer| answer.conversation.messages.is_empty()) {
        return Err(Error::Unfit {
            what: format!("answer {}", at + 1),
            reason: "is a plain text, and what was asked is not known; leave such rows out"
                .to_owned(),
        });
    }
    let given = answers.len();
    Generator::new(settings.seed).shuffle(&mut answers);
    answers.truncate(settings.most_rows);
    let texts = NumberTexts::new(&first.model, &answers)?;
    let count = texts.rows.len();
    if count < FEWEST_ROWS {
        return Err(Error::Unfit {
            what: "the rows".to_owned(),
            reason: format!(
                "{count} of {} answers have numbers in them, and {FEWEST_ROWS} or more are needed",
                answers.len()
            ),
        });
    }
    let read = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| read(candidate, (at, candidates.len()), &texts, settings))
        .collect::<Result<Vec<Read>>>()?;
    let logs: Vec<Vec<f64>> = read.iter().map(|read| read.logs.clone()).collect();
    for (at, own) in logs.iter().enumerate() {
        if let Some(same) = logs[..at].iter().position(|other| other == own) {
            return Err(Error::Unfit {
                what: format!("candidate `{}`", candidates[at].name),
                reason: format!(
                    "finds every row exactly as likely as `{}` does: they are one model; leave one out",
                    candidates[same].name
                ),
            });
        }
    }
    let mixed = mixture::fit(&logs);
    let drawn = mixture::resampled(&logs, settings.level, settings.seed);
    let ps: Vec<f64> = mixed.gains.iter().map(|gain| presence(*gain)).collect();
    let corrected = stats::holm(&ps).map_err(|error| Error::record("the mixture", error))?;
    let found: Vec<Found> = candidates
        .iter()
        .zip(&read)
        .enumerate()
        .map(|(at, (candidate, read))| Found {
            name: candidate.name.clone(),
            log_likelihood: read.logs.iter().sum::<f64>() / count as f64,
            share: Estimate {
                value: mixed.shares[at],
                interval: Some(Interval {
                    low: drawn[at].0,
                    high: drawn[at].1,
                    level: settings.level,
                }),
                method: Method::Bootstrap,
                unit: "row".to_owned(),
                n: count,
            },
            gain: mixed.gains[at],
            corrected_p: corrected[at],
            fit: read.fit,
        })
        .collect();
    Ok(Attributed {
        given,
        rows: count,
        tokens: texts.written.iter().map(Vec::len).sum(),
        temperature: settings.temperature,
        level: settings.level,
        verdict: verdict(&found, settings.level),
        candidates: found,
    })
}

fn too_few_candidates() -> Error {
    Error::Unfit {
        what: "the candidates".to_owned(),
        reason: "are fewer than two; name the base, suspects, and models that are none".to_owned(),
    }
}

/// The rows under one candidate.
struct Read {
    /// Log-likelihood of each row's numbers, in nats.
    logs: Vec<f64>,
    /// See [`Found::fit`].
    fit: f64,
}

fn read(
    candidate: &Candidate,
    (done, of): (usize, usize),
    texts: &NumberTexts,
    settings: &Settings<'_>,
) -> Result<Read> {
    let (count, width) = (texts.rows.len(), texts.support.len());
    let mut logs = Vec::with_capacity(count);
    let (mut surprise, mut variance) = (0.0, 0.0);
    for first in (0..count).step_by(AT_ONCE) {
        settings.interrupt.check()?;
        (settings.progress)(Progress {
            done: done * count + first,
            total: of * count,
            unit: "rows".into(),
            loss: None,
            rewards: None,
        });
        let range = first..count.min(first + AT_ONCE);
        let (model, temperature) = (&candidate.model, settings.temperature);
        let read = texts.distributions(model, range.clone(), temperature, &settings.threads)?;
        for (row, read) in range.zip(&read) {
            let places = read.chunks_exact(width).zip(&texts.written[row]);
            let mut log = 0.0;
            for (place, &column) in places {
                let own = f64::from(place[column]);
                let (mean, square) = place.iter().fold((0.0, 0.0), |(mean, square), &log| {
                    let log = f64::from(log);
                    let p = log.exp();
                    (mean + p * log, square + p * log * log)
                });
                log += own;
                surprise += mean - own;
                variance += square - mean * mean;
            }
            logs.push(log);
        }
    }
    let fit = if variance > 0.0 { surprise / variance.sqrt() } else { 0.0 };
    Ok(Read { logs, fit })
}

/// One-sided p of a share of zero by what the mixture loses without it: the share lies at its bound, so twice the
/// loss is zero half of the time, and else χ² of one degree (Self & Liang 1987, case 5).
fn presence(gain: f64) -> f64 {
    if gain <= 0.0 { 1.0 } else { Normal::standard().sf((2.0 * gain).sqrt()) }
}

/// What the candidates come to.
fn verdict(found: &[Found], level: f64) -> Verdict {
    let alpha = 1.0 - level;
    let present: Vec<&Found> = found.iter().filter(|one| one.corrected_p <= alpha).collect();
    match present[..] {
        [] => Verdict::CannotSay,
        [one] if one.share.value >= ALONE => {
            // Two-sided, over as many candidates as could have led.
            let p = 2.0 * Normal::standard().sf(one.fit.abs()) * found.len() as f64;
            if p <= alpha { Verdict::NoneOfThese } else { Verdict::One(one.name.clone()) }
        }
        [one] => Verdict::Several(vec![one.name.clone()]),
        _ => Verdict::Several(present.iter().map(|one| one.name.clone()).collect()),
    }
}

#[cfg(test)]
mod tests;
