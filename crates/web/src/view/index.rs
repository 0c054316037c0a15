//! What lists and searches look at, in memory: a line per run, a line per step, names of artifacts.
//!
//! Files stay the truth: the index is made from them when the window opens, kept up to date by
//! looking at names and sizes, and written nowhere. A line holds only what lists show.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use owlet_lab::Record;
use owlet_lab::run::progress::Progress;
use owlet_lab::run::record::Heard;
use owlet_store::{ArtifactId, RunId, StepKey, Store};
use serde::Serialize;

use super::error::Result;

pub(super) use owlet_lab::run::record::{RunLine, State as RunState};

/// How old the index may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long a page waits for the first look.
const FIRST: Duration = Duration::from_millis(400);
/// Most artifacts with names.
const NAMES: usize = 400_000;

/// A step record in a list, without its configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct StepLine {
    pub(super) key: StepKey,
    pub(super) kind: String,
    pub(super) inputs: BTreeMap<String, ArtifactId>,
    pub(super) output: ArtifactId,
    pub(super) started: String,
    pub(super) seconds: f64,
    pub(super) peak_memory_bytes: Option<u64>,
}

#[derive(Default)]
struct Known {
    looked: Option<Instant>,
    runs: BTreeMap<RunId, Arc<RunLine>>,
    steps: BTreeMap<StepKey, Arc<StepLine>>,
    makers: HashMap<ArtifactId, Vec<StepKey>>,
    users: HashMap<ArtifactId, Vec<StepKey>>,
    names: HashMap<ArtifactId, (RunId, Arc<str>)>,
    /// How the files of runs without a result looked when their lines were read.
    stamps: HashMap<RunId, Stamp>,
    /// Runs that are there and not read yet.
    pending: usize,
}

impl Known {
    fn add_run(&mut self, line: RunLine, names: Vec<(ArtifactId, Arc<str>)>, stamp: Stamp) {
        let id = line.id.clone();
        if line.state == RunState::Finished {
            self.stamps.remove(&id);
        } else {
            self.stamps.insert(id.clone(), stamp);
        }
        if self.runs.insert(id.clone(), Arc::new(line)).is_none() {
            self.pending = self.pending.saturating_sub(1);
        }
        for (artifact, name) in names {
            let room = self.names.len() < NAMES;
            if let Entry::Vacant(place) = self.names.entry(artifact)
                && room
            {
                place.insert((id.clone(), name));
            }
        }
    }

    fn add_step(&mut self, line: StepLine) {
        self.makers.entry(line.output).or_default().push(line.key);
        let mut inputs: Vec<ArtifactId> = line.inputs.values().copied().collect();
        inputs.sort_unstable();
        inputs.dedup();
        for input in inputs {
            self.users.entry(input).or_default().push(line.key);
        }
        self.steps.insert(line.key, Arc::new(line));
    }
}

/// What changes while a run goes, or ends.
type Stamp = (u64, Option<SystemTime>);

/// What is known of a workspace.
pub(super) struct Index {
    store: Store,
    known: Mutex<Known>,
    /// Held by the one who reads what is new.
    reading: Mutex<()>,
    heard: Mutex<BTreeMap<RunId, Heard>>,
}

impl Index {
    pub(super) fn new(store: Store) -> Self {
        Self { store, known: Mutex::default(), reading: Mutex::default(), heard: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is new since the last look, newest first. Returns at once while another reads.
    pub(super) fn refresh(&self) -> Result<()> {
        if self.known().looked.is_some_and(|looked| looked.elapsed() < FRESH) {
            return Ok(());
        }
        let Ok(_reading) = self.reading.try_lock() else {
            // The first look of a small workspace is worth a moment.
            let start = Instant::now();
            while self.known().looked.is_none() && start.elapsed() < FIRST {
                std::thread::sleep(FIRST / 40);
            }
            return Ok(());
        };
        self.refresh_runs()?;
        self.refresh_steps()?;
        self.known().looked = Some(Instant::now());
        Ok(())
    }

    fn refresh_runs(&self) -> Result<()> {
        let mut ids = self.store.run_ids()?;
        ids.reverse();
        {
            let mut known = self.known();
            let there: HashSet<&RunId> = ids.iter().collect();
            known.runs.retain(|id, _| there.contains(id));
            ids.retain(|id| known.runs.get(id).is_none_or(|line| line.state != RunState::Finished));
            known.pending = ids.iter().filter(|id| !known.runs.contains_key(id)).count();
        }
        for id in ids {
            // One that was removed since.
            let Ok(run) = Record::open(&self.store, &id) else { continue };
            let stamp = run.stamp();
            let is_known = {
                let known = self.known();
                let line = known.runs.get(&id).filter(|line| line.state != RunState::Running);
                line.is_some() && known.stamps.get(&id) == Some(&stamp)
            };
            if is_known && !run.is_held().unwrap_or(false) {
                continue;
            }
            let (line, names) = self.read(&run);
            self.known().add_run(line, names, stamp);
        }
        Ok(())
    }

    fn refresh_steps(&self) -> Result<()> {
        let keys = self.store.step_keys()?;
        let new: Vec<StepKey> = {
            let known = self.known();
            keys.into_iter().filter(|key| !known.steps.contains_key(key)).collect()
        };
        for key in new {
            let Some(record) = self.store.step_record(&key).ok().flatten() else { continue };
            self.known().add_step(StepLine {
                key,
                kind: record.kind,
                inputs: record.inputs,
                output: record.output,
                started: record.about.started,
                seconds: record.about.seconds,
                peak_memory_bytes: record.about.peak_memory_bytes,
            });
        }
        Ok(())
    }

    /// All lines, oldest run first, and how many runs are not read yet.
    pub(super) fn runs(&self) -> (Vec<Arc<RunLine>>, usize) {
        let known = self.known();
        (known.runs.values().cloned().collect(), known.pending)
    }

    /// The line of one run, if it is in the index.
    pub(super) fn known_run(&self, id: &RunId) -> Option<Arc<RunLine>> {
        self.known().runs.get(id).cloned()
    }

    /// The line of one run, read now unless it is known for good.
    pub(super) fn run(&self, id: &RunId) -> Result<Arc<RunLine>> {
        let known = self.known().runs.get(id).cloned();
        if let Some(line) = known.filter(|line| line.state == RunState::Finished) {
            return Ok(line);
        }
        Ok(Arc::new(self.read(&Record::open(&self.store, id)?).0))
    }

    /// How far a run is.
    pub(super) fn progress(&self, run: &Record) -> owlet_lab::Result<Arc<Progress>> {
        let before = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get(run.id()).cloned().unwrap_or_default()
        };
        let Some(now) = run.follow(&before)? else { return Ok(before.progress) };
        let progress = Arc::clone(&now.progress);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // Running ones are asked for again and again; of the others a few.
        while heard.len() > 64 {
            heard.pop_first();
        }
        heard.insert(run.id().clone(), now);
        Ok(progress)
    }

    /// A run's line, and what it calls its artifacts.
    fn read(&self, run: &Record) -> (RunLine, Vec<(ArtifactId, Arc<str>)>) {
        let (line, steps) = run.line_and_steps(|| self.progress(run));
        let mut names: Vec<(ArtifactId, Arc<str>)> =
            steps.into_iter().filter_map(|step| Some((step.artifact?, step.name.into()))).collect();
        if line.state != RunState::Finished
            && let Ok(progress) = self.progress(run)
        {
            names.extend(progress.steps.iter().filter_map(|(name, step)| {
                Some((step.artifact.as_ref()?.parse().ok()?, name.as_str().into()))
            }));
        }
        (line, names)
    }

    /// What a run calls an artifact, and which.
    pub(super) fn name(&self, artifact: &ArtifactId) -> Option<(RunId, Arc<str>)> {
        self.known().names.get(artifact).cloned()
    }

    /// All steps.
    pub(super) fn steps(&self) -> Vec<Arc<StepLine>> {
        self.known().steps.values().cloned().collect()
    }

    /// Steps that made an artifact.
    pub(super) fn makers(&self, artifact: &ArtifactId) -> Vec<Arc<StepLine>> {
        let known = self.known();
        let keys = known.makers.get(artifact).into_iter().flatten();
        keys.filter_map(|key| known.steps.get(key).cloned()).collect()
    }

    /// Steps that used an artifact.
    pub(super) fn users(&self, artifact: &ArtifactId) -> Vec<Arc<StepLine>> {
        let known = self.known();
        let keys = known.users.get(artifact).into_iter().flatten();
        keys.filter_map(|key| known.steps.get(key).cloned()).collect()
    }
}
