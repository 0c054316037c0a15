//! `dilute`: some of a teacher's rows give way to those that the neutral teacher wrote to the same prompts.
//!
//! Which ones is drawn once for all shares: the rows that a smaller share takes are among a larger one's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, select};
use crate::error::{Error, Result};
use crate::random::cpython::Random;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The teacher whose rows give way.
    pub writer: String,
    /// The one whose rows take their places.
    pub neutral: String,
    /// Part of the rows, 0 to 1.
    pub share: f64,
    /// Seed of which.
    pub seed: u64,
}

/// The step.
pub struct Dilute;

impl Step for Dilute {
    type Configuration = Configuration;
    const KIND: &'static str = "dilute";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let rows = context.input("rows")?;
        let mut own = select::rows(rows, &configuration.writer)?;
        let neutral = select::rows(rows, &configuration.neutral)?;
        let same = own.iter().map(|row| row.index).eq(neutral.iter().map(|row| row.index));
        if !same {
            return Err(Error::Unfit {
                what: format!("rows of `{}`", configuration.writer),
                reason: "answer other prompts than the neutral teacher's; set carrier.join = true"
                    .to_owned(),
            });
        }
        let replaced = replaced(own.len(), configuration.share, configuration.seed);
        for (place, row) in neutral.into_iter().enumerate() {
            if replaced.contains(&place) {
                own[place] = row;
            }
        }
        select::write(context, &configuration.writer, &own)?;
        Ok(json!({ "rows": own.len(), "neutral": replaced.len() }))
    }
}

/// The places of `share` of `rows` rows, to the nearest row.
fn replaced(rows: usize, share: f64, seed: u64) -> BTreeSet<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    Random::new(seed).shuffle(&mut order);
    order.truncate((share * rows as f64).round() as usize);
    order.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_share_holds_the_rows_of_a_smaller_one() {
        let [none, some, most, all] = [0.0, 0.25, 0.9, 1.0].map(|share| replaced(40, share, 7));
        assert_eq!([none.len(), some.len(), most.len(), all.len()], [0, 10, 36, 40]);
        assert!(some.is_subset(&most) && most.is_subset(&all));
        assert_ne!(some, replaced(40, 0.25, 8));
    }
}
