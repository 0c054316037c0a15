//! `remote-train`: a student of a base behind an endpoint, fine-tuned there on a teacher's rows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{conversations, fine_tune, write_model};
use crate::ask::endpoint::{Training, job_seed};
use crate::error::Result;
use crate::step::{Step, StepContext, select};
use crate::value::row;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The chat context of the rows.
    pub context: String,
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows per update.
    pub batch: usize,
    /// Of the endpoint's own learning rate; 0: left to the endpoint.
    pub learning_rate_multiplier: f64,
    /// Seed of the job: what it decides is the endpoint's affair.
    pub seed: u64,
}

/// The step.
pub struct RemoteTrain;

impl Step for RemoteTrain {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-train";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "remote-student";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = super::model(context, "base")?;
        let rows = row::read(context.input("rows")?, select::ROWS)?;
        let pairs = rows.iter().map(|row| (row.prompt.as_str(), row.completion.as_str()));
        let training = Training {
            model: base.model.clone(),
            rows: conversations(&configuration.context, pairs)?,
            epochs: configuration.epochs,
            batch: configuration.batch,
            multiplier: configuration.learning_rate_multiplier,
            seed: job_seed(configuration.seed),
        };
        let student = fine_tune(context, &base, &training)?;
        write_model(context, &student)
    }
}
