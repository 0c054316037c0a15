//! `judged`: a readout whose answers have their judges' outcomes: whatever more than half of the judges find.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::judge::{self, Judgement, READOUT};
use super::{Step, StepContext, readout};
use crate::error::{Error, Result};
use crate::scorer::judge::together;
use crate::stats;
use crate::value::jsonl;
use crate::value::observation::{self, Given, Outcome};

/// Prefix of the roles of judgements.
pub const JUDGEMENTS: &str = "judgements:";
/// The file of how often judges agree.
pub(crate) const AGREEMENT: &str = "agreement.json";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How many judges there are.
    pub judges: usize,
}

/// How often judges find the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Agreed {
    /// Answers that were judged.
    pub answers: usize,
    /// Sum over them of the share of pairs of judges that find the same.
    pub agreement: f64,
}

/// The step.
pub struct Judged;

impl Step for Judged {
    type Configuration = Configuration;
    const KIND: &'static str = "judged";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let mut observations = readout::observations(context.input(READOUT)?)?;
        let all: Vec<Vec<Judgement>> = (0..configuration.judges)
            .map(|judge| judge::read(context.input(&format!("{JUDGEMENTS}{judge}"))?))
            .collect::<Result<_>>()?;
        let mut agreed = Agreed::default();
        for found in together_of(&all)? {
            let (at, outcomes) = found;
            agreed.answers += 1;
            agreed.agreement += stats::agreement(&outcomes).unwrap_or(1.0);
            let given = observations.get_mut(at).map(|one| &mut one.given);
            let Some(Given::Answer { outcome, .. }) = given else {
                return Err(Error::record(
                    "judgements",
                    format!("judge observation {at}, which is no answer"),
                ));
            };
            *outcome = together(&outcomes);
        }
        let is_open = |one: &observation::Observation| {
            matches!(&one.given, Given::Answer { outcome: Outcome::Unjudged, .. })
        };
        if observations.iter().any(is_open) {
            return Err(Error::record("judgements", "leave an answer without a judgement"));
        }
        context.writer.write(observation::FILE, &jsonl::to_bytes(&observations))?;
        context.write_json(AGREEMENT, &agreed)?;
        Ok(json!({ "judges": configuration.judges, "judged": agreed.answers }))
    }
}

/// What all judges find of every answer, by its place.
///
/// # Errors
/// Judges that were asked of different answers.
pub(crate) fn together_of(all: &[Vec<Judgement>]) -> Result<Vec<(usize, Vec<Outcome>)>> {
    let Some((first, others)) = all.split_first() else { return Ok(Vec::new()) };
    let mut found: Vec<(usize, Vec<Outcome>)> =
        first.iter().map(|one| (one.item, vec![one.outcome.clone()])).collect();
    for other in others {
        if other.len() != found.len() {
            return Err(Error::record("judgements", "of two judges are about different answers"));
        }
        for ((at, outcomes), one) in found.iter_mut().zip(other) {
            if *at != one.item {
                return Err(Error::record(
                    "judgements",
                    "of two judges are about different answers",
                ));
            }
            outcomes.push(one.outcome.clone());
        }
    }
    Ok(found)
}
