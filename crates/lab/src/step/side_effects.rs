//! `side-effects`: what else a student does after training: fit fresh rows of its teacher, still
//! write valid rows, still know what the base knew.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::filter::asked_of;
use super::{Step, StepContext, generate, prompts, select};
use crate::ask::{self, Demonstration};
use crate::carrier::Medium;
use crate::error::Result;

/// The file of measurements.
pub(crate) const FILE: &str = "side-effects.json";
/// Fewer held-out rows than this say nothing.
const FEWEST: usize = 8;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The teacher whose rows it was trained on.
    #[serde(rename = "arm")]
    pub writer: String,
    /// The teacher whose rows say what the base could do, where there is one.
    pub ability: Option<String>,
    /// How the student writes rows: freely, for a constraint would make all of them valid.
    pub generate: generate::Configuration,
    /// Rows it writes.
    pub rows: usize,
    /// Which rows are valid.
    pub medium: Medium,
}

/// What was measured; in nats per token and as a share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Measured {
    /// Loss on rows of its teacher that it was not trained on.
    pub held_out_loss: Option<f64>,
    /// The base's.
    pub base_held_out_loss: Option<f64>,
    /// Loss on rows of the neutral teacher: what the base could do.
    pub ability_loss: Option<f64>,
    /// The base's.
    pub base_ability_loss: Option<f64>,
    /// Valid rows among those it writes.
    pub valid_row_rate: f64,
}

/// The step.
pub struct SideEffects;

impl Step for SideEffects {
    type Configuration = Configuration;
    const KIND: &'static str = "side-effects";
    const ALGORITHM: u32 = 4;
    const OUTPUT: &'static str = "side-effects";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let student = context.ask("student")?;
        let name = &configuration.generate.context;
        let losses = |arm: Option<&str>| -> Result<(Option<f64>, Option<f64>)> {
            let (Some(artifact), Some(arm)) = (context.inputs.get("rows"), arm) else {
                return Ok((None, None));
            };
            let rows = select::held_out(artifact, arm)?;
            if rows.len() < FEWEST {
                return Ok((None, None));
            }
            let rows: Vec<Demonstration> =
                rows.iter().map(|row| Demonstration::of_row(row, name)).collect();
            let (base, work) = (context.ask("base")?, context.work());
            Ok((student.loss(&rows, &work)?, base.loss(&rows, &work)?))
        };
        let (held_out_loss, base_held_out_loss) = losses(Some(&configuration.writer))?;
        let (ability_loss, base_ability_loss) = losses(configuration.ability.as_deref())?;

        let mut asked = prompts::read(context.input("prompts")?)?;
        asked.truncate(configuration.rows);
        let (total, settings) = (asked.len(), &configuration.generate);
        let (rows, answers) =
            generate::write_rows(&context.work(), &*student, name, settings, &asked, 0, false)?;
        let rules = configuration.medium.rules();
        let valid =
            rows.iter().filter(|row| rules.faults(asked_of(row), &row.completion).is_empty());
        let valid = valid.count();
        context.write_json(
            FILE,
            &Measured {
                held_out_loss,
                base_held_out_loss,
                ability_loss,
                base_ability_loss,
                valid_row_rate: valid as f64 / total.max(1) as f64,
            },
        )?;
        Ok(ask::with_told(json!({}), answers.iter()))
    }
}
