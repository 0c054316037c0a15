//! The endpoints of fine-tuning: requests read, jobs told.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::fields::Fields;
use super::files::FINE_TUNE;
use super::jobs::{self, Job, Jobs, Status};
use super::query::{Id, Page};
use super::refusal::Refusal;
use super::wire;

/// Characters of a suffix.
const SUFFIX: usize = 64;

fn jobs(app: &App) -> Result<&Arc<Jobs>, Refusal> {
    Ok(&app.kept()?.jobs)
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<axum::response::Response, Refusal> {
    let jobs = jobs(&app)?;
    let model: String = fields.require("model")?;
    let served = app.models.named(Some(&model))?;
    if served.source.is_none() {
        return Err(fields.refuse("model", "is itself trained; only a base can be fine-tuned here"));
    }
    let training_file: String = fields.require("training_file")?;
    if jobs.files.get(&training_file).is_none_or(|file| file.purpose != FINE_TUNE) {
        return Err(
            fields.refuse("training_file", "is the id of no file here that is for fine-tuning")
        );
    }
    if fields.value("validation_file").is_some() {
        return Err(fields.refuse("validation_file", "is not supported"));
    }
    let suffix: Option<String> = fields.take("suffix")?;
    if let Some(suffix) = &suffix
        && (suffix.chars().count() > SUFFIX
            || !suffix.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c)))
    {
        return Err(fields.refuse(
            "suffix",
            format!("is not up to {SUFFIX} letters, digits, `-`, `_`, `.` or spaces"),
        ));
    }
    let seed = fields.count("seed", 0..=usize::MAX >> 1)?;
    let metadata = fields.value("metadata");
    let mut training = jobs::default_training()?;
    let mut multiplier = 1.0;
    // The newer form wins; both have the same fields.
    let mut parameters = fields.object("hyperparameters")?;
    if let Some(mut method) = fields.object("method")? {
        let kind: String = method.require("type")?;
        if kind != "supervised" {
            return Err(method.refuse("type", "is not `supervised`, the only one there is"));
        }
        if let Some(mut supervised) = method.object("supervised")? {
            parameters = supervised.object("hyperparameters")?.or(parameters);
        }
    }
    let mut ignored = Vec::new();
    if let Some(mut parameters) = parameters {
        if let Some(epochs) = auto(&mut parameters, "n_epochs")? {
            training.epochs = within(&parameters, "n_epochs", epochs, 1.0, 1000.0)?.round();
        }
        if let Some(batch) = auto(&mut parameters, "batch_size")? {
            training.batch =
                within(&parameters, "batch_size", batch, 1.0, 4096.0)?.round() as usize;
        }
        if let Some(wanted) = auto(&mut parameters, "learning_rate_multiplier")? {
            multiplier = within(&parameters, "learning_rate_multiplier", wanted, 1e-6, 1e4)?;
            training.learning_rate *= multiplier;
        }
        ignored.extend(parameters.rest());
    }
    ignored.extend(wire::unknown(fields));
    let seed = seed.map_or_else(|| app.fresh_seed() >> 33, |seed| seed as u64);
    let job = jobs.add(Job {
        id: app.new_id("ftjob-"),
        number: 0,
        created_at: (app.now)(),
        finished_at: None,
        status: Status::Queued,
        model,
        training_file,
        rows: None,
        epochs: training.epochs,
        training,
        multiplier,
        seed,
        suffix,
        artifact: None,
        trained_tokens: None,
        error: None,
        metadata,
        withdrawn: Vec::new(),
    })?;
    Ok(wire::with_warnings(wire::json(&job.json()), &ignored))
}

/// A number, or `"auto"` as if it were not there.
fn auto(fields: &mut Fields, name: &str) -> Result<Option<f64>, Refusal> {
    match fields.value(name) {
        None => Ok(None),
        Some(Value::String(text)) if text == "auto" => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number)),
            None => Err(fields.refuse(name, "is neither `auto` nor a number")),
        },
    }
}

fn within(fields: &Fields, name: &str, number: f64, least: f64, most: f64) -> Result<f64, Refusal> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(fields.refuse(name, format!("is {number}, expected {least} to {most}")))
}

pub(crate) async fn list(State(app): State<Arc<App>>, page: Page) -> Result<Reply<Value>, Refusal> {
    page.of(&jobs(&app)?.records.all(), |job| &job.id, Job::json)
}

pub(crate) async fn retrieve(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Reply<Value>, Refusal> {
    Ok(Reply(jobs(&app)?.records.get(&id)?.json()))
}

pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Reply<Value>, Refusal> {
    Ok(Reply(jobs(&app)?.cancel(&app, &id)?.json()))
}

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Id(id): Id,
    page: Page,
) -> Result<Reply<Value>, Refusal> {
    let jobs = jobs(&app)?;
    let job = jobs.records.get(&id)?;
    let mut events = jobs.events(&job.id);
    events.reverse();
    page.of(&events, |event| &event.id, super::jobs::JobEvent::json)
}

pub(crate) async fn checkpoints(
    State(app): State<Arc<App>>,
    Id(id): Id,
    page: Page,
) -> Result<Reply<Value>, Refusal> {
    let jobs = jobs(&app)?;
    let job = jobs.records.get(&id)?;
    let fine_tuned = job.json()["fine_tuned_model"].clone();
    let last = job.training.checkpoints.len();
    let all: Vec<(String, Value)> = jobs
        .checkpoints(&job)?
        .into_iter()
        .map(|(update, loss)| {
            let id = format!("ftckpt-{}-{update}", job.id.trim_start_matches("ftjob-"));
            let kept = job.training.checkpoints.iter().take(last).any(|&kept| kept == update);
            let name = if kept { job.checkpoint_name(update).into() } else { fine_tuned.clone() };
            let object = json!({
                "object": "fine_tuning.job.checkpoint",
                "id": id,
                "created_at": job.finished_at.unwrap_or(job.created_at),
                "fine_tuned_model_checkpoint": name,
                "fine_tuning_job_id": job.id,
                "step_number": update,
                "metrics": { "step": update, "train_loss": loss },
            });
            (id, object)
        })
        .collect();
    page.of(&all, |(id, _)| id, |(_, object)| object.clone())
}
