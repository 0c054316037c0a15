//! Steps: the records of who made what from what.
//!
//! A step's key is the digest of everything its output depends on, so a step whose key is on record
//! and whose output is sound is done. Resume, reuse and lineage all rest on these records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Format;
use crate::name::check_kind;
use crate::{ArtifactId, Error, Result, StepKey, Store, canonical_json, document};

pub(crate) const STEP_FORMAT: Format =
    Format { what: "step record", version: 2, context: "owlet step record seal 1" };

/// The record that a step made an artifact from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// Version of the record's format: [`StepRecord::FORMAT`].
    pub format: u32,
    /// The step's key, as [`step_key`] computes it from the next four fields.
    pub key: StepKey,
    /// What the step does, in one word.
    pub kind: String,
    /// Version of the algorithm; raised when the same inputs would give other bytes.
    pub algorithm: u32,
    /// Everything that was set, resolved.
    pub configuration: Value,
    /// The artifacts it was made from, by their role.
    pub inputs: BTreeMap<String, ArtifactId>,
    /// The artifact it made.
    pub output: ArtifactId,
    /// What it took; no part of the key.
    pub about: StepCost,
}

impl StepRecord {
    /// The version of the record's format that this build writes.
    pub const FORMAT: u32 = STEP_FORMAT.version;

    fn computed_key(&self) -> StepKey {
        step_key(&self.kind, self.algorithm, &self.configuration, &self.inputs)
    }
}

/// What making a step took, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepCost {
    /// When it started, as an RFC 3339 timestamp.
    pub started: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many threads it used.
    pub threads: usize,
    /// The most memory the process held while the step was made, in bytes, where known; with other
    /// steps made beside it, theirs is in it.
    pub peak_memory_bytes: Option<u64>,
    /// Roughly how many floating-point operations it took, to foresee the time of others like it;
    /// not in records of format 1.
    #[serde(default)]
    pub work: Option<f64>,
    /// The machine's name.
    pub host: String,
    /// The version of owlet.
    pub version: String,
}

/// Computes the key of a step: a domain-separated BLAKE3 digest of its kind, algorithm version,
/// configuration (as [`canonical_json`]) and inputs with their roles.
pub fn step_key(
    kind: &str,
    algorithm: u32,
    configuration: &Value,
    inputs: &BTreeMap<String, ArtifactId>,
) -> StepKey {
    let what = [kind.to_owned(), algorithm.to_string(), canonical_json(configuration)];
    let inputs = inputs.iter().flat_map(|(role, id)| [role.clone(), id.to_string()]);
    let texts = what.into_iter().chain(inputs);
    StepKey::from_bytes(document::digest_texts("owlet step key 1", texts))
}

impl Store {
    /// Returns the record of a step whose output is there and sound.
    ///
    /// `None` means that the step is to be made: it is not on record, or its record or output is
    /// missing or damaged. What is damaged is moved to `damaged/`, never used.
    ///
    /// # Errors
    /// [`Error::Newer`] when the record or its output was written by a newer owlet.
    pub fn step(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        let (path, name) = (self.step_path(key), format!("{key}.json"));
        let Some(record) = self.sound(|| self.read_step(key), &path, &name)? else {
            return Ok(None);
        };
        if self.sound_artifact(&record.output)?.is_none() {
            return Ok(None);
        }
        // A crash between recording a step and clearing leaves this; in a workspace that cannot be
        // written it does no harm.
        let _ = self.clear_scratch(key);
        Ok(Some(record))
    }

    /// Records that a step was made, durably, and removes its scratch folder.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when the key is not the one of the record's content,
    /// [`Error::MissingArtifact`] when the output is not in the workspace, and
    /// [`Error::NotDeterministic`] when the step is on record with another output that is sound or was removed
    /// on purpose.
    pub fn record_step(&self, record: &StepRecord) -> Result<()> {
        check_kind("step kind", &record.kind)?;
        let computed = record.computed_key();
        if computed != record.key {
            return Err(Error::WrongKey { given: record.key, computed });
        }
        let bytes = document::render(STEP_FORMAT, record)?;
        self.artifact(&record.output)?;
        match self.step(&record.key)? {
            Some(before) if before.output == record.output => {}
            Some(before) => {
                return Err(Error::NotDeterministic {
                    key: record.key,
                    kind: record.kind.clone(),
                    before: before.output,
                    now: record.output,
                });
            }
            None => {
                self.check_remade(record)?;
                let _names = self.lock_names()?;
                self.write_atomically(&self.step_path(&record.key), &bytes)?;
            }
        }
        self.clear_scratch(&record.key)
    }

    /// Refuses that a step whose output was removed made another this time: others were made from the first.
    fn check_remade(&self, record: &StepRecord) -> Result<()> {
        let Some(before) = self.step_record(&record.key)? else { return Ok(()) };
        if before.output == record.output || self.removed(&before.output).is_none() {
            return Ok(());
        }
        let (key, kind) = (record.key, record.kind.clone());
        Err(Error::NotDeterministic { key, kind, before: before.output, now: record.output })
    }

    /// Returns the record of a step as it stands, whether or not its output is there and sound;
    /// `None` when there is none or it cannot be read.
    pub fn step_record(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        Ok(self.read_step(key)?.and_then(Result::ok))
    }

    /// Lists the records of all steps, sorted by key, whether or not their outputs are there.
    ///
    /// Records that cannot be read are left out; [`Store::verify`] names them.
    pub fn steps(&self) -> Result<Vec<StepRecord>> {
        let mut records = Vec::new();
        for key in self.step_keys()? {
            match self.read_step(&key) {
                Ok(Some(Ok(record))) => records.push(record),
                Ok(_) | Err(Error::Newer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Reads a step record; the inner error says what is wrong with a damaged one.
    pub(crate) fn read_step(&self, key: &StepKey) -> Result<Option<Result<StepRecord, String>>> {
        let record = document::read_record(STEP_FORMAT, &self.step_path(key))?;
        Ok(record.map(|record| {
            let record: StepRecord = record?;
            let computed = record.computed_key();
            if record.key != *key || computed != *key {
                return Err(format!("records step {}, not this one", computed.short()));
            }
            Ok(record)
        }))
    }
}
