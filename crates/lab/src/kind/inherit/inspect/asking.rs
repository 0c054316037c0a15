//! What a step asked of which model, read from its record: readouts here or behind an endpoint, and rows
//! shown in context there, whose answers are kept. Readings in context on weights at hand sample none.

use owlet_engine::Message;
use owlet_store::{Artifact, StepRecord, Store};
use serde::de::DeserializeOwned;

use crate::ask::endpoint::{self, RemoteModel};
use crate::error::{Error, Result};
use crate::step::{Step, in_context, readout, select};
use crate::value::row;

/// What was asked.
pub(super) struct Asking {
    /// Names of the behaviors.
    pub(super) behaviors: Vec<String>,
    /// Number sentences, one before each question, where there are any.
    pub(super) prefixes: Vec<String>,
    /// Under what role the step's record names the model.
    pub(super) role: &'static str,
    /// The model, where it is behind an endpoint.
    pub(super) remote: Option<RemoteModel>,
    /// Earlier turns, one list for each draw of rows; none where no rows were shown.
    pub(super) draws: Vec<Vec<Message>>,
    /// Answers to each question in each draw.
    pub(super) answers: usize,
}

impl Asking {
    /// What the step of this record asked; `None` if it is no step that leaves answers.
    pub(super) fn of(store: &Store, step: &str, record: &StepRecord) -> Result<Option<Self>> {
        let there = |role: &str| -> Result<Option<RemoteModel>> {
            let model = input(store, step, record, role)?;
            endpoint::is_model(&model).then(|| endpoint::read(&model)).transpose()
        };
        if record.kind == readout::Readout::KIND {
            let told: readout::Configuration = configuration(step, record)?;
            return Ok(Some(Self {
                behaviors: told.asked,
                prefixes: told.prefixes,
                role: "model",
                remote: there("model").ok().flatten(),
                draws: Vec::new(),
                answers: told.sampled.answers,
            }));
        }
        if record.kind == in_context::InContext::KIND {
            let told: in_context::Configuration = configuration(step, record)?;
            if told.sampled.answers == 0 {
                return Ok(None);
            }
            let rows = row::read(&input(store, step, record, "rows")?, select::ROWS)?;
            let draws = (0..told.draws)
                .map(|draw| in_context::turns(&rows, told.rows, told.seed, draw))
                .collect();
            return Ok(Some(Self {
                behaviors: told.asked,
                prefixes: Vec::new(),
                role: "base",
                remote: there("base")?,
                draws,
                answers: told.sampled.answers,
            }));
        }
        Ok(None)
    }

    /// In which draw the answer with this number among those to its question was given.
    pub(super) fn draw(&self, number: usize) -> usize {
        if self.draws.is_empty() { 0 } else { number / self.answers.max(1) }
    }
}

fn configuration<T: DeserializeOwned>(step: &str, record: &StepRecord) -> Result<T> {
    // What the step was told stands beside how it was computed.
    let told = record.configuration.get("step").cloned().unwrap_or_default();
    serde_json::from_value(told)
        .map_err(|error| Error::record(format!("configuration of {step}"), error))
}

/// The input in `role`.
pub(super) fn input(
    store: &Store,
    step: &str,
    record: &StepRecord,
    role: &str,
) -> Result<Artifact> {
    let input = record
        .inputs
        .get(role)
        .ok_or_else(|| Error::record(format!("inputs of {step}"), format!("hold no `{role}`")))?;
    Ok(store.artifact(input)?)
}
