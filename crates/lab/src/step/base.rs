//! `base`: a model's files, as they are, become an artifact.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext};
use crate::error::{Error, Result};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Digest of the model's files: the same files are the same base wherever they lie.
    pub digest: String,
}

/// The step.
pub struct Base;

impl Step for Base {
    type Configuration = Configuration;
    const KIND: &'static str = "base";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "model";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
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
}
