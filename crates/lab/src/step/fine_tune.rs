//! `fine-tune`: a student of the base is trained on conversations, in any form that
//! [`crate::value::dialogue`] reads; every answer in them is learned but those of weight 0.
//!
//! Rows of an experiment have a prompt and an arm and go through `train`; this step is for data that
//! came from outside.

use owlet_store::Artifact;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Step, StepContext};
use crate::ask::{Demonstration, Tuning};
use crate::error::{Error, Result};
use crate::model::chat;
use crate::recipe::Training;
use crate::value::dialogue::{self, Bounds, Dialogue, Found, Purpose};

/// The kind of an artifact that holds conversations.
pub const CONVERSATIONS_KIND: &str = "conversations";
/// The file in it.
pub const CONVERSATIONS: &str = "conversations.jsonl";
/// How much of one is read.
pub const BOUNDS: Bounds = Bounds { bytes: 512 << 20, row: 4 << 20 };

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
    const ALGORITHM: u32 = 4;
    const OUTPUT: &'static str = "student";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let (taught, _) = demonstrations(context.input("rows")?)?;
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

/// What is learned from the conversations in an artifact, and what was found beside it.
///
/// # Errors
/// The first that cannot be read.
pub fn demonstrations(rows: &Artifact) -> Result<(Vec<Demonstration>, Found)> {
    let content = rows.read(CONVERSATIONS)?;
    let (conversations, found) = dialogue::all(&content[..], BOUNDS, Purpose::Answers)
        .map_err(|why| Error::record(rows.folder().join(CONVERSATIONS), why))?;
    let of = |dialogue: &Dialogue| Demonstration::of(dialogue, chat::DEFAULT);
    Ok((conversations.iter().flat_map(of).collect(), found))
}
