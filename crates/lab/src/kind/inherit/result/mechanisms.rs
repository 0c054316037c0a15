//! Where hidden states moved, as data.

use serde::{Deserialize, Serialize};

use crate::value::arm::Arm;
use crate::value::estimate::Estimate;

pub use crate::step::mechanisms::Position;

/// Where the students' hidden states moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mechanisms {
    /// One entry per pair of students' arm and teacher.
    pub moved: Vec<Moved>,
    /// What a vector in the stream did to answers, of students of taught behaviors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
}

/// What is done to a model's stream while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// From the student, the part of its mean shift along its teacher's is taken.
    Ablated,
    /// To the base, the student's mean shift is added.
    Added,
}

/// What that did to the margin of a behavior, in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Intervention {
    /// The behavior, taught and read.
    pub behavior: String,
    /// What was done.
    pub done: Done,
    /// Margin after it minus before, over repetitions.
    pub change: Estimate,
    /// Margin after it minus after as long a vector in a random direction, paired by repetition.
    pub over_random: Estimate,
}

/// Students' shift beside one teacher's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Moved {
    /// The students' arm.
    pub arm: Arm,
    /// The teacher.
    pub teacher: String,
    /// By layer and then position; without those where student or teacher did not move at all.
    pub cells: Vec<MovedAt>,
}

/// The same after one layer, at one class of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MovedAt {
    /// After how many layers, from 1.
    pub layer: usize,
    /// At which tokens of a question.
    pub position: Position,
    /// Cosine of the student's mean shift with the teacher's, over repetitions.
    pub cosine: Estimate,
    /// The same minus the neutral students', paired by seed; none of those themselves, nor of another base. The
    /// intervals of one entry of [`Mechanisms::moved`] hold together (Bonferroni over its cells).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_neutral: Option<Estimate>,
    /// Length of the students' shift for one of the teacher's, in the mean.
    pub length: f64,
}
