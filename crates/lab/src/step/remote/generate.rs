//! `remote-generate`: a teacher behind an endpoint writes one row per prompt, each with a seed of its
//! own.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ask, question, told};
use crate::ask::endpoint::{Answer, ChatRequest, RemoteModel};
use crate::error::{Error, Result};
use crate::random::derive_seed;
use crate::recipe::Decoding;
use crate::step::{Step, StepContext, generate, prompts};
use crate::value::row::{self, Row};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Name of the arm, part of every row's seed.
    pub arm: String,
    /// The chat context.
    pub context: String,
    /// How tokens are chosen: `free` or `greedy`.
    pub decoding: Decoding,
    /// Most new tokens per row.
    pub max_tokens: usize,
    /// Root of the rows' seeds.
    pub seed: u64,
    /// Also ask for the rows' log-probabilities.
    pub logprobs: bool,
}

/// Rows in answer to `prompts` by `model` under the system text that `system` names, with the answers
/// they came in.
pub(super) fn write_rows(
    context: &StepContext<'_>,
    model: &RemoteModel,
    system: &str,
    configuration: &Configuration,
    prompts: &[String],
) -> Result<(Vec<Row>, Vec<Answer>)> {
    let (temperature, top_p) = match configuration.decoding {
        Decoding::Free { temperature, top_p } => (temperature, top_p),
        Decoding::Greedy {} => (0.0, 1.0),
        _ => return Err(Error::record("decoding", "is not `free` or `greedy`")),
    };
    let requests: Vec<ChatRequest> = prompts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let path = ["row".into(), configuration.arm.as_str().into(), (index as u64).into()];
            ChatRequest {
                model: model.model.clone(),
                messages: question(system, text),
                temperature,
                top_p,
                max_tokens: configuration.max_tokens,
                seed: ChatRequest::seed(derive_seed(configuration.seed, &path)),
                logprobs: configuration.logprobs.then_some(0),
            }
        })
        .collect();
    let answers = ask(context, &model.endpoint, &requests, "rows")?;
    let rows = prompts
        .iter()
        .zip(&requests)
        .zip(&answers)
        .enumerate()
        .map(|(index, ((prompt, request), answer))| Row {
            index: index as u64,
            prompt: prompt.clone(),
            completion: answer.text.clone(),
            seed: request.seed,
            stop: answer.stop,
            arm: configuration.arm.clone(),
            log_probability: answer.log_probability,
            reasons: Vec::new(),
        })
        .collect();
    Ok((rows, answers))
}

/// The step.
pub struct RemoteGenerate;

impl Step for RemoteGenerate {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-generate";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "raw-rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let prompts = prompts::read(context.input("prompts")?)?;
        let model = super::model(context, "model")?;
        let system = model.system_prompt.clone().unwrap_or_else(|| configuration.context.clone());
        let (rows, answers) = write_rows(context, &model, &system, &configuration, &prompts)?;
        context.writer.write(generate::ROWS, &row::to_bytes(&rows))?;
        let mut about = told(answers.iter());
        about["rows"] = rows.len().into();
        about["arm"] = configuration.arm.into();
        Ok(about)
    }
}
