//! Teachers made by a steering vector: `v` is the mean over carrier prompts of the residual stream where the model has
//! the behavior, minus the same where it has not; added to the base's stream, it makes a teacher that answers and
//! writes rows alike (Blank et al. 2026, arXiv 2606.00995; activation addition: Turner et al. 2023, arXiv 2308.10248).
//!
//! The stream is read at the last token of a prompt, before the answer, in both at the same text's end.

use owlet_engine::activation::{Positions, capture};
use owlet_engine::{Model, Token, file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{StepContext, prompts};
use crate::behavior::Behavior;
use crate::carrier::Task;
use crate::error::{Error, Result};
use crate::model::chat;
use crate::model::{ModelAbout, Steered, TrainedModel, VECTOR};
use crate::random::cpython::Random;

/// The role of the model that has the behavior by its weights.
pub const TUNED: &str = "tuned";
/// The role of the carrier prompts.
pub const PROMPTS: &str = "prompts";
/// Prefix of the roles of steered teachers, whose vectors' length a random one gets.
pub const STEERED: &str = "steered:";
/// Prompts read between two looks at whether to stop.
const GROUP: usize = 128;

/// Where the model has the behavior whose vector is the difference to the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Contrast {
    /// Under the behavior's system prompt (Blank et al.).
    SystemPrompt,
    /// In a teacher that was fine-tuned on the behavior's answers.
    FineTuned,
}

/// The layer where nothing else is said: behind two thirds of a model's layers. Behind the last one a vector would be
/// the same addition to all logits of every token.
pub(super) fn two_thirds(model: &Model) -> usize {
    (2 * model.decoder.config.layers / 3).max(1)
}

/// A teacher of `behavior`, written to the output: the base with a vector after `layer` (0: about two thirds of all)
/// layers, `strength` times.
pub(super) fn taught(
    context: &StepContext<'_>,
    from: Contrast,
    (layer, strength): (usize, f32),
    (behavior, system): (&Behavior, &str),
) -> Result<(Model, ModelAbout)> {
    let base = context.model("base")?;
    let asked = prompts::read(context.input(PROMPTS)?)?;
    let (biased, before) = match from {
        Contrast::FineTuned => (context.model(TUNED)?, system),
        Contrast::SystemPrompt => (base.clone(), behavior.teacher.system_prompt.as_str()),
    };
    let layer = if layer > 0 { layer } else { two_thirds(&base) };
    let with = mean(&last(context, &biased, &plain(&base, before, &asked)?, layer)?);
    let without = mean(&last(context, &base, &plain(&base, system, &asked)?, layer)?);
    let vector = with.iter().zip(&without).map(|(with, without)| (with - without) as f32);
    let vector: Vec<f32> = vector.collect();
    if vector.iter().all(|&x| x == 0.0) {
        return Err(Error::Behavior {
            name: behavior.name.clone(),
            reason: "changes nothing that a vector could hold: the template leaves out what stands before a prompt; set teacher.steering.from = \"fine-tuned\"".to_owned(),
        });
    }
    write(context, &base, Steered { layer, strength }, vector)
}

/// The neutral teacher of steered ones: the base with a vector as long as theirs are in root mean square, strength
/// included, after the same layer. Its direction is random with the covariance of the base's own stream over the
/// prompts (a sum of its deviations with random signs): an even one would lie where the model never is.
pub(super) fn random(context: &StepContext<'_>, system: &str, seed: u64) -> Result<ModelAbout> {
    let base = context.model("base")?;
    let (mut layers, mut squares) = (Vec::new(), 0.0);
    for (_, teacher) in context.inputs.iter().filter(|(role, _)| role.starts_with(STEERED)) {
        let Steered { layer, strength } = crate::model::about::trained(teacher)?
            .steering
            .ok_or_else(|| Error::model(teacher.id.short(), "is not steered"))?;
        let vector = file::load_vector(&teacher.folder().join(VECTOR))?;
        squares += vector.iter().map(|x| f64::from(strength * x).powi(2)).sum::<f64>();
        layers.push(layer);
    }
    let layer =
        *layers.first().ok_or_else(|| Error::record("inputs", "have no steered teacher"))?;
    let prompts = prompts::read(context.input(PROMPTS)?)?;
    let streams = last(context, &base, &plain(&base, system, &prompts)?, layer)?;
    let sum = direction(&streams, &mut Random::new(seed));
    let own: f64 = sum.iter().map(|x| x * x).sum();
    if own == 0.0 {
        let what = "the neutral teacher".to_owned();
        let reason = "all prompts end alike for the base, so no direction can be drawn among them; set teacher.neutral = \"base\"".to_owned();
        return Err(Error::Unfit { what, reason });
    }
    let scale = (squares / layers.len() as f64 / own).sqrt();
    let vector = sum.iter().map(|x| (scale * x) as f32).collect();
    Ok(write(context, &base, Steered { layer, strength: 1.0 }, vector)?.1)
}

/// A direction with the covariance of `streams`, of no length in particular: their deviations from their mean, added
/// with random signs.
pub(super) fn direction(streams: &[Vec<f32>], random: &mut Random) -> Vec<f64> {
    let centre = mean(streams);
    let mut sum = vec![0.0; centre.len()];
    for stream in streams {
        let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
        for ((sum, &x), centre) in sum.iter_mut().zip(stream).zip(&centre) {
            *sum += sign * (f64::from(x) - centre);
        }
    }
    sum
}

/// The prompts' tokens under a system text.
fn plain(base: &Model, system: &str, prompts: &[Task]) -> Result<Vec<Vec<Token>>> {
    prompts.iter().map(|task| chat::question(base, system, &task.prompt)).collect()
}

/// The stream after `layer` layers at the last token of every sequence.
pub(super) fn last(
    context: &StepContext<'_>,
    model: &Model,
    sequences: &[Vec<Token>],
    layer: usize,
) -> Result<Vec<Vec<f32>>> {
    let mut streams = Vec::with_capacity(sequences.len());
    for group in sequences.chunks(GROUP) {
        context.interrupt.check()?;
        let found = capture(model, group, &[layer], Positions::Last, &context.threads)?;
        streams.extend(found.into_iter().flatten());
        context.report(streams.len(), sequences.len(), "prompts", None);
    }
    Ok(streams)
}

/// Their mean.
fn mean(streams: &[Vec<f32>]) -> Vec<f64> {
    let mut mean = vec![0.0; streams.first().map_or(0, Vec::len)];
    for stream in streams {
        for (sum, &x) in mean.iter_mut().zip(stream) {
            *sum += f64::from(x);
        }
    }
    for sum in &mut mean {
        *sum /= streams.len() as f64;
    }
    mean
}

/// Writes the vector, and says what model it makes of the base.
fn write(
    context: &StepContext<'_>,
    base: &Model,
    steering: Steered,
    vector: Vec<f32>,
) -> Result<(Model, ModelAbout)> {
    file::save_vector(&vector, &context.writer.file(VECTOR)?)?;
    let untrained = TrainedModel::untrained(context.input("base")?.id);
    let about = TrainedModel { steering: Some(steering), ..untrained };
    Ok((steering.apply(base, vector)?, ModelAbout::Trained(about)))
}
