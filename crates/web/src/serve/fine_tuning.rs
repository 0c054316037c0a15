//! The endpoints of fine-tuning: requests read, jobs told.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use owlet_lab::recipe::Training;
use serde_json::{Value, json};

use super::App;
use super::fields::{Fields, Ignored};
use super::files::FINE_TUNE;
use super::job::{Job, Status};
use super::jobs;
use super::query::{Id, Page};
use super::records::Thing;
use super::refusal::Refusal;

/// Characters of a suffix.
const SUFFIX: usize = 64;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(Ignored, Json<Value>), Refusal> {
    let jobs = &app.kept()?.jobs;
    jobs.records.check_room()?;
    let model: String = fields.require("model")?;
    let served = app.models.named(Some(&model))?;
    if served.source.is_none() && jobs.made(&model).is_none() {
        let why = "is a checkpoint, or not of this server; a base or a job's last model can be fine-tuned";
        return Err(fields.refuse("model", why));
    }
    let training_file: String = fields.require("training_file")?;
    if jobs.files.content(&training_file, FINE_TUNE).is_none() {
        let why = "is the id of no file here that is for fine-tuning";
        return Err(fields.refuse("training_file", why));
    }
    let validation_file: Option<String> = fields.take("validation_file")?;
    if validation_file.as_ref().is_some_and(|file| jobs.files.content(file, FINE_TUNE).is_none()) {
        let why = "is the id of no file here that is for fine-tuning";
        return Err(fields.refuse("validation_file", why));
    }
    let suffix: Option<String> = fields.take("suffix")?;
    let good = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if suffix.as_ref().is_some_and(|it| it.chars().count() > SUFFIX || !it.chars().all(good)) {
        let why = format!("is not up to {SUFFIX} letters, digits, `-`, `_`, `.` or spaces");
        return Err(fields.refuse("suffix", why));
    }
    let seed = fields.count("seed", 0..=usize::MAX >> 1)?;
    let metadata = fields.value("metadata");
    let (training, multiplier, mut ignored) = training(&mut fields)?;
    ignored.extend(fields.unknown());
    let seed = seed.map_or_else(|| app.fresh_seed() >> 33, |seed| seed as u64);
    let job = Job {
        created_at: app.now(),
        finished_at: None,
        status: Status::Queued,
        model,
        training_file,
        validation_file,
        result_file: None,
        validation: Vec::new(),
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
    };
    let job = jobs.add(app.new_id("ftjob-"), job)?;
    Ok((Ignored(ignored), Json(Job::json(&job))))
}

/// How the student is trained, by what the recipe's learning rate was multiplied, and names that mean
/// nothing here.
fn training(fields: &mut Fields) -> Result<(Training, f64, Vec<String>), Refusal> {
    let (mut training, mut multiplier) = (jobs::default_training()?, 1.0);
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
    let Some(mut parameters) = parameters else { return Ok((training, multiplier, Vec::new())) };
    if let Some(epochs) = auto(&mut parameters, "n_epochs", 1.0..=1000.0)? {
        training.epochs = epochs.round();
    }
    if let Some(batch) = auto(&mut parameters, "batch_size", 1.0..=4096.0)? {
        training.batch = batch.round() as usize;
    }
    if let Some(wanted) = auto(&mut parameters, "learning_rate_multiplier", 1e-6..=1e4)? {
        multiplier = wanted;
        training.learning_rate *= multiplier;
    }
    Ok((training, multiplier, parameters.rest()))
}

/// A number in a range, or `"auto"` as if it were not there.
fn auto(
    fields: &mut Fields,
    name: &str,
    range: RangeInclusive<f64>,
) -> Result<Option<f64>, Refusal> {
    let Some(value) = fields.value(name).filter(|value| value != "auto") else { return Ok(None) };
    match value.as_f64() {
        Some(number) if range.contains(&number) => Ok(Some(number)),
        Some(number) => {
            let (least, most) = (range.start(), range.end());
            Err(fields.refuse(name, format!("is {number}, expected {least} to {most}")))
        }
        None => Err(fields.refuse(name, "is neither `auto` nor a number")),
    }
}

pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(Job::json(&app.kept()?.jobs.cancel(&app, &id)?)))
}

pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Id(id): Id,
    page: Page,
) -> Result<Json<Value>, Refusal> {
    let jobs = &app.kept()?.jobs;
    let job = jobs.records.get(&id)?;
    page.of(jobs.events(&job.id).into_iter())
}

pub(crate) async fn checkpoints(
    State(app): State<Arc<App>>,
    Id(id): Id,
    page: Page,
) -> Result<Json<Value>, Refusal> {
    let jobs = &app.kept()?.jobs;
    let job = jobs.records.get(&id)?;
    let all = jobs.checkpoints(&job)?;
    page.of(all.into_iter().map(|jobs::Checkpoint { update, train_loss, valid_loss }| {
        let is_last = !job.training.checkpoints.contains(&update);
        json!({
            "object": "fine_tuning.job.checkpoint",
            "id": format!("ftckpt-{}-{update}", job.tail()),
            "created_at": job.finished_at.unwrap_or(job.created_at),
            "fine_tuned_model_checkpoint":
                if is_last { job.model_name() } else { job.checkpoint_name(update) },
            "fine_tuning_job_id": job.id,
            "step_number": update,
            "metrics": { "step": update, "train_loss": train_loss, "full_valid_loss": valid_loss },
        })
    }))
}
