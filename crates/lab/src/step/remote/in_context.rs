//! `remote-in-context`: behaviors are read from the untouched base behind an endpoint with rows before
//! its eyes, by sampled answers.

use owlet_engine::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ask, questions, tables, told};
use crate::behavior::Behavior;
use crate::chat;
use crate::error::Result;
use crate::random::cpython::Random;
use crate::random::derive_seed;
use crate::rows;
use crate::step::readout::{ANSWERS, FILE, ModelReadout, Sampled, Samples};
use crate::step::{StepContext, behavior, select};

pub(crate) const ALGORITHM: u32 = 1;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Names of the behaviors that are read.
    pub asked: Vec<String>,
    /// The chat context.
    pub context: String,
    /// Rows shown.
    pub rows: usize,
    /// Independent draws of them.
    pub draws: usize,
    /// Most questions; 0: all.
    pub questions: usize,
    /// Root of the draws' seeds.
    pub seed: u64,
    /// Answers.
    pub sampled: Sampled,
}

pub(crate) fn run(context: &StepContext<'_>) -> Result<Value> {
    let configuration: Configuration = context.configuration()?;
    let model = super::model(context, "base")?;
    let rows = rows::read(context.input("rows")?, select::ROWS)?;
    let asked = behavior::asked(context, &configuration.asked)?;
    let asked: Vec<(&Behavior, &[String])> = asked
        .iter()
        .map(|asked| {
            let most = match configuration.questions {
                0 => asked.questions.len(),
                most => most.min(asked.questions.len()),
            };
            (&asked.behavior, &asked.questions[..most])
        })
        .collect();
    let settings = &configuration.sampled;
    let mut requests = Vec::new();
    let mut parts = Vec::new();
    for draw in 0..configuration.draws {
        // The draws of a local control: the same rows in the same order.
        let seed = derive_seed(configuration.seed, &["in-context".into(), (draw as u64).into()]);
        let mut random = Random::new(seed);
        let turns: Vec<Message> = (0..configuration.rows)
            .filter_map(|_| rows.get(random.below(rows.len() as u64) as usize))
            .flat_map(|row| {
                [chat::message("user", &row.prompt), chat::message("assistant", &row.completion)]
            })
            .collect();
        for &(behavior, texts) in &asked {
            let texts = texts.iter().map(|text| {
                let last = chat::message("user", text);
                let messages: Vec<Message> = turns.iter().cloned().chain([last]).collect();
                chat::in_context(&configuration.context, &messages)
            });
            let path = ["draw".into(), (draw as u64).into()];
            let own = questions(&model, behavior, settings, &path, texts);
            parts.push((draw, behavior, requests.len()..requests.len() + own.len()));
            requests.extend(own);
        }
    }
    let answers = ask(context, &model.endpoint, &requests, "answers")?;
    let mut readout = ModelReadout::default();
    let mut lines = Vec::new();
    for (draw, behavior, range) in parts {
        let name = &configuration.context;
        let about = json!({ "behavior": behavior.name, "context": name, "prefix": false });
        readout.samples.push(Samples {
            behavior: behavior.name.clone(),
            context: name.clone(),
            prefix: false,
            draw: Some(draw),
            questions: tables(behavior, settings, &answers[range], &about, &mut lines),
        });
    }
    context.writer.write(ANSWERS, &lines)?;
    context.write_json(FILE, &readout)?;
    let mut about = told(answers.iter());
    about["rows"] = configuration.rows.into();
    about["draws"] = configuration.draws.into();
    Ok(about)
}
