//! `intervene`: is where a student moved what moves its answers?
//!
//! Behind two thirds of the layers a constant is added to the residual stream at every token while the behavior is
//! read: to the student what takes the part of its mean shift along its teacher's back (*ablate*), to the base the
//! student's mean shift (*add*; Blank et al. 2026, arXiv 2606.00995). The shifts are means over all tokens, as that is
//! where they are added. Each stands beside the same with a vector of that length in a direction drawn with the
//! covariance of the base's own stream over the questions.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

use owlet_engine::Model;
use owlet_engine::activation::Positions;

use super::mechanisms::questions;
use super::readout::{self, Variant};
use super::{Step, StepContext, behavior, steer};
use crate::ask::engine::Weights;
use crate::error::Result;
use crate::model::Steered;
use crate::random::cpython::Random;
use crate::value::frame::Frame;
use crate::value::jsonl;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The student's and its teacher's behavior, by name.
    pub behavior: String,
    /// The chat context; a teacher with a system prompt is read under that.
    pub context: String,
    /// How questions are put.
    pub frame: Frame,
    /// Of the random direction.
    pub seed: u64,
}

/// A model as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Way {
    /// The student.
    Student,
    /// The student without its shift along the teacher's.
    Ablated,
    /// The student with as much in a random direction.
    AblatedAtRandom,
    /// The base.
    Base,
    /// The base with the student's shift.
    Added,
    /// The base with as much in a random direction.
    AddedAtRandom,
}

impl Way {
    /// The file of its observations.
    pub(crate) fn file(self) -> String {
        let name: &str = self.into();
        format!("{name}.jsonl")
    }
}

/// The step.
pub struct Intervene;

impl Step for Intervene {
    type Configuration = Configuration;
    const KIND: &'static str = "intervene";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "interventions";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { behavior: name, context: system, frame, seed } = configuration;
        let [base, student, teacher] =
            ["base", "student", "teacher"].map(|role| context.model(role));
        let (base, student, teacher) = (base?, student?, teacher?);
        let prompt = context.system_prompt("teacher")?;
        let asked = behavior::asked(context, &[name])?.remove(0);
        let layer = steer::two_thirds(&base);
        let streams = |model: &Model, system: &str| {
            let questions = questions(&asked, frame, model, system)?;
            steer::streams(context, model, &questions, (layer, Positions::All))
        };
        let own = streams(&base, &system)?;
        let shift = |model: &Model, system: &str| -> Result<Vec<f64>> {
            let moved = steer::mean(&streams(model, system)?);
            Ok(moved.iter().zip(steer::mean(&own)).map(|(after, before)| after - before).collect())
        };
        let taught = shift(&teacher, prompt.as_ref().unwrap_or(&system))?;
        let moved = shift(&student, &system)?;
        let dot = |one: &[f64], other: &[f64]| -> f64 {
            one.iter().zip(other).map(|(one, other)| one * other).sum()
        };
        let along = dot(&moved, &taught) / dot(&taught, &taught).max(f64::MIN_POSITIVE);
        let random = steer::direction(&own, &mut Random::new(seed));
        let unit = dot(&random, &random).sqrt().max(f64::MIN_POSITIVE);
        let scaled = |vector: &[f64], by: f64| -> Vec<f32> {
            vector.iter().map(|x| (by * x) as f32).collect()
        };
        let back = along.abs() * dot(&taught, &taught).sqrt();
        let ways = Way::iter().map(|way| {
            let (model, vector) = match way {
                Way::Student => return (way, student.clone(), None),
                Way::Base => return (way, base.clone(), None),
                Way::Ablated => (&student, scaled(&taught, -along)),
                Way::AblatedAtRandom => (&student, scaled(&random, back / unit)),
                Way::Added => (&base, scaled(&moved, 1.0)),
                Way::AddedAtRandom => (&base, scaled(&random, dot(&moved, &moved).sqrt() / unit)),
            };
            (way, model.clone(), Some(vector))
        });
        let behaviors = [(&asked.behavior, asked.questions.as_slice())];
        let sheet = readout::Questions::new(&behaviors, &[]);
        let variant =
            Variant { update: 0, context: &system, frame, draw: None, before: &[], path: &[] };
        for (way, model, vector) in ways {
            let steered = Steered { layer, strength: 1.0 };
            let model = match vector {
                Some(vector) => steered.apply(&model, vector)?,
                None => model,
            };
            let read = readout::read_candidates(context, &Weights(model), &sheet, &variant)?;
            context.writer.write(&way.file(), &jsonl::to_bytes(&read))?;
        }
        Ok(json!({ "layer": layer, "along": along }))
    }
}
