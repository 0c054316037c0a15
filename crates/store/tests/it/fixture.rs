//! A workspace in a temporary folder and short ways to fill it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use owlet_store::{
    Artifact, ArtifactId, RunHeader, RunId, StepCost, StepKey, StepRecord, Store, step_key,
};
use serde_json::{Value, json};

pub(crate) struct Workspace {
    _folder: tempfile::TempDir,
    path: PathBuf,
    pub(crate) store: Store,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let folder = temporary_folder();
        let path = folder.path().join("workspace");
        let store = Store::open(&path).unwrap();
        Self { _folder: folder, path, store }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the workspace as another process would: with nothing remembered.
    pub(crate) fn reopened(&self) -> Store {
        Store::open_existing(&self.path).unwrap()
    }

    pub(crate) fn artifact_folder(&self, id: &ArtifactId) -> PathBuf {
        let id = id.to_string();
        self.path.join("artifacts").join(&id[..2]).join(id)
    }

    pub(crate) fn step_path(&self, key: &StepKey) -> PathBuf {
        let key = key.to_string();
        self.path.join("steps").join(&key[..2]).join(format!("{key}.json"))
    }

    /// Replaces the workspace's path in a message.
    pub(crate) fn redact(&self, text: impl std::fmt::Display) -> String {
        text.to_string().replace(self.path.to_str().unwrap(), "[workspace]")
    }
}

/// Makes a folder in memory where the system has one: many small synced writes are slow on a disk.
fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn make(store: &Store, kind: &str, files: &[(&str, &[u8])]) -> Artifact {
    let writer = store.begin_artifact(kind).unwrap();
    for (name, bytes) in files {
        writer.write(name, bytes).unwrap();
    }
    writer.finish(json!({})).unwrap()
}

pub(crate) fn record(
    kind: &str,
    configuration: Value,
    inputs: &[(&str, ArtifactId)],
    output: ArtifactId,
) -> StepRecord {
    let inputs: BTreeMap<_, _> =
        inputs.iter().map(|(role, id)| ((*role).to_owned(), *id)).collect();
    StepRecord {
        format: StepRecord::FORMAT,
        key: step_key(kind, 1, &configuration, &inputs),
        kind: kind.to_owned(),
        algorithm: 1,
        configuration,
        inputs,
        output,
        about: StepCost {
            started: "2026-11-21T22:51:44Z".to_owned(),
            seconds: 0.1,
            threads: 2,
            peak_memory_bytes: None,
            work: None,
            host: "nest".to_owned(),
            version: "0.1.0".to_owned(),
        },
    }
}

pub(crate) fn run(started: &str, nonce: u64) -> (RunId, RunHeader) {
    let id = RunId::new(started, nonce).unwrap();
    let header = RunHeader {
        format: RunHeader::FORMAT,
        id: id.clone(),
        name: "owl".to_owned(),
        started: started.to_owned(),
        host: "nest".to_owned(),
        version: "0.1.0".to_owned(),
        about: json!({"command": ["owlet", "run", "owl.toml"]}),
    };
    (id, header)
}

/// Flips one bit of a file, leaving everything else as it is.
pub(crate) fn flip_bit(path: &Path, position: usize, bit: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[position] ^= 1 << bit;
    std::fs::write(path, bytes).unwrap();
}

/// Seals a document the way a hostile writer could: with the right digests over a wrong content.
pub(crate) fn sealed(context: &str, mut content: serde_json::Value) -> String {
    let text = owlet_store::canonical_json(&content);
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(text.as_bytes());
    content["seal"] = json!(hasher.finalize().to_hex().as_str());
    // Through the canonical text, so that keys are sorted however values keep them.
    let sorted: serde_json::Value =
        serde_json::from_str(&owlet_store::canonical_json(&content)).unwrap();
    format!("{}\n", serde_json::to_string_pretty(&sorted).unwrap())
}
