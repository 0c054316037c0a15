//! The endpoints of fine-tuning: requests read, jobs told.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use owlet_lab::recipe::Training;
use owlet_lab::step::fine_tune;
use serde_json::{Value, json};

use super::App;
use super::fields::{Fields, Ignored};
use super::job::{DPO, Job, SUPERVISED, Status};
use super::jobs;
use super::jobs::losses::{Checkpoint, joined};
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
    let How { training, multiplier, beta } = how(&mut fields)?;
    let training_file: String = fields.require("training_file")?;
    let validation_file: Option<String> = fields.take("validation_file")?;
    let files =
        [("training_file", Some(&training_file)), ("validation_file", validation_file.as_ref())];
    for (field, file) in files.into_iter().filter_map(|(field, file)| Some((field, file?))) {
        let why = match (jobs.files.rows(file), beta) {
            (None, _) => "is the id of no file here that is for fine-tuning",
            (Some(file), None) if file.preferences => {
                "holds preferences, of which it is learned which answer is the better one: ask for it with `method` of the type `dpo`"
            }
            (Some(file), Some(_)) if !file.preferences => {
                "holds no preferences, which the method `dpo` learns from: `input`, `preferred_output` and `non_preferred_output`, or `prompt`, `chosen` and `rejected`"
            }
            _ => continue,
        };
        return Err(fields.refuse(field, why));
    }
    let suffix: Option<String> = fields.take("suffix")?;
    let good = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if suffix.as_ref().is_some_and(|it| it.chars().count() > SUFFIX || !it.chars().all(good)) {
        let why = format!("is not up to {SUFFIX} letters, digits, `-`, `_`, `.` or spaces");
        return Err(fields.refuse("suffix", why));
    }
    let seed = fields.count("seed", 0..=usize::MAX >> 1)?;
    let metadata = fields.value("metadata");
    let ignored = fields.unknown();
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
        validation_rewards: Vec::new(),
        beta,
        rows: None,
        epochs: training.epochs,
        training,
        multiplier,
        seed,
        suffix,
        artifact: None,
        trained_tokens: None,
        error: None,
        error_field: None,
        metadata,
        withdrawn: Vec::new(),
    };
    let job = jobs.add(app.new_id("ftjob-"), job)?;
    Ok((Ignored(ignored), Json(Job::json(&job))))
}

/// How a request's student is trained.
struct How {
    training: Training,
    /// What the recipe's learning rate was multiplied by.
    multiplier: f64,
    /// Where preferences are learned, the strength of the pull to the model before.
    beta: Option<f32>,
}

/// Reads how the student is trained. What is asked for and not understood would be another student, so it is refused.
fn how(fields: &mut Fields) -> Result<How, Refusal> {
    let (mut kind, mut parameters) = (SUPERVISED, fields.object("hyperparameters")?);
    if let Some(mut method) = fields.object("method")? {
        let named: String = method.require("type")?;
        let known = [SUPERVISED, DPO].into_iter().find(|known| *known == named);
        kind = known.ok_or_else(|| method.refuse("type", "is neither `supervised` nor `dpo`"))?;
        if let Some(mut own) = method.object(kind)? {
            let inner = own.object("hyperparameters")?;
            if parameters.is_some() && inner.is_some() {
                let why = format!("stands beside `{}`; leave one out", own.name("hyperparameters"));
                return Err(fields.refuse("hyperparameters", why));
            }
            parameters = inner.or(parameters);
            all_known(own, "`hyperparameters`")?;
        }
        all_known(method, &format!("`type` and `{kind}`"))?;
    }
    let (mut training, mut multiplier) = (jobs::default_training()?, 1.0);
    let mut beta = (kind == DPO).then_some(fine_tune::BETA);
    let Some(mut parameters) = parameters else { return Ok(How { training, multiplier, beta }) };
    if let Some(epochs) = auto_count(&mut parameters, "n_epochs", 1.0..=1000.0)? {
        training.epochs = epochs;
    }
    if let Some(batch) = auto_count(&mut parameters, "batch_size", 1.0..=4096.0)? {
        training.batch = batch as usize;
    }
    if let Some(wanted) = auto(&mut parameters, "learning_rate_multiplier", 1e-6..=1e4)? {
        multiplier = wanted;
        training.learning_rate *= multiplier;
    }
    let shared = "`n_epochs`, `batch_size`, `learning_rate_multiplier`";
    if kind == DPO {
        let wanted = auto(&mut parameters, "beta", 1e-4..=2.0)?;
        beta = wanted.map(|beta| beta as f32).or(beta);
        all_known(parameters, &format!("{shared} and `beta`"))?;
    } else {
        all_known(parameters, shared)?;
    }
    Ok(How { training, multiplier, beta })
}

/// Refuses the first field that nobody took.
fn all_known(fields: Fields, known: &str) -> Result<(), Refusal> {
    match fields.rest().first() {
        Some(name) => Err(Refusal::field(name, format!("is not read here, only {known}"))),
        None => Ok(()),
    }
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

/// The same for a whole number.
fn auto_count(
    fields: &mut Fields,
    name: &str,
    range: RangeInclusive<f64>,
) -> Result<Option<f64>, Refusal> {
    match auto(fields, name, range)? {
        Some(number) if number.fract() != 0.0 => {
            Err(fields.refuse(name, format!("is {number}, expected a whole number")))
        }
        found => Ok(found),
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
    page.of(all.into_iter().map(|Checkpoint { update, train, valid }| {
        let train = train.map(|read| read.metrics("train"));
        let valid = valid.map(|read| read.metrics("full_valid"));
        let metrics = [Some(json!({ "step": update })), train, valid].into_iter().flatten();
        let is_last = !job.training.checkpoints.contains(&update);
        json!({
            "object": "fine_tuning.job.checkpoint",
            "id": format!("ftckpt-{}-{update}", job.tail()),
            "created_at": job.finished_at.unwrap_or(job.created_at),
            "fine_tuned_model_checkpoint":
                if is_last { job.model_name() } else { job.checkpoint_name(update) },
            "fine_tuning_job_id": job.id,
            "step_number": update,
            "metrics": joined(metrics),
        })
    }))
}
