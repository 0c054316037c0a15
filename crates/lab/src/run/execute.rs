//! Runs a plan over a store, on this machine.
//!
//! Ready nodes run on worker threads, several at once. Each is looked up first, leased, looked up
//! again, run, and recorded; so what is done is never done twice, not by two processes either, and
//! what is finished is never lost. Nothing a step makes depends on how many workers there are.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use owlet_engine::{Profile, Threads};
use owlet_store::{Artifact, ArtifactId, RunDirectory, StepCost, StepKey, StepRecord, Store};
use serde::{Deserialize, Serialize};

use crate::ask::endpoint::{Access, Secrets};
use crate::error::{Error, Result};
use crate::kind::{RESULT, RunResult};
use crate::model::ModelCache;
use crate::run::event::Event;
use crate::run::plan::{Node, Plan, Source};
use crate::step::StepContext;
use crate::value::interrupt::{Interrupt, Progress};

pub use super::costs::{KindCost, costs};

/// The resolved recipe inside a run's folder.
pub const RECIPE: &str = "recipe.toml";
/// Names, kinds, keys and artifacts of all steps inside a run's folder.
pub const STEPS: &str = "steps.json";

/// Time between two records of one step's progress.
const RECORD_PAUSE: Duration = Duration::from_secs(2);
/// Time between two looks at whether somebody asked the run to stop.
const STOP_PAUSE: Duration = Duration::from_millis(300);
/// Share of a step after which its own pace says more than what was foreseen.
const TELLING: f64 = 0.03;
/// Steps at once that wait for an endpoint.
const MOST_WAITING: usize = 32;
/// A base of fewer bytes than this is run by one worker per core.
const SMALL_MODEL: u64 = 600_000_000;

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

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// What was found.
    pub result: RunResult,
    /// The artifact that holds it.
    pub artifact: ArtifactId,
    /// The artifacts of all steps, by name.
    pub steps: BTreeMap<String, ArtifactId>,
}

struct State {
    outputs: Vec<Option<ArtifactId>>,
    keys: Vec<Option<StepKey>>,
    taken: Vec<bool>,
    running: usize,
    failed: Option<Error>,
    /// Foreseen core-seconds of nodes neither done nor found done.
    left: f64,
    /// Foreseen and true core-seconds of steps done, to learn how far off the first are.
    measured: (f64, f64),
    /// The most memory seen while each step under way was.
    peaks: BTreeMap<usize, u64>,
}

impl State {
    fn is_ready(&self, node: &Node) -> bool {
        node.inputs.values().all(|source| match source {
            Source::Node(place) => self.outputs[*place].is_some(),
            Source::Artifact(_) => true,
        })
    }
}

struct Executor<'a> {
    plan: &'a Plan,
    store: &'a Store,
    settings: &'a ExecuteSettings,
    interrupt: &'a Interrupt,
    jobs: usize,
    /// Foreseen core-seconds of each node.
    foreseen: Vec<f64>,
    models: ModelCache,
    remote: Access,
    state: Mutex<State>,
    changed: Condvar,
}

/// Runs `plan` over `store` and returns its result.
///
/// Events go to `listener` and, progress thinned, into `run`, which also gets the resolved recipe,
/// the list of steps and the result. While it goes, `run` is claimed, and whoever asks it to stop
/// sets `interrupt`.
///
/// # Errors
/// [`Error::Step`] for the first step that failed, after the others in flight have finished, and
/// [`Error::Interrupted`] when `interrupt` was set. All that was finished is kept, and the same
/// call goes on from there.
pub fn execute(
    plan: &Plan,
    store: &Store,
    settings: &ExecuteSettings,
    run: Option<&RunDirectory>,
    listener: &mut dyn FnMut(&Event),
    interrupt: &Interrupt,
) -> Result<RunOutcome> {
    let start = Instant::now();
    let endpoint = plan.endpoint.as_ref();
    let jobs = match (settings.jobs, endpoint) {
        // Steps that ask do not compute: they wait.
        (0, Some(endpoint)) => settings.cores.max(endpoint.requests_at_once.min(MOST_WAITING)),
        (jobs, _) => jobs,
    };
    let jobs = match jobs {
        0 if plan.model_size < SMALL_MODEL => settings.cores,
        0 => settings.cores / 4,
        jobs => jobs,
    };
    let survey = plan.survey(store)?;
    let executor = Executor {
        plan,
        store,
        settings,
        interrupt,
        jobs: jobs.max(1),
        foreseen: survey.seconds.clone(),
        models: ModelCache::new(store.clone(), settings.model_memory),
        remote: Access::new(endpoint, &settings.secrets, store.root()),
        state: Mutex::new(State {
            outputs: vec![None; plan.nodes.len()],
            keys: vec![None; plan.nodes.len()],
            taken: vec![false; plan.nodes.len()],
            running: 0,
            failed: None,
            left: survey.seconds.iter().sum(),
            measured: (0.0, 0.0),
            peaks: BTreeMap::new(),
        }),
        changed: Condvar::new(),
    };
    let mut recorder = Recorder { run, last: BTreeMap::new(), failed: None };
    let mut hear = |event: &Event| {
        recorder.record(event);
        listener(event);
    };
    let mut claim = None;
    if let Some(run) = run {
        claim = run.claim()?;
    }
    hear(&Event::PlanMade {
        name: plan.name.clone(),
        steps: plan.nodes.len(),
        reused: survey.reused(),
        seconds: survey.total_seconds(settings.cores),
    });

    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..executor.jobs {
            let sender = sender.clone();
            let executor = &executor;
            scope.spawn(move || executor.work(&sender));
        }
        drop(sender);
        let mut looked = Instant::now();
        loop {
            match receiver.recv_timeout(STOP_PAUSE) {
                Ok(event) => hear(&event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= STOP_PAUSE {
                looked = Instant::now();
                if run.is_some_and(RunDirectory::is_asked_to_stop) {
                    interrupt.set();
                }
            }
        }
    });

    let state = executor.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.failed {
        return Err(if error.is_interruption() { Error::Interrupted } else { error });
    }
    interrupt.check()?;
    let steps: BTreeMap<String, ArtifactId> = plan
        .nodes
        .iter()
        .zip(&state.outputs)
        .filter_map(|(node, output)| Some((node.name.clone(), (*output)?)))
        .collect();
    let last = state.outputs.last().copied().flatten();
    let artifact = last.ok_or_else(|| Error::record("plan", "has no step to run"))?;
    let bytes = store.artifact(&artifact)?.read(RESULT)?;
    let result = RunResult::parse(&bytes, RESULT.as_ref())?;
    for warning in result.warnings() {
        hear(&Event::Warning { warning });
    }
    hear(&Event::RunFinished {
        result: artifact.to_string(),
        seconds: start.elapsed().as_secs_f64(),
    });
    if let Some(run) = run {
        let list: Vec<NamedStep> = plan
            .nodes
            .iter()
            .zip(&state.keys)
            .map(|(node, key)| NamedStep {
                name: node.name.clone(),
                kind: node.kind.name.to_owned(),
                key: *key,
                artifact: steps.get(&node.name).copied(),
            })
            .collect();
        let mut list =
            serde_json::to_vec_pretty(&list).map_err(|error| Error::record(STEPS, error))?;
        list.push(b'\n');
        run.write_file(STEPS, &list)?;
        run.write_file(RESULT, &bytes)?;
    }
    drop(claim);
    if let Some(error) = recorder.failed {
        return Err(error);
    }
    Ok(RunOutcome { result, artifact, steps })
}

/// Reads the result of a finished run.
///
/// # Errors
/// A run that is not finished, and a result that this build does not read.
pub fn load_result(run: &RunDirectory) -> Result<RunResult> {
    RunResult::parse(&run.read_file(RESULT)?, &run.path().join(RESULT))
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

/// The steps of a finished run, in the plan's order.
pub fn steps(run: &RunDirectory) -> Result<Vec<NamedStep>> {
    let path = run.path().join(STEPS);
    serde_json::from_slice(&run.read_file(STEPS)?).map_err(|error| Error::record(path, error))
}

/// Writes events down.
struct Recorder<'a> {
    run: Option<&'a RunDirectory>,
    last: BTreeMap<String, Instant>,
    failed: Option<Error>,
}

impl Recorder<'_> {
    fn record(&mut self, event: &Event) {
        let Some(run) = self.run else {
            return;
        };
        if let Event::StepProgress { step, .. } = event {
            let now = Instant::now();
            if self.last.get(step).is_some_and(|last| now.duration_since(*last) < RECORD_PAUSE) {
                return;
            }
            self.last.insert(step.clone(), now);
        }
        let written = serde_json::to_value(event)
            .map_err(|error| Error::record("events.jsonl", error))
            .and_then(|value| Ok(run.append_event(&value)?));
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}

impl Executor<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Estimated seconds for `left` foreseen core-seconds, and `own` that are known better.
    fn remaining(&self, left: f64, (foreseen, taken): (f64, f64), own: f64) -> f64 {
        // Too short a time says nothing yet.
        let off = if taken > 0.5 && foreseen > 0.0 { taken / foreseen } else { 1.0 };
        (left.max(0.0) * off + own) / self.settings.cores.max(1) as f64
    }

    /// Asks how much memory was held, and tells all steps under way.
    fn sample_memory(&self, peaks: &mut BTreeMap<usize, u64>) {
        if let Some(peak) = (self.settings.peak_memory)() {
            for most in peaks.values_mut() {
                *most = peak.max(*most);
            }
        }
    }

    fn work(&self, sender: &Sender<Event>) {
        loop {
            let mut state = self.lock();
            let (place, threads) = loop {
                if state.failed.is_some() || self.interrupt.is_set() {
                    self.changed.notify_all();
                    return;
                }
                let ready: Vec<usize> = (0..self.plan.nodes.len())
                    .filter(|&at| !state.taken[at] && state.is_ready(&self.plan.nodes[at]))
                    .collect();
                if let Some(&place) = ready.first() {
                    let busy = (state.running + ready.len()).min(self.jobs);
                    break (place, (self.settings.cores / busy).max(1));
                }
                if state.running == 0 {
                    return;
                }
                // Woken now and then to look at the interrupt.
                let pause = Duration::from_millis(200);
                let waited = self.changed.wait_timeout(state, pause);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            };
            state.taken[place] = true;
            state.running += 1;
            let inputs = self.inputs(place, &state);
            drop(state);

            let node = &self.plan.nodes[place];
            let done =
                catch_unwind(AssertUnwindSafe(|| self.node(place, &inputs, threads, sender)));
            let mut state = self.lock();
            state.running -= 1;
            state.left -= self.foreseen[place];
            state.peaks.remove(&place);
            match done {
                Ok(Ok(Done { artifact, seconds })) => {
                    state.outputs[place] = Some(artifact);
                    if let Some(seconds) = seconds {
                        state.measured.0 += self.foreseen[place];
                        state.measured.1 += seconds * threads as f64;
                        let remaining = self.remaining(state.left, state.measured, 0.0);
                        let _ = sender.send(Event::StepFinished {
                            step: node.name.clone(),
                            artifact: artifact.to_string(),
                            seconds,
                            remaining,
                        });
                    } else {
                        let _ = sender.send(Event::StepReused {
                            step: node.name.clone(),
                            artifact: artifact.to_string(),
                        });
                    }
                }
                Ok(Err(error)) => {
                    if !error.is_interruption() {
                        let _ = sender.send(Event::StepFailed {
                            step: node.name.clone(),
                            message: error.to_string(),
                        });
                    }
                    // A fault says more than the stop that followed it.
                    let say = state.failed.as_ref().is_none_or(Error::is_interruption);
                    if say {
                        state.failed =
                            Some(Error::Step { step: node.name.clone(), source: Box::new(error) });
                    }
                }
                Err(panic) => {
                    state.failed.get_or_insert(Error::Interrupted);
                    drop(state);
                    self.changed.notify_all();
                    resume_unwind(panic);
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn inputs(&self, place: usize, state: &State) -> BTreeMap<String, ArtifactId> {
        self.plan.nodes[place]
            .inputs
            .iter()
            .filter_map(|(role, source)| {
                let id = match source {
                    Source::Artifact(id) => *id,
                    Source::Node(at) => state.outputs[*at]?,
                };
                Some((role.clone(), id))
            })
            .collect()
    }

    fn node(
        &self,
        place: usize,
        ids: &BTreeMap<String, ArtifactId>,
        threads: usize,
        sender: &Sender<Event>,
    ) -> Result<Done> {
        let node = &self.plan.nodes[place];
        let (configuration, key) = self.plan.key(node, ids);
        self.lock().keys[place] = Some(key);
        if let Some(record) = self.store.step(&key)? {
            return Ok(Done::reused(record.output));
        }
        let lease = self.store.lease(&key, &mut || !self.interrupt.is_set())?;
        if let Some(record) = self.store.step(&key)? {
            return Ok(Done::reused(record.output));
        }
        let _ = sender.send(Event::StepStarted {
            step: node.name.clone(),
            kind: node.kind.name.to_owned(),
            key: key.to_string(),
        });
        {
            let mut state = self.lock();
            self.sample_memory(&mut state.peaks);
            state.peaks.insert(place, 0);
        }
        let started = (self.settings.now)();
        let start = Instant::now();
        let inputs: BTreeMap<String, Artifact> = ids
            .iter()
            .map(|(role, id)| Ok((role.clone(), self.store.artifact(id)?)))
            .collect::<Result<_>>()?;
        let writer = self.store.begin_artifact(node.kind.output)?;
        let scratch = self.store.scratch(&key)?;
        let sender_of_progress = Mutex::new(sender.clone());
        let progress = |progress: Progress| {
            let seconds = start.elapsed().as_secs_f64().max(1e-9);
            let rate = progress.done as f64 / seconds;
            let remaining = {
                let state = self.lock();
                let part = progress.done as f64 / progress.total.max(1) as f64;
                let foreseen = self.foreseen[place];
                if part > TELLING {
                    let own = seconds * threads as f64 * (1.0 - part) / part;
                    self.remaining(state.left - foreseen, state.measured, own)
                } else {
                    self.remaining(state.left - foreseen * part, state.measured, 0.0)
                }
            };
            let event = Event::StepProgress {
                step: node.name.clone(),
                done: progress.done,
                total: progress.total,
                unit: progress.unit.to_owned(),
                loss: progress.loss,
                rate,
                remaining,
            };
            let sender = sender_of_progress.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = sender.send(event);
        };
        let context = StepContext {
            configuration: &node.configuration,
            inputs: &inputs,
            writer: &writer,
            scratch: &scratch,
            threads: match &self.settings.profile {
                Some(profile) => Threads::new(threads).profiled(profile),
                None => Threads::new(threads),
            },
            models: &self.models,
            sources: &self.plan.sources,
            remote: &self.remote,
            progress: &progress,
            interrupt: self.interrupt,
        };
        let about = node.kind.run(&context)?;
        let artifact = writer.finish(about)?;
        let seconds = start.elapsed().as_secs_f64();
        let peak_memory_bytes = {
            let mut state = self.lock();
            self.sample_memory(&mut state.peaks);
            state.peaks.remove(&place).filter(|&peak| peak > 0)
        };
        self.store.record_step(&StepRecord {
            format: StepRecord::FORMAT,
            key,
            kind: node.kind.name.to_owned(),
            algorithm: node.kind.algorithm,
            configuration,
            inputs: ids.clone(),
            output: artifact.id,
            about: StepCost {
                started,
                seconds,
                threads,
                peak_memory_bytes,
                work: Some(node.cost),
                host: self.settings.host.clone(),
                version: self.settings.version.clone(),
            },
        })?;
        drop(lease);
        Ok(Done { artifact: artifact.id, seconds: Some(seconds) })
    }
}

/// A node that is done; `seconds` only if it was done now.
struct Done {
    artifact: ArtifactId,
    seconds: Option<f64>,
}

impl Done {
    fn reused(artifact: ArtifactId) -> Self {
        Self { artifact, seconds: None }
    }
}
