//! Steps: pure functions from configuration and input artifacts to one output artifact.
//!
//! One file per kind. Each has a typed `Configuration`, an `ALGORITHM` version that rises whenever
//! its output may change for the same inputs, and a `run` that writes files and returns what the
//! artifact says about itself. A step reads nothing but its context; where it keeps unfinished work
//! (scratch), going on from it gives the same bytes as never having stopped.

pub mod base;
pub mod behavior;
pub mod examine;
pub mod filter;
pub mod fine_tune;
pub mod generate;
pub mod geometry;
pub mod grow;
pub mod in_context;
pub mod prompts;
pub mod readout;
pub mod remote;
pub mod select;
pub mod shuffle;
pub mod side_effects;
pub mod teach;
pub mod train;
mod training;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use owlet_engine::{Model, Threads};
use owlet_store::{Artifact, ArtifactWriter};

use crate::ask::endpoint::Access;
use crate::error::{Error, Result};
use crate::model::{ModelCache, ModelSource};
use crate::value::interrupt::{Interrupt, Progress};

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// A model's files become an artifact.
    Base,
    /// A model grows from nothing.
    Grow,
    /// What a grown model knows.
    Examine,
    /// A behavior and the questions it is read by.
    Behavior,
    /// A base becomes a teacher.
    Teach,
    /// A prompt set is drawn.
    Prompts,
    /// A teacher writes rows.
    Generate,
    /// Rows are judged by form.
    Filter,
    /// Rows valid in all arms are kept, as many as wanted.
    Select,
    /// The numbers of rows change places.
    Shuffle,
    /// A student is trained.
    Train,
    /// A student is trained on conversations from outside.
    FineTune,
    /// Behaviors are read from a model.
    Readout,
    /// Behaviors are read from the base with rows before its eyes.
    InContext,
    /// What else a student does.
    SideEffects,
    /// How a student's update lies to the teachers'.
    Geometry,
    /// A model behind an endpoint.
    RemoteBase,
    /// A base behind an endpoint becomes a teacher.
    RemoteTeach,
    /// A teacher behind an endpoint writes rows.
    RemoteGenerate,
    /// A student is fine-tuned behind an endpoint.
    RemoteTrain,
    /// Behaviors are read from a model behind an endpoint.
    RemoteReadout,
    /// Behaviors are read from a base behind an endpoint with rows before its eyes.
    RemoteInContext,
    /// What else a student behind an endpoint does.
    RemoteSideEffects,
    /// Everything read becomes a result.
    Estimate,
}

impl StepKind {
    /// The name, as in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Grow => "grow",
            Self::Examine => "examine",
            Self::Behavior => "behavior",
            Self::Teach => "teach",
            Self::Prompts => "prompts",
            Self::Generate => "generate",
            Self::Filter => "filter",
            Self::Select => "select",
            Self::Shuffle => "shuffle",
            Self::Train => "train",
            Self::FineTune => "fine-tune",
            Self::Readout => "readout",
            Self::InContext => "in-context",
            Self::SideEffects => "side-effects",
            Self::Geometry => "geometry",
            Self::RemoteBase => "remote-base",
            Self::RemoteTeach => "remote-teach",
            Self::RemoteGenerate => "remote-generate",
            Self::RemoteTrain => "remote-train",
            Self::RemoteReadout => "remote-readout",
            Self::RemoteInContext => "remote-in-context",
            Self::RemoteSideEffects => "remote-side-effects",
            Self::Estimate => "estimate",
        }
    }

    /// The version of its algorithm.
    pub fn algorithm(self) -> u32 {
        match self {
            Self::Base => base::ALGORITHM,
            Self::Grow => grow::ALGORITHM,
            Self::Examine => examine::ALGORITHM,
            Self::Behavior => behavior::ALGORITHM,
            Self::Teach => teach::ALGORITHM,
            Self::Prompts => prompts::ALGORITHM,
            Self::Generate => generate::ALGORITHM,
            Self::Filter => filter::ALGORITHM,
            Self::Select => select::ALGORITHM,
            Self::Shuffle => shuffle::ALGORITHM,
            Self::Train => train::ALGORITHM,
            Self::FineTune => fine_tune::ALGORITHM,
            Self::Readout => readout::ALGORITHM,
            Self::InContext => in_context::ALGORITHM,
            Self::SideEffects => side_effects::ALGORITHM,
            Self::Geometry => geometry::ALGORITHM,
            Self::RemoteBase => remote::base::ALGORITHM,
            Self::RemoteTeach => remote::teach::ALGORITHM,
            Self::RemoteGenerate => remote::generate::ALGORITHM,
            Self::RemoteTrain => remote::train::ALGORITHM,
            Self::RemoteReadout => remote::readout::ALGORITHM,
            Self::RemoteInContext => remote::in_context::ALGORITHM,
            Self::RemoteSideEffects => remote::side_effects::ALGORITHM,
            Self::Estimate => crate::kind::inherit::estimate::ALGORITHM,
        }
    }

    /// The kind of artifact it makes.
    pub fn output(self) -> &'static str {
        match self {
            Self::Base | Self::Grow => crate::model::MODEL_KIND,
            Self::Behavior => "behavior",
            Self::RemoteBase => "remote-model",
            Self::RemoteTeach => "remote-teacher",
            Self::RemoteTrain => "remote-student",
            Self::Teach => "teacher",
            Self::Train | Self::FineTune => "student",
            Self::Prompts => "prompts",
            Self::Generate | Self::RemoteGenerate => "raw-rows",
            Self::Filter => "judged-rows",
            Self::Select | Self::Shuffle => "rows",
            Self::Readout | Self::InContext | Self::RemoteReadout | Self::RemoteInContext => {
                "readout"
            }
            Self::SideEffects | Self::RemoteSideEffects => "side-effects",
            Self::Geometry => "geometry",
            Self::Estimate | Self::Examine => "result",
        }
    }
}

/// Everything a step may look at.
pub struct StepContext<'a> {
    /// Its configuration.
    pub configuration: &'a Value,
    /// Its inputs by role.
    pub inputs: &'a BTreeMap<String, Artifact>,
    /// Where its output goes.
    pub writer: &'a ArtifactWriter,
    /// Where unfinished work is kept.
    pub scratch: &'a Path,
    /// The threads it may use; results do not depend on their number.
    pub threads: Threads,
    /// Models, loaded.
    pub models: &'a ModelCache,
    /// Files of models outside the store, by digest.
    pub sources: &'a BTreeMap<String, ModelSource>,
    /// Models behind endpoints.
    pub remote: &'a Access,
    /// Hears how far it is.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
}

impl StepContext<'_> {
    /// The configuration as its type.
    pub fn configuration<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.configuration.clone())
            .map_err(|error| Error::record("configuration", error))
    }

    /// The input in `role`.
    pub fn input(&self, role: &str) -> Result<&Artifact> {
        self.inputs.get(role).ok_or_else(|| Error::record("inputs", format!("has no `{role}`")))
    }

    /// The model in `role`.
    pub fn model(&self, role: &str) -> Result<Model> {
        self.models.load(self.input(role)?)
    }

    /// Reports progress.
    pub fn report(&self, done: usize, total: usize, unit: &'static str, loss: Option<f64>) {
        (self.progress)(Progress { done, total, unit, loss });
    }

    /// What the engine's loops ask: go on?
    pub fn flow(&self) -> ControlFlow<()> {
        if self.interrupt.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Writes a value as indented JSON.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut bytes =
            serde_json::to_vec_pretty(value).map_err(|error| Error::record(name, error))?;
        bytes.push(b'\n');
        Ok(self.writer.write(name, &bytes)?)
    }
}

/// Reads a JSON file of an artifact.
pub(crate) fn read_json<T: DeserializeOwned>(artifact: &Artifact, name: &str) -> Result<T> {
    serde_json::from_slice(&artifact.read(name)?)
        .map_err(|error| Error::record(artifact.folder().join(name), error))
}

/// Runs the step of `kind` and returns what its artifact says about itself.
pub fn run(kind: StepKind, context: &StepContext<'_>) -> Result<Value> {
    match kind {
        StepKind::Base => base::run(context),
        StepKind::Grow => grow::run(context),
        StepKind::Examine => examine::run(context),
        StepKind::Behavior => behavior::run(context),
        StepKind::Teach => teach::run(context),
        StepKind::Prompts => prompts::run(context),
        StepKind::Generate => generate::run(context),
        StepKind::Filter => filter::run(context),
        StepKind::Select => select::run(context),
        StepKind::Shuffle => shuffle::run(context),
        StepKind::Train => train::run(context),
        StepKind::FineTune => fine_tune::run(context),
        StepKind::Readout => readout::run(context),
        StepKind::InContext => in_context::run(context),
        StepKind::SideEffects => side_effects::run(context),
        StepKind::Geometry => geometry::run(context),
        StepKind::RemoteBase => remote::base::run(context),
        StepKind::RemoteTeach => remote::teach::run(context),
        StepKind::RemoteGenerate => remote::generate::run(context),
        StepKind::RemoteTrain => remote::train::run(context),
        StepKind::RemoteReadout => remote::readout::run(context),
        StepKind::RemoteInContext => remote::in_context::run(context),
        StepKind::RemoteSideEffects => remote::side_effects::run(context),
        StepKind::Estimate => crate::kind::inherit::estimate::run(context),
    }
}
