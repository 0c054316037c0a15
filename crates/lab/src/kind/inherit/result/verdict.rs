//! Verdicts, as results hold them.

use serde::{Deserialize, Serialize};

use super::{Gate, InheritResult};
use crate::value::text;

/// The answer's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Above every control that decides, and the answers agree.
    Inherited,
    /// Above every control that decides, but something else says otherwise: the answers, the word's own
    /// probability, or a student that is broken.
    Unconfirmed,
    /// An effect of the smallest size that matters is ruled out.
    NotDetected,
    /// Neither: it takes more repetitions to tell.
    TooFew,
    /// A control is missing, the readout does not see the answers, or a null whose gate failed.
    Uninterpretable,
}

impl Outcome {
    /// In a few words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inherited => "inherited",
            Self::Unconfirmed => "not confirmed",
            Self::NotDetected => "not detected",
            Self::TooFew => "too few to tell",
            Self::Uninterpretable => "uninterpretable",
        }
    }

    /// As files spell it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Inherited => "inherited",
            Self::Unconfirmed => "unconfirmed",
            Self::NotDetected => "not-detected",
            Self::TooFew => "too-few",
            Self::Uninterpretable => "uninterpretable",
        }
    }
}

/// The answer about one behavior, by the rule fixed before the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verdict {
    /// The behavior.
    pub behavior: String,
    /// The answer.
    pub outcome: Outcome,
    /// The same as one sentence with its numbers.
    pub sentence: String,
    /// The p that decided: the largest among the deciding controls, corrected over behaviors by Holm;
    /// 1 where the students are not above one of them. `None` where there is none.
    #[serde(default)]
    pub p: Option<f64>,
    /// Of [`Outcome::TooFew`]: how many repetitions would show the smallest effect that matters four
    /// times in five, by the spread seen here.
    #[serde(default)]
    pub repetitions_needed: Option<usize>,
}

impl InheritResult {
    /// What p is corrected over: the behaviors of a run, or the verdicts on all points of a sweep.
    pub(crate) fn comparisons(&self) -> &'static str {
        let together = self.rule.is_some_and(|rule| rule.behaviors > self.behaviors.len());
        if together { "verdicts" } else { "behaviors" }
    }
}

impl Gate {
    /// That it did not hold, in words.
    pub(crate) fn failure(&self) -> String {
        let behavior = self.behavior.as_deref().filter(|behavior| !self.name.contains(behavior));
        let behavior = behavior.map(|behavior| format!(" ({behavior})")).unwrap_or_default();
        let (measured, wanted) = (text::plain(self.measured), text::plain(self.wanted));
        format!("gate failed: {}{behavior}: {measured}, wanted at least {wanted}", self.name)
    }
}

/// Something that would mislead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Warning {
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}
