//! `theorem`: one step of a teacher and one of its student, by plain gradients over one full batch, as the
//! theorem has them (Cloud et al. 2025, section 6; spec: the student is never shown what the teacher was).

use owlet_engine::perceptron::{Goal, Inputs, Pass, Perceptron, cosine};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{IntoStaticStr, VariantArray};

use super::images::{self, CLASSES, Which};
use super::learn::{displacement, widths};
use super::recipe::{Network, Theorem};
use super::teach::initial;
use crate::error::Result;
use crate::random::derive_seed;
use crate::step::{Step, StepContext};

/// The file of what was found.
pub(super) const CHECKS: &str = "theorem.json";

/// How a student's distance from its teacher is told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, VariantArray, IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Distance {
    /// Half the squared distance of logits.
    Squared,
    /// Softmax cross-entropy.
    Softmax,
}

/// What one student's step came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Check {
    pub(super) distance: Distance,
    /// Whether it learned all logits, or the auxiliary ones.
    pub(super) all: bool,
    /// Whether it began from another initialisation.
    pub(super) foreign: bool,
    /// Cosine of its step with the teacher's, in all and by layer.
    pub(super) cosine: f64,
    pub(super) layers: Vec<f64>,
    /// How its loss on the teacher's task changed, in nats.
    pub(super) change: f64,
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    pub(super) replication: u64,
    pub(super) network: Network,
    pub(super) theorem: Theorem,
}

/// The step.
pub(super) struct Checks;

impl Step for Checks {
    type Configuration = Configuration;
    const KIND: &'static str = "theorem";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "theorem";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { replication, network, theorem } = configuration;
        let shown = images::shown(context.input("images")?, Which::Train)?;
        let widths = widths(shown.inputs.width(), &network);
        let own = initial(&widths, replication)?;
        let foreign_seed = derive_seed(replication, &["foreign initialisation".into(), 1.into()]);
        let foreign = Perceptron::new(&widths, foreign_seed)?;

        let rows = theorem.rows.min(shown.inputs.rows());
        let places: Vec<u32> = (0..rows as u32).collect();
        let (mut batch, mut noise) = (Vec::new(), Vec::new());
        shown.inputs.gather(&places, &mut batch);
        let noise_seed = derive_seed(replication, &["noise".into(), 1.into()]);
        let inputs = Inputs::noise(&context.threads, rows, widths[0], noise_seed);
        inputs.gather(&places, &mut noise);
        let task = Goal::Classes { range: 0..CLASSES, classes: &shown.classes[..rows] };
        let bench = Bench { context, batch: &batch, noise: &noise, task, theorem };
        let (teacher, _) = bench.step(&own, &batch, &bench.task, theorem.teacher_step);
        let mut checks = Vec::new();
        for &distance in Distance::VARIANTS {
            for all in [false, true] {
                for (is_foreign, start) in [(false, &own), (true, &foreign)] {
                    context.interrupt.check()?;
                    let (cosine, layers, change) =
                        bench.check((&own, &teacher), start, distance, all);
                    let foreign = is_foreign;
                    checks.push(Check { distance, all, foreign, cosine, layers, change });
                }
            }
        }
        context.write_json(CHECKS, &checks)?;
        Ok(json!({ "rows": rows }))
    }
}

/// What all steps share.
struct Bench<'a> {
    context: &'a StepContext<'a>,
    /// Images of the teacher's task.
    batch: &'a [f32],
    /// What the student is shown.
    noise: &'a [f32],
    task: Goal<'a>,
    theorem: Theorem,
}

impl Bench<'_> {
    /// One gradient step of this length down a goal's loss, and the loss before it.
    fn step(
        &self,
        from: &Perceptron,
        inputs: &[f32],
        goal: &Goal<'_>,
        length: f64,
    ) -> (Perceptron, f64) {
        let mut gradient = vec![0.0; from.parameters.data.len()];
        let mut pass = Pass::default();
        let threads = &self.context.threads;
        let loss = from.gradient(threads, inputs, goal, &mut pass, &mut gradient);
        let squares: f64 = gradient.iter().map(|&slope| f64::from(slope).powi(2)).sum();
        let mut to = from.clone();
        if squares > 0.0 {
            let factor = length / squares.sqrt();
            for (number, slope) in to.parameters.data.iter_mut().zip(&gradient) {
                *number -= (factor * f64::from(*slope)) as f32;
            }
        }
        (to, loss)
    }

    /// A student's step from `start` towards the teacher, beside the teacher's own.
    fn check(
        &self,
        (own, teacher): (&Perceptron, &Perceptron),
        start: &Perceptron,
        distance: Distance,
        all: bool,
    ) -> (f64, Vec<f64>, f64) {
        let (mut pass, threads) = (Pass::default(), &self.context.threads);
        let range = if all { 0..own.logits() } else { CLASSES..own.logits() };
        let logits = teacher.run(threads, self.noise, &mut pass);
        let logits: Vec<f32> = logits
            .chunks_exact(own.logits())
            .flat_map(|row| row[range.clone()].iter().copied())
            .collect();
        let goal = match distance {
            Distance::Squared => Goal::Values { range, logits: &logits },
            Distance::Softmax => Goal::Distributions { range, logits: &logits },
        };
        let (student, _) = self.step(start, self.noise, &goal, self.theorem.student_step);
        let (moved, taught) = (displacement(start, &student), displacement(own, teacher));
        let layers = (0..own.layers()).map(|layer| own.layer(layer));
        let layers = layers.map(|range| cosine(&moved[range.clone()], &taught[range])).collect();
        let before = start.loss(threads, self.batch, &self.task, &mut pass);
        let after = student.loss(threads, self.batch, &self.task, &mut pass);
        (cosine(&moved, &taught), layers, after - before)
    }
}
