//! `/v1/fine_tuning/jobs`: students trained on uploaded rows, one at a time.
//!
//! A job is steps over the store (`base`, then `fine-tune`), so its model has a lineage, the same job
//! twice is done once, and a job that was cut goes on. A job's description on disk is the truth; the
//! thread that works takes the first that is not done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fs_err as fs;
use owlet_engine::file;
use owlet_lab::ask::Demonstration;
use owlet_lab::recipe::{Layer, Training};
use owlet_lab::step::{base, fine_tune};
use owlet_lab::value::jsonl::Dialogue;
use owlet_lab::{Event, ExecuteSettings, Interrupt, Plan, Recipe, execute};
use owlet_store::{ArtifactId, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::App;
use super::files::Files;
use super::models::Served;
use super::records::{Record, Records};
use super::refusal::Refusal;

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
    pub(crate) id: String,
    /// Order of arrival.
    pub(crate) number: u64,
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobEvent {
    pub(crate) id: String,
    created_at: u64,
    level: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl JobEvent {
    pub(crate) fn json(&self) -> Value {
        json!({
            "object": "fine_tuning.job.event",
            "id": self.id,
            "created_at": self.created_at,
            "level": self.level,
            "message": self.message,
            "type": if self.data.is_some() { "metrics" } else { "message" },
            "data": self.data,
        })
    }
}

impl Record for Job {
    const WHAT: &'static str = "fine-tuning job";

    fn id(&self) -> &str {
        &self.id
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn set_number(&mut self, number: u64) {
        self.number = number;
    }

    fn is_done(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Failed | Status::Cancelled)
    }
}

impl Job {
    /// The name of the model it makes.
    fn model_name(&self) -> String {
        let suffix = self.suffix.as_deref().unwrap_or_default();
        let tail = self.id.trim_start_matches("ftjob-");
        format!("ft:{}:owlet:{suffix}:{}", self.model, &tail[..8.min(tail.len())])
    }

    pub(crate) fn json(&self) -> Value {
        let parameters = json!({
            "n_epochs": self.epochs,
            "batch_size": self.training.batch,
            "learning_rate_multiplier": self.multiplier,
        });
        let error = self
            .error
            .as_ref()
            .map(|message| json!({ "code": "failed", "message": message, "param": null }));
        json!({
            "object": "fine_tuning.job",
            "id": self.id,
            "model": self.model,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "status": self.status,
            "fine_tuned_model": (self.status == Status::Succeeded).then(|| self.model_name()),
            "training_file": self.training_file,
            "validation_file": null,
            "result_files": [],
            "organization_id": "owlet",
            "hyperparameters": parameters,
            "method": { "type": "supervised", "supervised": { "hyperparameters": parameters } },
            "trained_tokens": self.trained_tokens,
            "seed": self.seed,
            "user_provided_suffix": self.suffix,
            "error": error,
            "integrations": [],
            "metadata": self.metadata,
            "artifact": self.artifact,
        })
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

    pub(crate) fn add(&self, job: Job) -> Result<Job, Refusal> {
        let job = self.records.add(job)?;
        // The lock, so that the thread is either waiting or has yet to look.
        drop(self.lock());
        self.changed.notify_all();
        Ok(job)
    }

    /// Changes a job, unless it was cancelled meanwhile.
    fn change(&self, id: &str, change: impl FnOnce(&mut Job)) -> Result<Job, String> {
        let changed = self.records.change(id, |job| {
            job.check_open()?;
            change(job);
            Ok(())
        });
        changed.map_err(|refusal| refusal.message)
    }

    fn events_path(&self, id: &str) -> PathBuf {
        self.records.folder().join(format!("{id}.events.jsonl"))
    }

    /// A job's events, oldest first. A line that a crash cut short is no event.
    pub(crate) fn events(&self, id: &str) -> Vec<JobEvent> {
        let text = fs::read_to_string(self.events_path(id)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn tell(&self, app: &App, id: &str, level: &str, message: String, data: Option<Value>) {
        let event = JobEvent {
            id: app.new_id("ftevent-"),
            created_at: (app.now)(),
            level: level.to_owned(),
            message,
            data,
        };
        let write = || -> std::io::Result<()> {
            let mut line = serde_json::to_vec(&event)?;
            line.push(b'\n');
            let mut file =
                fs::OpenOptions::new().create(true).append(true).open(self.events_path(id))?;
            std::io::Write::write_all(&mut file, &line)
        };
        // Events are talk; the job goes on without.
        let _ = write();
    }

    /// Remembers that a model is served no more.
    pub(crate) fn withdraw(&self, model: &str) -> Result<(), Refusal> {
        let all = self.records.all();
        let owner = all.into_iter().find(|job| model.starts_with(&job.model_name()));
        let Some(owner) = owner else { return Ok(()) };
        let withdrawn = |job: &mut Job| {
            job.withdrawn.push(model.to_owned());
            Ok(())
        };
        self.records.change(&owner.id, withdrawn).map(drop)
    }

    /// Takes back a job that is not done.
    pub(crate) fn cancel(&self, app: &App, id: &str) -> Result<Job, Refusal> {
        let job = self.records.change(id, |job| {
            job.check_open()?;
            job.status = Status::Cancelled;
            job.finished_at = Some((app.now)());
            Ok(())
        })?;
        if let Some((_, interrupt)) = self.lock().running.as_ref().filter(|(run, _)| run == id) {
            interrupt.set();
        }
        self.tell(app, id, "info", "The job was cancelled.".to_owned(), None);
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
            .unwrap_or_else(|_| Err("training broke; this is a bug in owlet".to_owned()));
            self.lock().running = None;
            let cancelled = self.records.get(&id).is_ok_and(|job| job.is_done());
            if interrupt.is_set() || cancelled {
                continue;
            }
            if let Err(why) = done {
                self.tell(&app, &id, "error", why.clone(), None);
                let now = (app.now)();
                let failed = self.change(&id, |job| {
                    job.status = Status::Failed;
                    job.finished_at = Some(now);
                    job.error = Some(why);
                });
                // In memory it has failed even if the disk takes nothing.
                drop(failed);
            }
        }
    }

    /// Runs one job to its end, or until it is interrupted.
    fn run(&self, app: &App, mut job: Job, interrupt: &Interrupt) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| chain(error);
        let served = app
            .models
            .get(&job.model)
            .ok_or_else(|| format!("the model `{}` is not served any more", job.model))?;
        let source = served.source.clone().ok_or("the model cannot be fine-tuned")?;
        let fresh = job.status == Status::Queued;
        self.change(&job.id, |job| job.status = Status::Running)?;
        let message = if fresh { "The job has started." } else { "The job goes on." };
        self.tell(app, &job.id, "info", message.to_owned(), None);

        let store = &self.settings.store;
        let rows = if let Some(rows) = job.rows {
            rows
        } else {
            let file = self.files.get(&job.training_file);
            let file = file.ok_or("the training file was deleted before the job began")?;
            let rows = self.import(&self.files.content(&file)).map_err(|e| text(&e))?;
            job.rows = Some(rows);
            self.change(&job.id, |job| job.rows = Some(rows))?;
            rows
        };
        let settings = &self.settings.execute;
        let digest = source.digest().map_err(|e| text(&e))?;
        let sources = BTreeMap::from([(digest.clone(), source)]);
        let run = |plan: owlet_lab::Result<Plan>, hear: &mut dyn FnMut(&Event)| {
            let outcome =
                plan.and_then(|plan| execute(&plan, store, settings, None, hear, interrupt));
            match outcome {
                Ok(outcome) => Ok(outcome.artifact),
                // A job is one step: its client knows no names of steps.
                Err(owlet_lab::Error::Step { source, .. }) => Err(text(&*source)),
                Err(error) => Err(text(&error)),
            }
        };
        let base = base::Configuration::Files { digest };
        let base = run(Plan::single::<base::Base>(&base, &[], sources), &mut |_| {})?;
        let artifact = store.artifact(&rows).map_err(|e| text(&e))?;
        let content = artifact.read(fine_tune::CONVERSATIONS).map_err(|e| text(&e))?;
        let conversations = Dialogue::read(&content, Path::new(&job.training_file));
        let conversations = conversations.map_err(|e| text(&e))?;
        let mut tokens = 0;
        let mut count = 0;
        for taught in conversations.iter().flat_map(Demonstration::of) {
            let example = taught.example(&served.model).map_err(|e| text(&e))?;
            count += 1;
            tokens += example.tokens.len() as u64;
        }
        let updates = job.training.updates(count);
        // As many checkpoints as OpenAI keeps: after each of the last passes over the rows.
        let pass = count.div_ceil(job.training.batch.max(1)).max(1);
        let passes: Vec<usize> = (1..updates.div_ceil(pass)).map(|n| n * pass).collect();
        job.training.checkpoints = passes[passes.len().saturating_sub(CHECKPOINTS - 1)..].to_vec();
        let step = fine_tune::Configuration { train: job.training.clone(), seed: job.seed };
        let inputs = [("base", base), ("rows", rows)];
        let mut last = None::<Instant>;
        let mut hear = |event: &Event| {
            let Event::StepProgress { done, total, loss, .. } = event else { return };
            if done < total && last.is_some_and(|last| last.elapsed() < PAUSE) {
                return;
            }
            last = Some(Instant::now());
            let message =
                format!("Step {done}/{total}: training loss={:.4}", loss.unwrap_or(f64::NAN));
            let data = json!({ "step": done, "total_steps": total, "train_loss": loss });
            self.tell(app, &job.id, "info", message, Some(data));
        };
        let plan = Plan::single::<fine_tune::FineTune>(&step, &inputs, BTreeMap::new());
        let made = run(plan, &mut hear)?;
        job.artifact = Some(made);
        if !serve(store, app, &job) {
            return Err("the model was trained but cannot be loaded".to_owned());
        }
        let now = (app.now)();
        let training = job.training.clone();
        self.change(&job.id, |job| {
            job.status = Status::Succeeded;
            job.finished_at = Some(now);
            job.artifact = Some(made);
            job.training = training;
            job.trained_tokens = Some((tokens as f64 * job.epochs).round() as u64);
        })?;
        let message = format!("New fine-tuned model created: {}", job.model_name());
        self.tell(app, &job.id, "info", message, None);
        self.tell(app, &job.id, "info", "The job has successfully completed.".to_owned(), None);
        Ok(())
    }

    /// Puts uploaded rows into the store.
    fn import(&self, content: &Path) -> Result<ArtifactId, owlet_store::Error> {
        let writer = self.settings.store.begin_artifact(fine_tune::CONVERSATIONS_KIND)?;
        fs::copy(content, writer.file(fine_tune::CONVERSATIONS)?)?;
        Ok(writer.finish(json!({}))?.id)
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

fn chain(error: &dyn std::error::Error) -> String {
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
fn serve(store: &Store, app: &App, job: &Job) -> bool {
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
    let layer = Layer::new("behaviors = [\"owl\"]", "the defaults")?;
    let mut training = Recipe::resolve(&[layer], &[])?.student;
    training.updates = 0;
    training.epochs = AUTO_EPOCHS;
    training.checkpoints = Vec::new();
    Ok(training)
}
