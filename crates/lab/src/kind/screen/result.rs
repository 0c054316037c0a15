//! What a `screen` run found.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::recipe::Tag;
use crate::value::estimate::Estimate;

/// The version of a `screen` run's `result.json` that this build writes and reads.
pub const FORMAT: u32 = 1;

/// What rows are to a base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScreenResult {
    /// Version of this format.
    pub format: u32,
    /// `screen`: what tells this result from others.
    pub kind: Tag,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The base, as the recipe names it.
    pub base: String,
    /// What was given.
    pub rows: Rows,
    /// Confidence level over the whole screen.
    pub level: f64,
    /// Share of rows that must be visible for "nothing found".
    pub smallest_share: f64,
    /// The smallest shift that matters, in nats.
    pub smallest_shift: f64,
    /// What it comes to.
    pub answer: Answer,
    /// Of every behavior that was looked for.
    pub verdicts: Vec<Verdict>,
    /// Of every model that was suspected of having written the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspect>,
    /// What likelihoods were read of; none where they were not.
    pub likelihood: Option<Likelihood>,
    /// What was rehearsed; none where it was not.
    pub rehearsal: Option<Rehearsal>,
    /// The rows that speak most for what was found.
    pub carriers: Vec<Carrier>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// What was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rows {
    /// What the file holds, in words.
    pub told: String,
    /// Answers in it.
    pub all: usize,
    /// Answers that were looked at.
    pub looked_at: usize,
    /// Of those, answers that are not numbers alone: what their words say is not looked at.
    pub unread: usize,
    /// What matches each answer, where they are numbers.
    pub pattern: Option<String>,
}

/// What a screen comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Something was found.
    Found,
    /// Nothing was found, and what was looked for would have been.
    NothingFound,
    /// Neither can be said.
    CannotSay,
}

/// What rows are to a behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Outcome {
    /// Written by somebody like its probe, and a student moves towards it.
    WouldInherit,
    /// Written by somebody like its probe; a student does not show it.
    WrittenByIts,
    /// A student moves towards it; likelihoods name nothing, or another behavior.
    WouldMove,
    /// Not found, where it would have been.
    NotFound,
    /// Not found, and it might not have been.
    TooFew,
}

impl Outcome {
    /// Whether something was found.
    pub fn is_found(self) -> bool {
        match self {
            Self::WouldInherit | Self::WrittenByIts | Self::WouldMove => true,
            Self::NotFound | Self::TooFew => false,
        }
    }

    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::WouldInherit => "would be inherited",
            Self::WrittenByIts => "written by a model tuned towards it",
            Self::WouldMove => "students move towards it",
            Self::NotFound => "not found",
            Self::TooFew => "too few to tell",
        }
    }
}

/// What was found about one behavior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verdict {
    /// The behavior.
    pub behavior: String,
    /// What it is one of.
    pub category: String,
    /// The verdict.
    pub outcome: Outcome,
    /// By likelihoods.
    pub seen: Option<Seen>,
    /// By rehearsal.
    pub moved: Option<Moved>,
    /// The behavior beside which its likelihood is raised, and so says nothing of its own.
    pub beside: Option<String>,
}

/// Whether rows were written by somebody like a model that is suspected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Suspect {
    /// The model, as the recipe names it.
    pub model: String,
    /// By likelihoods: over the mean of all probes.
    pub seen: Seen,
    /// Whether rows look written by a model tuned as it is: no probe or other suspect stands out more, beyond luck.
    pub is_named: bool,
}

/// Whether rows were written by somebody like a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Seen {
    /// Mean over rows of the probe's score above the mean of its category's probes, in nats.
    pub score: f64,
    /// In standard errors.
    pub t: f64,
    /// One-sided.
    pub p: f64,
    /// The same, corrected over all behaviors of the screen.
    pub corrected_p: f64,
    /// The least share of such a teacher's rows that these rows would have shown; none: not even all of them.
    pub smallest_share: Option<f64>,
}

/// What rows do to a student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Moved {
    /// Logit margin of students of the rows minus that of students of rows that the base wrote, in nats.
    pub shift: Estimate,
    /// One-sided.
    pub p: f64,
    /// The same, corrected over all behaviors of the screen.
    pub corrected_p: f64,
    /// The least shift that would have been shown, in nats.
    pub smallest_shift: f64,
}

/// What likelihoods were read of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Likelihood {
    /// Rows with numbers.
    pub rows: usize,
    /// Rows without.
    pub without: usize,
    /// Tokens of numbers in them.
    pub tokens: usize,
    /// What divided the logits, as was believed.
    pub temperature: f64,
}

/// What was rehearsed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rehearsal {
    /// Pairs of students.
    pub pairs: usize,
    /// Updates of each.
    pub updates: usize,
    /// Rows per update.
    pub batch: usize,
}

/// A row that speaks for what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Carrier {
    /// For which behavior.
    pub behavior: String,
    /// How much, in nats.
    pub score: f64,
    /// What was asked.
    pub prompt: String,
    /// What was answered.
    pub answer: String,
}
