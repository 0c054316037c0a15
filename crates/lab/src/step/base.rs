//! `base`: a model as it stands becomes an artifact: its files, or where it answers. Nobody is asked
//! anything: whoever needs it finds out whether it is there.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Step, StepContext};
use crate::error::{Error, Result};
use crate::model::{EndpointModel, ModelAbout, ModelSource, TrainedModel, Weights};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Configuration {
    /// Takes files in.
    Files {
        /// Digest of the model's files: the same files are the same base wherever they lie.
        digest: String,
    },
    /// Takes in the files of an adapter of the input `base`.
    Adapter {
        /// Digest of the adapter's files.
        adapter: String,
    },
    /// Says where a model answers.
    Endpoint(EndpointModel),
}

/// The step.
pub struct Base;

impl Step for Base {
    type Configuration = Configuration;
    const KIND: &'static str = "base";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "model";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        match configuration {
            Configuration::Files { digest } => copied(context, &digest)?.about().to_value(),
            Configuration::Adapter { adapter } => {
                copied(context, &adapter)?;
                let base = context.input("base")?.id;
                let trained =
                    TrainedModel { weights: Weights::Adapter, ..TrainedModel::untrained(base) };
                ModelAbout::Trained(trained).to_value()
            }
            Configuration::Endpoint(model) => ModelAbout::Endpoint(model).to_value(),
        }
    }
}

/// Copies the files with this digest into the artifact.
fn copied<'a>(context: &StepContext<'a>, digest: &str) -> Result<&'a ModelSource> {
    let source = context
        .sources
        .get(digest)
        .ok_or_else(|| Error::record("sources", "lack the base model"))?;
    source.copy_into(context.writer)?;
    if source.digest()? != digest {
        return Err(Error::Model {
            spec: source.spec.clone(),
            reason: "changed while it was read; run again".to_owned(),
        });
    }
    Ok(source)
}
