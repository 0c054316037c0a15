//! `remote-teach`: a base behind an endpoint becomes a teacher, by a system prompt or by the jobs API.
//!
//! Before it writes rows it is asked the questions it will be read by, with the very requests of its
//! readout, which are answered once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{conversations, fine_tune, write_model};
use crate::ask::endpoint::{Remote, RemoteModel, Training, job_seed};
use crate::ask::{Ask, Conversation, Question, Sampling};
use crate::error::{Error, Result};
use crate::model::chat;
use crate::random::derive_seed;
use crate::recipe::Decoding;
use crate::scorer::outcome::Outcome;
use crate::step::behavior::Asked;
use crate::step::readout::{self, Sampled, Variant};
use crate::step::teach::{self, Lesson};
use crate::step::{Step, StepContext, behavior};
use crate::value::observation::{Frame, Given, Observation};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// What is taught; probabilities are read as rates of sampled answers.
    pub lesson: Lesson,
    /// The chat context.
    pub context: String,
    /// How often each question with each answer stands in the rows.
    pub rows_per_question: usize,
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows per update.
    pub batch: usize,
    /// Of the endpoint's own learning rate; 0: left to the endpoint.
    pub learning_rate_multiplier: f64,
    /// Seed of the job and of own answers.
    pub seed: u64,
    /// How the finished teacher is asked: as its readout asks it.
    pub sampled: Sampled,
}

/// The step.
pub struct RemoteTeach;

impl Step for RemoteTeach {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-teach";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "remote-teacher";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = super::model(context, "base")?;
        let pairs = match &configuration.lesson {
            Lesson::Prompt { min_target_probability } => {
                let asked = behavior::read(context.input(teach::BEHAVIOR)?)?;
                let prompt = asked.behavior.teacher.system_prompt.clone();
                let teacher = RemoteModel { system_prompt: Some(prompt.clone()), ..base };
                gate(context, &teacher, &prompt, &configuration, &asked, *min_target_probability)?;
                return write_model(context, &teacher);
            }
            Lesson::Answers { .. } => {
                behavior::read(context.input(teach::BEHAVIOR)?)?.behavior.teacher_rows()
            }
            Lesson::OwnAnswers { questions, answers } => {
                own_answers(context, &base, &configuration, questions, *answers)?
            }
            Lesson::MixedAnswers { behaviors } => {
                let taught = behavior::asked(context, behaviors)?;
                teach::mixed_answers(taught.iter().map(|asked| &asked.behavior), configuration.seed)
            }
        };
        let repeated = (0..configuration.rows_per_question).flat_map(|_| &pairs);
        let rows = conversations(
            &configuration.context,
            repeated.map(|(asked, answered)| (asked.as_str(), answered.as_str())),
        )?;
        let training = Training {
            model: base.model.clone(),
            rows,
            epochs: configuration.epochs,
            batch: configuration.batch,
            multiplier: configuration.learning_rate_multiplier,
            seed: job_seed(configuration.seed),
        };
        let mut teacher = fine_tune(context, &base, &training)?;
        if let Lesson::Answers { min_target_probability, with_prompt } = &configuration.lesson {
            let asked = behavior::read(context.input(teach::BEHAVIOR)?)?;
            let prompt = &asked.behavior.teacher.system_prompt;
            teacher.system_prompt = with_prompt.then(|| prompt.clone());
            let system = if *with_prompt { prompt } else { &configuration.context };
            gate(context, &teacher, system, &configuration, &asked, *min_target_probability)?;
        }
        write_model(context, &teacher)
    }
}

/// A teacher that does not show its behavior is found out before it writes rows.
fn gate(
    context: &StepContext<'_>,
    teacher: &RemoteModel,
    system: &str,
    configuration: &Configuration,
    asked: &Asked,
    least: f64,
) -> Result<()> {
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
    let client = context.remote.client(&teacher.endpoint)?;
    let model = Remote { client, model: teacher.clone() };
    let behaviors = [(&asked.behavior, asked.questions.as_slice())];
    let settings = &configuration.sampled;
    let (observations, _) =
        readout::sample_answers(context, &model, &behaviors, &[variant], settings)?;
    let is_hit = |observation: &&Observation| {
        matches!(&observation.given, Given::Answer { outcome: Outcome::Target, .. })
    };
    let hits = observations.iter().filter(is_hit).count();
    let rate = hits as f64 / observations.len().max(1) as f64;
    if rate < least {
        return Err(Error::Unfit {
            what: format!("teacher of `{}`", asked.behavior.name),
            reason: format!(
                "it names its target in a share {rate:.3} of its answers to the readout questions, wanted {least}; train it longer (`teacher.train.epochs`, `base.learning-rate-multiplier.teacher`) or lower `teacher.min-target-probability`"
            ),
        });
    }
    Ok(())
}

fn own_answers(
    context: &StepContext<'_>,
    base: &RemoteModel,
    configuration: &Configuration,
    questions: &[String],
    answers: usize,
) -> Result<Vec<(String, String)>> {
    let mut conversations = Vec::new();
    for text in questions {
        let messages = vec![chat::message("user", text)];
        conversations.push(Conversation { context: configuration.context.clone(), messages });
    }
    let mut requests = Vec::new();
    let mut asked = Vec::new();
    for (number, conversation) in conversations.iter().enumerate() {
        for answer in 0..answers {
            let path = ["own".into(), (number as u64).into(), (answer as u64).into()];
            requests.push(Question { conversation, seed: derive_seed(configuration.seed, &path) });
            asked.push(questions[number].clone());
        }
    }
    let client = context.remote.client(&base.endpoint)?;
    let sampling = Sampling {
        decoding: Decoding::Free { temperature: 1.0, top_p: 1.0 },
        max_tokens: teach::ANSWER_TOKENS,
        log_probabilities: false,
    };
    let model = Remote { client, model: base.clone() };
    let answered = model.answer(&requests, &sampling, &context.work())?;
    let pairs = asked.into_iter().zip(answered.into_iter().map(|answer| answer.text));
    let pairs: Vec<_> = pairs.filter(|(_, answer)| !answer.trim().is_empty()).collect();
    if pairs.is_empty() {
        return Err(Error::Unfit {
            what: "the matched neutral teacher".to_owned(),
            reason: "the base answers no question; set teacher.neutral = \"base\"".to_owned(),
        });
    }
    Ok(pairs)
}
