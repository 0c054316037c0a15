//! `mechanisms`: where a student's hidden state moved, and whether its teacher's moved there.
//!
//! The shift of a model is the mean over questions of its residual stream minus its base's, after every layer and at
//! three classes of tokens. Told is the cosine of a student's shift with each teacher's (Crispell's silent shift; at
//! one layer and with a steered teacher the EAS of Blank et al. 2026, arXiv 2606.00995), and how far the student went
//! for each step of its teacher. Both are read on the questions by which the teacher's behavior is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{EnumIter, IntoEnumIterator, IntoStaticStr};

use owlet_engine::activation::{Positions, capture};
use owlet_engine::{Model, Token};

use super::{Step, StepContext, behavior, readout};
use crate::error::Result;
use crate::model::chat::{self, message};
use crate::value::frame::{Frame, Put};

/// The file of shifts.
pub(crate) const FILE: &str = "mechanisms.json";
/// Prefix of the teachers' roles.
pub const TEACHER: &str = "teacher:";
/// The role of the student's own base, where it is another than its teacher's.
pub const OWN_BASE: &str = "own-base";
/// Questions read between two looks at whether to stop; bounds what is kept of all layers.
const GROUP: usize = 8;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The behaviors whose teachers are compared, by name.
    pub asked: Vec<String>,
    /// The chat context; a teacher with a system prompt is read under that.
    pub context: String,
    /// How questions are put.
    pub frame: Frame,
}

/// A class of the tokens of a question.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Position {
    /// The first one.
    First,
    /// All between, in the mean.
    Middle,
    /// The last one, before the answer.
    Last,
}

/// How a student's shift lies to one teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Shift {
    /// After how many layers, from 1.
    pub layer: usize,
    /// At which tokens.
    pub position: Position,
    /// Their cosine.
    pub cosine: f64,
    /// Length of the student's shift for one of the teacher's.
    pub length: f64,
}

/// The step.
pub struct Mechanisms;

impl Step for Mechanisms {
    type Configuration = Configuration;
    const KIND: &'static str = "mechanisms";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "mechanisms";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = context.model("base")?;
        let student = context.model("student")?;
        let own = match context.inputs.get(OWN_BASE) {
            Some(own) => context.models.load(own)?,
            None => base.clone(),
        };
        let size = |model: &Model| (model.decoder.config.layers, model.decoder.config.width);
        let mut shifts: BTreeMap<String, Vec<Shift>> = BTreeMap::new();
        let asked = behavior::asked(context, &configuration.asked)?;
        for (done, asked) in asked.iter().enumerate() {
            context.report(done, configuration.asked.len(), "teachers", None);
            let name = &asked.behavior.name;
            let role = format!("{TEACHER}{name}");
            // Streams of other sizes have no directions in common.
            if !context.inputs.contains_key(&role) || size(&own) != size(&base) {
                continue;
            }
            let teacher = context.model(&role)?;
            let prompt = context.system_prompt(&role)?;
            let read = |model: &Model, system: &str| {
                means(context, model, &questions(asked, configuration.frame, model, system)?)
            };
            let system = &configuration.context;
            let before = read(&base, system)?;
            let taught = read(&teacher, prompt.as_ref().unwrap_or(system))?;
            let own_before = if context.inputs.contains_key(OWN_BASE) {
                read(&own, system)?
            } else {
                before.clone()
            };
            let moved = read(&student, system)?;
            let places = Position::iter()
                .flat_map(|position| (1..=size(&base).0).map(move |layer| (layer, position)));
            let shift = |(layer, position): (usize, Position)| {
                let at = |means: &Means| means[layer - 1][position as usize].clone();
                let taught = minus(&at(&taught), &at(&before));
                let moved = minus(&at(&moved), &at(&own_before));
                let (long, longer) = (length(&moved), length(&taught));
                // Who did not move has no direction.
                (long > 0.0 && longer > 0.0).then(|| Shift {
                    layer,
                    position,
                    cosine: dot(&moved, &taught) / (long * longer),
                    length: long / longer,
                })
            };
            shifts.insert(name.clone(), places.filter_map(shift).collect());
        }
        context.write_json(FILE, &shifts)?;
        Ok(json!({ "teachers": shifts.len() }))
    }
}

/// Mean streams: by layer from the first and by class of position, each `[width]`.
pub(super) type Means = Vec<[Vec<f64>; 3]>;

/// The questions that a behavior is read by, as tokens up to the answer.
pub(super) fn questions(
    asked: &behavior::Asked,
    frame: Frame,
    model: &Model,
    system: &str,
) -> Result<Vec<Vec<Token>>> {
    let (behavior, texts) = (&asked.behavior, asked.questions.as_slice());
    behavior.opening_in(frame)?;
    let sheet = readout::Questions::new(&[(behavior, texts)], &[]).sheet;
    let tokens =
        |put: Put| chat::opened(model, system, &[message("user", &put.text)], &put.opening);
    texts.iter().flat_map(|text| sheet.puts(frame, text)).map(tokens).collect()
}

pub(super) fn means(
    context: &StepContext<'_>,
    model: &Model,
    sequences: &[Vec<Token>],
) -> Result<Means> {
    let (layers, width) = (model.decoder.config.layers, model.decoder.config.width);
    let after: Vec<usize> = (1..=layers).collect();
    let mut sums: Means = vec![std::array::from_fn(|_| vec![0.0; width]); layers];
    for group in sequences.chunks(GROUP) {
        context.interrupt.check()?;
        for streams in capture(model, group, &after, Positions::All, &context.threads)? {
            for (sums, stream) in sums.iter_mut().zip(&streams) {
                let rows: Vec<&[f32]> = stream.chunks_exact(width).collect();
                let last = rows.len() - 1;
                // Where nothing stands between, the last one is there as well.
                let between = if last > 1 { &rows[1..last] } else { &rows[last..] };
                for (sum, rows) in sums.iter_mut().zip([&rows[..1], between, &rows[last..]]) {
                    let part = 1.0 / (rows.len().max(1) * sequences.len()) as f64;
                    for row in rows {
                        for (sum, &x) in sum.iter_mut().zip(*row) {
                            *sum += part * f64::from(x);
                        }
                    }
                }
            }
        }
    }
    Ok(sums)
}

pub(super) fn minus(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one - other).collect()
}

pub(super) fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

pub(super) fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}
