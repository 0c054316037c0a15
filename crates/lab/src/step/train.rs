//! `train`: a student of the base is trained on rows, or on its teacher's distributions over them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use owlet_engine::Token;
use owlet_engine::train::{Data, Example};

use super::{Step, StepContext, select, training};
use crate::error::{Error, Result};
use crate::model::TrainedModel;
use crate::recipe::{Distilled, Training};
use crate::value::row;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The chat context.
    pub context: String,
    /// How.
    pub train: Training,
    /// Learn the distributions of the model in role `teacher` over these tokens instead of the rows'
    /// own tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distilled: Option<Distilled>,
    /// Seed of adapter initialisation and row order.
    pub seed: u64,
}

/// The step.
pub struct Train;

impl Step for Train {
    type Configuration = Configuration;
    const KIND: &'static str = "train";
    const ALGORITHM: u32 = 3;
    const OUTPUT: &'static str = "student";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let artifact = context.input("base")?;
        let base = context.models.load(artifact)?;
        let examples = row::read(context.input("rows")?, select::ROWS)?
            .iter()
            .map(|row| row.example(&base, &configuration.context))
            .collect::<Result<Vec<Example>>>()?;
        let settings = configuration.train.settings(examples.len(), configuration.seed);
        let data = match configuration.distilled {
            None => Data::Rows(examples),
            Some(distilled) => {
                let support = (distilled == Distilled::RowTokens).then(|| targets(&examples));
                Data::Distillation { rows: examples, teacher: context.model("teacher")?, support }
            }
        };
        let about = TrainedModel::untrained(artifact.id);
        let checkpoints = &configuration.train.checkpoints;
        let trained = training::train(context, &base, data, &settings, checkpoints, about)?;
        serde_json::to_value(&trained.about).map_err(|error| Error::record("about", error))
    }
}

/// The tokens that stand where a loss is, ascending, each once.
fn targets(examples: &[Example]) -> Vec<Token> {
    let tokens = examples.iter().flat_map(|e| e.tokens.iter().zip(&e.target));
    let targets: BTreeSet<Token> = tokens.filter(|(_, target)| **target).map(|(t, _)| *t).collect();
    targets.into_iter().collect()
}
