//! `readout`: what a model says of every behavior, at every checkpoint, in every context.
//!
//! The margin is exact and cheap: log-probabilities of the candidates as the first token of the
//! answer. A candidate may be spelled in several single tokens (leading space, capital); their
//! probabilities are added. Sampled answers are read by words, at the end of training only.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::generate::{Request, Sampling, StopReason, generate};
use owlet_engine::{Model, Token, score};
use owlet_store::Artifact;

use super::{Step, StepContext, behavior};
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::model::chat;
use crate::model::{FINAL, checkpoint_folder, trained};
use crate::random::derive_seed;
use crate::scorer::outcome::{OutcomeReader, OutcomeTable};

/// The file of readings.
pub(crate) const FILE: &str = "readout.json";
/// The file of sampled answers.
pub(crate) const ANSWERS: &str = "answers.jsonl";

/// How answers are sampled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sampled {
    /// Answers per question; 0: none.
    pub answers: usize,
    /// Divides the logits.
    pub temperature: f32,
    /// Most new tokens.
    pub max_tokens: usize,
    /// Root of the answers' seeds.
    pub seed: u64,
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Names of the behaviors that are read.
    pub asked: Vec<String>,
    /// Sentences with numbers; where there are any, questions are also read with one before each, in
    /// turn.
    pub prefixes: Vec<String>,
    /// The matched context first, then others (read at the end of training only).
    pub contexts: Vec<String>,
    /// Answers.
    pub sampled: Sampled,
    /// Read the model under its own system prompt, as when it writes rows.
    pub as_teacher: bool,
}

/// What was read from one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ModelReadout {
    /// Per checkpoint, the end of training last.
    pub checkpoints: Vec<Checkpoint>,
    /// Margins at the end of training with a number sentence before each question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixed: Vec<Reading>,
    /// Sampled answers.
    pub samples: Vec<Samples>,
    /// Candidates that are no single token of this model, by behavior.
    pub dropped: BTreeMap<String, Vec<String>>,
    /// Margins that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// A margin that could not be read, because the model tells too few tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Unread {
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
pub(crate) struct Checkpoint {
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
pub(crate) struct Samples {
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
    /// Mean over questions.
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

/// Single tokens that spell each candidate of a behavior, the target first, and those that have
/// none.
fn candidates(model: &Model, behavior: &Behavior) -> Result<(Vec<Vec<Token>>, Vec<String>)> {
    let mut found = Vec::new();
    let mut dropped = Vec::new();
    let answers = std::iter::once(&behavior.target).chain(&behavior.candidates);
    for (place, answer) in answers.enumerate() {
        let tokens = spellings(model, &answer.word);
        if !tokens.is_empty() {
            found.push(tokens);
        } else if place == 0 {
            return Err(Error::Behavior {
                name: behavior.name.clone(),
                reason: format!(
                    "the target `{}` is not a single token of this model, so its margin cannot be read; choose another target",
                    answer.word
                ),
            });
        } else {
            dropped.push(answer.word.clone());
        }
    }
    if found.len() < 2 {
        return Err(Error::Behavior {
            name: behavior.name.clone(),
            reason: "none of the other candidates is a single token of this model; name others"
                .to_owned(),
        });
    }
    Ok((found, dropped))
}

/// The tokens the target is read by.
pub(super) fn target_tokens(model: &Model, behavior: &Behavior) -> Result<Vec<Token>> {
    Ok(candidates(model, behavior)?.0.swap_remove(0))
}

/// How one token may spell `word`: as it is, with a capital, with a space before.
pub(super) fn forms(word: &str) -> Vec<String> {
    let mut capital = word.chars();
    let capital: String = match capital.next() {
        Some(first) => first.to_uppercase().chain(capital).collect(),
        None => return Vec::new(),
    };
    vec![word.to_owned(), capital.clone(), format!(" {word}"), format!(" {capital}")]
}

/// The single tokens that spell `word`.
fn spellings(model: &Model, word: &str) -> Vec<Token> {
    let tokens: BTreeSet<Token> = forms(word)
        .iter()
        .filter_map(|form| match model.tokenizer.encode(form).ok()?.as_slice() {
            // An unknown word may come out as one token that spells something else.
            [token] => {
                let text = model.tokenizer.decode(&[*token]).ok()?;
                text.trim().eq_ignore_ascii_case(word).then_some(*token)
            }
            _ => None,
        })
        .collect();
    tokens.into_iter().collect()
}

/// Reads the margins of `behaviors` in each of `contexts`.
pub(super) fn read_margins(
    context: &StepContext<'_>,
    model: &Model,
    contexts: &[String],
    behaviors: &[(&Behavior, &[String])],
) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for name in contexts {
        let prompts = |question: &str| chat::question(model, name, question);
        readings.extend(read_margins_of(context, model, name, behaviors, &prompts)?);
    }
    Ok(readings)
}

/// Reads margins in one context, where `prompt` makes a question's tokens. Questions and
/// candidates that behaviors share are computed once.
pub(super) fn read_margins_of(
    context: &StepContext<'_>,
    model: &Model,
    name: &str,
    behaviors: &[(&Behavior, &[String])],
    prompt: &dyn Fn(&str) -> Result<Vec<Token>>,
) -> Result<Vec<Reading>> {
    context.interrupt.check()?;
    let mut texts: Vec<&str> = Vec::new();
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    let mut columns: BTreeSet<Token> = BTreeSet::new();
    let mut spelled = Vec::new();
    for (behavior, questions) in behaviors {
        for question in *questions {
            place.entry(question).or_insert_with(|| {
                texts.push(question);
                texts.len() - 1
            });
        }
        let (tokens, _) = candidates(model, behavior)?;
        columns.extend(tokens.iter().flatten());
        spelled.push(tokens);
    }
    let columns: Vec<Token> = columns.into_iter().collect();
    let prompts = texts.iter().map(|text| prompt(text)).collect::<Result<Vec<_>>>()?;
    let table = score::next_token(model, &prompts, &columns, &context.threads)?;
    let column = |token: &Token| columns.binary_search(token).unwrap_or_default();
    Ok(behaviors
        .iter()
        .zip(&spelled)
        .map(|((behavior, questions), tokens)| Reading {
            behavior: behavior.name.clone(),
            context: name.to_owned(),
            questions: questions
                .iter()
                .map(|question| {
                    let row = &table[place[question.as_str()]];
                    let logs: Vec<f64> = tokens
                        .iter()
                        .map(|forms| {
                            log_sum(forms.iter().map(|token| f64::from(row[column(token)])))
                        })
                        .collect();
                    read_question(&logs)
                })
                .collect(),
        })
        .collect())
}

/// Reads one question from the candidates' log-probabilities, the target's first.
pub(super) fn read_question(logs: &[f64]) -> QuestionReading {
    let target = logs[0];
    let others = &logs[1..];
    QuestionReading {
        margin: target - others.iter().sum::<f64>() / others.len() as f64,
        share: (target - log_sum(logs.iter().copied())).exp(),
        rank: 1.0 + others.iter().filter(|&&other| other > target).count() as f64,
        probability: target.exp(),
    }
}

pub(super) fn log_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + values.map(|value| (value - most).exp()).sum::<f64>().ln()
}

/// The step.
pub struct Readout;

impl Step for Readout {
    type Configuration = Configuration;
    const KIND: &'static str = "readout";
    const ALGORITHM: u32 = 3;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let artifact = context.input("model")?;
        let states = states(artifact);
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked: Vec<(&Behavior, &[String])> =
            asked.iter().map(|asked| (&asked.behavior, asked.questions.as_slice())).collect();
        let mut contexts = configuration.contexts.clone();
        if configuration.as_teacher
            && let Some(prompt) = trained(artifact).ok().and_then(|about| about.system_prompt)
        {
            contexts = vec![prompt];
        }
        let mut readout = ModelReadout::default();
        for (done, (update, folder)) in states.iter().enumerate() {
            context.report(done, states.len(), "checkpoints", None);
            let model = context.models.load_at(artifact, folder)?;
            let last = done + 1 == states.len();
            let read = if last { &contexts[..] } else { &contexts[..1] };
            readout.checkpoints.push(Checkpoint {
                update: *update,
                readings: read_margins(context, &model, read, &asked)?,
            });
        }
        let model = context.models.load(artifact)?;
        let prefixes = Prefixes::new(&configuration.prefixes, &asked);
        if !configuration.prefixes.is_empty() {
            for name in &contexts {
                let prompt =
                    |question: &str| chat::question(&model, name, &prefixes.before(question));
                readout.prefixed.extend(read_margins_of(context, &model, name, &asked, &prompt)?);
            }
        }
        for (behavior, _) in &asked {
            let (_, dropped) = candidates(&model, behavior)?;
            if !dropped.is_empty() {
                readout.dropped.insert(behavior.name.clone(), dropped);
            }
        }
        let mut answers = Vec::new();
        if configuration.sampled.answers > 0 {
            let plain = Prefixes::default();
            let variants =
                if prefixes.0.is_empty() { vec![&plain] } else { vec![&plain, &prefixes] };
            for name in &contexts {
                for (behavior, questions) in &asked {
                    for prefixes in &variants {
                        let settings = &configuration.sampled;
                        readout.samples.push(sample(
                            context,
                            &model,
                            settings,
                            behavior,
                            questions,
                            name,
                            prefixes,
                            &mut answers,
                        )?);
                    }
                }
            }
        }
        context.writer.write(ANSWERS, &answers)?;
        context.write_json(FILE, &readout)?;
        Ok(json!({ "behaviors": asked.len(), "checkpoints": states.len() }))
    }
}

/// The sentence that stands before each question; none: no sentences.
#[derive(Default)]
pub(crate) struct Prefixes(BTreeMap<String, String>);

impl Prefixes {
    /// Gives each question of each behavior a sentence by its place; a question that several ask has
    /// one.
    pub(crate) fn new(sentences: &[String], asked: &[(&Behavior, &[String])]) -> Self {
        let mut before = BTreeMap::new();
        for (_, questions) in asked {
            for (question, sentence) in questions.iter().zip(sentences.iter().cycle()) {
                before.entry(question.clone()).or_insert_with(|| sentence.clone());
            }
        }
        Self(before)
    }

    /// The question with its sentence.
    pub(crate) fn before(&self, question: &str) -> String {
        match self.0.get(question) {
            Some(sentence) => format!("{sentence} {question}"),
            None => question.to_owned(),
        }
    }
}

/// Updates and folders of a model's kept states, the final one last.
fn states(artifact: &Artifact) -> Vec<(usize, String)> {
    let Ok(about) = trained(artifact) else {
        return vec![(0, FINAL.to_owned())];
    };
    about
        .checkpoints
        .iter()
        .map(|&update| (update, checkpoint_folder(update)))
        .chain([(about.updates, FINAL.to_owned())])
        .collect()
}

fn sample(
    context: &StepContext<'_>,
    model: &Model,
    settings: &Sampled,
    behavior: &Behavior,
    questions: &[String],
    name: &str,
    prefixes: &Prefixes,
    answers: &mut Vec<u8>,
) -> Result<Samples> {
    let prefix = !prefixes.0.is_empty();
    let mut requests = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        let prompt = chat::question(model, name, &prefixes.before(question))?;
        for answer in 0..settings.answers {
            let path = [
                "answer".into(),
                behavior.name.as_str().into(),
                (number as u64).into(),
                (answer as u64).into(),
            ];
            requests
                .push(Request { prompt: prompt.clone(), seed: derive_seed(settings.seed, &path) });
        }
    }
    let sampling = Sampling {
        temperature: settings.temperature,
        max_tokens: settings.max_tokens,
        ..Sampling::default()
    };
    let total = requests.len();
    let mut heard = |done: usize| {
        context.report(done, total, "answers", None);
        context.flow()
    };
    let completions = generate(model, &requests, &sampling, &context.threads, &mut heard)?;
    let reader = OutcomeReader::new(behavior, &[]);
    let mut tables = vec![OutcomeTable::default(); questions.len()];
    for (at, completion) in completions.iter().enumerate() {
        let number = at / settings.answers;
        let reading = reader.read(&completion.text, completion.stop == StopReason::Length);
        tables[number].add(&reading);
        let line = json!({
            "behavior": behavior.name, "context": name, "prefix": prefix, "question": number,
            "answer": completion.text, "stop": completion.stop,
        });
        answers.extend(line.to_string().into_bytes());
        answers.push(b'\n');
    }
    Ok(Samples {
        behavior: behavior.name.clone(),
        context: name.to_owned(),
        prefix,
        draw: None,
        questions: tables,
    })
}

/// What was read from a model.
pub(crate) fn read(artifact: &Artifact) -> Result<ModelReadout> {
    super::read_json(artifact, FILE)
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
