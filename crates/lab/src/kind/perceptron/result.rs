//! What a `perceptron` run came to.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

pub use super::images::About;
use super::recipe::Tag;
pub use super::theorem::Distance;
use crate::value::arm::Part;
use crate::value::estimate::Estimate;

/// The version of a `perceptron` run's `result.json` that this build writes and reads.
pub const FORMAT: u32 = 1;

/// Whether students took over what their teacher knows, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PerceptronResult {
    /// Version of this format.
    pub format: u32,
    /// `perceptron`: what tells this result from others.
    pub kind: Tag,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The images.
    pub images: About,
    /// The artifact that holds them.
    pub images_artifact: ArtifactId,
    /// Widths of the network, from pixels to logits.
    pub widths: Vec<usize>,
    /// Logits beside those of the classes.
    pub auxiliary: usize,
    /// Images of noise that students saw.
    pub noise: usize,
    /// Independent replications.
    pub replications: usize,
    /// The verdict.
    pub outcome: Outcome,
    /// Every arm, the untouched network and the teacher first.
    pub arms: Vec<ArmResult>,
    /// Every difference between an arm and a control.
    pub effects: Vec<EffectResult>,
    /// How the students of the verdict and their control learned.
    pub courses: Vec<CourseResult>,
    /// The theorem's checks; empty where they were left out.
    pub theorem: Vec<TheoremResult>,
}

impl PerceptronResult {
    /// The arm of this name.
    pub fn arm(&self, name: &str) -> Option<&ArmResult> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// The difference of an arm over a control.
    pub fn effect(&self, arm: &str, control: &str) -> Option<&EffectResult> {
        self.effects.iter().find(|effect| effect.arm == arm && effect.control == control)
    }
}

/// What is said of students that learned auxiliary logits on noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Outcome {
    /// They tell classes better than students of another initialisation, and of permuted outputs.
    Inherited,
    /// Better than students of another initialisation, but not shown better than those of permuted outputs.
    NotSpecific,
    /// Not shown better, and a difference of five points is ruled out.
    NotDetected,
    /// The teacher itself learned nothing, so there was nothing to inherit.
    Uninterpretable,
    /// Too few replications to tell.
    Unknown,
}

impl Outcome {
    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Inherited => "inherited",
            Self::NotSpecific => "not told apart from permuted outputs",
            Self::NotDetected => "not detected",
            Self::Uninterpretable => "uninterpretable",
            Self::Unknown => "too few to tell",
        }
    }
}

/// An arm's accuracy on test images, over the logits of the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArmResult {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub words: String,
    /// What it is in the comparison.
    pub part: Part,
    /// What others had, where they published it.
    pub published: String,
    /// Auxiliary logits of its networks.
    pub auxiliary: usize,
    /// How many hops from the teacher; 0 for the teacher and the untouched network.
    pub hop: usize,
    /// Mean accuracy, 0 to 1.
    pub accuracy: Estimate,
    /// Accuracy by replication.
    pub values: Vec<f64>,
    /// Mean accuracy where its training began.
    pub begun: f64,
    /// Cosine of its whole way with its teacher's.
    pub cosine: Option<Estimate>,
}

/// A difference between an arm and a control, paired by replication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EffectResult {
    /// The arm.
    pub arm: String,
    /// What was subtracted.
    pub control: String,
    /// The difference in accuracy.
    pub difference: Estimate,
    /// Two-sided p of the paired t test.
    pub p: Option<f64>,
    /// The same corrected for the number of treatments compared (Holm); none for controls.
    pub holm: Option<f64>,
}

/// How students learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CourseResult {
    /// The arm.
    pub arm: String,
    /// In the order of time.
    pub points: Vec<CoursePoint>,
}

/// One time of their training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CoursePoint {
    /// Updates so far.
    pub update: usize,
    /// The same in epochs.
    pub epoch: f64,
    /// Accuracy.
    pub accuracy: Estimate,
    /// Cosine of the way so far with the teacher's whole way.
    pub cosine: Option<Estimate>,
    /// The same by layer, the input's first.
    pub layers: Vec<Estimate>,
}

/// Single gradient steps of students beside their teachers'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TheoremResult {
    /// How the distance from the teacher is told.
    pub distance: Distance,
    /// Whether all logits were learned, or the auxiliary ones.
    pub all: bool,
    /// Whether students began from another initialisation: the control.
    pub foreign: bool,
    /// Cosine of the steps.
    pub cosine: Estimate,
    /// The same by layer, the input's first.
    pub layers: Vec<Estimate>,
    /// Replications in which it was above zero.
    pub along: usize,
    /// Change of the loss on the teacher's task, in nats.
    pub change: Estimate,
    /// Replications in which it fell.
    pub fell: usize,
}
