//! `intervene`: is where a student moved what moves its answers?
//!
//! Behind two thirds of the layers constants are added to the residual stream while the behavior is read: to the
//! student what takes the part of its mean shift along its teacher's back (*ablate*), to the base the student's mean
//! shift (*add*; Blank et al. 2026, arXiv 2606.00995), each at the class of tokens that it is the mean of. Beside them
//! stands the same with vectors as long in a direction drawn with the covariance of the base's own stream.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

use owlet_engine::Model;
use owlet_engine::activation::Addition;

use super::mechanisms::{dot, length, means, minus, questions};
use super::readout::{self, Variant};
use super::{Step, StepContext, behavior, steer};
use crate::ask::engine::Weights;
use crate::error::Result;
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
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "interventions";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { behavior: name, context: system, frame, seed } = configuration;
        let [base, student, teacher] =
            ["base", "student", "teacher"].map(|role| context.model(role));
        let (base, student, teacher) = (base?, student?, teacher?);
        let prompt = context.system_prompt("teacher")?;
        let asked = behavior::asked(context, &[name])?.remove(0);
        let layer = steer::two_thirds(&base);
        let read = |model: &Model, system: &str| -> Result<ByClass> {
            let questions = questions(&asked, frame, model, system)?;
            Ok(means(context, model, &questions)?.swap_remove(layer - 1))
        };
        let before = read(&base, &system)?;
        let shift = |after: &ByClass| by_class(|at| minus(&after[at], &before[at]));
        let taught = shift(&read(&teacher, prompt.as_ref().unwrap_or(&system))?);
        let moved = shift(&read(&student, &system)?);
        let along = by_class(|at| {
            let (moved, taught) = (&moved[at], &taught[at]);
            times(taught, dot(moved, taught) / dot(taught, taught).max(f64::MIN_POSITIVE))
        });
        let shown = questions(&asked, frame, &base, &system)?;
        let streams = steer::last(context, &base, &shown, layer)?;
        let random = steer::direction(&streams, &mut Random::new(seed));
        let unit = length(&random).max(f64::MIN_POSITIVE);
        let at_random = |of: &ByClass| by_class(|at| times(&random, length(&of[at]) / unit));
        let variant =
            Variant { update: 0, context: &system, frame, draw: None, before: &[], path: &[] };
        for way in Way::iter() {
            let (model, added) = match way {
                Way::Student => (&student, None),
                Way::Ablated => (&student, Some(by_class(|at| times(&along[at], -1.0)))),
                Way::AblatedAtRandom => (&student, Some(at_random(&along))),
                Way::Base => (&base, None),
                Way::Added => (&base, Some(moved.clone())),
                Way::AddedAtRandom => (&base, Some(at_random(&moved))),
            };
            let mut all = Vec::new();
            for (text, tokens) in asked.questions.iter().zip(&shown) {
                let model = match &added {
                    Some(added) => model.steered(additions(added, layer, tokens.len()))?,
                    None => model.clone(),
                };
                let own = [(&asked.behavior, std::slice::from_ref(text))];
                let sheet = readout::Questions::new(&own, &[]);
                all.extend(readout::read_candidates(context, &Weights(model), &sheet, &variant)?);
            }
            context.writer.write(&way.file(), &jsonl::to_bytes(&all))?;
        }
        Ok(json!({ "layer": layer }))
    }
}

/// One vector for each class of tokens.
type ByClass = [Vec<f64>; 3];

fn by_class(of: impl FnMut(usize) -> Vec<f64>) -> ByClass {
    std::array::from_fn(of)
}

fn times(vector: &[f64], by: f64) -> Vec<f64> {
    vector.iter().map(|x| by * x).collect()
}

/// The vectors at their tokens of a question of so many, the last one's also at those of the answer.
fn additions(vectors: &ByClass, layer: usize, tokens: usize) -> Vec<Addition> {
    let last = tokens - 1;
    let places = [0..last.min(1), 1..last, last..usize::MAX];
    let added = places.into_iter().zip(vectors).map(|(positions, vector)| Addition {
        layer,
        positions,
        vector: vector.iter().map(|&x| x as f32).collect(),
    });
    added.collect()
}
