//! What is known of a model behind an endpoint: what an artifact of one holds.

use owlet_store::Artifact;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file in the artifact.
pub(crate) const MODEL: &str = "model.json";

/// A model behind an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RemoteModel {
    /// The endpoint's address.
    pub endpoint: String,
    /// The name by which it is asked.
    pub model: String,
    /// The name of the model it was fine-tuned from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fine_tuned_from: Option<String>,
    /// The job that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Tokens it was trained on, passes counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_tokens: Option<u64>,
    /// Stands before every conversation when it writes rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
}

impl RemoteModel {
    /// A model as it stands.
    pub(crate) fn plain(endpoint: &str, model: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            model: model.to_owned(),
            fine_tuned_from: None,
            job: None,
            trained_tokens: None,
            system_prompt: None,
        }
    }
}

/// The model of an artifact.
pub(crate) fn read(artifact: &Artifact) -> Result<RemoteModel> {
    serde_json::from_slice(&artifact.read(MODEL)?)
        .map_err(|error| Error::record(artifact.folder().join(MODEL), error))
}
