//! What things in a workspace are called: one rule, for whoever asks for one.

use std::collections::BTreeMap;

use owlet_store::{ArtifactId, Entity, Error, Result, RunId, Store};

use super::steps;

/// The newest run.
const LAST: &str = "last";

/// Finds what `called` means: `last`, the newest run; the beginning of an id that fits one thing alone; or a
/// name as lists show it, of the newest finished run that has it, with `RUN:NAME` of that run.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Ambiguous`], and what keeps the workspace from being read.
pub fn resolve(store: &Store, called: &str) -> Result<Entity> {
    if called == LAST
        && let Some(newest) = store.run_ids()?.pop()
    {
        return Ok(Entity::Run(newest));
    }
    let unknown = match store.resolve(called) {
        Err(unknown @ Error::NotFound { .. }) => unknown,
        known => return known,
    };
    let found = match called.split_once(':') {
        Some((run, name)) => match resolve(store, run)? {
            Entity::Run(run) => named(store, &run, name),
            _ => None,
        },
        None => store.run_ids()?.iter().rev().find_map(|run| named(store, run, called)),
    };
    found.map(Entity::Artifact).ok_or(unknown)
}

/// What the newest finished runs call the artifacts; those that were removed only what no other does.
///
/// # Errors
/// The folder of runs cannot be read.
pub fn names(store: &Store) -> Result<BTreeMap<ArtifactId, String>> {
    let mut names = BTreeMap::new();
    for run in store.removed_runs()?.into_iter().chain(store.runs()?) {
        // What is not finished names nothing.
        let Ok(record) = steps::read(&run) else { continue };
        for step in record.steps {
            names.extend(step.artifact.map(|id| (id, step.name)));
        }
    }
    Ok(names)
}

/// `train/owl/seed-3` and its siblings as `train/owl/seed-*`.
pub fn without_seed(name: &str) -> String {
    let parts: Vec<&str> = name
        .split('/')
        .map(|part| match part.strip_prefix("seed-") {
            Some(seed) if seed.bytes().all(|byte| byte.is_ascii_digit()) => "seed-*",
            _ => part,
        })
        .collect();
    parts.join("/")
}

/// What a finished run calls so.
fn named(store: &Store, run: &RunId, name: &str) -> Option<ArtifactId> {
    let steps = steps::read(&store.open_run(run).ok()?).ok()?.steps;
    steps.into_iter().find(|step| step.name == name)?.artifact
}
