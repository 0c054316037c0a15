//! What a job's losses are: on its rows at every update, on those of its validation file at every state that was
//! kept; as events, checkpoints and a table.

use std::fmt::Write as _;

use fs_err as fs;
use owlet_engine::train::{self, Rewards, Update};
use owlet_engine::{Model, Threads};
use owlet_lab::model::FINAL;
use owlet_store::Result as StoreResult;
use serde_json::{Value, json};

use super::super::App;
use super::super::files::RESULTS;
use super::super::job::Job;
use super::super::records::Stored;
use super::super::refusal::Refusal;
use super::rows::Taught;
use super::{Jobs, Outcome};

/// What is known of one state of a model.
pub(crate) struct Checkpoint {
    pub(crate) update: usize,
    pub(crate) train: Option<Read>,
    pub(crate) valid: Option<Read>,
}

/// A loss and, of preferences, the rewards.
#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub(crate) loss: f64,
    pub(crate) rewards: Option<Rewards>,
}

impl Read {
    /// As metrics whose names begin with `of`.
    pub(crate) fn metrics(&self, of: &str) -> Value {
        let mut metrics = json!({ format!("{of}_loss"): self.loss });
        if let Some(rewards) = self.rewards {
            metrics[format!("{of}_reward_accuracy")] = rewards.accuracy.into();
            metrics[format!("{of}_reward_margin")] = rewards.margin.into();
        }
        metrics
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let rewards = self.rewards.map(|Rewards { accuracy, margin, .. }| {
            format!(", reward accuracy={accuracy:.3}, reward margin={margin:.4}")
        });
        format!("{:.4}{}", self.loss, rewards.unwrap_or_default())
    }

    /// The cells of a table.
    fn cells(this: Option<Self>, has_rewards: bool) -> String {
        let mut cells = this.map(|read| read.loss.to_string()).unwrap_or_default();
        if has_rewards {
            let rewards = this.and_then(|read| read.rewards);
            let cell = |of: fn(Rewards) -> f64| rewards.map(|it| of(it).to_string());
            for cell in [cell(|it| it.accuracy), cell(|it| it.margin)] {
                cells.push(',');
                cells.push_str(&cell.unwrap_or_default());
            }
        }
        cells
    }
}

/// An object with the fields of several.
pub(crate) fn joined(objects: impl IntoIterator<Item = Value>) -> Value {
    let maps = objects.into_iter().filter_map(|object| match object {
        Value::Object(map) => Some(map),
        _ => None,
    });
    Value::Object(maps.flatten().collect())
}

impl Jobs {
    /// Reads the model a job began with and its `states`, each behind so many updates, on the validation rows.
    pub(super) fn validate(
        &self,
        app: &App,
        job: &mut Stored<Job>,
        rows: &Taught,
        states: &[(usize, Model)],
        tell: &dyn Fn(&str, Value),
    ) -> Outcome<()> {
        let base = self.base(app, job).ok_or("the base is not served any more")?;
        let before = match self.made(&job.model) {
            Some(before) => self.adapter(&before, FINAL, &base)?,
            None => base.model.clone(),
        };
        let total = states.last().map_or(0, |(update, _)| *update);
        let threads = Threads::new(self.settings.execute.cores);
        let pairs: Vec<_> =
            rows.answers.iter().cloned().zip(rows.rejected.iter().cloned()).collect();
        let mut reference = None;
        for (step, model) in std::iter::once(&(0, before)).chain(states) {
            let read = match job.beta {
                None => Read { loss: train::loss(model, &rows.answers, &threads)?, rewards: None },
                Some(beta) => {
                    let now = train::log_probabilities(model, &pairs, &threads)?;
                    let reference = reference.get_or_insert_with(|| now.clone());
                    let (loss, rewards) = train::compare(&now, reference, beta);
                    Read { loss, rewards: Some(rewards) }
                }
            };
            job.validation.push((*step, read.loss));
            job.validation_rewards.extend(read.rewards.map(|rewards| (*step, rewards)));
            let steps = json!({ "step": step, "total_steps": total });
            let told = format!("Step {step}/{total}: full validation loss={}", read.told());
            tell(&told, joined([steps, read.metrics("full_valid")]));
        }
        Ok(())
    }

    /// Leaves a job's losses as a file of this id, in the form of OpenAI's.
    pub(super) fn results(&self, app: &App, job: &Stored<Job>, id: &str) -> Outcome<()> {
        let has_rewards = job.beta.is_some();
        let columns = |of: &str| {
            let more = if has_rewards {
                format!(",{of}_reward_accuracy,{of}_reward_margin")
            } else {
                String::new()
            };
            format!("{of}_loss{more}")
        };
        let mut table = format!("step,{},{}\n", columns("train"), columns("full_valid"));
        let train = self.losses(job)?;
        for step in 0..=train.len() {
            let train = step.checked_sub(1).and_then(|at| train[at]);
            let valid = valid(job, step);
            if train.is_some() || valid.is_some() {
                let [train, valid] = [train, valid].map(|read| Read::cells(read, has_rewards));
                writeln!(table, "{step},{train},{valid}")?;
            }
        }
        let name = format!("{}_results.csv", job.id);
        let part = self.records.folder().join(format!("{}.results.csv", job.id));
        fs::write(&part, table)?;
        self.files.adopt(id, &part, name, RESULTS, app.now())?;
        fs::remove_file(part)?;
        Ok(())
    }

    /// The loss of each update.
    pub(super) fn losses(&self, job: &Job) -> StoreResult<Vec<Option<Read>>> {
        let Some(artifact) = job.artifact else { return Ok(Vec::new()) };
        let bytes = self.settings.store.artifact(&artifact)?.read("updates.jsonl")?;
        let read = |line: &str| {
            let Update { loss, rewards, .. } = serde_json::from_str(line).ok()?;
            Some(Read { loss, rewards })
        };
        Ok(String::from_utf8_lossy(&bytes).lines().map(read).collect())
    }

    /// The updates of which a copy was kept, and the last, newest first: the loss of each, and the validation
    /// rows' after it.
    pub(crate) fn checkpoints(&self, job: &Job) -> Result<Vec<Checkpoint>, Refusal> {
        let losses = self.losses(job)?;
        let updates = job.training.checkpoints.iter().copied().chain([losses.len()]);
        let mut all: Vec<Checkpoint> = updates
            .filter(|&update| update > 0)
            .map(|update| Checkpoint {
                update,
                train: losses.get(update - 1).copied().flatten(),
                valid: valid(job, update),
            })
            .collect();
        all.reverse();
        Ok(all)
    }
}

/// What was read on the validation rows behind so many updates.
fn valid(job: &Job, update: usize) -> Option<Read> {
    let loss = job.validation.iter().find(|(step, _)| *step == update)?.1;
    let rewards = job.validation_rewards.iter().find(|(step, _)| *step == update);
    Some(Read { loss, rewards: rewards.map(|(_, rewards)| *rewards) })
}
