//! `train`: a student of the base is trained on rows, or on its teacher's distributions over them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use owlet_engine::train::{Data, Example};

use super::{StepContext, select, training};
use crate::error::{Error, Result};
use crate::model_source::{TrainedModel, Weights};
use crate::recipe::Training;
use crate::rows;

pub(super) const ALGORITHM: u32 = 1;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The chat context.
    pub context: String,
    /// How.
    pub train: Training,
    /// Learn the distributions of the model in role `teacher` instead of the tokens.
    pub distil: bool,
    /// Seed of adapter initialisation and row order.
    pub seed: u64,
}

pub(super) fn run(context: &StepContext<'_>) -> Result<Value> {
    let configuration: Configuration = context.configuration()?;
    let artifact = context.input("base")?;
    let base = context.models.load(artifact)?;
    let examples = rows::read(context.input("rows")?, select::ROWS)?
        .iter()
        .map(|row| row.example(&base, &configuration.context))
        .collect::<Result<Vec<Example>>>()?;
    let settings = configuration.train.settings(examples.len(), configuration.seed);
    let data = if configuration.distil {
        Data::Distillation { rows: examples, teacher: context.model("teacher")? }
    } else {
        Data::Rows(examples)
    };
    let about = TrainedModel {
        base: artifact.id,
        weights: Weights::Base,
        system_prompt: None,
        updates: 0,
        checkpoints: Vec::new(),
    };
    let checkpoints = &configuration.train.checkpoints;
    let trained = training::train(context, &base, data, &settings, checkpoints, about)?;
    serde_json::to_value(&trained.about).map_err(|error| Error::record("about", error))
}
