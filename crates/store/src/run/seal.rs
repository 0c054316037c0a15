//! Seals of runs: what the files of a run's folder held when they were written.
//!
//! `seal.json` lists every file that was written through [`RunDirectory`], and, once the run is closed, its
//! events and what its steps made. A file is read only as the seal has it, so whatever a reader is shown of
//! a run is what the run wrote. A file that is being replaced may be what it was or what it will be: the seal
//! is written first, so that a kill at any moment leaves a sound run. The seal tells of accidents and of careless hands; whoever writes a new seal
//! is not stopped by it.

use std::collections::BTreeMap;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{EVENTS, RunDirectory};
use crate::document::{self, Format};
use crate::{ArtifactId, Error, FileDigest, Result, StepKey, Store, disk};

pub(crate) const SEAL: &str = "seal.json";
const SEAL_FORMAT: Format = Format { what: "run seal", version: 1, context: "owlet run seal 1" };
/// The first format of run headers whose runs have a seal.
const SEALED_SINCE: u32 = 2;

/// What a step of a closed run made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    step: StepKey,
    artifact: ArtifactId,
}

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    format: u32,
    /// What each file may hold, the newest last; nothing for one that is not there yet.
    files: BTreeMap<String, Vec<Option<FileDigest>>>,
    /// None while the run may go on.
    made: Option<Vec<Made>>,
}

impl Seal {
    /// Of a run that has no files yet.
    pub(crate) fn new() -> Self {
        Self { format: SEAL_FORMAT.version, files: BTreeMap::new(), made: None }
    }

    pub(crate) fn render(&self) -> Result<Vec<u8>> {
        document::render(SEAL_FORMAT, self)
    }
}

impl RunDirectory {
    /// Reads the seal; none of a run that an older owlet began.
    pub(crate) fn sealed(&self) -> Result<Option<Seal>> {
        let path = self.path().join(SEAL);
        let damaged =
            |why: String| Error::DamagedRecord { what: SEAL_FORMAT.what, path: path.clone(), why };
        match document::read_record::<Seal>(SEAL_FORMAT, &path)? {
            Some(Ok(seal)) => Ok(Some(seal)),
            Some(Err(why)) => Err(damaged(why)),
            None if self.header()?.format < SEALED_SINCE => Ok(None),
            None => Err(damaged("is missing".to_owned())),
        }
    }

    /// Writes down that the run's file `name` is about to hold `bytes`.
    pub(crate) fn seal_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let Some(mut seal) = self.sealed()? else { return Ok(()) };
        let before = seal.files.get(name).and_then(|known| *known.last()?);
        seal.files.insert(name.to_owned(), vec![before, Some(digest(bytes))]);
        self.write_seal(&seal)
    }

    /// Says that the run is over, and what its steps made; its events are sealed with it.
    pub fn close(&self, made: impl IntoIterator<Item = (StepKey, ArtifactId)>) -> Result<()> {
        let _lock = self.store.lock_names()?;
        let Some(mut seal) = self.sealed()? else { return Ok(()) };
        let made = made.into_iter().map(|(step, artifact)| Made { step, artifact });
        seal.made = Some(made.collect());
        for known in seal.files.values_mut() {
            known.drain(..known.len().saturating_sub(1));
        }
        if let Some((digest, _)) = disk::if_there(disk::digest_file(&self.path().join(EVENTS)))? {
            seal.files.insert(EVENTS.to_owned(), vec![Some(digest)]);
        }
        self.write_seal(&seal)
    }

    /// Refuses that the file `name`, which is not there, is not there, where the seal says it is.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`]: it was written and taken away.
    pub fn check_there(&self, name: &str) -> Result<()> {
        let Some(seal) = self.sealed()? else { return Ok(()) };
        if seal.files.get(name).is_none_or(|known| known.contains(&None)) {
            return Ok(());
        }
        let path = self.path().join(name);
        Err(Error::DamagedRecord { what: "file of a run", path, why: "is missing".to_owned() })
    }

    /// Refuses bytes that are not what the seal says of the file `name`.
    pub(crate) fn check_sealed(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let Some(seal) = self.sealed()? else { return Ok(()) };
        let why = match seal.files.get(name) {
            Some(known) if known.contains(&Some(digest(bytes))) => return Ok(()),
            Some(_) => "was changed after it was written",
            None => "is not in the run's seal: it was not written by owlet, or not to its end",
        };
        let path = self.path().join(name);
        Err(Error::DamagedRecord { what: "file of a run", path, why: why.to_owned() })
    }

    /// Refuses a run of whose files one is not as it was written, its events included once it is closed.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] for the first such file.
    pub fn check_files(&self) -> Result<()> {
        let Some(seal) = self.sealed()? else { return Ok(()) };
        let Some((name, _, why)) = self.flawed_files(&seal)?.into_iter().next() else {
            return Ok(());
        };
        Err(Error::DamagedRecord { what: "file of a run", path: self.path().join(name), why })
    }

    /// Files that are not as the seal says: the name, where it is damaged rather than missing, and why.
    fn flawed_files(&self, seal: &Seal) -> Result<Vec<(String, bool, String)>> {
        let mut flaws = Vec::new();
        for (name, known) in &seal.files {
            let found = disk::if_there(disk::digest_file(&self.path().join(name)))?;
            let found = found.map(|(digest, _)| digest);
            if !known.contains(&found) {
                let changed = found.is_some();
                let why = if changed { "was changed after it was written" } else { "is missing" };
                flaws.push((name.clone(), changed, why.to_owned()));
            }
        }
        Ok(flaws)
    }

    /// Names what of the run is not as its seal says: a file, where it is damaged rather than missing, and
    /// why.
    pub(crate) fn examine(&self) -> Result<Vec<(String, bool, String)>> {
        let Some(seal) = self.sealed()? else { return Ok(Vec::new()) };
        let mut flaws = self.flawed_files(&seal)?;
        for Made { step, artifact } in seal.made.iter().flatten() {
            let what = format!("step {} that made artifact {}", step.short(), artifact.short());
            let flaw = match self.store.read_step(step)? {
                None => Some(format!("says it took {what}, whose record is gone")),
                Some(Ok(record)) if record.output != *artifact => {
                    let now = record.output.short();
                    Some(format!("says it took {what}, whose record names artifact {now}"))
                }
                Some(Ok(_)) if !is_there(&self.store, artifact) => {
                    Some(format!("says it took {what}, which is gone"))
                }
                // A damaged record is named by itself.
                Some(_) => None,
            };
            flaws.extend(flaw.map(|why| (SEAL.to_owned(), false, why)));
        }
        Ok(flaws)
    }

    fn write_seal(&self, seal: &Seal) -> Result<()> {
        self.replace(&self.path().join(SEAL), &seal.render()?)
    }
}

fn digest(bytes: &[u8]) -> FileDigest {
    FileDigest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Whether there is such an artifact, damaged or not, or was until it was removed on purpose: damage is named
/// at the artifact.
fn is_there(store: &Store, id: &ArtifactId) -> bool {
    fs::symlink_metadata(store.artifact_folder(id)).is_ok() || store.removed(id).is_some()
}
