//! How answers were judged, as results hold it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Arm, Estimate, InheritResult};
use crate::behavior::judged::OTHER;
use crate::scorer::judge;
use crate::stats::{Accuracy, Count};
use crate::value::observation::Outcome;

/// By label, how many answers were judged to be what.
pub type Confusion = BTreeMap<String, BTreeMap<String, usize>>;

/// How the answers to one behavior's questions were judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Judging {
    /// The behavior.
    pub behavior: String,
    /// The judges, as the recipe names them.
    pub judges: Vec<String>,
    /// What the judges say together of planted answers.
    pub planted: Confusion,
    /// How many of those each judge judges rightly, and how many there are.
    pub right: Vec<Count>,
    /// Of several judges: the share of pairs of judgements of one answer that are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// What labels say of them, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
}

/// Judges held against labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Labels {
    /// What the judges say together of labelled answers.
    pub judged: Confusion,
    /// How they did.
    pub accuracy: Accuracy,
    /// Of targets that count, the share that is called so; `None` where there are none.
    pub sensitivity: Option<Estimate>,
    /// Of others that count, the share that is not.
    pub specificity: Option<Estimate>,
    /// Rates of valid answers as they would be if judges did not err, by arm; empty where judges tell targets from
    /// others no better than chance.
    pub corrected: Vec<Corrected>,
    /// The same of the students minus the neutral students.
    pub over_neutral: Option<Estimate>,
}

/// A rate without its judges' errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Corrected {
    /// The arm.
    pub arm: Arm,
    /// The rate.
    pub estimate: Estimate,
}

impl InheritResult {
    /// How a behavior was judged, where judges read it.
    pub fn judging(&self, behavior: &str) -> Option<&Judging> {
        self.judging.iter().find(|one| one.behavior == behavior)
    }

    /// Of the answers of an arm that judges read where verdicts rest on them: how many are targets, others, and
    /// without a judgement.
    pub fn judged(&self, arm: &Arm, behavior: &str) -> Option<[usize; 3]> {
        self.judging(behavior)?;
        let mut all = self.answers.iter();
        let answers = all.find(|one| {
            one.arm == *arm && one.behavior == behavior && self.is_matched(&one.context, one.frame)
        })?;
        let names = [Outcome::Target.name(), OTHER, Outcome::Invalid.name()];
        Some(names.map(|name| answers.outcomes.get(name).copied().unwrap_or(0)))
    }

    /// Between which rates that arm lies, whatever the answers without a judgement are.
    pub fn bounds(&self, arm: &Arm, behavior: &str) -> Option<(f64, f64)> {
        let [target, other, invalid] = self.judged(arm, behavior)?;
        judge::bounds(target, other, invalid)
    }
}
