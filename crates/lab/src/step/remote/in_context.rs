//! `remote-in-context`: behaviors are read from the untouched base behind an endpoint with rows before
//! its eyes, by sampled answers.

use owlet_engine::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ask, questions, tables, told};
use crate::error::Result;
use crate::model::chat;
use crate::step::in_context::{first_questions, turns};
use crate::step::readout::{ANSWERS, FILE, ModelReadout, Sampled, Samples};
use crate::step::{Step, StepContext, behavior, select};
use crate::value::row;

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

/// The step.
pub struct RemoteInContext;

impl Step for RemoteInContext {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-in-context";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let model = super::model(context, "base")?;
        let rows = row::read(context.input("rows")?, select::ROWS)?;
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked = first_questions(&asked, configuration.questions);
        let settings = &configuration.sampled;
        let mut requests = Vec::new();
        let mut parts = Vec::new();
        for draw in 0..configuration.draws {
            let turns = turns(&rows, configuration.rows, configuration.seed, draw);
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
}
