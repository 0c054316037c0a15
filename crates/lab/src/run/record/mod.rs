//! A run's folder: every file in it, in one place.
//!
//! | file | what | written |
//! | --- | --- | --- |
//! | `run.json` | the store's header, with [`About`] in it | when the run begins |
//! | `given.toml`, `recipe.toml` | the recipe as given, and as resolved | when it begins |
//! | `plan.json` | [`PlanRecord`] | when it begins |
//! | `registration.json` | [`Registration`] | when it begins |
//! | `events.jsonl` | an [`Event`] a line | as it goes |
//! | `steps.json`, `result.json` | [`StepsRecord`], and what was found | when it is finished |
//! | `seal.json` | the store's digests of all of them | with each |
//!
//! A run has a result or not; without one it is running while a process has hold of it, and
//! otherwise has failed or was stopped. Only this module knows names and formats of these files.

mod line;
pub mod naming;
pub mod plan;
mod registration;
pub mod steps;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fs_err as fs;
use owlet_store::{RunDirectory, RunHeader, RunId, Store};
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::kind::{AnyRecipe, RESULT, RunResult};
use crate::run::plan::Plan;
use crate::run::survey::Survey;
use crate::value::registration::Registration;

pub use line::{Failure, RunLine, State};
pub use plan::{PlanRecord, PlannedModel, PlannedState, PlannedStep};
pub use steps::{NamedStep, StepsRecord};

/// The recipe's text, as it was given.
const GIVEN: &str = "given.toml";
/// The resolved recipe.
const RECIPE: &str = "recipe.toml";
/// The plan.
const PLAN: &str = "plan.json";
/// Time between two records of one step's progress.
const RECORD_PAUSE: Duration = Duration::from_secs(2);
/// Attempts to find a free run id.
const ATTEMPTS: u64 = 64;

/// What a run's header keeps for those who come later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct About {
    /// The command that does it again.
    pub command: String,
    /// The folder that the recipe's paths are relative to.
    pub folder: Option<PathBuf>,
    /// Names of the layers of settings, lowest first.
    pub layers: Vec<String>,
}

impl Default for About {
    fn default() -> Self {
        Self { command: "owlet run".to_owned(), folder: None, layers: Vec::new() }
    }
}

/// What is known of a run when it begins.
#[derive(Clone, Debug)]
pub struct Beginning<'a> {
    /// The recipe's text, as it was given.
    pub given: &'a str,
    /// The recipe.
    pub recipe: &'a AnyRecipe,
    /// The plan, and what of it is done.
    pub plan: &'a Plan,
    /// The same, looked up.
    pub survey: &'a Survey,
    /// The time, as an RFC 3339 timestamp in UTC.
    pub started: &'a str,
    /// The machine's name.
    pub host: String,
    /// The version of owlet.
    pub version: String,
    /// What else the header keeps.
    pub about: About,
    /// Any number that another process is unlikely to take in the same second.
    pub nonce: u64,
}

/// The folder of one run; the store's [`RunDirectory`] with what its files mean.
#[derive(Debug)]
pub struct Record {
    directory: RunDirectory,
}

impl Deref for Record {
    type Target = RunDirectory;

    fn deref(&self) -> &RunDirectory {
        &self.directory
    }
}

impl From<RunDirectory> for Record {
    fn from(directory: RunDirectory) -> Self {
        Self { directory }
    }
}

/// Events heard so far, and where the next one begins.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    offset: u64,
    /// What they add up to.
    pub progress: Arc<Progress>,
}

impl Record {
    /// Opens the folder of a run.
    ///
    /// # Errors
    /// There is no such run.
    pub fn open(store: &Store, id: &RunId) -> Result<Self> {
        Ok(store.open_run(id)?.into())
    }

    /// All runs, oldest first.
    ///
    /// # Errors
    /// The folder of runs cannot be read.
    pub fn all(store: &Store) -> Result<Vec<Self>> {
        Ok(store.runs()?.into_iter().map(Self::from).collect())
    }

    /// The folder of a run: that of the newest one that was stopped and is the same in all that was fixed before it
    /// began, or a new one under a free id.
    ///
    /// # Errors
    /// No id is free, or the folder cannot be written.
    pub fn begin(store: &Store, beginning: &Beginning<'_>) -> Result<Self> {
        let Beginning { plan, survey, started, .. } = *beginning;
        let resolved = beginning.recipe.to_toml();
        for stopped in Self::all(store)?.into_iter().rev() {
            if stopped.is_stopped_before(store, beginning, &resolved)? {
                stopped.go_on()?;
                steps::write_json(&stopped, PLAN, &PlanRecord::new(plan, survey))?;
                return Ok(stopped);
            }
        }
        let record = Self::free_id(store, beginning)?;
        record.write_file(GIVEN, beginning.given.as_bytes())?;
        record.write_file(RECIPE, resolved.as_bytes())?;
        steps::write_json(&record, PLAN, &PlanRecord::new(plan, survey))?;
        let registration = registration::register(plan, store, (&resolved, started, record.id()))?;
        steps::write_json(&record, registration::FILE, &registration)?;
        Ok(record)
    }

    /// Whether this run was stopped and `beginning` is the rest of it: by the same command, recipe, plan, machine and
    /// owlet, with no result seen since that was not seen when it began.
    fn is_stopped_before(
        &self,
        store: &Store,
        beginning: &Beginning<'_>,
        resolved: &str,
    ) -> Result<bool> {
        // What cannot be read, or is of another owlet, is let be; whoever lists it is told.
        let (Ok(header), Ok(about)) = (self.header(), self.about()) else { return Ok(false) };
        let Beginning { given, plan, survey, started, host, version, about: own, .. } = beginning;
        let is_same = |text: Result<String>, own: &str| text.is_ok_and(|text| text == own);
        if self.is_finished()
            || (&header.name, &header.host, &header.version) != (&plan.name, host, version)
            || (&about.command, &about.folder) != (&own.command, &own.folder)
            || !is_same(self.resolved(), resolved)
            || !is_same(self.given(), given)
            || !self.plan().is_ok_and(|kept| kept.is_of(&PlanRecord::new(plan, survey)))
            || self.state() != State::Stopped
        {
            return Ok(false);
        }
        let Ok(Some(kept)) = self.registration() else { return Ok(false) };
        let now = registration::register(plan, store, (resolved, started, self.id()))?;
        Ok(now == Registration { registered: now.registered.clone(), ..kept })
    }

    /// The runs that were removed, oldest first.
    ///
    /// # Errors
    /// Their folder cannot be read.
    pub fn removed(store: &Store) -> Result<Vec<Self>> {
        Ok(store.removed_runs()?.into_iter().map(Self::from).collect())
    }

    /// What was fixed before it began; none where an older owlet began it.
    ///
    /// # Errors
    /// This build does not read its format.
    pub fn registration(&self) -> Result<Option<Registration>> {
        registration::read(self)
    }

    fn free_id(store: &Store, beginning: &Beginning<'_>) -> Result<Self> {
        let about = serde_json::to_value(&beginning.about)
            .map_err(|error| Error::record("run.json", error))?;
        for attempt in 0..ATTEMPTS {
            let nonce = beginning.nonce.wrapping_add(attempt.wrapping_mul(7919));
            let id = RunId::new(beginning.started, nonce).map_err(owlet_store::Error::from)?;
            let header = RunHeader {
                format: RunHeader::FORMAT,
                id: id.clone(),
                name: beginning.plan.name.clone(),
                started: beginning.started.to_owned(),
                host: beginning.host.clone(),
                version: beginning.version.clone(),
                about: about.clone(),
            };
            match store.create_run(&id, &header) {
                Err(owlet_store::Error::RunExists { .. }) => {}
                other => return Ok(other?.into()),
            }
        }
        Err(Error::record("runs", "have no free id in this second; try again in the next"))
    }

    /// What else the header keeps.
    ///
    /// # Errors
    /// The header cannot be read.
    pub fn about(&self) -> Result<About> {
        let about = self.header()?.about;
        serde_json::from_value(about).map_err(|error| Error::record(self.path(), error))
    }

    /// The recipe's text, as it was given.
    ///
    /// # Errors
    /// It was not written down.
    pub fn given(&self) -> Result<String> {
        self.text(GIVEN)
    }

    /// The resolved recipe.
    ///
    /// # Errors
    /// It was not written down.
    pub fn resolved(&self) -> Result<String> {
        self.text(RECIPE)
    }

    fn text(&self, name: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read_file(name)?).into_owned())
    }

    /// The plan.
    ///
    /// # Errors
    /// It was not written down, or this build does not read its format.
    pub fn plan(&self) -> Result<PlanRecord> {
        let record: PlanRecord = steps::read_json(self, PLAN)?;
        Error::check_format(&self.path().join(PLAN), record.format, plan::FORMAT)?;
        Ok(record)
    }

    /// The plan; none of a run that was stopped before it had one.
    ///
    /// # Errors
    /// As [`Record::plan`].
    pub fn planned(&self) -> Result<Option<PlanRecord>> {
        if !self.path().join(PLAN).is_file() {
            self.check_there(PLAN)?;
            return Ok(None);
        }
        self.plan().map(Some)
    }

    /// The steps of a finished run.
    ///
    /// # Errors
    /// It is not finished, or this build does not read the format.
    pub fn steps(&self) -> Result<StepsRecord> {
        steps::read(self)
    }

    /// Whether there is a result.
    pub fn is_finished(&self) -> bool {
        self.path().join(RESULT).is_file()
    }

    /// What was found.
    ///
    /// # Errors
    /// It is not finished, or this build does not read the result.
    pub fn result(&self) -> Result<RunResult> {
        RunResult::parse(&self.read_file(RESULT)?, &self.path().join(RESULT))
    }

    /// Changes whenever a run without a result does, and is cheap to look at: the size of the event
    /// log and the time of the folder.
    pub fn stamp(&self) -> (u64, Option<SystemTime>) {
        let size = fs::metadata(self.path().join("events.jsonl")).map_or(0, |file| file.len());
        let changed = fs::metadata(self.path()).and_then(|folder| folder.modified()).ok();
        (size, changed)
    }

    /// How far the run is, by its events.
    ///
    /// # Errors
    /// The events cannot be read.
    pub fn progress(&self) -> Result<Progress> {
        let heard = self.follow(&Heard::default())?.unwrap_or_default();
        Ok(Arc::unwrap_or_clone(heard.progress))
    }

    /// Reads the events that came since; none if there were none.
    ///
    /// # Errors
    /// The events cannot be read.
    pub fn follow(&self, heard: &Heard) -> Result<Option<Heard>> {
        let (events, offset) = self.events_from(heard.offset)?;
        if offset == heard.offset && offset > 0 {
            return Ok(None);
        }
        let mut progress = Progress::clone(&heard.progress);
        for event in &events {
            progress.hear(event);
        }
        Ok(Some(Heard { offset, progress: Arc::new(progress) }))
    }

    /// Writes down what a run came to.
    pub(super) fn finish(&self, steps: Vec<NamedStep>, seconds: f64, result: &[u8]) -> Result<()> {
        let made: Vec<_> =
            steps.iter().filter_map(|step| Some((step.key?, step.artifact?))).collect();
        steps::write(self, steps, seconds)?;
        self.write_file(RESULT, result)?;
        Ok(self.close(made)?)
    }
}

/// Writes events down as they come, progress thinned.
pub(super) struct Recorder<'a> {
    run: &'a Record,
    last: BTreeMap<String, Instant>,
    failed: Option<Error>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(run: &'a Record) -> Self {
        Self { run, last: BTreeMap::new(), failed: None }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        if let Event::StepProgress { step, .. } = event {
            let now = Instant::now();
            if self.last.get(step).is_some_and(|last| now.duration_since(*last) < RECORD_PAUSE) {
                return;
            }
            self.last.insert(step.clone(), now);
        }
        let written = serde_json::to_value(event)
            .map_err(|error| Error::record("events.jsonl", error))
            .and_then(|value| Ok(self.run.append_event(&value)?));
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }

    /// # Errors
    /// The first event that could not be written down.
    pub(super) fn finish(self) -> Result<()> {
        self.failed.map_or(Ok(()), Err)
    }
}
