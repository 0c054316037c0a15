//! One step outside of a plan: looked up, leased, run and recorded as the steps of a plan are, so
//! that it is reused, resumed and found in the lineage like them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use owlet_engine::Threads;
use owlet_store::{Artifact, ArtifactId, StepCost, StepRecord, Store, step_key};

use crate::ask::endpoint::Access;
use crate::error::Result;
use crate::model::{ModelCache, ModelSource};
use crate::run::execute::ExecuteSettings;
use crate::step::{StepContext, StepKind};
use crate::value::interrupt::{Interrupt, Progress};

/// A step to be run.
pub struct SingleStep<'a> {
    /// What it does.
    pub kind: StepKind,
    /// Its configuration, resolved.
    pub configuration: Value,
    /// Its inputs by role.
    pub inputs: BTreeMap<String, ArtifactId>,
    /// Files of models outside the store, by digest.
    pub sources: &'a BTreeMap<String, ModelSource>,
}

impl SingleStep<'_> {
    /// Runs the step, unless it is done, and returns what it made.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] when `interrupt` was set; the same call goes on from there.
    pub fn run(
        &self,
        store: &Store,
        models: &ModelCache,
        settings: &ExecuteSettings,
        progress: &(dyn Fn(Progress) + Sync),
        interrupt: &Interrupt,
    ) -> Result<ArtifactId> {
        let algorithm = self.kind.algorithm;
        // As in a plan, so that both share steps.
        let configuration =
            json!({ "compute": owlet_engine::kernel::path(), "step": self.configuration });
        let key = step_key(self.kind.name, algorithm, &configuration, &self.inputs);
        if let Some(record) = store.step(&key)? {
            return Ok(record.output);
        }
        let _lease = store.lease(&key, &mut || !interrupt.is_set())?;
        if let Some(record) = store.step(&key)? {
            return Ok(record.output);
        }
        let started = (settings.now)();
        let start = Instant::now();
        let inputs: BTreeMap<String, Artifact> = self
            .inputs
            .iter()
            .map(|(role, id)| Ok((role.clone(), store.artifact(id)?)))
            .collect::<Result<_>>()?;
        let writer = store.begin_artifact(self.kind.output)?;
        let scratch = store.scratch(&key)?;
        let endpoints = Access::none();
        let context = StepContext {
            configuration: &self.configuration,
            inputs: &inputs,
            writer: &writer,
            scratch: &scratch,
            threads: Threads::new(settings.cores),
            models,
            sources: self.sources,
            endpoints: &endpoints,
            progress,
            interrupt,
        };
        let about = self.kind.run(&context)?;
        let artifact = writer.finish(about)?;
        store.record_step(&StepRecord {
            format: StepRecord::FORMAT,
            key,
            kind: self.kind.name.to_owned(),
            algorithm,
            configuration,
            inputs: self.inputs.clone(),
            output: artifact.id,
            about: StepCost {
                work: None,
                started,
                seconds: start.elapsed().as_secs_f64(),
                threads: settings.cores,
                peak_memory_bytes: None,
                host: settings.host.clone(),
                version: settings.version.clone(),
            },
        })?;
        Ok(artifact.id)
    }
}
