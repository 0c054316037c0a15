//! `shuffle`: the content of rows changes places, within each row or across all of them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, select};
use crate::carrier::{Medium, Reach};
use crate::error::{Error, Result};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The teacher whose rows are shuffled.
    #[serde(rename = "arm")]
    pub writer: String,
    /// What rows are made of.
    pub medium: Medium,
    /// How far.
    pub reach: Reach,
}

/// The step.
pub struct Shuffle;

impl Step for Shuffle {
    type Configuration = Configuration;
    const KIND: &'static str = "shuffle";
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let mut rows = select::rows(context.input("rows")?, &configuration.writer)?;
        let texts: Vec<String> = rows.iter().map(|row| row.completion.clone()).collect();
        let rules = configuration.medium.rules();
        let shuffle = rules.shuffle(configuration.reach).ok_or_else(|| Error::Unfit {
            what: format!("rows of {}", rules.name()),
            reason: "cannot be shuffled so far; leave that control out".to_owned(),
        })?;
        for (row, completion) in rows.iter_mut().zip(shuffle(&texts)) {
            row.completion = completion;
        }
        select::write(context, &configuration.writer, &rows)?;
        Ok(json!({ "rows": rows.len() }))
    }
}
