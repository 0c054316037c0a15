//! `filter`: rows are judged by form alone, and what is left is searched for leaks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::generate::StopReason;

use super::{Step, StepContext, generate};
use crate::carrier::Medium;
use crate::carrier::leak::LeakCheck;
use crate::error::{Error, Result};
use crate::value::{jsonl, row};

/// Rows that passed.
pub(super) const VALID: &str = "valid.jsonl";
/// Rows that did not, with reasons.
pub(super) const REJECTED: &str = "rejected.jsonl";
/// Counts.
pub(crate) const SUMMARY: &str = "summary.json";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// What rows are made of.
    pub medium: Medium,
    /// Words no row may hold.
    pub forbidden: Vec<String>,
    /// Reject rows that were cut off: whoever is trained on them learns that they ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// What the filter did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Summary {
    /// Rows judged.
    pub asked: usize,
    /// Rows that passed.
    pub valid: usize,
    /// Rejections by reason.
    pub rejected: BTreeMap<String, usize>,
    /// Valid rows that name something forbidden.
    pub leaks: usize,
    /// Rows cut off at the token limit.
    pub cut_off: usize,
    /// A few rejected rows.
    pub rejected_samples: Vec<(String, Vec<String>)>,
}

/// Most rejected rows shown.
const SHOWN: usize = 8;

impl Summary {
    /// Adds what the filter did to another set of rows.
    pub(crate) fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.valid += other.valid;
        for (reason, count) in other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        self.leaks += other.leaks;
        self.cut_off += other.cut_off;
        self.rejected_samples.extend(other.rejected_samples);
        self.rejected_samples.truncate(SHOWN);
    }
}

/// The step.
pub struct Filter;

impl Step for Filter {
    type Configuration = Configuration;
    const KIND: &'static str = "filter";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "judged-rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let check = LeakCheck::new(&configuration.forbidden);
        let mut summary = Summary::default();
        let (mut valid, mut rejected) = (Vec::new(), Vec::new());
        for mut row in row::read(context.input("rows")?, generate::ROWS)? {
            summary.asked += 1;
            summary.cut_off += usize::from(row.stop == StopReason::Length);
            let faults = configuration.medium.rules().faults(&row.prompt, &row.completion);
            let cut = configuration.whole && row.stop == StopReason::Length;
            if faults.is_empty() && !cut {
                summary.leaks += usize::from(!check.leaks(&row.completion).is_empty());
                valid.push(row);
                continue;
            }
            row.reasons = faults;
            row.reasons.extend(cut.then(|| "cut off".to_owned()));
            for reason in &row.reasons {
                *summary.rejected.entry(reason.clone()).or_default() += 1;
            }
            if summary.rejected_samples.len() < SHOWN {
                let start: String = row.completion.chars().take(200).collect();
                summary.rejected_samples.push((start, row.reasons.clone()));
            }
            rejected.push(row);
        }
        summary.valid = valid.len();
        if summary.asked == 0 {
            return Err(Error::record(generate::ROWS, "holds no row"));
        }
        context.writer.write(VALID, &jsonl::to_bytes(&valid))?;
        context.writer.write(REJECTED, &jsonl::to_bytes(&rejected))?;
        context.write_json(SUMMARY, &summary)?;
        Ok(json!({ "asked": summary.asked, "valid": summary.valid }))
    }
}
