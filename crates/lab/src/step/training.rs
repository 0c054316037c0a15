//! Training that can be stopped: what teachers and students have in common.
//!
//! Every so often the trainer's whole state goes to scratch, and a copy of the model at each
//! checkpoint; a stopped training goes on from the state and comes to the same bytes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;

use owlet_engine::train::{Data, Method, TrainSettings, Trainer, Update};
use owlet_engine::{Model, file};

use super::StepContext;
use crate::error::{Error, Result};
use crate::model_source::{FINAL, TrainedModel, Weights, checkpoint_folder};

/// The log of updates, one JSON object a line.
pub(super) const LOG: &str = "updates.jsonl";
const STATE: &str = "state";
/// Time between two states kept: little is lost, little is spent.
const PAUSE: Duration = Duration::from_secs(20);

/// What training came to.
pub(super) struct Trained {
    /// The model at the end.
    pub(super) model: Model,
    /// What the artifact says about itself.
    pub(super) about: TrainedModel,
}

/// Trains `model` on `data` and writes checkpoints, the final state and the log to the output.
pub(super) fn train(
    context: &StepContext<'_>,
    model: &Model,
    data: Data,
    settings: &TrainSettings,
    checkpoints: &[usize],
    about: TrainedModel,
) -> Result<Trained> {
    let mut trainer = Trainer::new(model, data, settings.clone(), context.threads.clone())?;
    let mut wanted: Vec<usize> =
        checkpoints.iter().copied().filter(|&update| update < settings.updates).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let log = learn(context, &mut trainer, settings.updates, &mut |trainer, update| {
        if wanted.contains(&update) {
            let folder = context.scratch.join(checkpoint_folder(update));
            save_whole(&trainer.model(), model, &settings.method, &folder)?;
        }
        Ok(())
    })?;

    for &update in &wanted {
        let name = checkpoint_folder(update);
        copy_folder(&context.scratch.join(&name), &context.writer.path().join(&name))?;
    }
    let trained = trainer.model();
    save(&trained, model, &settings.method, &context.writer.path().join(FINAL))?;
    let mut lines = Vec::new();
    for update in &log {
        serde_json::to_writer(&mut lines, update).map_err(|error| Error::record(LOG, error))?;
        lines.push(b'\n');
    }
    context.writer.write(LOG, &lines)?;
    Ok(Trained {
        model: trained,
        about: TrainedModel {
            weights: match settings.method {
                Method::Full { .. } => Weights::Whole,
                Method::LowRank(_) => Weights::Adapter,
            },
            updates: settings.updates,
            checkpoints: wanted,
            ..about
        },
    })
}

/// Takes the updates that are left, from the state in scratch if there is one, and returns the log of
/// all. `after` is called after every update taken now.
pub(super) fn learn(
    context: &StepContext<'_>,
    trainer: &mut Trainer,
    updates: usize,
    after: &mut dyn FnMut(&Trainer, usize) -> Result<()>,
) -> Result<Vec<Update>> {
    let mut log: Vec<Update> = Vec::new();
    let state_file = context.scratch.join(STATE);
    if let Some((state, kept)) = kept_state(&state_file)
        && trainer.restore(&state).is_ok()
        && kept.len() == trainer.updates_done()
    {
        log = kept;
    } else if trainer.updates_done() > 0 {
        return Err(Error::record(&state_file, "is not usable; remove it and run again"));
    }
    let mut last = Instant::now();
    while trainer.updates_done() < updates {
        let update = trainer.update()?;
        let (number, loss) = (update.update, update.loss);
        log.push(update);
        context.report(number, updates, "updates", Some(loss));
        after(trainer, number)?;
        let stop = context.interrupt.is_set();
        if stop || last.elapsed() > PAUSE {
            keep_state(&state_file, &trainer.state(), &log)?;
            last = Instant::now();
        }
        if stop {
            return Err(Error::Interrupted);
        }
    }
    Ok(log)
}

fn save(trained: &Model, base: &Model, method: &Method, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    match (method, &trained.adapter) {
        (Method::LowRank(_), Some(adapter)) => Ok(file::save_adapter(adapter, base, folder)?),
        _ => Ok(file::save(trained, folder)?),
    }
}

/// Saves beside and renames, so that a folder with the final name is whole.
fn save_whole(trained: &Model, base: &Model, method: &Method, folder: &Path) -> Result<()> {
    let part = folder.with_extension("part");
    for old in [folder, &part] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    save(trained, base, method, &part)?;
    Ok(fs::rename(&part, folder)?)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The state with its log, sealed by a digest; a half-written one is as good as none.
fn keep_state(path: &Path, state: &[u8], log: &[Update]) -> Result<()> {
    let log = serde_json::to_vec(log).map_err(|error| Error::record(path, error))?;
    let mut bytes = (log.len() as u64).to_le_bytes().to_vec();
    bytes.extend(&log);
    bytes.extend(state);
    let mut sealed = blake3::hash(&bytes).as_bytes().to_vec();
    sealed.append(&mut bytes);
    let part: PathBuf = path.with_extension("part");
    fs::write(&part, sealed)?;
    Ok(fs::rename(&part, path)?)
}

fn kept_state(path: &Path) -> Option<(Vec<u8>, Vec<Update>)> {
    let sealed = fs::read(path).ok()?;
    let (seal, bytes) = sealed.split_at_checked(32)?;
    if blake3::hash(bytes).as_bytes() != seal {
        return None;
    }
    let (length, rest) = bytes.split_at_checked(8)?;
    let length = u64::from_le_bytes(length.try_into().ok()?);
    let (log, state) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((state.to_vec(), serde_json::from_slice(log).ok()?))
}
