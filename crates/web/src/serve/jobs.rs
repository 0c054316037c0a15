//! `/v1/fine_tuning/jobs`: students trained on uploaded rows, one at a time.
//!
//! A job is steps over the store (`base`, then `fine-tune`), so its model has a lineage, the same job
//! twice is done once, and a job that was cut goes on. A job's description on disk is the truth; the
//! thread that works takes the first that is not done.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fs_err as fs;
use owlet_engine::file;
use owlet_lab::recipe::Training;
use owlet_lab::step::{base, fine_tune};
use owlet_lab::value::dialogue;
use owlet_lab::{Event, ExecuteSettings, Interrupt, Plan, Recipe, execute};
use owlet_store::{ArtifactId, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::files::{FINE_TUNE, Files};
use super::models::Served;
use super::records::{Records, Stored, Thing};
use super::refusal::Refusal;
use super::{App, Kept};

/// What a job comes to, or everything that went wrong with it.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Time between two events of progress.
const PAUSE: Duration = Duration::from_secs(1);
/// Times each row is seen, if the client leaves it to us: what OpenAI mostly chooses.
const AUTO_EPOCHS: f64 = 3.0;
/// Checkpoints that are served, the last of all.
const CHECKPOINTS: usize = 3;
/// The folder in the workspace; hidden, because artifacts and steps are the workspace's own affair.
const FOLDER: &str = ".serve";

/// What fine-tuning needs.
#[derive(Clone)]
pub struct JobSettings {
    /// Where models and their lineage are kept.
    pub store: Store,
    /// How steps are run.
    pub execute: ExecuteSettings,
}

impl JobSettings {
    /// Where files, jobs and batches are kept.
    pub(crate) fn folder(&self) -> PathBuf {
        self.store.root().join(FOLDER)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// A job, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) created_at: u64,
    pub(crate) finished_at: Option<u64>,
    pub(crate) status: Status,
    pub(crate) model: String,
    pub(crate) training_file: String,
    /// The rows, once they are in the store.
    pub(crate) rows: Option<ArtifactId>,
    pub(crate) training: Training,
    pub(crate) epochs: f64,
    pub(crate) multiplier: f64,
    pub(crate) seed: u64,
    pub(crate) suffix: Option<String>,
    pub(crate) artifact: Option<ArtifactId>,
    pub(crate) trained_tokens: Option<u64>,
    pub(crate) error: Option<String>,
    pub(crate) metadata: Option<Value>,
    /// Names of its models that are served no more.
    #[serde(default)]
    pub(crate) withdrawn: Vec<String>,
}

impl Thing for Job {
    const WHAT: &'static str = "fine-tuning job";

    fn records(kept: &Kept) -> &Records<Self> {
        &kept.jobs.records
    }

    fn is_done(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Failed | Status::Cancelled)
    }

    fn json(this: &Stored<Self>) -> Value {
        let parameters = json!({
            "n_epochs": this.epochs,
            "batch_size": this.training.batch,
            "learning_rate_multiplier": this.multiplier,
        });
        let error = this
            .error
            .as_ref()
            .map(|message| json!({ "code": "failed", "message": message, "param": null }));
        json!({
            "object": "fine_tuning.job",
            "id": this.id,
            "model": this.model,
            "created_at": this.created_at,
            "finished_at": this.finished_at,
            "status": this.status,
            "fine_tuned_model": (this.status == Status::Succeeded).then(|| this.model_name()),
            "training_file": this.training_file,
            "validation_file": null,
            "result_files": [],
            "organization_id": "owlet",
            "hyperparameters": parameters,
            "method": { "type": "supervised", "supervised": { "hyperparameters": parameters } },
            "trained_tokens": this.trained_tokens,
            "seed": this.seed,
            "user_provided_suffix": this.suffix,
            "error": error,
            "integrations": [],
            "metadata": this.metadata,
            "artifact": this.artifact,
        })
    }
}

impl Stored<Job> {
    /// The part of its id that is its own.
    pub(crate) fn tail(&self) -> &str {
        self.id.trim_start_matches("ftjob-")
    }

    /// The name of the model it makes.
    pub(crate) fn model_name(&self) -> String {
        let suffix = self.suffix.as_deref().unwrap_or_default();
        let tail = &self.tail()[..8.min(self.tail().len())];
        format!("ft:{}:owlet:{suffix}:{tail}", self.model)
    }

    /// The model after `update`, as the wire names it.
    pub(crate) fn checkpoint_name(&self, update: usize) -> String {
        format!("{}:ckpt-step-{update}", self.model_name())
    }
}

#[derive(Default)]
struct State {
    running: Option<(String, Interrupt)>,
    stopping: bool,
}

/// All jobs.
pub(crate) struct Jobs {
    pub(crate) records: Records<Job>,
    pub(crate) files: Arc<Files>,
    settings: JobSettings,
    state: Mutex<State>,
    changed: Condvar,
}

impl Jobs {
    /// Finds the jobs there are; `files` has their rows.
    pub(crate) fn open(settings: JobSettings, files: Arc<Files>) -> std::io::Result<Self> {
        Ok(Self {
            records: Records::open(settings.folder().join("jobs"))?,
            files,
            settings,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in.
    pub(crate) fn add(&self, id: String, job: Job) -> Result<Stored<Job>, Refusal> {
        let job = self.records.add(id, job)?;
        // The lock, so that the thread is either waiting or has yet to look.
        drop(self.lock());
        self.changed.notify_all();
        Ok(job)
    }

    fn events_path(&self, id: &str) -> PathBuf {
        self.records.folder().join(format!("{id}.events.jsonl"))
    }

    /// A job's events as the wire tells them, newest first. A line that a crash cut short is no event.
    pub(crate) fn events(&self, id: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.events_path(id)).unwrap_or_default();
        let lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
        lines
            .map(|mut event: Value| {
                let kind = if event["data"].is_null() { "message" } else { "metrics" };
                event["object"] = "fine_tuning.job.event".into();
                event["type"] = kind.into();
                event
            })
            .collect()
    }

    fn tell(&self, app: &App, id: &str, level: &str, message: &str, data: Value) {
        let event = json!({
            "id": app.new_id("ftevent-"),
            "created_at": app.now(),
            "level": level,
            "message": message,
            "data": data,
        });
        let file = fs::OpenOptions::new().create(true).append(true).open(self.events_path(id));
        // Events are talk; the job goes on without.
        let _ = file.and_then(|mut file| file.write_all(format!("{event}\n").as_bytes()));
    }

    /// Remembers that a model is served no more.
    pub(crate) fn withdraw(&self, model: &str) -> Result<(), Refusal> {
        let all = self.records.all();
        let owner = all.into_iter().find(|job| model.starts_with(&job.model_name()));
        let Some(owner) = owner else { return Ok(()) };
        let withdrawn = |job: &mut Stored<Job>| {
            job.withdrawn.push(model.to_owned());
            Ok(())
        };
        self.records.change(&owner.id, withdrawn).map(drop)
    }

    /// Takes back a job that is not done.
    pub(crate) fn cancel(&self, app: &App, id: &str) -> Result<Stored<Job>, Refusal> {
        let job = self.records.change_open(id, |job| {
            job.status = Status::Cancelled;
            job.finished_at = Some(app.now());
        })?;
        if let Some((_, interrupt)) = self.lock().running.as_ref().filter(|(run, _)| run == id) {
            interrupt.set();
        }
        self.tell(app, id, "info", "The job was cancelled.", Value::Null);
        Ok(job)
    }

    /// Stops the thread; a job under way is gone on with at the next start.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        if let Some((_, interrupt)) = &state.running {
            interrupt.set();
        }
        self.changed.notify_all();
    }

    /// Starts the thread that works.
    pub(crate) fn start(self: &Arc<Self>, app: &Arc<App>) -> std::io::Result<JoinHandle<()>> {
        for job in self.records.all() {
            if job.status == Status::Succeeded {
                serve(&self.settings.store, app, &job);
            }
        }
        let (jobs, app) = (Arc::clone(self), Arc::downgrade(app));
        std::thread::Builder::new().name("jobs".to_owned()).spawn(move || jobs.work(&app))
    }

    fn work(&self, app: &Weak<App>) {
        loop {
            let mut state = self.lock();
            let (job, interrupt) = loop {
                if state.stopping {
                    return;
                }
                if let Some(job) = self.records.next() {
                    let interrupt = Interrupt::default();
                    state.running = Some((job.id.clone(), interrupt.clone()));
                    break (job, interrupt);
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let Some(app) = app.upgrade() else { return };
            let id = job.id.clone();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.run(&app, job, &interrupt)
            }))
            .unwrap_or_else(|_| Err("training broke; this is a bug in owlet".into()));
            self.lock().running = None;
            let cancelled = self.records.get(&id).is_ok_and(|job| job.is_done());
            if interrupt.is_set() || cancelled {
                continue;
            }
            if let Err(why) = done {
                let why = chain(&*why);
                self.tell(&app, &id, "error", &why, Value::Null);
                let failed = self.records.change_open(&id, |job| {
                    job.status = Status::Failed;
                    job.finished_at = Some(app.now());
                    job.error = Some(why);
                });
                // In memory it has failed even if the disk takes nothing.
                drop(failed);
            }
        }
    }

    /// Runs one job to its end, or until it is interrupted.
    fn run(&self, app: &App, mut job: Stored<Job>, interrupt: &Interrupt) -> Outcome<()> {
        let served = app.models.get(&job.model);
        let served =
            served.ok_or_else(|| format!("the model `{}` is not served any more", job.model))?;
        let source = served.source.clone().ok_or("the model cannot be fine-tuned")?;
        let id = job.id.clone();
        let change = |change: &dyn Fn(&mut Job)| {
            let changed = self.records.change_open(&id, change);
            changed.map_err(|refusal| refusal.message)
        };
        let tell = |message: &str, data: Value| self.tell(app, &id, "info", message, data);

        let is_new = job.status == Status::Queued;
        change(&|job| job.status = Status::Running)?;
        tell(if is_new { "The job has started." } else { "The job goes on." }, Value::Null);
        let rows = match job.rows {
            Some(rows) => rows,
            None => self.import(&job.training_file)?,
        };
        change(&|job| job.rows = Some(rows))?;

        let digest = source.digest()?;
        let sources = BTreeMap::from([(digest.clone(), source)]);
        let base = base::Configuration::Files { digest };
        let base = Plan::single::<base::Base>(&base, &[], sources);
        let base = self.execute(base, &mut |_| {}, interrupt)?;
        let examples = self.examples(&rows, &served, &tell)?;
        job.training.checkpoints = checkpoints(&job.training, examples.len());
        let step = fine_tune::Configuration { train: job.training.clone(), seed: job.seed };
        let inputs = [("base", base), ("rows", rows)];
        let plan = Plan::single::<fine_tune::FineTune>(&step, &inputs, BTreeMap::new());
        let mut last = None::<Instant>;
        let mut hear = |event: &Event| {
            let Event::StepProgress { done, total, loss, .. } = event else { return };
            if done < total && last.is_some_and(|last| last.elapsed() < PAUSE) {
                return;
            }
            last = Some(Instant::now());
            let loss_text = loss.unwrap_or(f64::NAN);
            let data = json!({ "step": done, "total_steps": total, "train_loss": loss });
            tell(&format!("Step {done}/{total}: training loss={loss_text:.4}"), data);
        };
        job.artifact = Some(self.execute(plan, &mut hear, interrupt)?);
        if !serve(&self.settings.store, app, &job) {
            return Err("the model was trained but cannot be loaded".into());
        }
        let tokens: usize = examples.iter().sum();
        change(&|kept| {
            kept.status = Status::Succeeded;
            kept.finished_at = Some(app.now());
            kept.artifact = job.artifact;
            kept.training = job.training.clone();
            kept.trained_tokens = Some((tokens as f64 * job.epochs).round() as u64);
        })?;
        tell(&format!("New fine-tuned model created: {}", job.model_name()), Value::Null);
        tell("The job has successfully completed.", Value::Null);
        Ok(())
    }

    /// Makes what a plan of one step makes.
    fn execute(
        &self,
        plan: owlet_lab::Result<Plan>,
        hear: &mut dyn FnMut(&Event),
        interrupt: &Interrupt,
    ) -> Outcome<ArtifactId> {
        let JobSettings { store, execute: settings } = &self.settings;
        match plan.and_then(|plan| execute(&plan, store, settings, None, hear, interrupt)) {
            Ok(outcome) => Ok(outcome.artifact),
            // A job is one step: its client knows no names of steps.
            Err(owlet_lab::Error::Step { source, .. }) => Err(source),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts uploaded rows into the store.
    fn import(&self, file: &str) -> Outcome<ArtifactId> {
        let content = self.files.content(file, FINE_TUNE);
        let content = content.ok_or("the training file was deleted before the job began")?;
        let writer = self.settings.store.begin_artifact(fine_tune::CONVERSATIONS_KIND)?;
        let mut lines = Vec::new();
        dialogue::to_lines(fs::File::open(content)?, fine_tune::BOUNDS, &mut lines)
            .map_err(|why| why.to_string())?;
        writer.write(fine_tune::CONVERSATIONS, &lines)?;
        Ok(writer.finish(json!({}))?.id)
    }

    /// Tokens of each example that the rows make for a model; tells what was found in them.
    fn examples(
        &self,
        rows: &ArtifactId,
        served: &Served,
        tell: &dyn Fn(&str, Value),
    ) -> Outcome<Vec<usize>> {
        let artifact = self.settings.store.artifact(rows)?;
        let (taught, found) = fine_tune::demonstrations(&artifact)?;
        tell(&format!("Read {}.", found.told()), Value::Null);
        let (mut tokens, mut ends) = (Vec::with_capacity(taught.len()), BTreeSet::new());
        for taught in &taught {
            let placed = taught.placed(&served.model)?;
            tokens.push(placed.example().tokens.len());
            ends.extend(placed.ends_within);
        }
        for end in ends {
            let told = format!(
                "Some answers hold the text `{end}`, which the model reads as the end of a turn."
            );
            tell(&told, Value::Null);
        }
        Ok(tokens)
    }

    /// Losses after the updates of which a copy was kept, and after the last.
    pub(crate) fn checkpoints(&self, job: &Job) -> Result<Vec<(usize, Option<f64>)>, Refusal> {
        let Some(artifact) = job.artifact else { return Ok(Vec::new()) };
        let bytes = self.settings.store.artifact(&artifact)?.read("updates.jsonl")?;
        let text = String::from_utf8_lossy(&bytes);
        let losses: Vec<Option<f64>> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).ok()?.get("loss")?.as_f64())
            .collect();
        let mut updates = job.training.checkpoints.clone();
        updates.push(losses.len());
        Ok(updates
            .into_iter()
            .rev()
            .map(|at| (at, losses.get(at - 1).copied().flatten()))
            .collect())
    }
}

/// As many checkpoints as OpenAI keeps: after each of the last passes over the rows.
fn checkpoints(training: &Training, examples: usize) -> Vec<usize> {
    let pass = examples.div_ceil(training.batch.max(1)).max(1);
    let passes: Vec<usize> =
        (1..training.updates(examples).div_ceil(pass)).map(|n| n * pass).collect();
    passes[passes.len().saturating_sub(CHECKPOINTS - 1)..].to_vec()
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Puts a job's models among those served: the last state and the checkpoints before.
fn serve(store: &Store, app: &App, job: &Stored<Job>) -> bool {
    let Some(base) = app.models.get(&job.model) else { return false };
    let Some(artifact) = job.artifact.and_then(|id| store.artifact(&id).ok()) else { return false };
    let add = |folder: &str, name: String| -> bool {
        if job.withdrawn.contains(&name) {
            return true;
        }
        match file::load_adapter(&artifact.folder().join(folder), &base.model) {
            Ok(adapter) => {
                app.models.add(Served {
                    id: name.into(),
                    model: base.model.with_adapter(Arc::new(adapter)),
                    system_prompt: None,
                    created: job.created_at,
                    parent: Some(job.model.clone()),
                    source: None,
                });
                true
            }
            Err(_) => false,
        }
    };
    for &update in &job.training.checkpoints {
        add(&format!("update-{update:05}"), job.checkpoint_name(update));
    }
    add("final", job.model_name())
}

/// How a student is trained where a request does not say: as in a recipe.
pub(crate) fn default_training() -> Result<Training, Refusal> {
    let mut training = Recipe::student_of_any(&[])?;
    training.updates = 0;
    training.epochs = AUTO_EPOCHS;
    training.checkpoints = Vec::new();
    Ok(training)
}
