//! `steps.json`: what the steps of a finished run are called and what they made.

use owlet_store::{ArtifactId, RunDirectory, StepKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file.
pub(super) const FILE: &str = "steps.json";
/// The version of its format that this build writes. Before there were versions, it was the list
/// alone; that is still read.
const FORMAT: u32 = 1;

/// The steps of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepsRecord {
    /// The version of this format.
    pub format: u32,
    /// How long the run took, in seconds; none where it was not written down.
    pub seconds: Option<f64>,
    /// The steps, in the plan's order.
    pub steps: Vec<NamedStep>,
}

/// One step of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedStep {
    /// Its name in the plan.
    pub name: String,
    /// What kind of step.
    pub kind: String,
    /// Its key, where it is known.
    #[serde(default)]
    pub key: Option<StepKey>,
    /// What it made.
    pub artifact: Option<ArtifactId>,
}

/// The steps of a finished run.
///
/// # Errors
/// A run that is not finished, and a file that this build does not read.
pub fn read(run: &RunDirectory) -> Result<StepsRecord> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<NamedStep>),
        Record(StepsRecord),
    }
    match read_json(run, FILE)? {
        Form::List(steps) => Ok(StepsRecord { format: 0, seconds: None, steps }),
        Form::Record(record) => {
            Error::check_format(&run.path().join(FILE), record.format, FORMAT)?;
            Ok(record)
        }
    }
}

pub(super) fn write(run: &RunDirectory, steps: Vec<NamedStep>, seconds: f64) -> Result<()> {
    let record = StepsRecord { format: FORMAT, seconds: Some(seconds), steps };
    write_json(run, FILE, &record)
}

/// Reads a file of a run that is JSON.
pub(super) fn read_json<T: DeserializeOwned>(run: &RunDirectory, name: &str) -> Result<T> {
    serde_json::from_slice(&run.read_file(name)?)
        .map_err(|error| Error::record(run.path().join(name), error))
}

/// Writes a file of a run as JSON for people, too.
pub(super) fn write_json<T: Serialize>(run: &RunDirectory, name: &str, value: &T) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::record(name, error))?;
    bytes.push(b'\n');
    Ok(run.write_file(name, &bytes)?)
}
