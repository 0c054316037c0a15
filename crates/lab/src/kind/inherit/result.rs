//! What an `inherit` run found, as data: readings, effects with intervals, the matrix, gates, warnings and
//! verdicts.
//!
//! Everything here is computed from artifacts by the `estimate` step and written as `result.json`;
//! reports are views over these types and add no numbers of their own. Same artifacts, same bytes:
//! no times, no paths, no ids of this machine.

mod cards;
mod format_1;
mod format_2;
mod judging;
mod mechanisms;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::recipe::Learn;
use crate::report::block::Mark;
pub use crate::value::arm::{Arm, Control, Part, Taught};
pub use crate::value::estimate::{Estimate, Interval, Method};
pub use crate::value::measure::{Measure, SideMeasure};
pub use crate::value::observation::Frame;
pub use cards::{RowsCard, TeacherCard};
pub use judging::{Confusion, Corrected, Judging, Labels};
pub use mechanisms::{Done, Intervention, Mechanisms, Moved, MovedAt, Position};
pub use verdict::{Outcome, Verdict, Warning};

/// The version of `result.json` this build writes. It reads 1 and 2 as well.
pub const FORMAT: u32 = 3;

/// The whole answer of an `inherit` run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InheritResult {
    /// Version of this format.
    pub format: u32,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The base model, as the recipe names it.
    pub base: String,
    /// Taught behaviors, in the recipe's order.
    pub behaviors: Vec<String>,
    /// Behaviors read but not taught.
    pub read_also: Vec<String>,
    /// Those of both that are agreement with statements; the others are preferences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// Behaviors that are ways of answering: what is read is how often a question is answered so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispositions: Vec<String>,
    /// How answers were judged, of behaviors that judges read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judging: Vec<Judging>,
    /// Name of the carrier.
    pub carrier: String,
    /// Whether rows, or pairs of them, were given by path.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given: bool,
    /// Whether rows that the filter finds unfit are used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfiltered: bool,
    /// What was repeated, and how often.
    pub replication: Replication,
    /// The chat context that rows and readouts share.
    pub context: String,
    /// How questions are put where verdicts rest on the answers.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub frame: Frame,
    /// By behavior, what its answers are begun with in that frame.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub openings: BTreeMap<String, String>,
    /// Every arm that was read, in the order reports show them.
    pub arms: Vec<Arm>,
    /// What was read: one entry for each arm, context, frame, behavior and measure, at the end of training.
    pub readings: Vec<Reading>,
    /// Sampled answers by outcome.
    pub answers: Vec<Answers>,
    /// Differences between a treatment and its control.
    pub effects: Vec<Effect>,
    /// Teachers against readouts, where two or more behaviors were taught.
    pub matrix: Option<Matrix>,
    /// Margins along training.
    pub dose: Vec<DosePoint>,
    /// One per teacher, the neutral one included.
    pub teachers: Vec<TeacherCard>,
    /// One per arm of rows.
    pub rows: Vec<RowsCard>,
    /// What else changed in the students.
    pub side_effects: Vec<SideEffect>,
    /// How the students' updates lie to their teachers' updates.
    pub geometry: Option<Geometry>,
    /// Where the students' hidden states moved, beside their teachers'; where the recipe asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanisms: Option<Mechanisms>,
    /// Conditions fixed before the run, without which an answer means nothing.
    pub gates: Vec<Gate>,
    /// What would mislead a reader who did not know it.
    pub warnings: Vec<Warning>,
    /// Controls and readouts the recipe turned off.
    pub left_out: Vec<String>,
    /// What the verdicts rest on.
    pub primary: Measure,
    /// What decides them, fixed before the run; `None` in results of older formats, whose rule was another.
    pub rule: Option<Rule>,
    /// What makes verdicts of this run easier to have than by the defaults, or says less: each stands in every
    /// verdict, and with any of them none is a plain yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The word that each behavior is about, where it is another than the behavior's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, String>,
    /// One per taught behavior.
    pub verdicts: Vec<Verdict>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_plain(frame: &Frame) -> bool {
    *frame == Frame::Plain
}

/// What decides a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Confidence level of intervals; 1 minus it bounds the chance of any false "inherited" in the run.
    pub level: f64,
    /// The smallest effect that matters, in the primary measure.
    pub smallest_effect: f64,
    /// The least probability that all candidates together must have for a margin to mean something.
    pub least_mass: f64,
    /// Over how many verdicts p is corrected: one per behavior, of all points of a sweep.
    pub behaviors: usize,
}

/// How far a verdict reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Teachers, rows and students were drawn anew in every repetition: it is about the whole path.
    Anew,
    /// One teacher and one set of rows per behavior served all students: it is about those rows alone.
    #[default]
    TheseRows,
}

impl Scope {
    /// An outcome in words, with how far it reaches.
    pub fn word(self, outcome: Outcome) -> String {
        match (self, outcome) {
            (Self::Anew, _) | (_, Outcome::Uninterpretable) => outcome.word().to_owned(),
            (Self::TheseRows, _) => format!("{} for these rows", outcome.word()),
        }
    }

    /// What makes an outcome easier to have, as it goes on in words: of one that says nothing, nothing.
    pub fn beside(self, outcome: Outcome, caveats: &[String]) -> String {
        match outcome {
            Outcome::Uninterpretable => String::new(),
            _ => caveats.iter().fold(String::new(), |words, caveat| words + ", " + caveat),
        }
    }

    /// What a unit of replication, as formats 1 and 2 worded it, held.
    pub(super) fn of_old(unit: &str) -> Self {
        if unit.starts_with("teacher pair") { Self::Anew } else { Self::TheseRows }
    }

    /// The mark before an outcome. Of rows that were drawn once no verdict is a plain yes, nor is any with a
    /// caveat.
    pub fn mark(self, outcome: Outcome, caveats: &[String]) -> Mark {
        match (outcome, self) {
            (Outcome::Inherited, Self::Anew) if caveats.is_empty() => Mark::Yes,
            (Outcome::NotDetected, _) => Mark::No,
            _ => Mark::Unclear,
        }
    }
}

/// What repetitions share of their prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prompts {
    /// Nothing: each draws its own from a grammar.
    #[default]
    Anew,
    /// Some: each draws its own from one file.
    Drawn,
    /// All of them.
    Same,
}

/// What was repeated: stands beside every estimate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replication {
    /// The unit of replication and what it holds.
    pub unit: String,
    /// What verdicts are about.
    #[serde(default)]
    pub scope: Scope,
    /// What repetitions share of their prompts.
    #[serde(default)]
    pub prompts: Prompts,
    /// The seeds, one student of every condition each.
    pub seeds: Vec<u64>,
    /// Unique rows each student saw.
    pub unique_rows: usize,
    /// Updates each student took.
    pub updates: usize,
    /// Rows per update.
    pub batch: usize,
    /// Times each row was seen: `updates · batch / unique-rows`.
    pub epochs: f64,
    /// What was learned of them.
    #[serde(default, skip_serializing_if = "Learn::is_rows")]
    pub learn: Learn,
}

/// One behavior as read from the models of one arm, in one measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reading {
    /// The arm.
    pub arm: Arm,
    /// Name of the chat context.
    pub context: String,
    /// What stood around each question.
    pub frame: Frame,
    /// The behavior read.
    pub behavior: String,
    /// In what.
    pub measure: Measure,
    /// Over the arm's models; of a single model, over its questions or answers.
    pub estimate: Estimate,
    /// One entry per model, or per draw of rows.
    pub models: Vec<ModelReading>,
}

/// The same as read from one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelReading {
    /// The model's seed; `None` where the arm is one model.
    pub seed: Option<u64>,
    /// Mean over questions.
    pub value: f64,
    /// Of a rate: its Wilson interval over this model's answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

impl Reading {
    /// Values of models that have a seed.
    pub fn by_seed(&self) -> BTreeMap<u64, f64> {
        self.models.iter().filter_map(|model| Some((model.seed?, model.value))).collect()
    }

    /// The mean over models, or over draws.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.models.iter().map(|model| model.value).sum();
        (!self.models.is_empty()).then(|| sum / self.models.len() as f64)
    }
}

/// What sampled answers of one arm amount to for one behavior.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answers {
    /// The arm.
    pub arm: Arm,
    /// Name of the chat context.
    pub context: String,
    /// What stood around each question.
    pub frame: Frame,
    /// The behavior read.
    pub behavior: String,
    /// How many answers came out how (`target`, another candidate by its word, `empty`, `cut off`, ...).
    pub outcomes: BTreeMap<String, usize>,
}

/// A treatment minus its control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Effect {
    /// The behavior, taught and read.
    pub behavior: String,
    /// In what it is measured.
    pub measure: Measure,
    /// The arm on the left of the minus.
    pub treatment: Arm,
    /// What is subtracted.
    pub control: Control,
    /// Name of the chat context.
    pub context: String,
    /// What stood around each question.
    pub frame: Frame,
    /// The difference.
    pub estimate: Estimate,
    /// Two-sided p of the t test that the interval is made of; `None` where there is none.
    pub p: Option<f64>,
    /// Differences, in the order of [`Replication::seeds`].
    pub per_seed: Vec<f64>,
}

/// Score of every read behavior in the students of every teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Matrix {
    /// In what it is measured (each cell minus the neutral student's).
    pub measure: Measure,
    /// Rows: taught behaviors.
    pub teachers: Vec<String>,
    /// Columns: read behaviors; the first ones are the rows' in the same order.
    pub readouts: Vec<String>,
    /// `cells[i][j]`: behavior `readouts[j]` in the students of `teachers[i]`. Their intervals hold together
    /// (Bonferroni over all cells), so that one that leaves out zero is a finding of its own.
    pub cells: Vec<Vec<Estimate>>,
    /// Mean of the diagonal minus mean of the off-diagonal, over taught behaviors.
    pub lambda: Estimate,
    /// Permutation p of lambda (relabelling teachers within replicates); `None` where replicates share
    /// their rows, whose luck no relabelling undoes.
    pub p: Option<f64>,
}

/// What was read at one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DosePoint {
    /// The arm.
    pub arm: Arm,
    /// The behavior read.
    pub behavior: String,
    /// In what.
    pub measure: Measure,
    /// Updates taken.
    pub update: usize,
    /// Over the arm's students.
    pub estimate: Estimate,
    /// The same minus the neutral students', paired by seed.
    pub over_neutral: Option<Estimate>,
}

/// Something beside the behavior that training changed, or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SideEffect {
    /// The arm.
    pub arm: Arm,
    /// What was measured.
    pub measure: SideMeasure,
    /// What a person reads: the measure in words, with its unit.
    pub label: String,
    /// The students'.
    pub estimate: Estimate,
    /// The untouched base's.
    pub base: Option<f64>,
    /// The students' minus the neutral students', paired by seed. Of students of taught behaviors; their
    /// intervals hold together (Bonferroni over all of them). Absent in results of former versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_neutral: Option<Estimate>,
    /// Of the neutral students: their difference to the base; the intervals of the group hold together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_base: Option<Estimate>,
}

/// How updates lie to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Geometry {
    /// One entry per pair of students' arm and teacher.
    pub cosines: Vec<Cosine>,
}

/// Cosine of the students' updates with one teacher's update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cosine {
    /// The students' arm.
    pub arm: Arm,
    /// The teacher.
    pub teacher: String,
    /// Over all projection matrices: neither embeddings nor norms.
    pub total: Estimate,
    /// Per layer, in order.
    pub per_layer: Vec<f64>,
    /// The same cosine with the teacher's update permuted along hidden units, which shares no basis: the mean
    /// over all permutations; in older results, of one.
    pub permuted: Estimate,
    /// Between which the mean over students lies under as many of all permutations as the level says, by their
    /// exact mean and deviation and the normal distribution; `None` in older results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permuted_range: Option<Interval>,
    /// Two-sided p of `total` among all permutations, made alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
}

/// A condition fixed before the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// The behavior it is about; `None`: all.
    pub behavior: Option<String>,
    /// Whether it held.
    pub passed: bool,
    /// What was measured.
    pub measured: f64,
    /// The least that was wanted.
    pub wanted: f64,
    /// What a failure means for the answer.
    pub what_it_means: String,
    /// Whether a failure leaves no answer at all; others doubt nulls alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voids: bool,
}

impl InheritResult {
    /// Whether a behavior is agreement with statements.
    pub fn is_statements(&self, behavior: &str) -> bool {
        self.statements.iter().any(|name| name == behavior)
    }

    /// Whether a behavior is a way of answering.
    pub fn is_disposition(&self, behavior: &str) -> bool {
        self.dispositions.iter().any(|name| name == behavior)
    }

    /// How an arm reads in the matched context, with questions put as verdicts want it.
    pub fn reading(&self, arm: &Arm, behavior: &str, measure: Measure) -> Option<&Reading> {
        self.readings.iter().find(|reading| {
            reading.arm == *arm
                && reading.behavior == behavior
                && reading.measure == measure
                && self.is_matched(&reading.context, reading.frame)
        })
    }

    /// How the arms that say something about a behavior read in the matched context, with questions put
    /// as verdicts want it, in the order reports show them.
    pub fn concerning<'a>(
        &'a self,
        behavior: &'a str,
        measure: Measure,
    ) -> impl Iterator<Item = &'a Reading> {
        self.readings.iter().filter(move |reading| {
            reading.behavior == behavior
                && reading.measure == measure
                && reading.arm.concerns(behavior)
                && self.is_matched(&reading.context, reading.frame)
        })
    }

    /// The word that a behavior is about.
    pub fn target<'a>(&'a self, behavior: &'a str) -> &'a str {
        self.targets.get(behavior).map_or(behavior, String::as_str)
    }

    /// Whether this is where rows and readouts share context and form.
    pub fn is_matched(&self, context: &str, frame: Frame) -> bool {
        frame == self.frame && context == self.context
    }

    /// What another place than the matched one is called: its chat context, or its frame.
    pub fn place<'a>(&self, context: &'a str, frame: Frame) -> &'a str {
        if frame == self.frame { context } else { frame.label().unwrap_or(frame.name()) }
    }

    /// How questions about a behavior are put where verdicts rest on the answers, in words; nothing where they
    /// stand as they are.
    pub fn put(&self, behavior: &str) -> Option<String> {
        if self.frame == Frame::Choice {
            return Some("put as lettered options".to_owned());
        }
        self.openings.get(behavior).map(|opening| format!("each answer begun with \"{opening}\""))
    }

    /// The same readings' other measure: the reading of the same models in the same place.
    pub fn beside(&self, reading: &Reading, measure: Measure) -> Option<&Reading> {
        self.readings.iter().find(|other| {
            other.measure == measure
                && other.arm == reading.arm
                && other.context == reading.context
                && other.frame == reading.frame
                && other.behavior == reading.behavior
        })
    }

    /// Sampled answers behind a reading, by outcome.
    pub fn outcomes(&self, reading: &Reading) -> Option<&BTreeMap<String, usize>> {
        let of = self.answers.iter().find(|answers| {
            answers.arm == reading.arm
                && answers.context == reading.context
                && answers.frame == reading.frame
                && answers.behavior == reading.behavior
        });
        of.map(|answers| &answers.outcomes)
    }

    /// The effect on `behavior` against `control` in the matched context.
    pub fn effect(&self, behavior: &str, measure: Measure, control: Control) -> Option<&Effect> {
        self.effects.iter().find(|effect| {
            effect.behavior == behavior
                && effect.measure == measure
                && effect.control == control
                && self.is_matched(&effect.context, effect.frame)
        })
    }

    /// The effects on `behavior` in the matched context: what a verdict looks at first.
    pub fn matched_effects<'a>(
        &'a self,
        behavior: &'a str,
        measure: Measure,
    ) -> impl Iterator<Item = &'a Effect> {
        self.effects.iter().filter(move |effect| {
            effect.behavior == behavior
                && effect.measure == measure
                && self.is_matched(&effect.context, effect.frame)
        })
    }

    /// Reads `result.json` of this format or an older one; a newer one is refused by name.
    pub fn parse(bytes: &[u8], origin: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let broken = |source: serde_json::Error| Error::record(origin, source);
        let head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        match head.format {
            1 => format_1::parse(bytes).map_err(broken),
            2 => format_2::parse(bytes).map_err(broken),
            other => {
                Error::check_format(origin, other, FORMAT)?;
                serde_json::from_slice(bytes).map_err(broken)
            }
        }
    }

    /// The bytes of `result.json`: indented, keys in declaration order, one line feed at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .expect("a result serialises because its maps have string keys");
        bytes.push(b'\n');
        bytes
    }
}
