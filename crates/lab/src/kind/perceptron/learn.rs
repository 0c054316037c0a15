//! How a network of a run is made and taught: what teachers and students have in common.

use std::ops::Range;

use owlet_engine::perceptron::{Goal, Inputs, Learner, Perceptron, cosine};
use owlet_store::Artifact;
use serde::{Deserialize, Serialize};

use super::images::{CLASSES, Shown};
use super::recipe::{Course, Network};
use crate::error::Result;
use crate::random::numpy::Generator;
use crate::step::StepContext;

/// The network of an artifact that a teacher or a student is.
pub(super) const NETWORK: &str = "network.safetensors";
/// What was seen of it while it learned.
pub(super) const LOOKS: &str = "looks.json";
/// The kind of such an artifact.
pub(super) const OUTPUT: &str = "perceptron";

/// Updates of the first epoch after which a network is looked at; afterwards it is after each epoch.
const EARLY: [usize; 3] = [1, 4, 16];

/// A network as it was at some time of its training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Look {
    /// Updates so far.
    pub(super) update: usize,
    /// The same in epochs.
    pub(super) epoch: f64,
    /// Mean loss since the last look, in nats.
    pub(super) loss: f64,
    /// Share of test images it tells right, 0 to 1, over the logits of the classes.
    pub(super) accuracy: f64,
    /// Cosine between how it has moved and how its teacher had, over all numbers; none for a teacher.
    pub(super) cosine: Option<f64>,
    /// The same layer by layer, the input's first.
    pub(super) layers: Vec<f64>,
}

/// What an artifact says of how its network learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Learned {
    /// Its accuracy before it learned anything.
    pub(super) untouched: f64,
    /// Its accuracy where the comparison begins: after it was matched, where it was.
    pub(super) begun: f64,
    /// The last one is the end.
    pub(super) looks: Vec<Look>,
}

impl Learned {
    /// Accuracy at the end.
    pub(super) fn accuracy(&self) -> f64 {
        self.looks.last().map_or(self.begun, |look| look.accuracy)
    }
}

/// The widths of a network on images of so many pixels.
pub(super) fn widths(pixels: usize, network: &Network) -> Vec<usize> {
    let ends = [CLASSES + network.auxiliary];
    [pixels].iter().chain(&network.hidden).chain(&ends).copied().collect()
}

/// The network of an artifact.
pub(super) fn network(artifact: &Artifact, widths: &[usize]) -> Result<Perceptron> {
    Ok(Perceptron::from_bytes(widths, &artifact.read(NETWORK)?)?)
}

/// What a network should say of each row.
pub(super) enum Wanted {
    /// A class.
    Classes(Vec<u32>),
    /// The distribution of these logits, `[rows, range]`.
    Logits(Range<usize>, Vec<f32>),
}

impl Wanted {
    /// What a teacher says of inputs, of the logits in `range`.
    pub(super) fn of(
        teacher: &Perceptron,
        inputs: &Inputs,
        range: Range<usize>,
        context: &StepContext<'_>,
    ) -> Result<Self> {
        let logits = inputs.logits(&context.threads, teacher, || context.interrupt.check())?;
        let rows = logits.chunks_exact(teacher.logits());
        let seen = rows.flat_map(|row| row[range.clone()].iter().copied()).collect();
        Ok(Self::Logits(range, seen))
    }

    /// The same, given to other inputs.
    pub(super) fn shuffled(self, seed: u64) -> Self {
        let order = |rows: usize| {
            let mut order: Vec<usize> = (0..rows).collect();
            Generator::new(seed).shuffle(&mut order);
            order
        };
        match self {
            Self::Classes(classes) => {
                Self::Classes(order(classes.len()).into_iter().map(|row| classes[row]).collect())
            }
            Self::Logits(range, logits) => {
                let width = range.len();
                let order = order(logits.len() / width);
                let moved = order.into_iter().flat_map(|row| &logits[row * width..][..width]);
                let moved = moved.copied().collect();
                Self::Logits(range, moved)
            }
        }
    }
}

/// Reports while a network learns, and looks at it.
pub(super) struct Watch<'a> {
    pub(super) context: &'a StepContext<'a>,
    /// Updates that come before, and updates in all.
    pub(super) done: usize,
    pub(super) total: usize,
    /// What it is examined on; without, it is not looked at.
    pub(super) examination: Option<Examination<'a>>,
}

/// What a network is examined on.
pub(super) struct Examination<'a> {
    pub(super) tests: &'a Shown,
    /// Where it began, and how its teacher moved.
    pub(super) along: Option<(&'a Perceptron, &'a [f32])>,
}

impl Examination<'_> {
    pub(super) fn accuracy(&self, network: &Perceptron, context: &StepContext<'_>) -> f64 {
        let Shown { inputs, classes } = self.tests;
        inputs.accuracy(&context.threads, network, classes, CLASSES)
    }

    /// How a network moved, beside how its teacher did: in all, and by layer.
    fn cosines(&self, network: &Perceptron) -> (Option<f64>, Vec<f64>) {
        let Some((from, teacher)) = self.along else { return (None, Vec::new()) };
        let moved = displacement(from, network);
        let layers = (0..network.layers()).map(|layer| network.layer(layer));
        let layers = layers.map(|range| cosine(&moved[range.clone()], &teacher[range])).collect();
        (Some(cosine(&moved, teacher)), layers)
    }
}

/// How far a network moved, number by number.
pub(super) fn displacement(from: &Perceptron, to: &Perceptron) -> Vec<f32> {
    to.parameters.data.iter().zip(&*from.parameters.data).map(|(to, from)| to - from).collect()
}

/// Updates of a course over so many rows.
pub(super) fn updates(course: &Course, rows: usize) -> usize {
    course.epochs * rows.div_ceil(course.batch)
}

/// Teaches a network `wanted` of `inputs`, in an order of chance that is new in each epoch.
///
/// # Errors
/// A wish to stop, and a loss that is no number.
pub(super) fn learn(
    network: Perceptron,
    (inputs, wanted): (&Inputs, &Wanted),
    course: &Course,
    order_seed: u64,
    watch: &Watch<'_>,
) -> Result<(Perceptron, Vec<Look>)> {
    let context = watch.context;
    let mut learner = Learner::new(network, course.optimizer.settings(), course.learning_rate);
    let mut order: Vec<u32> = (0..inputs.rows() as u32).collect();
    let mut random = Generator::new(order_seed);
    let per_epoch = order.len().div_ceil(course.batch);
    let (mut batch, mut classes, mut logits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut looks, mut losses) = (Vec::new(), Vec::new());
    for _ in 0..course.epochs {
        random.shuffle(&mut order);
        for places in order.chunks(course.batch) {
            context.interrupt.check()?;
            inputs.gather(places, &mut batch);
            let goal = match wanted {
                Wanted::Classes(all) => {
                    classes.clear();
                    classes.extend(places.iter().map(|&place| all[place as usize]));
                    Goal::Classes { range: 0..CLASSES, classes: &classes }
                }
                Wanted::Logits(range, all) => {
                    let width = range.len();
                    logits.clear();
                    for &place in places {
                        logits.extend_from_slice(&all[place as usize * width..][..width]);
                    }
                    Goal::Distributions { range: range.clone(), logits: &logits }
                }
            };
            let loss = learner.update(&context.threads, &batch, &goal)?;
            losses.push(loss);
            let update = learner.updates();
            context.report(watch.done + update, watch.total, "updates", Some(loss));
            let is_early = update < per_epoch && EARLY.contains(&update);
            if let Some(examination) =
                watch.examination.as_ref().filter(|_| is_early || update.is_multiple_of(per_epoch))
            {
                let (cosine, layers) = examination.cosines(&learner.network);
                looks.push(Look {
                    update,
                    epoch: update as f64 / per_epoch as f64,
                    loss: losses.iter().sum::<f64>() / losses.len() as f64,
                    accuracy: examination.accuracy(&learner.network, context),
                    cosine,
                    layers,
                });
                losses.clear();
            }
        }
    }
    Ok((learner.network, looks))
}
