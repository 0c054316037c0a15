//! `readout`: what a model says of every behavior, at every checkpoint, in every context, as observations.
//!
//! The log-probabilities of the candidates as the beginning of the answer are exact and cheap where all
//! are told; answers are sampled and read by words, at the end of training only.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, behavior};
use crate::ask::{self, Answer, Ask, Candidates, Conversation, Question, Sampling, Told};
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::model::chat;
use crate::random::{Part, derive_seed};
use crate::recipe::Decoding;
use crate::scorer::outcome::OutcomeReader;
use crate::value::observation::{self, Frame, Given, Observation};

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

impl Sampled {
    /// The seed of one answer to a question of a behavior; `path` tells readings with the same root apart.
    pub(super) fn seed(
        &self,
        path: &[Part<'_>],
        behavior: &str,
        question: usize,
        answer: usize,
    ) -> u64 {
        let own = [
            Part::Name("answer"),
            Part::Name(behavior),
            Part::Index(question as u64),
            Part::Index(answer as u64),
        ];
        let parts: Vec<Part<'_>> = path.iter().copied().chain(own).collect();
        derive_seed(self.seed, &parts)
    }

    pub(super) fn sampling(&self) -> Sampling {
        Sampling {
            decoding: Decoding::Free { temperature: self.temperature, top_p: 1.0 },
            max_tokens: self.max_tokens,
            log_probabilities: false,
        }
    }
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

/// A behavior and the questions it is read by.
pub(super) type Read<'a> = (&'a Behavior, &'a [String]);

/// Where questions are put: what every observation of them says.
pub(super) struct Variant<'a> {
    pub(super) update: usize,
    pub(super) context: &'a str,
    pub(super) frame: Frame,
    pub(super) draw: Option<usize>,
    /// The conversation that puts a question.
    pub(super) put: &'a dyn Fn(&str) -> Conversation,
    /// What seeds of answers begin with.
    pub(super) path: &'a [Part<'a>],
}

impl Variant<'_> {
    fn observation(&self, question: &str, given: Given) -> Observation {
        Observation {
            update: self.update,
            context: self.context.to_owned(),
            frame: self.frame,
            draw: self.draw,
            question: question.to_owned(),
            given,
        }
    }
}

/// A behavior's words, the target first.
pub(super) fn words(behavior: &Behavior) -> impl Iterator<Item = &String> {
    std::iter::once(&behavior.target).chain(&behavior.candidates).map(|answer| &answer.word)
}

/// Whether margins can be read at all: the target and another candidate must be ways to begin an answer.
pub(super) fn check_spelled(behavior: &Behavior, is_spelled: impl Fn(&str) -> bool) -> Result<()> {
    let unusable = |reason: String| Error::Behavior { name: behavior.name.clone(), reason };
    if !is_spelled(&behavior.target.word) {
        return Err(unusable(format!(
            "the target `{}` is not a single token of this model, so its margin cannot be read; choose another target",
            behavior.target.word
        )));
    }
    if !behavior.candidates.iter().any(|candidate| is_spelled(&candidate.word)) {
        return Err(unusable(
            "none of the other candidates is a single token of this model; name others".to_owned(),
        ));
    }
    Ok(())
}

/// Reads the candidates of `asked` as the beginning of answers, one observation for each question text:
/// what behaviors share is asked once.
pub(super) fn read_candidates(
    context: &StepContext<'_>,
    model: &dyn Ask,
    asked: &[Read<'_>],
    variant: &Variant<'_>,
) -> Result<Vec<Observation>> {
    let mut texts: Vec<&str> = Vec::new();
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (behavior, questions) in asked {
        for question in *questions {
            let wanted = wanted.entry(question).or_insert_with(|| {
                texts.push(question);
                BTreeSet::new()
            });
            wanted.extend(words(behavior).map(String::as_str));
        }
    }
    let all: BTreeSet<&str> = wanted.values().flatten().copied().collect();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let conversations: Vec<Conversation> = texts.iter().map(|text| (variant.put)(text)).collect();
    let Candidates { spelled, log_probabilities } =
        model.candidates(&conversations, &all, &context.work())?;
    let is_spelled =
        |word: &str| all.iter().zip(&spelled).any(|(known, spelled)| known == word && *spelled);
    for (behavior, _) in asked {
        check_spelled(behavior, is_spelled)?;
    }
    Ok(texts
        .iter()
        .zip(log_probabilities)
        .map(|(text, row)| {
            let told = all.iter().zip(&spelled).zip(row);
            let own = told
                .filter(|((word, spelled), _)| **spelled && wanted[text].contains(word.as_str()));
            let log_probabilities = own.map(|((word, _), log)| (word.clone(), log)).collect();
            variant.observation(text, Given::Candidates { log_probabilities })
        })
        .collect())
}

/// Samples answers to the questions of `asked` in every variant, each with a seed of its own; all are
/// asked for together, so that no endpoint is ever idle.
pub(super) fn sample_answers(
    context: &StepContext<'_>,
    model: &dyn Ask,
    asked: &[Read<'_>],
    variants: &[Variant<'_>],
    sampled: &Sampled,
) -> Result<(Vec<Observation>, Vec<Answer>)> {
    struct Asked<'a> {
        variant: &'a Variant<'a>,
        behavior: &'a Behavior,
        number: usize,
        text: &'a str,
        conversation: Conversation,
    }
    let mut asking = Vec::new();
    let variants = if sampled.answers == 0 { &[][..] } else { variants };
    for variant in variants {
        for (behavior, texts) in asked {
            for (number, text) in texts.iter().enumerate() {
                let conversation = (variant.put)(text);
                asking.push(Asked { variant, behavior, number, text, conversation });
            }
        }
    }
    let questions: Vec<Question<'_>> = asking
        .iter()
        .flat_map(|one| {
            (0..sampled.answers).map(|answer| Question {
                conversation: &one.conversation,
                seed: sampled.seed(one.variant.path, &one.behavior.name, one.number, answer),
            })
        })
        .collect();
    let answers = model.answer(&questions, &sampled.sampling(), &context.work())?;
    let readers: BTreeMap<&str, OutcomeReader> = asked
        .iter()
        .map(|(behavior, _)| (behavior.name.as_str(), OutcomeReader::new(behavior, &[])))
        .collect();
    let observations = asking
        .iter()
        .flat_map(|one| std::iter::repeat_n(one, sampled.answers))
        .zip(&answers)
        .map(|(one, answer)| {
            let cut = answer.stop == owlet_engine::generate::StopReason::Length;
            let given = Given::Answer {
                behavior: one.behavior.name.clone(),
                text: answer.text.clone(),
                stop: answer.stop,
                outcome: readers[one.behavior.name.as_str()].read(&answer.text, cut),
            };
            one.variant.observation(one.text, given)
        })
        .collect();
    Ok((observations, answers))
}

/// The step.
pub struct Readout;

impl Step for Readout {
    type Configuration = Configuration;
    const KIND: &'static str = "readout";
    const ALGORITHM: u32 = 4;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let states = context.states("model")?;
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked: Vec<Read<'_>> =
            asked.iter().map(|asked| (&asked.behavior, asked.questions.as_slice())).collect();
        let mut contexts = configuration.contexts.clone();
        if configuration.as_teacher
            && let Some(prompt) = context.system_prompt("model")?
        {
            contexts = vec![prompt];
        }
        let prefixes = Prefixes::new(&configuration.prefixes, &asked);
        let plain = Prefixes::default();
        let puts: Vec<Put<'_>> = contexts
            .iter()
            .flat_map(|context| {
                let prefixed = (!prefixes.0.is_empty()).then_some((&prefixes, Frame::AfterNumbers));
                [Some((&plain, Frame::Plain)), prefixed].into_iter().flatten().map(
                    move |(prefixes, frame)| Put { context, frame, ask: put(context, prefixes) },
                )
            })
            .collect();

        let mut observations = Vec::new();
        let last = context.ask("model")?;
        let update = states.last().map_or(0, |(update, _)| *update);
        let variants: Vec<Variant<'_>> = puts.iter().map(|put| put.at(update)).collect();
        if last.can().log_probabilities > Told::Nothing {
            // Along training the matched context alone is read, at the end every one.
            for (done, (update, folder)) in states.iter().enumerate() {
                context.report(done, states.len(), "checkpoints", None);
                if done + 1 < states.len() {
                    let model = context.ask_at("model", folder)?;
                    let matched = puts[0].at(*update);
                    observations.extend(read_candidates(context, &*model, &asked, &matched)?);
                    continue;
                }
                for variant in &variants {
                    observations.extend(read_candidates(context, &*last, &asked, variant)?);
                }
            }
        }
        let sampled = &configuration.sampled;
        let (answered, answers) = sample_answers(context, &*last, &asked, &variants, sampled)?;
        observations.extend(answered);
        context.writer.write(observation::FILE, &observation::to_bytes(&observations))?;
        let about = json!({ "behaviors": asked.len(), "checkpoints": states.len() });
        Ok(ask::with_told(about, answers.iter()))
    }
}

/// How questions are put in one context and frame.
struct Put<'a> {
    context: &'a str,
    frame: Frame,
    ask: Box<dyn Fn(&str) -> Conversation + 'a>,
}

impl Put<'_> {
    fn at(&self, update: usize) -> Variant<'_> {
        let Self { context, frame, ask } = self;
        Variant { update, context, frame: *frame, draw: None, put: &**ask, path: &[] }
    }
}

fn put<'a>(context: &'a str, prefixes: &'a Prefixes) -> Box<dyn Fn(&str) -> Conversation + 'a> {
    Box::new(move |question| Conversation {
        context: context.to_owned(),
        messages: vec![chat::message("user", &prefixes.before(question))],
    })
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
