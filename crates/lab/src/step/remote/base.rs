//! `remote-base`: a model behind an endpoint, as it stands. Nothing is asked: whoever needs it finds out
//! whether it is there.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::write_model;
use crate::ask::endpoint::RemoteModel;
use crate::error::Result;
use crate::step::StepContext;

pub(crate) const ALGORITHM: u32 = 1;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The endpoint's address.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
}

pub(crate) fn run(context: &StepContext<'_>) -> Result<Value> {
    let configuration: Configuration = context.configuration()?;
    let model = RemoteModel::plain(&configuration.endpoint, &configuration.model);
    write_model(context, &model)
}
