//! `prompts`: a prompt set is drawn from its grammar, or taken line by line.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_store::Artifact;

use super::{Step, StepContext};
use crate::carrier::{PromptSet, Task, TaskSet};
use crate::error::{Error, Result};

const FILE: &str = "prompts.json";
/// What right answers end in, where that is known: a text or null for each prompt.
const ANSWERS: &str = "answers.json";

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
    /// Templates of tasks.
    Tasks {
        /// The templates.
        set: Box<TaskSet>,
        /// Seed of the draws.
        seed: u64,
        /// Number of tasks.
        count: usize,
    },
    /// Questions with answers, given one by one.
    Answered {
        /// The tasks.
        tasks: Vec<Task>,
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
        let tasks: Vec<Task> = match configuration {
            Configuration::Set { set, seed, count } => {
                set.generate(seed, count).into_iter().map(Task::open).collect()
            }
            Configuration::Tasks { set, seed, count } => set.generate(seed, count),
            Configuration::Answered { tasks } => tasks,
            Configuration::Lines { lines } => lines.into_iter().map(Task::open).collect(),
        };
        let (prompts, answers): (Vec<String>, Vec<Option<String>>) =
            tasks.into_iter().map(|task| (task.prompt, task.answer)).unzip();
        context.write_json(FILE, &prompts)?;
        if answers.iter().any(Option::is_some) {
            context.write_json(ANSWERS, &answers)?;
        }
        Ok(json!({ "prompts": prompts.len() }))
    }
}

/// The tasks of an artifact.
pub(super) fn read(artifact: &Artifact) -> Result<Vec<Task>> {
    let prompts: Vec<String> = super::read_json(artifact, FILE)?;
    if prompts.is_empty() {
        return Err(Error::record(FILE, "holds no prompt"));
    }
    let mut answers: Vec<Option<String>> = if artifact.path(ANSWERS).is_ok() {
        super::read_json(artifact, ANSWERS)?
    } else {
        Vec::new()
    };
    answers.resize(prompts.len(), None);
    Ok(prompts.into_iter().zip(answers).map(|(prompt, answer)| Task { prompt, answer }).collect())
}
