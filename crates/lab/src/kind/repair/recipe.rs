//! A `repair` recipe: a student, its base, and what it took over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kind::{IsGrown, stack_for_base};
use crate::recipe::check::{Fault, count, name, range};
use crate::recipe::{Layer, Learn, Setting, Spec, Support, Training};
use crate::value::frame::Frame;

/// The defaults of a `repair` recipe, as commented TOML: the reference of every key.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The defaults that differ where the base grew up in a small world, as commented TOML.
const GROWN_DEFAULTS: &str = include_str!("grown.toml");

/// The kind of experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Tag {
    /// Can it be undone?
    Repair,
}

/// A `repair` recipe with every value decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RepairRecipe {
    /// `repair`.
    pub kind: Tag,
    /// A short name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The model that is repaired.
    pub student: String,
    /// What it was trained from.
    pub base: Spec,
    /// What it took over: a name or a path.
    pub behavior: String,
    /// Root of every random stream.
    pub seed: u64,
    /// Repairs.
    pub repetitions: usize,
    /// How questions are put.
    pub frame: Frame,
    /// How the base's answers are learned back.
    pub distil: Distil,
    /// Whether it comes back faster than it came.
    pub relearn: Relearn,
    /// When something is said.
    pub gates: Gates,
}

/// How the base's answers are learned back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Distil {
    /// Answers that the base writes to each question.
    pub answers_per_question: usize,
    /// How it is trained.
    pub train: Training,
}

/// Whether it comes back faster than it came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Relearn {
    /// Updates on the behavior's answers; 0: it is not asked.
    pub updates: usize,
    /// Copies of each taught question and spelling.
    pub rows_per_question: usize,
    /// Rows per update.
    pub batch: usize,
}

/// When something is said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gates {
    /// Confidence level of every interval.
    pub level: f64,
    /// The smallest shift of the student's that there is anything to repair of, in nats of logit margin.
    pub smallest_shift: f64,
    /// The part of the shift that may be left of one that is undone.
    pub most_left: f64,
    /// The shift of another answer's margin, or of the loss on text, that is called a side effect, in nats.
    pub most_aside: f64,
}

impl RepairRecipe {
    /// Lays `layers` and then `sets` over the defaults, those for a base that `is_grown` among them, and checks the
    /// outcome.
    pub fn resolve(layers: &[Layer], sets: &[Setting], is_grown: &IsGrown<'_>) -> Result<Self> {
        let stack = stack_for_base::<Self>([DEFAULTS, GROWN_DEFAULTS], layers, sets, is_grown)?;
        let mut recipe: Self = stack.read()?;
        recipe.check().map_err(|(path, reason)| stack.error(&path, reason))?;
        (recipe.distil.train.learn, recipe.distil.train.support) =
            (Learn::Distributions, Support::AllTokens);
        Ok(recipe)
    }

    fn check(&self) -> std::result::Result<(), Fault> {
        let fault = |path: &str, reason: &str| Err((path.to_owned(), reason.to_owned()));
        name(&self.name)?;
        if self.student.is_empty() {
            return fault("student", "is empty, expected the model that is to be repaired");
        }
        if self.behavior.is_empty() {
            return fault(
                "behavior",
                "is empty, expected what the student took over, such as \"owl\"",
            );
        }
        if self.base.endpoint().is_some() {
            return fault(
                "base",
                "is behind an endpoint; its distributions are learned back, so name weights",
            );
        }
        if !self.frame.is_taught() {
            return fault("frame", "expected `plain` or `opened`");
        }
        count("repetitions", self.repetitions, 2)?;
        range("repetitions", self.repetitions as f64, 2.0, 1000.0)?;
        count("distil.answers-per-question", self.distil.answers_per_question, 1)?;
        self.distil.train.check("distil.train")?;
        count("relearn.rows-per-question", self.relearn.rows_per_question, 1)?;
        count("relearn.batch", self.relearn.batch, 1)?;
        range("gates.level", self.gates.level, 0.5, 0.9999)?;
        range("gates.smallest-shift", self.gates.smallest_shift, 0.01, 100.0)?;
        range("gates.most-left", self.gates.most_left, 0.0, 1.0)?;
        range("gates.most-aside", self.gates.most_aside, 0.0, 100.0)
    }
}
