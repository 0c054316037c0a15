//! Opening and writing artifacts of a workspace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::artifact::{Artifact, ArtifactHeader, Verified, examine};
use crate::disk::{self, Stamp};
use crate::document;
use crate::manifest::{MANIFEST, MANIFEST_FORMAT, Manifest, artifact_id, read_manifest};
use crate::name::{check_file_name, check_kind};
use crate::{ArtifactId, Error, FileEntry, Removed, Result, Store};

impl Store {
    /// Opens an artifact after hashing every file of it.
    ///
    /// What this process verified before is handed out again without hashing, as long as size,
    /// time of change and identity of every file are the same.
    ///
    /// # Errors
    /// [`Error::MissingArtifact`], [`Error::RemovedArtifact`], [`Error::Damaged`] naming the first damaged file, or
    /// [`Error::Newer`].
    pub fn artifact(&self, id: &ArtifactId) -> Result<Artifact> {
        if let Some(verified) = self.verified().get(id)
            && verified.is_fresh()
        {
            return Ok(verified.artifact.clone());
        }
        let folder = self.artifact_folder(id);
        match examine(&folder, id)? {
            None => Err(match self.removed(id) {
                Some(Removed { kind, removed, .. }) => {
                    Error::RemovedArtifact { id: *id, kind, removed }
                }
                None => Error::MissingArtifact { id: *id },
            }),
            Some(Ok(verified)) => {
                let artifact = verified.artifact.clone();
                self.verified().insert(*id, verified);
                Ok(artifact)
            }
            Some(Err(flaws)) => {
                self.verified().remove(id);
                let first = flaws.into_iter().next();
                let first = first.expect("a flaw because the artifact is not verified");
                Err(first.into_error(id, &folder))
            }
        }
    }

    /// Opens an artifact; a damaged one is moved to `damaged/` and, like a missing one, is `None`.
    pub(crate) fn sound_artifact(&self, id: &ArtifactId) -> Result<Option<Artifact>> {
        let read = || match self.artifact(id) {
            Ok(artifact) => Ok(Some(Ok(artifact))),
            Err(Error::MissingArtifact { .. } | Error::RemovedArtifact { .. }) => Ok(None),
            Err(Error::Damaged { .. }) => Ok(Some(Err(()))),
            Err(error) => Err(error),
        };
        self.sound(read, &self.artifact_folder(id), &id.to_string())
    }

    /// Lists what the artifacts say about themselves, sorted by id, without hashing their files.
    ///
    /// Artifacts whose manifest cannot be read are left out; [`Store::verify`] names them.
    pub fn artifacts(&self) -> Result<Vec<ArtifactHeader>> {
        let ids = self.artifact_ids()?;
        Ok(ids.iter().filter_map(|id| self.artifact_header(id)).collect())
    }

    /// Reads what an artifact says about itself; `None` when it is missing or cannot be read.
    pub fn artifact_header(&self, id: &ArtifactId) -> Option<ArtifactHeader> {
        read_manifest(&self.artifact_folder(id), id).ok()?.map(ArtifactHeader::new)
    }

    /// Begins an artifact: a folder to write files into, which gets its name when finished.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when `kind` is not a plain word.
    pub fn begin_artifact(&self, kind: &str) -> Result<ArtifactWriter> {
        check_kind("artifact kind", kind)?;
        let folder = self.temporary()?.path();
        fs::create_dir(&folder)?;
        Ok(ArtifactWriter { store: self.clone(), kind: kind.to_owned(), folder: Some(folder) })
    }
}

/// An artifact being written; gone without a trace when dropped before [`ArtifactWriter::finish`].
#[derive(Debug)]
pub struct ArtifactWriter {
    store: Store,
    kind: String,
    /// `None` once the folder has its final name.
    folder: Option<PathBuf>,
}

impl ArtifactWriter {
    /// Returns the folder to write files and sub-folders into.
    pub fn path(&self) -> &Path {
        self.folder.as_deref().expect("a folder because only `finish` takes it")
    }

    /// Returns the path for a file of the artifact and creates the folders it is in.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when the name could lead outside the artifact.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        checked(name)?;
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(path)
    }

    /// Writes a file of the artifact.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(self.file(name)?, bytes)?)
    }

    /// Hashes, syncs and names the artifact.
    ///
    /// If the workspace has it already, what was written is dropped and that one is returned; a
    /// damaged one is replaced.
    pub fn finish(mut self, about: Value) -> Result<Artifact> {
        let folder = self.path().to_owned();
        let mut files = Vec::new();
        let mut stamps = Vec::new();
        for found in disk::walk(&folder)? {
            if !found.plain {
                return Err(Error::InvalidName {
                    what: "artifact file",
                    name: found.name,
                    why: "an artifact holds regular files with Unicode names",
                });
            }
            checked(&found.name)?;
            let path = folder.join(&found.name);
            let stamp = Stamp::take(&path)?;
            let (blake3, size) = disk::digest_file(&path)?;
            stamps.extend(stamp);
            files.push(FileEntry { path: found.name, size, blake3 });
        }
        let id = artifact_id(&self.kind, &about, &files);
        if let Some(artifact) = self.store.sound_artifact(&id)? {
            return Ok(artifact);
        }

        let manifest =
            Manifest { format: MANIFEST_FORMAT.version, id, kind: self.kind.clone(), about, files };
        let bytes = document::render(MANIFEST_FORMAT, &manifest)?;
        for entry in &manifest.files {
            disk::sync_file(&folder.join(&entry.path))?;
        }
        disk::write_synced(&folder.join(MANIFEST), &bytes)?;
        stamps.extend(Stamp::take(&folder.join(MANIFEST))?);
        sync_folders(&folder, &manifest.files)?;

        let target = self.store.artifact_folder(&id);
        let artifact = Artifact::new(manifest, target.clone());
        if let Some(shelf) = target.parent() {
            disk::create_folder(shelf)?;
        }
        let names = self.store.lock_names()?;
        if fs::symlink_metadata(&target).is_ok() {
            // Another process made it since, whole because it has its name.
            drop(names);
            if let Some(artifact) = self.store.sound_artifact(&id)? {
                return Ok(artifact);
            }
            return Err(Error::MissingArtifact { id });
        }
        disk::rename_synced(&folder, &target)?;
        self.folder = None;
        self.store.forget_removal(&id)?;
        drop(names);
        self.store.verified().insert(id, Verified { artifact: artifact.clone(), stamps });
        Ok(artifact)
    }
}

impl Drop for ArtifactWriter {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            // Best effort: what stays is swept with the process's other temporary files.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn checked(name: &str) -> Result<()> {
    let why = match check_file_name(name) {
        Ok(()) if name == MANIFEST => "the name is taken by the artifact's own manifest",
        Ok(()) => return Ok(()),
        Err(why) => why,
    };
    Err(Error::InvalidName {
        what: "artifact file name",
        name: name.chars().take(120).collect(),
        why,
    })
}

/// Syncs every folder of an artifact, the deepest first.
fn sync_folders(folder: &Path, files: &[FileEntry]) -> Result<()> {
    let mut folders = BTreeSet::new();
    for entry in files {
        for above in Path::new(&entry.path).ancestors().skip(1) {
            folders.insert(above.to_owned());
        }
    }
    folders.insert(PathBuf::new());
    for above in folders.iter().rev() {
        disk::sync_folder(&folder.join(above))?;
    }
    Ok(())
}
