//! Rows: what teachers write and students are trained on, one JSON object a line.

use serde::{Deserialize, Serialize};

use owlet_engine::generate::StopReason;
use owlet_store::Artifact;

use super::jsonl;
use crate::error::Result;

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Row {
    /// Position of its prompt in the prompt set: the same in every arm.
    pub index: u64,
    /// What the teacher was asked.
    pub prompt: String,
    /// What a right answer ends in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What it answered.
    pub completion: String,
    /// Seed of the row's own random stream.
    pub seed: u64,
    /// Why the answer ended.
    pub stop: StopReason,
    /// Which teacher wrote it.
    #[serde(rename = "arm")]
    pub writer: String,
    /// Natural log-probability of the answer under the distribution it was drawn from, where it is
    /// known; of an endpoint's answers as the endpoint tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_probability: Option<f64>,
    /// Why the filter refused it; empty for rows in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The rows in one file of an artifact.
pub fn read(artifact: &Artifact, file: &str) -> Result<Vec<Row>> {
    jsonl::parse(&artifact.read(file)?, &artifact.folder().join(file))
}
