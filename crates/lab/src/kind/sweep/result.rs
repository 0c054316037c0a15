//! What a sweep found.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::VerdictLine;
use crate::kind::inherit::result::{Arm, Control, Effect, Measure, Rule, Scope, Verdict};
pub use crate::kind::together::Told;
use crate::value::estimate::Estimate;

/// The version of a sweep's `result.json` that this build writes; it reads 1 as well, which has fewer readings.
pub const FORMAT: u32 = 2;

/// What a point is called in roles of inputs, which are counted from 1 (`point-2/readout/base`), and what stands for
/// the keys of points that have names.
pub(super) const POINT: &str = "point";

/// What tells this result from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tag {
    /// An `inherit` recipe over values of its keys.
    Sweep,
}

/// The whole answer of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SweepResult {
    /// Version of this format.
    pub format: u32,
    /// `sweep`.
    pub kind: Tag,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The base model, as the recipe names it.
    pub base: String,
    /// Taught behaviors, in the recipe's order.
    pub behaviors: Vec<String>,
    /// Name of the carrier; of several, the names of all.
    pub carrier: String,
    /// The seeds, the same at every point.
    pub seeds: Vec<u64>,
    /// The unit of replication and what it holds.
    pub unit: String,
    /// What verdicts are about.
    pub scope: Scope,
    /// What the verdicts rest on.
    pub primary: Measure,
    /// What decides them, fixed before the run; its p is corrected over the verdicts on all points.
    pub rule: Option<Rule>,
    /// The keys with their values.
    pub axes: Vec<Axis>,
    /// The points, in the order of the values, the last key's fastest.
    pub points: Vec<SweepPoint>,
    /// Differences between points.
    pub contrasts: Vec<Contrast>,
    /// What others found, to be shown beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
    /// What would mislead a reader who did not know it.
    pub warnings: Vec<Told>,
    /// Controls and readouts that the recipe turned off.
    pub left_out: Vec<String>,
}

/// A key with the values that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Axis {
    /// The key, by its path in the recipe.
    pub key: String,
    /// The values, as TOML; tables by what they say.
    pub values: Vec<String>,
}

impl Axis {
    /// The values as numbers, where all of them are.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(|value| value.parse::<f64>().ok()).collect()
    }
}

/// What was found at one point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SweepPoint {
    /// What it is called: `carrier.rows = 500`.
    pub at: String,
    /// Which value it has on each axis, by its place.
    pub places: Vec<usize>,
    /// Name of its carrier.
    #[serde(default)]
    pub carrier: String,
    /// Unique rows each student saw.
    pub unique_rows: usize,
    /// Updates each student took.
    pub updates: usize,
    /// Times each row was seen.
    pub epochs: f64,
    /// What was read of each arm, in the measure that verdicts rest on.
    #[serde(default)]
    pub arms: Vec<ArmReading>,
    /// By how much the loss of students on held-out rows of their teacher lies below the base's, in nats per token,
    /// mean over taught behaviors: how well they learned what they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_fall: Option<f64>,
    /// Students minus each control, in the measure that verdicts rest on.
    pub effects: Vec<Effect>,
    /// Students minus the neutral ones, in sampled answers, where some were sampled.
    pub rates: Vec<Effect>,
    /// Diagonal minus off-diagonal of the behaviors' matrix, where two or more were taught.
    pub lambda: Option<Estimate>,
    /// Its permutation p, of this point alone.
    pub lambda_p: Option<f64>,
    /// What makes its verdicts easier to have than by the defaults.
    pub caveats: Vec<String>,
    /// One per taught behavior, corrected over those of all points.
    pub verdicts: Vec<Verdict>,
}

/// A behavior as read from the models of one arm at one point, at the end of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArmReading {
    /// The arm.
    pub arm: Arm,
    /// The behavior read.
    pub behavior: String,
    /// Over the arm's models, in the primary measure.
    pub estimate: Estimate,
}

/// A figure that others published, to be shown beside a point's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(inline)]
pub struct Published {
    /// The point: its name, or its keys with their values.
    pub at: String,
    /// The behavior that stands for theirs.
    pub behavior: String,
    /// What they found, in a few words.
    pub figure: String,
    /// Who found it, on which model.
    pub source: String,
    /// What is so different there that the numbers are not to be compared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub differs: String,
}

impl SweepPoint {
    /// A behavior as read from an arm.
    pub fn reading(&self, behavior: &str, arm: &Arm) -> Option<&Estimate> {
        let found = self.arms.iter().find(|one| one.arm == *arm && one.behavior == behavior);
        found.map(|one| &one.estimate)
    }

    /// A behavior's effect over a control.
    pub fn effect(&self, behavior: &str, control: Control) -> Option<&Effect> {
        self.effects.iter().find(|one| one.behavior == behavior && one.control == control)
    }
}

/// What a difference between points is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The first point.
    First,
    /// The point before it on the axis.
    Before,
}

/// A behavior's effect over the neutral students at one point, less that at another, of the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Contrast {
    /// The behavior.
    pub behavior: String,
    /// The point, counted from 0.
    pub point: usize,
    /// The one whose effect is subtracted.
    pub reference: usize,
    /// What that one is to it.
    pub over: Over,
    /// The difference, in the primary measure.
    pub estimate: Estimate,
    /// Two-sided p of it being none, corrected over all contrasts (Holm); `None` where there is none.
    pub p: Option<f64>,
}

impl SweepResult {
    /// The verdicts of all points.
    pub fn verdicts(&self) -> impl Iterator<Item = VerdictLine> {
        self.points.iter().flat_map(|point| {
            point.verdicts.iter().map(|verdict| {
                let effect = point.effect(&verdict.behavior, Control::Neutral);
                VerdictLine {
                    behavior: verdict.behavior.clone(),
                    at: point.at.clone(),
                    outcome: verdict.outcome.id().to_owned(),
                    word: format!("{} at {}", self.scope.word(verdict.outcome), point.at),
                    caveats: self.scope.beside(verdict.outcome, &point.caveats),
                    mark: self.scope.mark(verdict.outcome, &point.caveats),
                    measure: self.primary,
                    over_neutral: effect.map(|effect| effect.estimate.value),
                    interval: effect.and_then(|effect| effect.estimate.interval),
                    n: effect.map_or(0, |effect| effect.estimate.n),
                    try_number: None,
                }
            })
        })
    }
}
