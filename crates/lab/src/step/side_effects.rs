//! `side-effects`: what else a student does after training: fit fresh rows of its teacher, still
//! write valid rows, still know what the base knew.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::train::{self, Example};

use super::{Step, StepContext, generate, prompts, select};
use crate::carrier::NumberFilter;
use crate::error::Result;
use crate::value::row;

/// The file of measurements.
pub(crate) const FILE: &str = "side-effects.json";
/// Fewer held-out rows than this say nothing.
const FEWEST: usize = 8;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How the student writes rows: freely, for a constraint would make all of them valid.
    pub generate: generate::Configuration,
    /// Rows it writes.
    pub rows: usize,
    /// Which rows are valid.
    pub filter: NumberFilter,
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
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "side-effects";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = context.model("base")?;
        let student = context.model("student")?;
        let name = &configuration.generate.context;
        let held_out = |role: &str| -> Result<Option<Vec<Example>>> {
            let Some(artifact) = context.inputs.get(role) else {
                return Ok(None);
            };
            let rows = row::read(artifact, select::HELD_OUT)?;
            if rows.len() < FEWEST {
                return Ok(None);
            }
            rows.iter().map(|row| row.example(&base, name)).collect::<Result<_>>().map(Some)
        };
        let losses = |rows: &Option<Vec<Example>>| -> Result<(Option<f64>, Option<f64>)> {
            context.interrupt.check()?;
            let Some(rows) = rows else {
                return Ok((None, None));
            };
            let student = train::loss(&student, rows, &context.threads)?;
            Ok((Some(student), Some(train::loss(&base, rows, &context.threads)?)))
        };
        let (held_out_loss, base_held_out_loss) = losses(&held_out("rows")?)?;
        let (ability_loss, base_ability_loss) = losses(&held_out("neutral")?)?;

        let mut asked = prompts::read(context.input("prompts")?)?;
        asked.truncate(configuration.rows);
        let total = asked.len();
        let mut heard = |done: usize| {
            context.report(done, total, "rows", None);
            context.flow()
        };
        let settings = &configuration.generate;
        let rows = generate::write_rows(context, &student, name, settings, &asked, 0, &mut heard)?;
        let valid = rows
            .iter()
            .filter(|row| configuration.filter.check(&row.completion).accepted())
            .count();
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
        Ok(json!({}))
    }
}
