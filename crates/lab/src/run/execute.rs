//! Runs a plan over a store, on this machine.
//!
//! Ready nodes run on worker threads, several at once. Each is looked up first, leased, looked up
//! again, run, and recorded; so what is done is never done twice, not by two processes either, and
//! what is finished is never lost. Nothing a step makes depends on how many workers there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use owlet_engine::Profile;
use owlet_store::{ArtifactId, StepKey, Store};

use super::executor::Executor;
use super::record::{NamedStep, Record, Recorder};
use crate::ask::endpoint::Secrets;
use crate::error::{Error, Result};
use crate::kind::{RESULT, RunResult};
use crate::run::event::Event;
use crate::run::plan::Plan;
use crate::value::interrupt::Interrupt;

/// Time between two looks at whether somebody asked the run to stop.
const STOP_PAUSE: Duration = Duration::from_millis(300);

/// How a plan is run; nothing here changes what comes out.
#[derive(Clone)]
pub struct ExecuteSettings {
    /// Cores to use.
    pub cores: usize,
    /// Steps at once; 0: by the size of the model.
    pub jobs: usize,
    /// Bytes of model weights kept in memory for the next step.
    pub model_memory: usize,
    /// Name of this machine, for the records.
    pub host: String,
    /// Version of this program, for the records.
    pub version: String,
    /// The time now, as RFC 3339 in UTC, for the records.
    pub now: Arc<dyn Fn() -> String + Send + Sync>,
    /// The most memory in bytes that this process held since it was last asked; none if unknown.
    pub peak_memory: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Listens to the engine.
    pub profile: Option<Profile>,
    /// Keys of endpoints, by the name that a recipe gives.
    pub secrets: Secrets,
}

impl Default for ExecuteSettings {
    fn default() -> Self {
        Self {
            cores: 1,
            jobs: 0,
            model_memory: 4 << 30,
            host: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: Arc::new(|| "1970-01-01T00:00:00Z".to_owned()),
            peak_memory: Arc::new(|| None),
            profile: None,
            secrets: Arc::new(|_| None),
        }
    }
}

/// What an executed plan made.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// What the last step made: of a recipe's plan, the result.
    pub artifact: ArtifactId,
    /// The artifacts of all steps, by name.
    pub steps: BTreeMap<String, ArtifactId>,
}

impl RunOutcome {
    /// What was found, where the plan is a recipe's.
    ///
    /// # Errors
    /// The last step made no result, or one that this build does not read.
    pub fn result(&self, store: &Store) -> Result<RunResult> {
        RunResult::parse(&store.artifact(&self.artifact)?.read(RESULT)?, RESULT.as_ref())
    }
}

/// Runs `plan` over `store`.
///
/// Events go to `listener` and, progress thinned, into `run`, which in the end also gets the list of
/// steps and the result. While it goes, `run` is claimed, and whoever asks it to stop sets
/// `interrupt`. Without `run`, the steps are recorded and nothing else.
///
/// # Errors
/// [`Error::Step`] for the first step that failed, after the others in flight have finished, and
/// [`Error::Interrupted`] when `interrupt` was set. All that was finished is kept, and the same
/// call goes on from there.
pub fn execute(
    plan: &Plan,
    store: &Store,
    settings: &ExecuteSettings,
    run: Option<&Record>,
    listener: &mut dyn FnMut(&Event),
    interrupt: &Interrupt,
) -> Result<RunOutcome> {
    let start = Instant::now();
    let survey = plan.survey(store)?;
    let executor = Executor::new(plan, store, settings, interrupt, survey.seconds.clone());
    let mut recorder = run.map(Recorder::new);
    let mut hear = |event: &Event| {
        if let Some(recorder) = &mut recorder {
            recorder.hear(event);
        }
        listener(event);
    };
    let claim = run.map(|run| run.claim()).transpose()?;
    hear(&Event::PlanMade {
        name: plan.name.clone(),
        steps: plan.nodes.len(),
        reused: survey.reused(),
        seconds: survey.total_seconds(settings.cores),
    });

    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..executor.workers() {
            let sender = sender.clone();
            let executor = &executor;
            scope.spawn(move || executor.work(&sender));
        }
        drop(sender);
        let stop = || {
            if run.is_some_and(|run| run.is_asked_to_stop()) {
                interrupt.set();
            }
        };
        listen(&receiver, &mut hear, &stop);
    });
    let (keys, outputs) = executor.finish()?;

    let outcome = outcome(plan, &outputs)?;
    if run.is_some() {
        for warning in outcome.result(store)?.warnings() {
            hear(&Event::Warning { warning });
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    hear(&Event::RunFinished { result: outcome.artifact.to_string(), seconds });
    if let Some(run) = run {
        let bytes = store.artifact(&outcome.artifact)?.read(RESULT)?;
        run.finish(named(plan, &keys, &outputs), seconds, &bytes)?;
    }
    drop(claim);
    recorder.map_or(Ok(()), Recorder::finish)?;
    Ok(outcome)
}

/// Passes on events until the last worker is gone, and now and then calls `stop`.
fn listen(events: &Receiver<Event>, hear: &mut dyn FnMut(&Event), stop: &dyn Fn()) {
    let mut looked = Instant::now();
    loop {
        match events.recv_timeout(STOP_PAUSE) {
            Ok(event) => hear(&event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= STOP_PAUSE {
            looked = Instant::now();
            stop();
        }
    }
}

fn outcome(plan: &Plan, outputs: &[Option<ArtifactId>]) -> Result<RunOutcome> {
    let last = outputs.last().copied().flatten();
    let artifact = last.ok_or_else(|| Error::record("plan", "has no step to run"))?;
    let made = plan.nodes.iter().zip(outputs);
    let steps = made.filter_map(|(node, output)| Some((node.name.clone(), (*output)?))).collect();
    Ok(RunOutcome { artifact, steps })
}

fn named(plan: &Plan, keys: &[Option<StepKey>], outputs: &[Option<ArtifactId>]) -> Vec<NamedStep> {
    let nodes = plan.nodes.iter().zip(keys).zip(outputs);
    nodes
        .map(|((node, key), output)| NamedStep {
            name: node.name.clone(),
            kind: node.kind.name.to_owned(),
            key: *key,
            artifact: *output,
        })
        .collect()
}
