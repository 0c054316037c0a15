//! Readings in the shape the estimate takes so far, made of observations.

use std::collections::BTreeMap;

use owlet_engine::generate::StopReason;
use owlet_store::{Artifact, ArtifactId, Store};
use serde::{Deserialize, Serialize};

use crate::ask::log_sum;
use crate::error::Result;
use crate::scorer::outcome::{OutcomeReader, OutcomeTable};
use crate::step::behavior::{self, Asked};
use crate::value::observation::{self, Frame, Given, Observation};

/// What was read from one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelReadout {
    /// Per checkpoint, the end of training last; per draw where rows were shown.
    pub checkpoints: Vec<Checkpoint>,
    /// Margins at the end of training with a number sentence before each question.
    #[serde(default)]
    pub prefixed: Vec<Reading>,
    /// Sampled answers.
    #[serde(default)]
    pub samples: Vec<Samples>,
    /// Candidates that are no single token of this model, by behavior.
    #[serde(default)]
    pub dropped: BTreeMap<String, Vec<String>>,
    /// Margins that could not be read.
    #[serde(default)]
    pub unread: Vec<Unread>,
}

/// A margin that could not be read, because the model tells too few tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Unread {
    /// The behavior.
    pub behavior: String,
    /// The context.
    pub context: String,
    /// With a number sentence before each question.
    pub prefix: bool,
    /// Questions that lack a candidate.
    pub missing: usize,
    /// Questions in all.
    pub questions: usize,
}

/// What was read at one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Checkpoint {
    /// Updates taken.
    pub update: usize,
    /// Per context and behavior.
    pub readings: Vec<Reading>,
}

/// One behavior in one context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reading {
    /// The behavior.
    pub behavior: String,
    /// The context.
    pub context: String,
    /// Per question.
    pub questions: Vec<QuestionReading>,
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct QuestionReading {
    /// Log-probability of the target minus the mean of the others', in nats.
    pub margin: f64,
    /// Target's share of the candidates' probability.
    pub share: f64,
    /// Rank of the target, from 1.
    pub rank: f64,
    /// Probability of the target.
    pub probability: f64,
}

/// Sampled answers for one behavior in one context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Samples {
    /// The behavior.
    pub behavior: String,
    /// The context.
    pub context: String,
    /// With a number sentence before each question.
    pub prefix: bool,
    /// Which draw of rows stood before the questions, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<usize>,
    /// Outcomes per question.
    pub questions: Vec<OutcomeTable>,
}

impl Reading {
    fn mean(&self, value: impl Fn(&QuestionReading) -> f64) -> f64 {
        self.questions.iter().map(value).sum::<f64>() / self.questions.len().max(1) as f64
    }
    /// Mean margin over questions, in nats.
    pub fn mean_margin(&self) -> f64 {
        self.mean(|question| question.margin)
    }
    /// Mean share over questions.
    pub fn mean_share(&self) -> f64 {
        self.mean(|question| question.share)
    }
    /// Mean rank over questions.
    pub fn mean_rank(&self) -> f64 {
        self.mean(|question| question.rank)
    }
    /// Mean probability of the target over questions.
    pub fn mean_probability(&self) -> f64 {
        self.mean(|question| question.probability)
    }
}

/// Reads one question from the candidates' log-probabilities, the target's first.
pub fn read_question(logs: &[f64]) -> QuestionReading {
    let target = logs[0];
    let others = &logs[1..];
    QuestionReading {
        margin: target - others.iter().sum::<f64>() / others.len() as f64,
        share: (target - log_sum(logs.iter().copied())).exp(),
        rank: 1.0 + others.iter().filter(|&&other| other > target).count() as f64,
        probability: target.exp(),
    }
}

/// The observations of an artifact.
pub(crate) fn observations(artifact: &Artifact) -> Result<Vec<Observation>> {
    let file = observation::FILE;
    observation::parse(&artifact.read(file)?, &artifact.folder().join(file))
}

/// What was read from a model; `inputs` are those of the step that read it.
///
/// # Errors
/// Artifacts that cannot be read.
pub fn read(
    store: &Store,
    readout: &Artifact,
    inputs: &BTreeMap<String, ArtifactId>,
) -> Result<ModelReadout> {
    let asked = inputs
        .iter()
        .filter(|(role, _)| role.starts_with(behavior::READ))
        .map(|(_, id)| behavior::read(&store.artifact(id)?))
        .collect::<Result<Vec<Asked>>>()?;
    Ok(ModelReadout::of(&observations(readout)?, &asked))
}

type Logs = BTreeMap<String, Option<f64>>;

impl ModelReadout {
    /// What observations of one model say of `asked`.
    pub(crate) fn of(observations: &[Observation], asked: &[Asked]) -> Self {
        let mut readout = Self::default();
        // (draw or update, frame), then context, then question, in the order they were read.
        let mut read: Vec<((usize, Frame), Vec<(&str, BTreeMap<&str, &Logs>)>)> = Vec::new();
        for one in observations {
            let Given::Candidates { log_probabilities } = &one.given else { continue };
            let state = (one.draw.unwrap_or(one.update), one.frame);
            let known = read.iter().position(|(known, _)| *known == state);
            let at = known.unwrap_or_else(|| {
                read.push((state, Vec::new()));
                read.len() - 1
            });
            let contexts = &mut read[at].1;
            let known = contexts.iter().position(|(known, _)| *known == one.context);
            let at = known.unwrap_or_else(|| {
                contexts.push((&one.context, BTreeMap::new()));
                contexts.len() - 1
            });
            contexts[at].1.insert(&one.question, log_probabilities);
        }
        for ((update, frame), contexts) in &read {
            let mut readings = Vec::new();
            for (context, texts) in contexts {
                for asked in asked {
                    readout.reading(asked, context, *frame, texts, &mut readings);
                }
            }
            match frame {
                Frame::AfterNumbers => readout.prefixed.extend(readings),
                Frame::Plain => readout.checkpoints.push(Checkpoint { update: *update, readings }),
            }
        }
        readout.sample(observations, asked);
        if readout.checkpoints.is_empty()
            && let Some(one) = observations.iter().find(|one| one.draw.is_none())
        {
            let empty = Checkpoint { update: one.update, readings: Vec::new() };
            readout.checkpoints.push(empty);
        }
        readout
    }

    fn reading(
        &mut self,
        asked: &Asked,
        context: &str,
        frame: Frame,
        texts: &BTreeMap<&str, &Logs>,
        readings: &mut Vec<Reading>,
    ) {
        let behavior = &asked.behavior;
        let own: Vec<&&Logs> =
            asked.questions.iter().filter_map(|text| texts.get(text.as_str())).collect();
        let Some(first) = own.first() else { return };
        let words: Vec<&String> = std::iter::once(&behavior.target)
            .chain(&behavior.candidates)
            .map(|answer| &answer.word)
            .collect();
        let dropped: Vec<String> =
            words.iter().filter(|word| !first.contains_key(**word)).map(|w| (*w).clone()).collect();
        if !dropped.is_empty() {
            self.dropped.insert(behavior.name.clone(), dropped);
        }
        let read: Vec<Option<QuestionReading>> = own
            .iter()
            .map(|logs| {
                let told = words.iter().filter_map(|word| logs.get(*word).copied());
                let logs = told.collect::<Option<Vec<f64>>>()?;
                (logs.len() > 1).then(|| read_question(&logs))
            })
            .collect();
        let (name, context) = (behavior.name.clone(), context.to_owned());
        let missing = read.iter().filter(|reading| reading.is_none()).count();
        if missing > 0 {
            let (prefix, questions) = (frame == Frame::AfterNumbers, own.len());
            self.unread.push(Unread { behavior: name, context, prefix, missing, questions });
        } else {
            let questions = read.into_iter().flatten().collect();
            readings.push(Reading { behavior: name, context, questions });
        }
    }

    fn sample(&mut self, observations: &[Observation], asked: &[Asked]) {
        for asked in asked {
            let reader = OutcomeReader::new(&asked.behavior, &[]);
            for one in observations {
                let Given::Answer { behavior, text, stop, .. } = &one.given else { continue };
                let place = asked.questions.iter().position(|known| *known == one.question);
                let (true, Some(place)) = (*behavior == asked.behavior.name, place) else {
                    continue;
                };
                let prefix = one.frame == Frame::AfterNumbers;
                let known = self.samples.iter().position(|known| {
                    known.behavior == *behavior
                        && known.context == one.context
                        && known.prefix == prefix
                        && known.draw == one.draw
                });
                let at = known.unwrap_or_else(|| {
                    self.samples.push(Samples {
                        behavior: behavior.clone(),
                        context: one.context.clone(),
                        prefix,
                        draw: one.draw,
                        questions: Vec::new(),
                    });
                    self.samples.len() - 1
                });
                let tables = &mut self.samples[at].questions;
                if tables.len() <= place {
                    tables.resize_with(place + 1, OutcomeTable::default);
                }
                tables[place].add(&reader.read(text, *stop == StopReason::Length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_from_the_candidates_log_probabilities() {
        let logs = [0.5_f64.ln(), 0.25_f64.ln(), 0.125_f64.ln()];
        let reading = read_question(&logs);
        assert!((reading.margin - 1.5 * 2.0_f64.ln()).abs() < 1e-12);
        assert!((reading.share - 4.0 / 7.0).abs() < 1e-12);
        assert!((reading.rank - 1.0).abs() < 1e-12);
    }
}
