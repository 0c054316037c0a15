//! `remote-base`: a model behind an endpoint, as it stands. Nothing is asked: whoever needs it finds out
//! whether it is there.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::write_model;
use crate::ask::endpoint::RemoteModel;
use crate::error::Result;
use crate::step::{Step, StepContext};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The endpoint's address.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
    /// Likeliest first tokens that it is asked to tell; 0: none.
    pub top_logprobs: usize,
}

/// The step.
pub struct RemoteBase;

impl Step for RemoteBase {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-base";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "remote-model";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let model = RemoteModel::plain(
            &configuration.endpoint,
            &configuration.model,
            configuration.top_logprobs,
        );
        write_model(context, &model)
    }
}
