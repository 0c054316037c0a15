//! `/v1/fine_tuning/jobs`: students trained on uploaded rows, one at a time.
//!
//! A job is steps over the store (`base`, then `fine-tune`), so its model has a lineage, the same job
//! twice is done once, and a job that was cut goes on. A job's description on disk is the truth; the
//! thread that works takes the first that is not done.

mod events;
pub(crate) mod losses;
mod rows;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fs_err as fs;
use owlet_engine::{Model, file};
use owlet_lab::model::{FINAL, checkpoint_folder};
use owlet_lab::recipe::Training;
use owlet_lab::step::{base, fine_tune};
use owlet_lab::value::dialogue::{self, Purpose};
use owlet_lab::{Event, ExecuteSettings, Interrupt, Plan, Recipe, execute};
use owlet_store::{ArtifactId, Store};
use serde_json::{Value, json};

use super::App;
use super::files::{FINE_TUNE, Files};
use super::job::{Job, Status};
use super::models::Served;
use super::records::{Records, Stored, Thing};
use super::refusal::Refusal;

use losses::Read;
use rows::Unfit;

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
        // Events are talk; it is cancelled without.
        let _ = self.tell_end(app, &job);
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
            let _ = self.tell_end(app, &job);
            if job.status == Status::Succeeded {
                // What cannot be loaded is not served; `owlet verify` names it.
                let _ = self.serve(app, &job);
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
                let field = why.downcast_ref::<Unfit>().map(|unfit| unfit.field);
                let why = chain(&*why);
                self.tell(&app, &id, "error", &why, Value::Null);
                let failed = self.records.change_open(&id, |job| {
                    job.status = Status::Failed;
                    job.finished_at = Some(app.now());
                    job.error = Some(why);
                    job.error_field = field.map(str::to_owned);
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
        // From the rows in the store to the model in its description nobody else refers to what is made.
        let _at_work = self.settings.store.at_work()?;
        // A job that was killed comes by what it told before once more.
        let told = self.told(&id)?;
        let tell = |message: &str, data: Value| {
            if !told.has(message) {
                self.tell(app, &id, "info", message, data);
            }
        };

        let is_new = job.status == Status::Queued;
        change(&|job| job.status = Status::Running)?;
        let begun = if is_new { "The job has started." } else { "The job goes on." };
        self.tell(app, &id, "info", begun, Value::Null);
        // Before anything is trained: rows that do not fit are told at once.
        let purpose = if job.beta.is_some() { Purpose::Preferences } else { Purpose::Answers };
        let read = |field, file: &str| self.taught((field, file), purpose, &served, &tell);
        let taught = read("training_file", &job.training_file)?;
        let validation = job.validation_file.as_deref();
        let validation = validation.map(|file| read("validation_file", file)).transpose()?;
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
        job.training.checkpoints = checkpoints(&job.training, taught.answers.len());
        let step = fine_tune::Configuration {
            train: job.training.clone(),
            seed: job.seed,
            beta: job.beta,
        };
        let inputs = [("base", base), ("rows", rows)];
        let plan = Plan::single::<fine_tune::FineTune>(&step, &inputs, BTreeMap::new());
        let mut last = None::<Instant>;
        let mut hear = |event: &Event| {
            let Event::StepProgress { done, total, loss: Some(loss), rewards, .. } = event else {
                return;
            };
            let is_early = done < total && last.is_some_and(|last| last.elapsed() < PAUSE);
            if is_early || *done <= told.step {
                return;
            }
            last = Some(Instant::now());
            let read = Read { loss: *loss, rewards: *rewards };
            let steps = json!({ "step": done, "total_steps": total });
            let data = losses::joined([steps, read.metrics("train")]);
            tell(&format!("Step {done}/{total}: training loss={}", read.told()), data);
        };
        job.artifact = Some(self.execute(plan, &mut hear, interrupt)?);
        let states = self
            .serve(app, &job)
            .map_err(|why| format!("the model was trained but cannot be loaded: {why}"))?;
        if let Some(rows) = &validation {
            self.validate(app, &mut job, rows, &states, &tell)?;
        }
        let result = job.result_file.clone().unwrap_or_else(|| app.new_id("file-"));
        // Before there is one, so that whoever is killed leaves none of which nobody knows.
        change(&|kept| kept.result_file = Some(result.clone()))?;
        self.results(app, &job, &result)?;
        let tokens = taught.tokens();
        let done = self.records.change_open(&id, |kept| {
            kept.status = Status::Succeeded;
            kept.finished_at = Some(app.now());
            kept.artifact = job.artifact;
            kept.training = job.training.clone();
            kept.validation.clone_from(&job.validation);
            kept.validation_rewards.clone_from(&job.validation_rewards);
            kept.trained_tokens = Some((tokens as f64 * job.epochs).round() as u64);
        });
        self.tell_end(app, &done.map_err(|refusal| refusal.message)?)?;
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

    /// Puts a job's models among those served: the checkpoints, and the last state. Gives them, each with the
    /// updates behind it.
    ///
    /// # Errors
    /// The first that cannot be loaded; the others are served.
    fn serve(&self, app: &App, job: &Stored<Job>) -> Outcome<Vec<(usize, Model)>> {
        let base = self.base(app, job).ok_or("its base is not served any more")?;
        let kept = job.training.checkpoints.iter();
        let kept = kept.map(|&at| (at, checkpoint_folder(at), job.checkpoint_name(at)));
        let last = (self.losses(job)?.len(), FINAL.to_owned(), job.model_name());
        let wanted = kept.chain([last]).filter(|(.., name)| !job.withdrawn.contains(name));
        let made: Vec<Outcome<(usize, Model)>> = wanted
            .map(|(at, state, name)| {
                let model = self.adapter(job, &state, &base)?;
                app.models.add(Served {
                    id: name.into(),
                    model: model.clone(),
                    system_prompt: None,
                    created: job.created_at,
                    parent: Some(job.model.clone()),
                    source: None,
                });
                Ok((at, model))
            })
            .collect();
        made.into_iter().collect()
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

/// How a student is trained where a request does not say: as in a recipe.
pub(crate) fn default_training() -> Result<Training, Refusal> {
    let mut training = Recipe::student_of_any(&[])?;
    training.updates = 0;
    training.epochs = AUTO_EPOCHS;
    training.checkpoints = Vec::new();
    Ok(training)
}
