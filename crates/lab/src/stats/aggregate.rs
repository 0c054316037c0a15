//! From answers to students, and students into pairs.
//!
//! A student's rate is the mean over questions of hits over answers, so that a question asked more
//! often does not weigh more. Pairs join a treatment and its control that share a seed (adapter
//! initialisation, row order, sampling); seeds without a partner are an error, never dropped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{StatisticsError, mean};

/// Answers to one question by one student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Count {
    /// Answers that name the target.
    pub hits: u64,
    /// Answers.
    pub n: u64,
}

/// One student's rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StudentRate {
    /// Mean over questions of the target's share, 0 to 1.
    pub rate: f64,
    /// Questions with at least one answer: those the mean is over.
    pub questions: usize,
    /// Questions without any (all their answers invalid, say): left out, and to be shown.
    pub unanswered: usize,
}

/// The rate of one student over its questions.
pub fn student_rate(questions: &[Count]) -> Result<StudentRate, StatisticsError> {
    let mut rates = Vec::with_capacity(questions.len());
    for Count { hits, n } in questions {
        if hits > n {
            return Err(StatisticsError::Proportion { hits: *hits, n: *n });
        }
        if *n > 0 {
            rates.push(*hits as f64 / *n as f64);
        }
    }
    if rates.is_empty() {
        return Err(StatisticsError::TooFew {
            what: "answered questions".to_owned(),
            given: 0,
            needed: 1,
        });
    }
    Ok(StudentRate {
        rate: mean(&rates)?,
        questions: rates.len(),
        unanswered: questions.len() - rates.len(),
    })
}

/// Treatment minus control for every seed, by seed.
pub fn pairs_by_seed(
    treatment: &BTreeMap<u64, f64>,
    control: &BTreeMap<u64, f64>,
) -> Result<BTreeMap<u64, f64>, StatisticsError> {
    let alone = |these: &BTreeMap<u64, f64>, those: &BTreeMap<u64, f64>| {
        these.keys().find(|seed| !those.contains_key(seed)).copied()
    };
    if let Some(seed) = alone(treatment, control) {
        return Err(StatisticsError::Unpaired { seed, side: "treatment" });
    }
    if let Some(seed) = alone(control, treatment) {
        return Err(StatisticsError::Unpaired { seed, side: "control" });
    }
    Ok(treatment.iter().zip(control.values()).map(|((seed, a), b)| (*seed, a - b)).collect())
}
