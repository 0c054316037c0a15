//! `base`: a model's files, as they are, become an artifact.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::StepContext;
use crate::error::{Error, Result};

pub(super) const ALGORITHM: u32 = 1;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Digest of the model's files: the same files are the same base wherever they lie.
    pub digest: String,
}

pub(super) fn run(context: &StepContext<'_>) -> Result<Value> {
    let configuration: Configuration = context.configuration()?;
    let source = context
        .sources
        .get(&configuration.digest)
        .ok_or_else(|| Error::record("sources", "lack the base model"))?;
    source.copy_into(context.writer)?;
    if source.digest()? != configuration.digest {
        return Err(Error::Model {
            spec: source.spec.clone(),
            reason: "changed while it was read; run again".to_owned(),
        });
    }
    Ok(json!({}))
}
