//! `fine-tune`: a student of the base is trained on conversations, as the field's fine-tuning
//! services take them: one JSON object `{"messages": [...]}` a line, every answer in it learned.
//!
//! Rows of an experiment have a prompt and an arm and go through `train`; this step is for data that
//! came from outside.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Step, StepContext};
use crate::ask::{Demonstration, Tuning};
use crate::error::Result;
use crate::recipe::Training;
use crate::value::jsonl::Dialogue;

/// The kind of an artifact that holds conversations.
pub const CONVERSATIONS_KIND: &str = "conversations";
/// The file in it.
pub const CONVERSATIONS: &str = "conversations.jsonl";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How.
    pub train: Training,
    /// Seed of adapter initialisation and row order.
    pub seed: u64,
}

/// The step.
pub struct FineTune;

impl Step for FineTune {
    type Configuration = Configuration;
    const KIND: &'static str = "fine-tune";
    const ALGORITHM: u32 = 3;
    const OUTPUT: &'static str = "student";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let rows = context.input("rows")?;
        let origin = rows.folder().join(CONVERSATIONS);
        let conversations = Dialogue::read(&rows.read(CONVERSATIONS)?, &origin)?;
        let taught: Vec<Demonstration> = conversations.iter().flat_map(Demonstration::of).collect();
        let tuning = Tuning {
            settings: &configuration.train,
            learning_rate_multiplier: 0.0,
            seed: configuration.seed,
            teacher: None,
        };
        let base = context.ask("base")?;
        let (_, about) = base.tune(&taught, tuning, context.place("base")?, &context.work())?;
        about.to_value()
    }
}
