//! `prompts`: a prompt set is drawn from its grammar, or taken line by line.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_store::Artifact;

use super::{Step, StepContext};
use crate::carrier::PromptSet;
use crate::error::{Error, Result};

const FILE: &str = "prompts.json";

/// Where prompts come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Configuration {
    /// A grammar.
    Set {
        /// The grammar.
        set: Box<PromptSet>,
        /// Seed of the draws.
        seed: u64,
        /// Number of prompts.
        count: usize,
    },
    /// Given one by one.
    Lines {
        /// The prompts.
        lines: Vec<String>,
    },
}

/// The step.
pub struct Prompts;

impl Step for Prompts {
    type Configuration = Configuration;
    const KIND: &'static str = "prompts";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "prompts";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let prompts = match configuration {
            Configuration::Set { set, seed, count } => set.generate(seed, count),
            Configuration::Lines { lines } => lines,
        };
        context.write_json(FILE, &prompts)?;
        Ok(json!({ "prompts": prompts.len() }))
    }
}

/// The prompts of an artifact.
pub(super) fn read(artifact: &Artifact) -> Result<Vec<String>> {
    let prompts: Vec<String> = super::read_json(artifact, FILE)?;
    if prompts.is_empty() {
        return Err(Error::record(FILE, "holds no prompt"));
    }
    Ok(prompts)
}
