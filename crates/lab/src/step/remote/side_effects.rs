//! `remote-side-effects`: whether a student behind an endpoint still writes valid rows. Losses of given
//! rows are more than the API tells.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{generate, told};
use crate::carrier::NumberFilter;
use crate::error::Result;
use crate::step::side_effects::{FILE, Measured};
use crate::step::{Step, StepContext, prompts};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How the student writes rows.
    pub generate: generate::Configuration,
    /// Rows it writes.
    pub rows: usize,
    /// Which rows are valid.
    pub filter: NumberFilter,
}

/// The step.
pub struct RemoteSideEffects;

impl Step for RemoteSideEffects {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-side-effects";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "side-effects";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let student = super::model(context, "student")?;
        let mut asked = prompts::read(context.input("prompts")?)?;
        asked.truncate(configuration.rows);
        let settings = &configuration.generate;
        let name = &settings.context;
        let (rows, answers) = generate::write_rows(context, &student, name, settings, &asked)?;
        let valid = rows
            .iter()
            .filter(|row| configuration.filter.check(&row.completion).accepted())
            .count();
        context.write_json(
            FILE,
            &Measured {
                held_out_loss: None,
                base_held_out_loss: None,
                ability_loss: None,
                base_ability_loss: None,
                valid_row_rate: valid as f64 / rows.len().max(1) as f64,
            },
        )?;
        Ok(told(answers.iter()))
    }
}
