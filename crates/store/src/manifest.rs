//! Manifests: what an artifact lists about itself, and whether its files are what it lists.
//!
//! A manifest may have been written by anyone. Its names are checked before any path is built from
//! them, its id is computed again from what it says, and links are never followed.

use std::io;
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk::{self, Stamp};
use crate::document::{self, Format};
use crate::name::check_file_name;
use crate::{ArtifactId, Error, FileDigest, canonical_json};

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MANIFEST_FORMAT: Format =
    Format { what: "manifest", version: 1, context: "owlet artifact manifest seal 1" };
pub(crate) const REMAKE: &str = "run the recipe that makes it again: it is set aside and made anew";

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name relative to the artifact's folder, `/`-separated.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the content.
    pub blake3: FileDigest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) id: ArtifactId,
    pub(crate) kind: String,
    pub(crate) about: Value,
    pub(crate) files: Vec<FileEntry>,
}

/// Computes the name-bound digest of an artifact; `files` are sorted by name.
pub(crate) fn artifact_id(kind: &str, about: &Value, files: &[FileEntry]) -> ArtifactId {
    let mut hasher = blake3::Hasher::new_derive_key("owlet artifact id 1");
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(kind);
    text(&canonical_json(about));
    for entry in files {
        text(&entry.path);
        text(&entry.size.to_string());
        text(&entry.blake3.to_string());
    }
    ArtifactId::from_bytes(*hasher.finalize().as_bytes())
}

/// What is wrong with an artifact.
#[derive(Debug)]
pub(crate) enum Flaw {
    Newer { found: u64 },
    Missing { file: String },
    Changed { file: String, why: String },
    Foreign { file: String },
    Unreadable { file: String, source: io::Error },
}

impl Manifest {
    fn check(self, id: &ArtifactId) -> Result<Self, String> {
        let sorted = self.files.windows(2).all(|pair| pair[0].path < pair[1].path);
        if !sorted {
            return Err("lists files twice or out of order".to_owned());
        }
        for entry in &self.files {
            check_file_name(&entry.path)
                .map_err(|why| format!("lists the file {:?}: {why}", entry.path))?;
            if entry.path == MANIFEST {
                return Err("lists itself".to_owned());
            }
        }
        let actual = artifact_id(&self.kind, &self.about, &self.files);
        if self.id != *id || actual != *id {
            return Err(format!("describes artifact {}, not this one", actual.short()));
        }
        Ok(self)
    }
}

/// Reads and checks the manifest in `folder`; `None` when there is no such artifact.
pub(crate) fn read_manifest(folder: &Path, id: &ArtifactId) -> Result<Option<Manifest>, Flaw> {
    let file = || MANIFEST.to_owned();
    let unreadable = |source| Flaw::Unreadable { file: file(), source };
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if !metadata.is_dir() => {
            return Err(Flaw::Changed { file: ".".to_owned(), why: "is not a folder".to_owned() });
        }
        Ok(_) => {}
    }
    let manifest: Manifest = match document::read(MANIFEST_FORMAT, &folder.join(MANIFEST)) {
        Ok(Some(Ok(manifest))) => manifest,
        Ok(Some(Err(document::Flaw::Newer(found)))) => return Err(Flaw::Newer { found }),
        Ok(Some(Err(document::Flaw::Damaged(why)))) => {
            return Err(Flaw::Changed { file: file(), why });
        }
        Ok(None) => return Err(Flaw::Missing { file: file() }),
        Err(source) => return Err(unreadable(source)),
    };
    manifest.check(id).map(Some).map_err(|why| Flaw::Changed { file: file(), why })
}

/// Checks one file against the manifest and returns how it looks.
pub(crate) fn check_file(folder: &Path, entry: &FileEntry) -> Result<Stamp, Flaw> {
    let file = || entry.path.clone();
    let changed = |why: String| Flaw::Changed { file: file(), why };
    let path = folder.join(&entry.path);
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Flaw::Missing { file: file() },
        _ => Flaw::Unreadable { file: file(), source },
    };
    // A folder that is a link would lead outside the artifact.
    for above in Path::new(&entry.path).ancestors().skip(1).filter(|above| *above != Path::new(""))
    {
        let metadata = fs::symlink_metadata(folder.join(above)).map_err(unreadable)?;
        if !metadata.is_dir() {
            return Err(changed(format!("is below `{}`, which is no folder", above.display())));
        }
    }
    let stamp = Stamp::take(&path).map_err(unreadable)?;
    let Some(stamp) = stamp else {
        return Err(changed("is not a regular file".to_owned()));
    };
    if stamp.size() != entry.size {
        return Err(changed(format!("has {} bytes instead of {}", stamp.size(), entry.size)));
    }
    let (digest, _) = disk::digest_file(&path).map_err(unreadable)?;
    if digest != entry.blake3 {
        return Err(changed(format!(
            "has digest {} instead of {}",
            digest.short(),
            entry.blake3.short()
        )));
    }
    Ok(stamp)
}

impl Flaw {
    pub(crate) fn into_error(self, id: &ArtifactId, folder: &Path) -> Error {
        let damaged = |file: String, why: String| Error::Damaged {
            id: *id,
            file,
            why,
            hint: REMAKE.to_owned(),
        };
        match self {
            Self::Newer { found } => Error::Newer {
                what: MANIFEST_FORMAT.what,
                path: folder.join(MANIFEST),
                found,
                reads: u64::from(MANIFEST_FORMAT.version),
            },
            Self::Missing { file } => damaged(file, "is missing".to_owned()),
            Self::Changed { file, why } => damaged(file, why),
            Self::Foreign { file } => damaged(file, "does not belong to it".to_owned()),
            Self::Unreadable { source, .. } => Error::Io(source),
        }
    }
}
