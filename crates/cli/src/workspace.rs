//! The workspace as the commands see it: opening, names for artifacts, the clock.

use std::collections::BTreeMap;
use std::path::Path;

use owlet_store::{ArtifactId, Entity, RunDirectory, Store};
use serde::Deserialize;

use crate::error::{CliError, Result};

/// Opens a workspace to read from.
pub(crate) fn existing(path: &Path) -> Result<Store> {
    if !path.exists() {
        return Err(CliError::usage(format!("there is no workspace at `{}`", path.display()))
            .hinted("`owlet demo` makes one here; `--workspace DIR` names another"));
    }
    Ok(Store::open_existing(path)?)
}

/// Opens a workspace, creating it if it is not there.
pub(crate) fn open(path: &Path) -> Result<Store> {
    Ok(Store::open(path)?)
}

/// Finds what the beginning of an id means; `last` is the newest run.
pub(crate) fn resolve(store: &Store, prefix: &str) -> Result<Entity> {
    if prefix == "last" {
        return store.run_ids()?.pop().map(Entity::Run).ok_or_else(|| {
            CliError::usage("there is no run in this workspace").hinted("start one: `owlet demo`")
        });
    }
    store.resolve(prefix).map_err(|error| {
        CliError::from(error).hinted("`owlet list` shows runs, `owlet list artifacts` the rest")
    })
}

/// The time now, as RFC 3339 in UTC with whole seconds.
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// The name of this machine.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// The most memory this process has held, in bytes, where the system says (Linux: `VmHWM`).
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// One line of a run's list of steps.
#[derive(Debug, Deserialize)]
pub(crate) struct NamedStep {
    pub(crate) name: String,
    pub(crate) artifact: Option<String>,
}

/// The steps of a finished run.
pub(crate) fn steps_of(run: &RunDirectory) -> Vec<NamedStep> {
    let bytes = run.read_file(owlet_lab::execute::STEPS).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// What the newest runs call the artifacts.
pub(crate) fn names(store: &Store) -> Result<BTreeMap<ArtifactId, String>> {
    let mut names = BTreeMap::new();
    for run in store.runs()? {
        for step in steps_of(&run) {
            if let Some(id) = step.artifact.and_then(|id| id.parse().ok()) {
                names.insert(id, step.name);
            }
        }
    }
    Ok(names)
}
