//! `import`: rows that somebody gave, as an artifact of conversations.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Result;
use crate::step::fine_tune::{CONVERSATIONS, CONVERSATIONS_KIND};
use crate::step::{Step, StepContext};
use crate::value::jsonl;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// The rows.
    pub(super) conversations: Vec<Value>,
}

/// The step.
pub(super) struct Import;

impl Step for Import {
    type Configuration = Configuration;
    const KIND: &'static str = "import";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = CONVERSATIONS_KIND;

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let rows = &configuration.conversations;
        context.writer.write(CONVERSATIONS, &jsonl::to_bytes(rows))?;
        Ok(json!({ "rows": rows.len() }))
    }
}
