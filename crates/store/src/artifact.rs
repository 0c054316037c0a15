//! Artifacts: folders of files named by the digest of their content.
//!
//! An artifact never changes. Its id covers its kind, what it says about itself and every file's
//! name, size and digest; its `manifest.json` lists them. Nothing is handed out before every file
//! was hashed and found to be what the manifest says.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;
use serde_json::Value;

use crate::disk::{self, Stamp};
use crate::manifest::{Flaw, MANIFEST, Manifest, REMAKE, Why, check_file, read_manifest};
use crate::{ArtifactId, Error, FileEntry, Result};

/// An artifact whose files were verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// The digest of all of the below.
    pub id: ArtifactId,
    /// What it is, in one word.
    pub kind: String,
    /// What its maker says about it.
    pub about: Value,
    /// Its files, sorted by name.
    pub files: Vec<FileEntry>,
    folder: PathBuf,
}

/// What an artifact says about itself, read without verifying its files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactHeader {
    /// The artifact's id.
    pub id: ArtifactId,
    /// What it is, in one word.
    pub kind: String,
    /// What its maker says about it.
    pub about: Value,
    /// Its files, sorted by name.
    pub files: Vec<FileEntry>,
    /// Total size of the files in bytes.
    pub size: u64,
}

impl ArtifactHeader {
    pub(crate) fn new(manifest: Manifest) -> Self {
        let Manifest { id, kind, about, files, .. } = manifest;
        Self { id, kind, about, size: total_size(&files), files }
    }
}

/// An artifact that this process verified, and how its files looked then.
pub(crate) struct Verified {
    pub(crate) artifact: Artifact,
    pub(crate) stamps: Vec<Stamp>,
}

impl Artifact {
    /// The store's own file in an artifact's folder, which is none of the artifact's files.
    pub const MANIFEST: &'static str = MANIFEST;

    pub(crate) fn new(manifest: Manifest, folder: PathBuf) -> Self {
        let Manifest { id, kind, about, files, .. } = manifest;
        Self { id, kind, about, files, folder }
    }

    /// Returns the path of one of the artifact's files.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when the artifact has no such file.
    pub fn path(&self, file: &str) -> Result<PathBuf> {
        self.entry(file).map(|entry| self.folder.join(&entry.path))
    }

    /// Returns the artifact's folder. Read only files that [`Artifact::files`] lists.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads one of the artifact's files into memory, checking again what was read.
    pub fn read(&self, file: &str) -> Result<Vec<u8>> {
        let entry = self.entry(file)?;
        let bytes = fs::read(self.folder.join(&entry.path))?;
        if blake3::hash(&bytes).as_bytes() != entry.blake3.as_bytes() {
            return Err(Error::Damaged {
                id: self.id,
                file: file.to_owned(),
                why: "changed while it was in use".to_owned(),
                hint: REMAKE.to_owned(),
            });
        }
        Ok(bytes)
    }

    /// Returns the total size of the files in bytes.
    pub fn size(&self) -> u64 {
        total_size(&self.files)
    }

    fn entry(&self, file: &str) -> Result<&FileEntry> {
        let index = self.files.binary_search_by(|entry| entry.path.as_str().cmp(file));
        index.map(|index| &self.files[index]).map_err(|_| Error::InvalidName {
            what: "artifact file name",
            name: format!("{}/{file}", self.id.short()),
            why: "the artifact has no such file",
        })
    }
}

/// Hashes everything in an artifact's folder; `None` when there is no such artifact.
pub(crate) fn examine(
    folder: &Path,
    id: &ArtifactId,
) -> Result<Option<Result<Verified, Vec<Flaw>>>> {
    let manifest = match read_manifest(folder, id) {
        Ok(None) => return Ok(None),
        Ok(Some(manifest)) => manifest,
        Err(flaw) => return Ok(Some(Err(vec![flaw]))),
    };
    let mut flaws = Vec::new();
    let mut stamps = Vec::new();
    for entry in &manifest.files {
        match check_file(folder, entry) {
            Ok(stamp) => stamps.push(stamp),
            Err(flaw) => flaws.push(flaw),
        }
    }
    if !flaws.is_empty() {
        return Ok(Some(Err(flaws)));
    }
    match Stamp::take(&folder.join(MANIFEST))? {
        Some(stamp) => stamps.push(stamp),
        None => {
            return Ok(Some(Err(vec![Flaw { file: MANIFEST.to_owned(), why: Why::Missing }])));
        }
    }
    Ok(Some(Ok(Verified { artifact: Artifact::new(manifest, folder.to_owned()), stamps })))
}

/// Finds files in an artifact's folder that its manifest does not list.
pub(crate) fn foreign_files(artifact: &Artifact) -> Result<Vec<Flaw>> {
    let listed = |name: &str| name == MANIFEST || artifact.entry(name).is_ok();
    let found = disk::walk(&artifact.folder)?;
    Ok(found
        .into_iter()
        .filter(|found| !found.plain || !listed(&found.name))
        .map(|found| Flaw { file: found.name, why: Why::Foreign })
        .collect())
}

fn total_size(files: &[FileEntry]) -> u64 {
    files.iter().fold(0, |total, entry| total.saturating_add(entry.size))
}

impl Verified {
    /// Returns whether no file was touched since.
    pub(crate) fn is_fresh(&self) -> bool {
        let files = self.artifact.files.iter().map(|entry| entry.path.as_str()).chain([MANIFEST]);
        files.zip(&self.stamps).all(|(file, stamp)| {
            Stamp::take(&self.artifact.folder.join(file)).ok().flatten().as_ref() == Some(stamp)
        })
    }
}
