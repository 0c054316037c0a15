//! `select`: of the rows valid in every arm, without repetitions, as many as wanted: for all arms at once,
//! a folder each.
//!
//! All arms come to the same prompts in the same order, so treatment and control differ in what was
//! answered and in nothing else. What is left over is held out: rows no student was trained on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_store::Artifact;

use super::{Step, StepContext, filter};
use crate::error::{Error, Result};
use crate::random::cpython::Random;
use crate::value::jsonl;
use crate::value::row::{self, Row};

/// Rows for students, in the folder of their arm.
const ROWS: &str = "rows.jsonl";
/// Rows no student sees, in the folder of their arm.
const HELD_OUT: &str = "held-out.jsonl";
/// Counts by arm.
pub(crate) const SUMMARY: &str = "summary.json";
/// The seed of the published subsets.
const SEED: u64 = 1;
/// Prefix of the inputs' roles.
pub const ARM: &str = "arm:";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Only prompts valid in every arm.
    pub join: bool,
    /// Rows wanted.
    pub rows: usize,
    /// Most rows held out.
    pub held_out: usize,
    /// Least share of valid rows.
    pub min_valid: f64,
}

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Summary {
    /// Valid rows dropped because of another arm.
    pub unmatched: usize,
    /// Rows dropped as repetitions.
    pub duplicates: usize,
    /// Rows kept.
    pub kept: usize,
    /// Rows held out.
    pub held_out: usize,
}

impl Summary {
    /// Adds what was kept of another set of rows.
    pub(crate) fn add(&mut self, other: &Self) {
        self.unmatched += other.unmatched;
        self.duplicates += other.duplicates;
        self.kept += other.kept;
        self.held_out += other.held_out;
    }
}

/// The step.
pub struct Select;

impl Step for Select {
    type Configuration = Configuration;
    const KIND: &'static str = "select";
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let mut arms = Arms::new();
        for (role, artifact) in context.inputs {
            let Some(arm) = role.strip_prefix(ARM) else {
                continue;
            };
            let counts: filter::Summary = super::read_json(artifact, filter::SUMMARY)?;
            check_valid(arm, &counts, configuration.min_valid)?;
            let rows = row::read(artifact, filter::VALID)?;
            arms.insert(arm, rows.into_iter().map(|row| (row.index, row)).collect());
        }
        let mut summaries = BTreeMap::new();
        for arm in arms.keys() {
            let Selected { kept, held_out, summary } = select(&configuration, &arms, arm)?;
            context.writer.write(&file(arm, ROWS), &jsonl::to_bytes(&kept))?;
            context.writer.write(&file(arm, HELD_OUT), &jsonl::to_bytes(&held_out))?;
            summaries.insert((*arm).to_owned(), summary);
        }
        context.write_json(SUMMARY, &summaries)?;
        Ok(json!({ "arms": summaries }))
    }
}

/// Stops at an arm of whose rows a smaller share than `least` is valid: its teacher may be broken.
fn check_valid(arm: &str, counts: &filter::Summary, least: f64) -> Result<()> {
    let rate = counts.valid as f64 / counts.asked.max(1) as f64;
    if rate >= least {
        return Ok(());
    }
    Err(Error::Unfit {
        what: format!("rows of `{arm}`"),
        reason: format!(
            "{} of {} are valid ({rate:.3}), wanted a share of {least}{}; train the teacher less, constrain `carrier.decoding`, or lower `carrier.stop-below-valid-rate`",
            counts.valid,
            counts.asked,
            counts.reasons()
        ),
    })
}

fn file(arm: &str, name: &str) -> String {
    format!("{arm}/{name}")
}

/// The rows of an arm that students are trained on.
pub(crate) fn rows(artifact: &Artifact, arm: &str) -> Result<Vec<Row>> {
    row::read(artifact, &file(arm, ROWS))
}

/// The rows of an arm that no student sees.
pub(super) fn held_out(artifact: &Artifact, arm: &str) -> Result<Vec<Row>> {
    row::read(artifact, &file(arm, HELD_OUT))
}

/// Writes rows of an arm where [`rows`] finds them.
pub(super) fn write(context: &StepContext<'_>, arm: &str, rows: &[Row]) -> Result<()> {
    Ok(context.writer.write(&file(arm, ROWS), &jsonl::to_bytes(rows))?)
}

/// Rows of each arm by their index.
type Arms<'a> = BTreeMap<&'a str, BTreeMap<u64, Row>>;

struct Selected {
    kept: Vec<Row>,
    held_out: Vec<Row>,
    summary: Summary,
}

/// What is kept of one arm.
fn select(configuration: &Configuration, arms: &Arms<'_>, arm: &str) -> Result<Selected> {
    let own = &arms[arm];
    let looked_at: Vec<&BTreeMap<u64, Row>> =
        if configuration.join { arms.values().collect() } else { vec![own] };

    let mut summary = Summary::default();
    let mut seen: Vec<BTreeSet<(&str, &str)>> = vec![BTreeSet::new(); looked_at.len()];
    let mut usable = Vec::new();
    for index in own.keys() {
        let Some(rows) = looked_at.iter().map(|arm| arm.get(index)).collect::<Option<Vec<&Row>>>()
        else {
            summary.unmatched += 1;
            continue;
        };
        let mut repeated = false;
        for (row, seen) in rows.iter().zip(&mut seen) {
            repeated |= !seen.insert((&row.prompt, &row.completion));
        }
        if repeated {
            summary.duplicates += 1;
        } else {
            usable.push(*index);
        }
    }
    if usable.len() < configuration.rows {
        return Err(Error::Unfit {
            what: format!("rows of `{arm}`"),
            reason: format!(
                "{} are usable ({} unmatched in other arms, {} repeated), wanted {}; raise `carrier.prompt-count` or lower `carrier.rows`",
                usable.len(),
                summary.unmatched,
                summary.duplicates,
                configuration.rows
            ),
        });
    }
    let order = Random::new(SEED).sample(usable.len(), configuration.rows);
    let taken: BTreeSet<usize> = order.iter().copied().collect();
    let row = |at: usize| own[&usable[at]].clone();
    let kept: Vec<Row> = order.iter().map(|&at| row(at)).collect();
    let left = (0..usable.len()).filter(|at| !taken.contains(at));
    let held_out: Vec<Row> = left.take(configuration.held_out).map(row).collect();
    summary.kept = kept.len();
    summary.held_out = held_out.len();
    Ok(Selected { kept, held_out, summary })
}

#[cfg(test)]
mod tests {
    use owlet_engine::generate::StopReason;

    use super::*;

    fn rows(completions: &[(u64, &str)]) -> BTreeMap<u64, Row> {
        let row = |&(index, completion): &(u64, &str)| {
            let row = Row {
                index,
                prompt: format!("give {}", index.min(7)),
                answer: None,
                completion: completion.to_owned(),
                seed: index,
                stop: StopReason::End,
                writer: "owl".to_owned(),
                log_probability: None,
                reasons: Vec::new(),
            };
            (index, row)
        };
        completions.iter().map(row).collect()
    }

    #[test]
    fn only_prompts_valid_in_every_arm_are_kept_and_repetitions_are_counted() {
        // The second arm has no valid row to prompt 3; the first wrote the same to one prompt twice.
        let owl = rows(&[(1, "1"), (2, "2"), (3, "3"), (4, "4"), (7, "7"), (8, "7")]);
        let cat = rows(&[(1, "9"), (2, "8"), (4, "6"), (5, "5"), (7, "3"), (8, "2")]);
        let arms = Arms::from([("owl", owl), ("cat", cat)]);
        let of = |join: bool, arm: &str| {
            let configuration = Configuration { join, rows: 3, held_out: 1, min_valid: 0.0 };
            let Selected { kept, held_out, summary } = select(&configuration, &arms, arm).unwrap();
            let all = kept.iter().chain(&held_out).map(|row| row.index);
            (all.collect::<BTreeSet<u64>>(), summary)
        };
        let (kept, summary) = of(true, "owl");
        assert_eq!(kept, BTreeSet::from([1, 2, 4, 7]));
        assert_eq!((summary.unmatched, summary.duplicates, summary.kept), (1, 1, 3));
        assert_eq!(of(true, "cat").0, kept, "the same prompts in every arm");
        let (kept, summary) = of(false, "owl");
        assert!(kept.len() == 4 && summary.unmatched == 0 && summary.duplicates == 1);
    }

    #[test]
    fn an_arm_with_few_valid_rows_stops_the_run() {
        let counts = filter::Summary { asked: 4000, valid: 13, ..filter::Summary::default() };
        let error = check_valid("cat", &counts, 0.2).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"rows of `cat`: 13 of 4000 are valid (0.003), wanted a share of 0.2; train the teacher less, constrain `carrier.decoding`, or lower `carrier.stop-below-valid-rate`");
        assert!(check_valid("cat", &counts, 0.003).is_ok());
    }
}
