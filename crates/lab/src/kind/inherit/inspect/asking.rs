//! What a step asked of which model, read from its record: readouts here or behind an endpoint, and rows
//! shown in context there, whose answers are kept. Readings in context on weights at hand sample none.

use owlet_engine::Message;
use owlet_store::{Artifact, StepRecord, Store};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::model::{EndpointModel, ModelAbout};
use crate::step::{Step, in_context, readout, select};
use crate::value::frame::Frame;

/// What was asked.
pub(super) struct Asking {
    /// Names of the behaviors.
    pub(super) behaviors: Vec<String>,
    /// How questions were put, and sentences for that.
    pub(super) frames: Vec<Frame>,
    pub(super) sentences: Vec<String>,
    /// Under what role the step's record names the model.
    pub(super) role: &'static str,
    /// The model, where it is behind an endpoint.
    pub(super) remote: Option<EndpointModel>,
    /// Earlier turns, one list for each draw of rows; none where no rows were shown.
    pub(super) draws: Vec<Vec<Message>>,
}

impl Asking {
    /// What the step of this record asked; `None` if it is no step that leaves answers.
    pub(super) fn of(store: &Store, step: &str, record: &StepRecord) -> Result<Option<Self>> {
        let there = |role: &str| -> Result<Option<EndpointModel>> {
            let model = input(store, step, record, role)?;
            Ok(ModelAbout::read(&model)?.endpoint().cloned())
        };
        if record.kind == readout::Readout::KIND {
            let told: readout::Configuration = configuration(step, record)?;
            return Ok(Some(Self {
                behaviors: told.asked,
                frames: told.frames,
                sentences: told.sentences,
                role: "model",
                remote: there("model").ok().flatten(),
                draws: Vec::new(),
            }));
        }
        if record.kind == in_context::InContext::KIND {
            let told: in_context::Configuration = configuration(step, record)?;
            if told.sampled.answers == 0 {
                return Ok(None);
            }
            let rows = select::rows(&input(store, step, record, "rows")?, &told.writer)?;
            let draws = (0..told.draws)
                .map(|draw| in_context::turns(&rows, told.rows, told.seed, draw))
                .collect();
            return Ok(Some(Self {
                behaviors: told.asked,
                frames: vec![told.frame],
                sentences: Vec::new(),
                role: "base",
                remote: there("base")?,
                draws,
            }));
        }
        Ok(None)
    }
}

/// What the step was told, beside how it was computed.
pub(in crate::kind::inherit) fn configuration<T: DeserializeOwned>(
    step: &str,
    record: &StepRecord,
) -> Result<T> {
    let told = record.configuration.get("step").cloned().unwrap_or_default();
    serde_json::from_value(told).map_err(|error| {
        let reason = format!("{error}; if another owlet made it, run its recipe again");
        Error::record(format!("configuration of {step}"), reason)
    })
}

/// The input in `role`.
pub(in crate::kind::inherit) fn input(
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
