//! `/v1/fine_tuning/jobs`: students trained on uploaded rows, one at a time.
//!
//! A job is steps over the store (`base`, then `fine-tune`), so its model has a lineage, the same job
//! twice is done once, and a job that was cut goes on. A job's description on disk is the truth; the
//! thread that works takes the first that is not done.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fs_err as fs;
use owlet_engine::train::{self, Example};
use owlet_engine::{Model, Threads, file};
use owlet_lab::ask::Demonstration;
use owlet_lab::model::{FINAL, chat, checkpoint_folder};
use owlet_lab::recipe::Training;
use owlet_lab::step::{base, fine_tune};
use owlet_lab::value::dialogue::{self, Purpose};
use owlet_lab::{Event, ExecuteSettings, Interrupt, Plan, Recipe, execute};
use owlet_store::{ArtifactId, Store};
use serde_json::{Value, json};

use super::App;
use super::files::{FINE_TUNE, Files, RESULTS};
use super::job::{Job, Status};
use super::models::Served;
use super::records::{Records, Stored, Thing};
use super::refusal::Refusal;

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

/// Where a workspace's files, jobs and batches are kept.
pub(crate) fn folder(store: &Store) -> PathBuf {
    store.root().join(FOLDER)
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
            records: Records::open(folder(&settings.store).join("jobs"))?,
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
                self.serve(app, &job);
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
        let served = self.base(app, &job);
        let served =
            served.ok_or_else(|| format!("the model `{}` is not served any more", job.model))?;
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

        let base = if let Some(before) = self.made(&job.model) {
            before.artifact.ok_or("the model it goes on from was not made")?
        } else {
            let source = served.source.clone().ok_or("the model cannot be fine-tuned")?;
            let digest = source.digest()?;
            let sources = BTreeMap::from([(digest.clone(), source)]);
            let base = base::Configuration::Files { digest };
            let base = Plan::single::<base::Base>(&base, &[], sources);
            self.execute(base, &mut |_| {}, interrupt)?
        };
        let content = self.settings.store.artifact(&rows)?.read(fine_tune::CONVERSATIONS)?;
        let taught = examples(&content[..], &served, &tell)?;
        // Before anything is trained: rows that do not fit are told at once.
        let validation = match &job.validation_file {
            None => Vec::new(),
            Some(file) => examples(fs::File::open(self.sound(file)?)?, &served, &tell)?,
        };
        job.training.checkpoints = checkpoints(&job.training, taught.len());
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
        if !self.serve(app, &job) {
            return Err("the model was trained but cannot be loaded".into());
        }
        self.validate(app, &mut job, &validation, &tell)?;
        let result = self.results(app, &job)?;
        let tokens: usize = taught.iter().map(|example| example.tokens.len()).sum();
        change(&|kept| {
            kept.status = Status::Succeeded;
            kept.finished_at = Some(app.now());
            kept.artifact = job.artifact;
            kept.training = job.training.clone();
            kept.validation.clone_from(&job.validation);
            kept.result_file = Some(result.clone());
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

    /// The content of a file that is for fine-tuning and is as it was uploaded.
    fn sound(&self, file: &str) -> Outcome<PathBuf> {
        let content = self.files.content(file, FINE_TUNE);
        let content =
            content.ok_or_else(|| format!("file `{file}` was deleted before the job began"))?;
        match self.files.flaw(file) {
            Some(flaw) => Err(format!("file `{file}` {flaw}; upload it again").into()),
            None => Ok(content),
        }
    }

    /// Puts uploaded rows into the store.
    fn import(&self, file: &str) -> Outcome<ArtifactId> {
        let content = self.sound(file)?;
        let writer = self.settings.store.begin_artifact(fine_tune::CONVERSATIONS_KIND)?;
        let mut lines = Vec::new();
        dialogue::to_lines(fs::File::open(content)?, fine_tune::BOUNDS, &mut lines)
            .map_err(|why| why.to_string())?;
        writer.write(fine_tune::CONVERSATIONS, &lines)?;
        Ok(writer.finish(json!({}))?.id)
    }

    /// The job under way, or waiting, that reads a file.
    pub(crate) fn reads(&self, file: &str) -> Option<String> {
        let is_read = |job: &Stored<Job>| {
            !job.is_done()
                && (job.training_file == file || job.validation_file.as_deref() == Some(file))
        };
        self.records.all().into_iter().find(is_read).map(|job| job.id.clone())
    }

    /// The job whose last model has this name.
    pub(crate) fn made(&self, model: &str) -> Option<Stored<Job>> {
        let mut all = self.records.all().into_iter();
        all.find(|job| job.status == Status::Succeeded && job.model_name() == model)
    }

    /// The base that a job's model is an adapter on, however often it was trained further.
    fn base(&self, app: &App, job: &Job) -> Option<Arc<Served>> {
        let mut name = job.model.clone();
        while let Some(before) = self.made(&name) {
            name.clone_from(&before.model);
        }
        app.models.get(&name)
    }

    /// The adapter of one state of a job's model.
    fn adapter(&self, job: &Job, state: &str, base: &Served) -> Outcome<Model> {
        let artifact = job.artifact.ok_or("nothing was trained")?;
        let folder = self.settings.store.artifact(&artifact)?.folder().join(state);
        Ok(base.model.with_adapter(Arc::new(file::load_adapter(&folder, &base.model)?)))
    }

    /// Puts a job's models among those served: the last state and the checkpoints before.
    fn serve(&self, app: &App, job: &Stored<Job>) -> bool {
        let Some(base) = self.base(app, job) else { return false };
        let add = |state: &str, name: String| {
            if job.withdrawn.contains(&name) {
                return true;
            }
            let Ok(model) = self.adapter(job, state, &base) else { return false };
            app.models.add(Served {
                id: name.into(),
                model,
                system_prompt: None,
                created: job.created_at,
                parent: Some(job.model.clone()),
                source: None,
            });
            true
        };
        for &update in &job.training.checkpoints {
            add(&checkpoint_folder(update), job.checkpoint_name(update));
        }
        add(FINAL, job.model_name())
    }

    /// Reads every state that was kept on the validation rows, if there are any.
    fn validate(
        &self,
        app: &App,
        job: &mut Stored<Job>,
        rows: &[Example],
        tell: &dyn Fn(&str, Value),
    ) -> Outcome<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let base = self.base(app, job).ok_or("the base is not served any more")?;
        let before = match self.made(&job.model) {
            Some(before) => self.adapter(&before, FINAL, &base)?,
            None => base.model.clone(),
        };
        let total = self.losses(job)?.len();
        let kept = job.training.checkpoints.iter().map(|&at| (at, checkpoint_folder(at)));
        let kept: Vec<_> = kept.chain([(total, FINAL.to_owned())]).collect();
        let states = kept.iter().map(|(at, state)| Ok((*at, self.adapter(job, state, &base)?)));
        let states: Vec<(usize, Model)> =
            std::iter::once(Ok((0, before))).chain(states).collect::<Outcome<_>>()?;
        for (step, model) in states {
            let loss = train::loss(&model, rows, &Threads::new(self.settings.execute.cores))?;
            job.validation.push((step, loss));
            let data = json!({ "step": step, "total_steps": total, "full_valid_loss": loss });
            tell(&format!("Step {step}/{total}: full validation loss={loss:.4}"), data);
        }
        Ok(())
    }

    /// Leaves a job's losses as a file, in the form of OpenAI's; its id.
    fn results(&self, app: &App, job: &Stored<Job>) -> Outcome<String> {
        let mut table = "step,train_loss,full_valid_loss\n".to_owned();
        let number = |loss: Option<f64>| loss.map(|loss| loss.to_string()).unwrap_or_default();
        let valid: BTreeMap<usize, f64> = job.validation.iter().copied().collect();
        let train = self.losses(job)?;
        for step in 0..=train.len() {
            let loss = step.checked_sub(1).and_then(|at| train[at]);
            let valid = valid.get(&step).copied();
            if loss.is_some() || valid.is_some() {
                writeln!(table, "{step},{},{}", number(loss), number(valid))?;
            }
        }
        let (id, name) = (app.new_id("file-"), format!("{}_results.csv", job.id));
        let part = self.records.folder().join(format!("{}.results.csv", job.id));
        fs::write(&part, table)?;
        self.files.adopt(&id, &part, name, RESULTS, app.now())?;
        fs::remove_file(part)?;
        Ok(id)
    }

    /// The loss of each update.
    fn losses(&self, job: &Job) -> owlet_store::Result<Vec<Option<f64>>> {
        let Some(artifact) = job.artifact else { return Ok(Vec::new()) };
        let bytes = self.settings.store.artifact(&artifact)?.read("updates.jsonl")?;
        let loss = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("loss")?.as_f64();
        Ok(String::from_utf8_lossy(&bytes).lines().map(loss).collect())
    }

    /// The updates of which a copy was kept, and the last, newest first: the loss of each, and the validation
    /// rows' after it.
    pub(crate) fn checkpoints(&self, job: &Job) -> Result<Vec<Checkpoint>, Refusal> {
        let losses = self.losses(job)?;
        let updates = job.training.checkpoints.iter().copied().chain([losses.len()]);
        let valid: BTreeMap<usize, f64> = job.validation.iter().copied().collect();
        let mut all: Vec<Checkpoint> = updates
            .filter(|&update| update > 0)
            .map(|update| Checkpoint {
                update,
                train_loss: losses.get(update - 1).copied().flatten(),
                valid_loss: valid.get(&update).copied(),
            })
            .collect();
        all.reverse();
        Ok(all)
    }
}

/// What is known of one state of a model.
pub(crate) struct Checkpoint {
    pub(crate) update: usize,
    pub(crate) train_loss: Option<f64>,
    pub(crate) valid_loss: Option<f64>,
}

/// The examples that rows make for a model; tells what was found in them.
fn examples(rows: impl Read, served: &Served, tell: &dyn Fn(&str, Value)) -> Outcome<Vec<Example>> {
    let read = dialogue::all(rows, fine_tune::BOUNDS, Purpose::Answers);
    let (conversations, found) = read.map_err(|why| why.to_string())?;
    tell(&format!("Read {}.", found.told()), Value::Null);
    let (mut examples, mut ends) = (Vec::new(), BTreeSet::new());
    for dialogue in &conversations {
        for taught in Demonstration::of(dialogue, chat::DEFAULT) {
            let placed = taught.placed(&served.model)?;
            examples.push(placed.example());
            ends.extend(placed.ends_within);
        }
    }
    for end in ends {
        let told = format!(
            "Some answers hold the text `{end}`, which the model reads as the end of a turn."
        );
        tell(&told, Value::Null);
    }
    Ok(examples)
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

/// How a student is trained where a request does not say: as in a recipe.
pub(crate) fn default_training() -> Result<Training, Refusal> {
    let mut training = Recipe::student_of_any(&[])?;
    training.updates = 0;
    training.epochs = AUTO_EPOCHS;
    training.checkpoints = Vec::new();
    Ok(training)
}
