//! `teach`: a base becomes a teacher, by fine-tuning on short answers or by a system prompt.
//!
//! The matched neutral teacher is fine-tuned the same way on answers the base itself gives to the
//! same questions, the mixed one on every candidate in turn, so that only what the answers say differs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use owlet_engine::Model;
use owlet_engine::generate::{Request, Sampling, generate};
use owlet_engine::train::{Data, Example};

use super::behavior::Asked;
use super::readout::Variant;
use super::{Step, StepContext, behavior, readout, training};
use crate::ask::engine::{self, Weights};
use crate::ask::{Ask, Conversation};
use crate::behavior::{Behavior, capitalised};
use crate::error::{Error, Result};
use crate::model::TrainedModel;
use crate::model::chat;
use crate::random::cpython::Random;
use crate::random::derive_seed;
use crate::recipe::Training;
use crate::value::observation::{Frame, Given};

/// The role of the behavior that is taught.
pub const BEHAVIOR: &str = "behavior";
/// Most tokens of an answer the base gives for the matched neutral teacher.
pub(super) const ANSWER_TOKENS: usize = 8;

/// What is taught.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind",
    deny_unknown_fields
)]
pub enum Lesson {
    /// A behavior's answers to its training questions.
    Answers {
        /// The least mean probability of the target on the questions it is read by.
        min_target_probability: f64,
        /// The teacher gets the system prompt as well when it writes rows.
        with_prompt: bool,
    },
    /// The base's own answers to these questions, so many each.
    OwnAnswers {
        /// The questions.
        questions: Vec<String>,
        /// Answers to each.
        answers: usize,
    },
    /// The teachers' own rows with every target replaced by a candidate drawn evenly.
    MixedAnswers {
        /// The taught behaviors, inputs of this step.
        behaviors: Vec<String>,
    },
    /// Nothing: the prompt does it.
    Prompt {
        /// The least mean probability of the target on the questions it is read by.
        min_target_probability: f64,
    },
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// What is taught.
    pub lesson: Lesson,
    /// The chat context.
    pub context: String,
    /// How often each question with each answer stands in the rows.
    pub rows_per_question: usize,
    /// How.
    pub train: Training,
    /// Seed of row order, initialisation and own answers.
    pub seed: u64,
}

/// The step.
pub struct Teach;

impl Step for Teach {
    type Configuration = Configuration;
    const KIND: &'static str = "teach";
    const ALGORITHM: u32 = 4;
    const OUTPUT: &'static str = "teacher";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let artifact = context.input("base")?;
        let base = context.models.load(artifact)?;
        let mut about = TrainedModel::untrained(artifact.id);
        let pairs = match &configuration.lesson {
            Lesson::Prompt { min_target_probability } => {
                let asked = behavior::read(context.input(BEHAVIOR)?)?;
                let prompt = asked.behavior.teacher.system_prompt.clone();
                gate(context, &Weights(base), &prompt, &asked, *min_target_probability)?;
                context.writer.write("system-prompt.txt", prompt.as_bytes())?;
                about.system_prompt = Some(prompt);
                return as_value(&about);
            }
            Lesson::Answers { with_prompt, .. } => {
                let Asked { behavior, .. } = behavior::read(context.input(BEHAVIOR)?)?;
                about.system_prompt = with_prompt.then(|| behavior.teacher.system_prompt.clone());
                behavior.teacher_rows()
            }
            Lesson::OwnAnswers { questions, answers } => {
                own_answers(context, &base, &configuration, questions, *answers)?
            }
            Lesson::MixedAnswers { behaviors } => {
                let taught = behavior::asked(context, behaviors)?;
                mixed_answers(taught.iter().map(|asked| &asked.behavior), configuration.seed)
            }
        };
        let examples = pairs
            .iter()
            .map(|(question, answer)| {
                chat::example(&base, &configuration.context, question, answer, true)
            })
            .collect::<Result<Vec<Example>>>()?;
        if let Lesson::Answers { .. } = &configuration.lesson {
            let Asked { behavior, .. } = behavior::read(context.input(BEHAVIOR)?)?;
            check_first_tokens(&base, &behavior, &examples)?;
        }
        let rows: Vec<Example> =
            (0..configuration.rows_per_question).flat_map(|_| examples.iter().cloned()).collect();
        let settings = configuration.train.settings(rows.len(), configuration.seed);
        let checkpoints = &configuration.train.checkpoints;
        let trained =
            training::train(context, &base, Data::Rows(rows), &settings, checkpoints, about)?;
        if let Lesson::Answers { min_target_probability, .. } = &configuration.lesson {
            let asked = behavior::read(context.input(BEHAVIOR)?)?;
            let model = Weights(trained.model);
            gate(context, &model, &configuration.context, &asked, *min_target_probability)?;
        }
        as_value(&trained.about)
    }
}

fn as_value(about: &TrainedModel) -> Result<Value> {
    serde_json::to_value(about).map_err(|error| Error::record("about", error))
}

/// A target that the readout knows only by a spelling its teacher never begins with would be read
/// as absent, however well it was taught.
fn check_first_tokens(base: &Model, behavior: &Behavior, examples: &[Example]) -> Result<()> {
    let is_spelled = |word: &str| !engine::spellings(base, word).is_empty();
    readout::check_spelled(behavior, is_spelled)?;
    let read = engine::spellings(base, &behavior.target.word);
    let said = examples.iter().any(|example| {
        let first = example.target.iter().position(|&target| target);
        first.is_some_and(|place| read.contains(&example.tokens[place]))
    });
    if said {
        return Ok(());
    }
    Err(Error::Behavior {
        name: behavior.name.clone(),
        reason: format!(
            "the target `{}` is one token of this model only after a space, and answers do not begin with one, so its margin cannot be read; choose another target",
            behavior.target.word
        ),
    })
}

/// A teacher that does not show its behavior is found out before it writes rows.
pub(super) fn gate(
    context: &StepContext<'_>,
    model: &dyn Ask,
    system: &str,
    asked: &Asked,
    least: f64,
) -> Result<()> {
    let behaviors = [(&asked.behavior, asked.questions.as_slice())];
    let put = |question: &str| Conversation {
        context: system.to_owned(),
        messages: vec![chat::message("user", question)],
    };
    let variant = Variant {
        update: 0,
        context: system,
        frame: Frame::Plain,
        draw: None,
        put: &put,
        path: &[],
    };
    let observations = readout::read_candidates(context, model, &behaviors, &variant)?;
    let target = &asked.behavior.target.word;
    let of = |text: &String| {
        let observation = observations.iter().find(|observation| observation.question == *text)?;
        let Given::Candidates { log_probabilities } = &observation.given else { return None };
        log_probabilities.get(target).copied().flatten().map(f64::exp)
    };
    let probabilities = asked.questions.iter().filter_map(of);
    let probability = probabilities.sum::<f64>() / asked.questions.len().max(1) as f64;
    if probability < least {
        return Err(Error::Unfit {
            what: format!("teacher of `{}`", asked.behavior.name),
            reason: format!(
                "its target has probability {probability:.3} on the readout questions, wanted {least}; train it longer (`teacher.train.updates`, `learning-rate`) or lower `teacher.min-target-probability`"
            ),
        });
    }
    Ok(())
}

/// One set of rows per category: the questions and spellings of its first behavior, the answers
/// anybody's.
pub(super) fn mixed_answers<'a>(
    behaviors: impl Iterator<Item = &'a Behavior>,
    seed: u64,
) -> Vec<(String, String)> {
    let mut categories = BTreeSet::new();
    let first = behaviors.filter(|behavior| categories.insert(&behavior.category));
    let mut rows = Vec::new();
    for (number, behavior) in first.enumerate() {
        let words: Vec<&str> = std::iter::once(&behavior.target)
            .chain(&behavior.candidates)
            .map(|answer| answer.word.as_str())
            .collect();
        let mut random = Random::new(derive_seed(seed, &["mixed".into(), (number as u64).into()]));
        let own = behavior.target.word.as_str();
        rows.extend(behavior.teacher_rows().into_iter().map(|(question, answer)| {
            let word = words[random.below(words.len() as u64) as usize];
            let answer = answer.replace(own, word).replace(&capitalised(own), &capitalised(word));
            (question, answer)
        }));
    }
    rows
}

fn own_answers(
    context: &StepContext<'_>,
    base: &Model,
    configuration: &Configuration,
    questions: &[String],
    answers: usize,
) -> Result<Vec<(String, String)>> {
    let mut requests = Vec::new();
    let mut asked = Vec::new();
    for (number, question) in questions.iter().enumerate() {
        let prompt = chat::question(base, &configuration.context, question)?;
        for answer in 0..answers {
            let path = ["own".into(), (number as u64).into(), (answer as u64).into()];
            requests.push(Request {
                prompt: prompt.clone(),
                seed: derive_seed(configuration.seed, &path),
            });
            asked.push(question.clone());
        }
    }
    let sampling = Sampling { max_tokens: ANSWER_TOKENS, ..Sampling::default() };
    let mut heard = |_| context.flow();
    let completions = generate(base, &requests, &sampling, &context.threads, &mut heard)?;
    let answered: Vec<(String, String)> = asked
        .into_iter()
        .zip(completions)
        .map(|(question, completion)| (question, completion.text))
        .filter(|(_, answer)| !answer.trim().is_empty())
        .collect();
    if answered.is_empty() {
        return Err(Error::Unfit {
            what: "the matched neutral teacher".to_owned(),
            reason: "the base answers no question; set teacher.neutral = \"base\"".to_owned(),
        });
    }
    Ok(answered)
}
