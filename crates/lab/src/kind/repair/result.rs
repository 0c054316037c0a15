//! What a `repair` run found.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::recipe::Tag;
use crate::value::estimate::Estimate;
use crate::value::measure::Measure;

/// The version of a `repair` run's `result.json` that this build writes and reads.
pub const FORMAT: u32 = 1;

/// What is left of what a student took over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RepairResult {
    /// Version of this format.
    pub format: u32,
    /// `repair`: what tells this result from others.
    pub kind: Tag,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The base, as the recipe names it.
    pub base: String,
    /// The student, as the recipe names it.
    pub student: String,
    /// The behavior.
    pub behavior: String,
    /// What it is one of.
    pub category: String,
    /// Held-out questions that models are read by.
    pub questions: usize,
    /// Repairs.
    pub repetitions: usize,
    /// Updates of each.
    pub updates: usize,
    /// Confidence level of every interval.
    pub level: f64,
    /// The smallest shift that there is anything to repair of, in nats.
    pub smallest_shift: f64,
    /// The part of the shift that may be left of one that is undone.
    pub most_left: f64,
    /// The shift of another answer, or of the loss on text, that is called a side effect, in nats.
    pub most_aside: f64,
    /// What it comes to.
    pub outcome: Outcome,
    /// The part of the student's shift of the margin that is left; none where there was no shift.
    pub left: Option<Estimate>,
    /// The behavior in each measure.
    pub measures: Vec<Measured>,
    /// The other answers' margins.
    pub others: Vec<Other>,
    /// What else changed: text, instructions, choices.
    pub panel: Vec<Effect>,
    /// Whether it comes back faster than it came; none where it was not asked.
    pub relearning: Option<Relearning>,
}

/// What repairs come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Outcome {
    /// At most the stated part of the shift is left.
    Undone,
    /// Less than all of the shift is left.
    Lessened,
    /// It was pushed past the base: the other way.
    Overshot,
    /// It is not told that less is left than there was.
    NotLessened,
    /// The student does not show the behavior beyond its base.
    NothingToRepair,
}

impl Outcome {
    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Undone => "back at the base, on these questions",
            Self::Lessened => "lessened",
            Self::Overshot => "pushed past the base",
            Self::NotLessened => "not lessened",
            Self::NothingToRepair => "nothing to repair",
        }
    }
}

/// A measure of the behavior, in base, student and repaired student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Measured {
    /// Which.
    pub measure: Measure,
    /// Of the base.
    pub base: f64,
    /// Of the student.
    pub student: f64,
    /// Of repaired students.
    pub repaired: Estimate,
}

/// Another answer's margin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Other {
    /// Which answer.
    pub behavior: String,
    /// The student's margin above the base's, in nats.
    pub student: f64,
    /// The repaired students' margin above the base's, in nats.
    pub repaired: Estimate,
}

/// Something that no behavior is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Effect {
    /// What.
    pub what: Aside,
    /// Of the base.
    pub base: f64,
    /// Of the student.
    pub student: f64,
    /// Of repaired students.
    pub repaired: Estimate,
}

/// What no behavior is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// Loss on natural text, in nats per token.
    NaturalText,
    /// Share of checked instructions that are followed.
    InstructionsFollowed,
    /// Share of pairs whose preferred word is the same whichever is named first.
    ConsistentPairs,
}

impl Aside {
    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Self::NaturalText => "loss on natural text",
            Self::InstructionsFollowed => "instructions followed",
            Self::ConsistentPairs => "consistent choices between pairs",
        }
    }
}

/// Whether it comes back faster than it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Relearning {
    /// Updates on the behavior's answers.
    pub updates: usize,
    /// Margin that the base comes to, above its own, in nats.
    pub anew: Estimate,
    /// Margin that repaired students come to, above the base's, in nats.
    pub again: Estimate,
    /// How far the repaired are ahead, less what was left before, in nats: paired by repetition.
    pub lead: Estimate,
    /// The same of another answer of the category that nobody took over, another one in each repetition: a repaired
    /// student may learn anything faster than its base.
    pub control: Estimate,
    /// The lead over its control.
    pub beyond: Estimate,
}

impl RepairResult {
    /// Whether repaired students come back faster than the base comes there, beyond what they do at other answers.
    pub fn comes_back(&self) -> bool {
        self.relearning.as_ref().is_some_and(|one| one.beyond.is_above_zero())
    }

    /// The other answers that repaired students moved.
    pub fn moved_aside(&self) -> Vec<&str> {
        let is_far = |one: &&Other| one.repaired.value.abs() > self.most_aside;
        self.others.iter().filter(is_far).map(|one| one.behavior.as_str()).collect()
    }

    /// The probability of all candidates together in the repaired over that in the base: below one half, the model
    /// has stopped answering.
    pub fn stopped_answering(&self) -> bool {
        let mass = self.measures.iter().find(|one| one.measure == Measure::Mass);
        mass.is_some_and(|mass| mass.repaired.value < mass.base.min(mass.student) / 2.0)
    }

    /// How much the loss on natural text rose over the student's, in nats per token, where that is a side effect.
    pub fn text_lost(&self) -> Option<f64> {
        let text = self.panel.iter().find(|one| one.what == Aside::NaturalText)?;
        Some(text.repaired.value - text.student).filter(|lost| *lost > self.most_aside)
    }

    /// Whether it is undone, nothing else was found moved, and no trace of it was found.
    pub fn is_clean(&self) -> bool {
        self.outcome == Outcome::Undone
            && !self.comes_back()
            && self.moved_aside().is_empty()
            && !self.stopped_answering()
            && self.text_lost().is_none()
    }
}
