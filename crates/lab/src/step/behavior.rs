//! `behavior`: a behavior with the questions it is read by, as an artifact that other steps take, so
//! that its texts stand in one place.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_store::Artifact;

use super::{Step, StepContext};
use crate::behavior::Behavior;
use crate::error::{Error, Result};

const FILE: &str = "behavior.json";
/// Prefix of the roles of behaviors that are read.
pub const READ: &str = "read:";

/// What the step does; also what it makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Asked {
    /// The behavior.
    pub behavior: Behavior,
    /// The questions.
    pub questions: Vec<String>,
}

/// The step.
pub struct AskBehavior;

impl Step for AskBehavior {
    type Configuration = Asked;
    const KIND: &'static str = "behavior";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "behavior";

    fn run(asked: Asked, context: &StepContext<'_>) -> Result<Value> {
        context.write_json(FILE, &asked)?;
        Ok(json!({ "name": asked.behavior.name }))
    }
}

/// The behavior of an artifact.
pub(crate) fn read(artifact: &Artifact) -> Result<Asked> {
    super::read_json(artifact, FILE)
}

/// The behaviors called `names`, in this order, from the inputs.
pub(crate) fn asked(context: &StepContext<'_>, names: &[String]) -> Result<Vec<Asked>> {
    names
        .iter()
        .map(|name| {
            let asked = read(context.input(&format!("{READ}{name}"))?)?;
            if asked.behavior.name != *name {
                let reason = format!("holds `{}`, expected `{name}`", asked.behavior.name);
                return Err(Error::record(FILE, reason));
            }
            Ok(asked)
        })
        .collect()
}
