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
    /// Likeliest first tokens that it is asked to tell; 0: none, so that no log-probabilities are read.
    #[serde(default = "top_logprobs")]
    pub top_logprobs: usize,
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

/// What artifacts of former versions do not say.
fn top_logprobs() -> usize {
    20
}

impl RemoteModel {
    /// A model as it stands.
    pub(crate) fn plain(endpoint: &str, model: &str, top_logprobs: usize) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            model: model.to_owned(),
            top_logprobs,
            fine_tuned_from: None,
            job: None,
            trained_tokens: None,
            system_prompt: None,
        }
    }
}

/// Whether an artifact is a model behind an endpoint.
pub(crate) fn is_model(artifact: &Artifact) -> bool {
    artifact.about.get("endpoint").is_some()
}

/// The model of an artifact.
pub(crate) fn read(artifact: &Artifact) -> Result<RemoteModel> {
    serde_json::from_slice(&artifact.read(MODEL)?)
        .map_err(|error| Error::record(artifact.folder().join(MODEL), error))
}
