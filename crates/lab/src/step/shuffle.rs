//! `shuffle`: the numbers of rows change places, within each row or across all of them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, select};
use crate::carrier::shuffle;
use crate::error::Result;
use crate::value::row;

/// How far numbers move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Inside their row.
    Within,
    /// Among all rows.
    Across,
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How far.
    pub reach: Reach,
}

/// The step.
pub struct Shuffle;

impl Step for Shuffle {
    type Configuration = Configuration;
    const KIND: &'static str = "shuffle";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let mut rows = row::read(context.input("rows")?, select::ROWS)?;
        let texts: Vec<String> = rows.iter().map(|row| row.completion.clone()).collect();
        let shuffled = match configuration.reach {
            Reach::Within => shuffle::within(&texts, shuffle::SHUFFLE_SEED),
            Reach::Across => shuffle::across(&texts, shuffle::SHUFFLE_SEED),
        };
        for (row, completion) in rows.iter_mut().zip(shuffled) {
            row.completion = completion;
        }
        context.writer.write(select::ROWS, &row::to_bytes(&rows))?;
        Ok(json!({ "rows": rows.len() }))
    }
}
