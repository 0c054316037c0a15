//! `given`: rows that somebody gave, as rows of a teacher.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::generate::StopReason;

use super::{Step, StepContext, generate};
use crate::error::Result;
use crate::value::jsonl;
use crate::value::row::Row;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GivenRow {
    /// Its place among all prompts: the same in every arm.
    pub index: u64,
    /// What was asked.
    pub prompt: String,
    /// What was answered.
    pub completion: String,
    /// Whether the answer ends where it ends, and was not cut.
    pub is_ended: bool,
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Whose rows they are.
    #[serde(rename = "arm")]
    pub writer: String,
    /// The rows.
    pub rows: Vec<GivenRow>,
}

/// The step.
pub struct Given;

impl Step for Given {
    type Configuration = Configuration;
    const KIND: &'static str = "given";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = <generate::Generate as Step>::OUTPUT;

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { writer, rows } = configuration;
        let about = json!({ "rows": rows.len(), "arm": writer });
        let row = |given: GivenRow| Row {
            index: given.index,
            prompt: given.prompt,
            answer: None,
            completion: given.completion,
            seed: 0,
            stop: if given.is_ended { StopReason::End } else { StopReason::Length },
            writer: writer.clone(),
            log_probability: None,
            reasons: Vec::new(),
        };
        let rows: Vec<Row> = rows.into_iter().map(row).collect();
        context.writer.write(generate::ROWS, &jsonl::to_bytes(&rows))?;
        Ok(about)
    }
}
