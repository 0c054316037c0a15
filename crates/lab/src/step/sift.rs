//! `sift`: of rows that a filter left, those that judges find fit; the same question is asked about every arm's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::filter::{self, Summary};
use super::judge::{self, Judgement, ROWS};
use super::judged::{JUDGEMENTS, together_of};
use super::{Step, StepContext};
use crate::error::{Error, Result};
use crate::scorer::judge::together;
use crate::value::observation::Outcome;
use crate::value::row::Row;
use crate::value::{jsonl, row};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How many judges there are.
    pub judges: usize,
}

/// The step.
pub struct Sift;

impl Step for Sift {
    type Configuration = Configuration;
    const KIND: &'static str = "sift";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = <filter::Filter as Step>::OUTPUT;

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let filtered = context.input(ROWS)?;
        let all: Vec<Vec<Judgement>> = (0..configuration.judges)
            .map(|judge| judge::read(context.input(&format!("{JUDGEMENTS}{judge}"))?))
            .collect::<Result<_>>()?;
        let found = together_of(&all)?;
        let rows = row::read(filtered, filter::VALID)?;
        if found.len() != rows.len() {
            return Err(Error::record("judgements", "are not about these rows"));
        }
        let mut summary: Summary = super::read_json(filtered, filter::SUMMARY)?;
        let mut rejected = row::read(filtered, filter::REJECTED)?;
        let mut valid: Vec<Row> = Vec::new();
        for (mut row, (_, outcomes)) in rows.into_iter().zip(found) {
            let reason = match together(&outcomes) {
                Outcome::Target => {
                    valid.push(row);
                    continue;
                }
                Outcome::Invalid => "no judgement",
                _ => "judged unfit",
            };
            row.reasons.push(reason.to_owned());
            summary.reject(&row);
            rejected.push(row);
        }
        summary.valid = valid.len();
        context.writer.write(filter::VALID, &jsonl::to_bytes(&valid))?;
        context.writer.write(filter::REJECTED, &jsonl::to_bytes(&rejected))?;
        context.write_json(filter::SUMMARY, &summary)?;
        Ok(json!({ "asked": summary.asked, "valid": summary.valid }))
    }
}
