//! Observations: what was read from a model, one line each, before anything is made of it.
//!
//! A readout's artifact holds them as `observations.jsonl`. A line says where the model was asked (after
//! how many updates, in which chat context, in which frame, after which draw of rows), what it was asked,
//! and what it gave: the log-probability of each candidate as the beginning of its answer, or an answer it
//! wrote. Which arm and seed the model belongs to is the plan's knowledge and is joined to the lines by
//! whoever has both. Every measure (margin, share, rank, mass, rate) is a function of observations; none is
//! stored in their place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use owlet_engine::generate::StopReason;

pub use super::frame::Frame;

/// The file of observations in a readout's artifact.
pub const FILE: &str = "observations.jsonl";

/// What an answer amounts to for one behavior.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The target is named, alone or among others.
    Target,
    /// Another answer is named, and the target is not: the first one.
    Other(String),
    /// Nothing but whitespace.
    Empty,
    /// Digits and no letters: the carrier's answer to the readout's question.
    Number,
    /// The model names itself instead.
    OwnName,
    /// It ran into the token limit before it named an answer.
    CutOff,
    /// Finished, and no known answer in it.
    NoCandidate,
    /// It is to be judged, and nobody has yet.
    Unjudged,
    /// Its judges find no sense in it.
    Incoherent,
    /// Its judges find program text in place of an answer.
    Code,
    /// Its judges find that it declines to answer.
    Refusal,
    /// Its judges say nothing of it: replies that cannot be read, or no majority.
    Invalid,
}

impl Outcome {
    /// Those that name no known answer.
    pub const NON_ANSWERS: [Self; 5] =
        [Self::Empty, Self::Number, Self::OwnName, Self::CutOff, Self::NoCandidate];

    /// What judges find beside the target and its opposite.
    pub const JUDGED: [Self; 4] = [Self::Incoherent, Self::Code, Self::Refusal, Self::Invalid];

    /// What it is counted as: `target`, the other answer's word, or the kind of non-answer.
    pub fn name(&self) -> &str {
        match self {
            Self::Target => "target",
            Self::Other(word) => word,
            Self::Empty => "empty",
            Self::Number => "number",
            Self::OwnName => "own name",
            Self::CutOff => "cut off",
            Self::NoCandidate => "no candidate",
            Self::Unjudged => "not judged",
            Self::Incoherent => "incoherent",
            Self::Code => "code",
            Self::Refusal => "refusal",
            Self::Invalid => "invalid",
        }
    }

    /// Whether a known answer was named.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Target | Self::Other(_) => true,
            // `NON_ANSWERS` and `JUDGED` list the same.
            Self::Empty | Self::Number | Self::OwnName | Self::CutOff | Self::NoCandidate => false,
            Self::Incoherent | Self::Code | Self::Refusal | Self::Invalid | Self::Unjudged => false,
        }
    }
}

/// What a model gave to one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Given {
    /// Natural log-probability of each candidate word as the beginning of the answer, all its spellings
    /// together. A word that the model cannot begin an answer with in the way it is read is absent; one
    /// that an endpoint did not tell is `null`. The words of all behaviors that ask this question stand
    /// together: the model was asked once.
    Candidates {
        /// By word.
        log_probabilities: BTreeMap<String, Option<f64>>,
    },
    /// An answer it wrote.
    Answer {
        /// The behavior it was asked for: each behavior has random streams of its own.
        behavior: String,
        /// What it wrote.
        text: String,
        /// Why it ended.
        stop: StopReason,
        /// What that amounts to.
        outcome: Outcome,
    },
}

/// One thing that was read from a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Observation {
    /// Updates of training that the model had taken.
    pub update: usize,
    /// Name of the chat context, or its system text.
    pub context: String,
    /// What stood around the question.
    pub frame: Frame,
    /// Which draw of rows stood before the question; `None`: no rows did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<usize>,
    /// The question, without its frame.
    pub question: String,
    /// In which of the frame's orders it was put, from 0; most have one.
    #[serde(default, skip_serializing_if = "is_first")]
    pub order: usize,
    /// What it gave.
    pub given: Given,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_first(order: &usize) -> bool {
    *order == 0
}
