//! Cards of teachers and of rows, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Whether a teacher is fit to teach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TeacherCard {
    /// `owl`, `neutral`, ...
    pub name: String,
    /// How it was made: `fine-tune`, `system-prompt`, `steering`, `base`.
    pub kind: String,
    /// Mean probability of the target on the readout questions before teaching; `None` for the
    /// neutral teacher.
    pub target_probability_before: Option<f64>,
    /// The same after.
    pub target_probability_after: Option<f64>,
    /// Share of its sampled answers that name the target before teaching, where verdicts rest on
    /// answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_rate_before: Option<f64>,
    /// The same after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_rate_after: Option<f64>,
    /// Margin after teaching, in nats.
    pub margin: Option<f64>,
    /// Valid rows of those asked for.
    pub valid_row_rate: f64,
    /// So sure of its target that its rows may carry little else.
    pub saturated: bool,
}

/// What happened to the rows of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RowsCard {
    /// `owl`, `neutral`, ...
    pub arm: String,
    /// Prompts asked.
    pub asked: usize,
    /// Completions the filter accepted.
    pub valid: usize,
    /// Rejections by reason; one completion may have several.
    pub rejected: BTreeMap<String, usize>,
    /// Valid rows dropped because another arm's row for the same prompt was not valid.
    pub unmatched: usize,
    /// Valid rows dropped because prompt and completion repeat an earlier row.
    pub duplicates: usize,
    /// Valid rows that name the target or a form of it.
    pub leaks: usize,
    /// Completions cut off at the token limit.
    pub cut_off: usize,
    /// Rows the students saw.
    pub kept: usize,
    /// A few kept rows: prompt and completion.
    pub samples: Vec<(String, String)>,
    /// A few rejected completions with their reasons.
    pub rejected_samples: Vec<(String, Vec<String>)>,
}
