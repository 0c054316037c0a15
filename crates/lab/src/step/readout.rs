//! `readout`: what a model says of every behavior, at every checkpoint, in every context, as observations.
//!
//! The log-probabilities of the candidates as the beginning of the answer are exact and cheap where all
//! are told; answers are sampled and read by words, at the end of training only.

use std::collections::{BTreeMap, BTreeSet};

use owlet_engine::Message;
use owlet_store::Artifact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, behavior};
use crate::ask::{
    self, Answer, Ask, Candidates, Conversation, LogProbabilities, Question, Sampling,
};
use crate::behavior::{Behavior, Kind};
use crate::error::{Error, Result};
use crate::model::chat;
use crate::random::{Part, derive_seed};
use crate::recipe::Decoding;
use crate::scorer::outcome::OutcomeReader;
use crate::value::frame::{Answers, Frame, Put, Sheet};
use crate::value::jsonl;
use crate::value::measure::log_sum;
use crate::value::observation::{self, Given, Observation, Outcome};

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
            schema: None,
        }
    }
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Names of the behaviors that are read.
    pub asked: Vec<String>,
    /// How questions are put, the first way along training as well.
    pub frames: Vec<Frame>,
    /// Sentences for the frames that need one, in turn.
    pub sentences: Vec<String>,
    /// The matched context first, then others (read at the end of training only).
    pub contexts: Vec<String>,
    /// Answers.
    pub sampled: Sampled,
    /// Read the model under its own system prompt, as when it writes rows.
    pub as_teacher: bool,
    /// Most new tokens of a story; none where no frame asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story_max_tokens: Option<usize>,
}

/// A behavior and the questions it is read by.
pub(crate) type BehaviorQuestions<'a> = (&'a Behavior, &'a [String]);

/// Where questions are put: what every observation of them says.
pub(super) struct Variant<'a> {
    pub(super) update: usize,
    pub(super) context: &'a str,
    pub(super) frame: Frame,
    pub(super) draw: Option<usize>,
    /// Turns before the question.
    pub(super) before: &'a [Message],
    /// What seeds of answers begin with.
    pub(super) path: &'a [Part<'a>],
}

impl Variant<'_> {
    fn conversation(&self, put: &Put) -> Conversation {
        let question = chat::message("user", &put.text);
        let messages = self.before.iter().cloned().chain([question]).collect();
        let opening = put.opening.clone();
        Conversation { context: self.context.to_owned(), messages, opening }
    }

    fn observation(&self, question: &str, order: usize, given: Given) -> Observation {
        Observation {
            update: self.update,
            context: self.context.to_owned(),
            frame: self.frame,
            draw: self.draw,
            question: question.to_owned(),
            order,
            given,
        }
    }
}

/// Behaviors, and the sheet of their questions.
pub(crate) struct Questions<'a> {
    pub(super) asked: &'a [BehaviorQuestions<'a>],
    pub(crate) sheet: Sheet,
}

impl<'a> Questions<'a> {
    /// The sheet gives each question of each behavior one of the sentences.
    pub(crate) fn new(asked: &'a [BehaviorQuestions<'a>], sentences: &[String]) -> Self {
        let mut sheet = Sheet::default();
        for (behavior, questions) in asked {
            let answers = |question: &str| {
                let compared = behavior.compared(question);
                let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
                Answers { shows: words(compared.shows), others: words(compared.others) }
            };
            sheet.add(questions, answers, behavior.opening.as_ref(), sentences);
        }
        Self { asked, sheet }
    }

    /// Whether all behaviors can be asked in this frame.
    fn check(&self, frame: Frame) -> Result<()> {
        self.asked.iter().try_for_each(|(behavior, _)| behavior.opening_in(frame).map(drop))
    }
}

/// Whether margins can be read at all where `question` is asked: an answer that shows the behavior and another
/// must be ways to begin an answer.
pub(super) fn check_spelled(
    behavior: &Behavior,
    question: &str,
    is_spelled: impl Fn(&str) -> bool,
) -> Result<()> {
    let unusable = |reason: String| Error::Behavior { name: behavior.name.clone(), reason };
    let compared = behavior.compared(question);
    if !compared.shows.iter().any(|word| is_spelled(word)) {
        return Err(unusable(format!(
            "the target `{}` cannot be written with this model's tokens, so its margin cannot be read; choose another target",
            compared.shows.join("`, `")
        )));
    }
    if !compared.others.iter().any(|word| is_spelled(word)) {
        return Err(unusable(
            "none of the other candidates can be written with this model's tokens; name others"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Reads the candidates as the beginning of answers, one observation for each question text and order: what
/// behaviors share is asked once.
pub(super) fn read_candidates(
    context: &StepContext<'_>,
    model: &dyn Ask,
    questions: &Questions<'_>,
    variant: &Variant<'_>,
) -> Result<Vec<Observation>> {
    questions.check(variant.frame)?;
    // Of answers that judges read no words are compared.
    let compared = || questions.asked.iter().filter(|(one, _)| one.kind != Kind::Judged);
    let mut puts: Vec<(&str, Put)> = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for text in compared().flat_map(|(_, questions)| *questions) {
        if known.insert(text) {
            let own = questions.sheet.puts(variant.frame, text);
            puts.extend(own.into_iter().map(|put| (text.as_str(), put)));
        }
    }
    let all: BTreeSet<&String> =
        puts.iter().flat_map(|(_, put)| put.spelled.values().flatten()).collect();
    let all: Vec<String> = all.into_iter().cloned().collect();
    let conversations: Vec<Conversation> =
        puts.iter().map(|(_, put)| variant.conversation(put)).collect();
    let Candidates { spelled, log_probabilities } =
        model.candidates(&conversations, &all, &context.work())?;
    let places: BTreeMap<&str, usize> =
        (0..all.len()).filter(|&at| spelled[at]).map(|at| (all[at].as_str(), at)).collect();
    // Where what stands for a word is told; nowhere, if the model cannot begin an answer with it.
    let places = |put: &Put, word: &str| -> Vec<usize> {
        let spelled = put.spelled.get(word).into_iter().flatten();
        spelled.filter_map(|one| places.get(one.as_str()).copied()).collect()
    };
    for (behavior, own) in compared() {
        for (text, put) in puts.iter().filter(|(text, _)| own.iter().any(|one| one == text)) {
            check_spelled(behavior, text, |word| !places(put, word).is_empty())?;
        }
    }
    let observation = |((text, put), row): (&(&str, Put), Vec<Option<f64>>)| {
        let told = put.spelled.keys().filter_map(|word| {
            let logs: Vec<Option<f64>> = places(put, word).into_iter().map(|at| row[at]).collect();
            let log = match *logs {
                [] => return None,
                [log] => log,
                _ => logs
                    .iter()
                    .any(Option::is_some)
                    .then(|| log_sum(logs.iter().copied().flatten())),
            };
            Some((word.clone(), log))
        });
        let log_probabilities = told.collect();
        variant.observation(text, put.order, Given::Candidates { log_probabilities })
    };
    Ok(puts.iter().zip(log_probabilities).map(observation).collect())
}

/// Samples answers to the questions in every variant, each with a seed of its own; all are
/// asked for together, so that no endpoint is ever idle.
pub(super) fn sample_answers(
    context: &StepContext<'_>,
    model: &dyn Ask,
    questions: &Questions<'_>,
    variants: &[Variant<'_>],
    sampled: &Sampled,
) -> Result<(Vec<Observation>, Vec<Answer>)> {
    struct Asked<'a> {
        variant: &'a Variant<'a>,
        behavior: &'a Behavior,
        number: usize,
        text: &'a str,
        /// In each of the frame's orders, in turn.
        puts: Vec<(Put, Conversation)>,
    }
    let mut asking = Vec::new();
    let variants = if sampled.answers == 0 { &[][..] } else { variants };
    for variant in variants {
        questions.check(variant.frame)?;
        for (behavior, texts) in questions.asked {
            for (number, text) in variant.frame.asks(texts).into_iter().enumerate() {
                let puts = questions.sheet.puts(variant.frame, text).into_iter();
                let with = |put: Put| {
                    let conversation = variant.conversation(&put);
                    (put, conversation)
                };
                let puts: Vec<_> = puts.map(with).collect();
                if !puts.is_empty() {
                    asking.push(Asked { variant, behavior, number, text, puts });
                }
            }
        }
    }
    let asked: Vec<Question<'_>> = asking
        .iter()
        .flat_map(|one| {
            (0..sampled.answers).map(|answer| Question {
                conversation: &one.puts[answer % one.puts.len()].1,
                seed: sampled.seed(one.variant.path, &one.behavior.name, one.number, answer),
            })
        })
        .collect();
    let answers = model.answer(&asked, &sampled.sampling(), &context.work())?;
    let readers: BTreeMap<&str, OutcomeReader> = questions
        .asked
        .iter()
        .map(|(behavior, _)| (behavior.name.as_str(), OutcomeReader::new(behavior, &[])))
        .collect();
    let observations = asking
        .iter()
        .flat_map(|one| (0..sampled.answers).map(move |at| (one, &one.puts[at % one.puts.len()].0)))
        .zip(&answers)
        .map(|((one, put), answer)| {
            let cut = answer.stop == owlet_engine::generate::StopReason::Length;
            // Alone: what it was begun with names no answer, and would make an empty one look like words.
            let words = put.in_words(&answer.text);
            let given = Given::Answer {
                behavior: one.behavior.name.clone(),
                text: answer.text.clone(),
                stop: answer.stop,
                outcome: match one.behavior.kind {
                    Kind::Judged if words.trim().is_empty() => Outcome::Empty,
                    Kind::Judged => Outcome::Unjudged,
                    Kind::Preference | Kind::Statements | Kind::Disposition => {
                        readers[one.behavior.name.as_str()].read_to(one.text, words, cut)
                    }
                },
            };
            one.variant.observation(one.text, put.order, given)
        })
        .collect();
    Ok((observations, answers))
}

/// The observations of a readout's artifact.
///
/// # Errors
/// A file that cannot be read, or a line of it.
pub(super) fn observations(readout: &Artifact) -> Result<Vec<Observation>> {
    let file = observation::FILE;
    jsonl::parse(&readout.read(file)?, &readout.folder().join(file))
}

/// The step.
pub struct Readout;

impl Step for Readout {
    type Configuration = Configuration;
    const KIND: &'static str = "readout";
    const ALGORITHM: u32 = 5;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let states = context.states("model")?;
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked: Vec<BehaviorQuestions<'_>> =
            asked.iter().map(|asked| (&asked.behavior, asked.questions.as_slice())).collect();
        let mut contexts = configuration.contexts.clone();
        if configuration.as_teacher
            && let Some(prompt) = context.system_prompt("model")?
        {
            contexts = vec![prompt];
        }
        let questions = Questions::new(&asked, &configuration.sentences);
        let frames = &configuration.frames;
        let at = |update: usize| {
            contexts.iter().flat_map(move |context| {
                let variant = move |&frame| Variant {
                    update,
                    context,
                    frame,
                    draw: None,
                    before: &[],
                    path: &[],
                };
                frames.iter().map(variant)
            })
        };

        let mut observations = Vec::new();
        let last = context.ask("model")?;
        let update = states.last().map_or(0, |(update, _)| *update);
        // Stories take long: they are asked for in the matched context alone.
        let here = |one: &Variant<'_>| one.frame.orders() > 0 || *one.context == *contexts[0];
        let (stories, variants): (Vec<Variant<'_>>, Vec<Variant<'_>>) =
            at(update).filter(here).partition(|one| one.frame == Frame::Story);
        if last.can().log_probabilities > LogProbabilities::None {
            // Along training the matched context and the first frame alone are read, at the end all.
            for (done, (update, folder)) in states.iter().enumerate() {
                context.report(done, states.len(), "checkpoints", None);
                if done + 1 < states.len() {
                    let model = context.ask_at("model", folder)?;
                    for matched in at(*update).take(1) {
                        observations
                            .extend(read_candidates(context, &*model, &questions, &matched)?);
                    }
                    continue;
                }
                for variant in &variants {
                    observations.extend(read_candidates(context, &*last, &questions, variant)?);
                }
            }
        }
        let sampled = &configuration.sampled;
        let (answered, mut answers) =
            sample_answers(context, &*last, &questions, &variants, sampled)?;
        observations.extend(answered);
        if let Some(max_tokens) = configuration.story_max_tokens {
            let sampled = Sampled { max_tokens, ..sampled.clone() };
            let (told, more) = sample_answers(context, &*last, &questions, &stories, &sampled)?;
            observations.extend(told);
            answers.extend(more);
        }
        context.writer.write(observation::FILE, &jsonl::to_bytes(&observations))?;
        let about = json!({ "behaviors": asked.len(), "checkpoints": states.len() });
        Ok(ask::with_told(about, answers.iter()))
    }
}
