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
    let files = files
        .iter()
        .flat_map(|entry| [entry.path.clone(), entry.size.to_string(), entry.blake3.to_string()]);
    let texts = [kind.to_owned(), canonical_json(about)].into_iter().chain(files);
    ArtifactId::from_bytes(document::digest_texts("owlet artifact id 1", texts))
}

/// What is wrong with a file of an artifact.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) file: String,
    pub(crate) why: Why,
}

/// In which way a file of an artifact is wrong.
#[derive(Debug)]
pub(crate) enum Why {
    Newer(u64),
    Missing,
    Changed(String),
    Foreign,
    Unreadable(io::Error),
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}

impl Manifest {
    pub(crate) fn check(self, id: &ArtifactId) -> Result<Self, String> {
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
    let flawed = |why: Why| Flaw { file: MANIFEST.to_owned(), why };
    match disk::if_there(fs::symlink_metadata(folder)) {
        Ok(None) => return Ok(None),
        Ok(Some(metadata)) if metadata.is_dir() => {}
        Ok(Some(_)) => {
            return Err(Flaw {
                file: ".".to_owned(),
                why: Why::Changed("is not a folder".to_owned()),
            });
        }
        Err(error) => return Err(flawed(Why::Unreadable(error))),
    }
    let manifest: Manifest = match document::read(MANIFEST_FORMAT, &folder.join(MANIFEST)) {
        Ok(Some(Ok(manifest))) => manifest,
        Ok(Some(Err(document::Flaw::Newer(found)))) => return Err(flawed(Why::Newer(found))),
        Ok(Some(Err(document::Flaw::Damaged(why)))) => return Err(flawed(Why::Changed(why))),
        Ok(None) => return Err(flawed(Why::Missing)),
        Err(error) => return Err(flawed(Why::Unreadable(error))),
    };
    manifest.check(id).map(Some).map_err(|why| flawed(Why::Changed(why)))
}

/// Checks one file against the manifest and returns how it looks.
pub(crate) fn check_file(folder: &Path, entry: &FileEntry) -> Result<Stamp, Flaw> {
    looked_at(folder, entry).map_err(|why| Flaw { file: entry.path.clone(), why })
}

fn looked_at(folder: &Path, entry: &FileEntry) -> Result<Stamp, Why> {
    // A folder that is a link would lead outside the artifact.
    for above in Path::new(&entry.path).ancestors().skip(1).filter(|above| *above != Path::new(""))
    {
        if !fs::symlink_metadata(folder.join(above))?.is_dir() {
            let why = format!("is below `{}`, which is no folder", above.display());
            return Err(Why::Changed(why));
        }
    }
    let path = folder.join(&entry.path);
    let Some(stamp) = Stamp::take(&path)? else {
        return Err(Why::Changed("is not a regular file".to_owned()));
    };
    if stamp.size() != entry.size {
        let why = format!("has {} bytes instead of {}", stamp.size(), entry.size);
        return Err(Why::Changed(why));
    }
    let (digest, _) = disk::digest_file(&path)?;
    if digest != entry.blake3 {
        let why = format!("has digest {} instead of {}", digest.short(), entry.blake3.short());
        return Err(Why::Changed(why));
    }
    Ok(stamp)
}

impl Flaw {
    pub(crate) fn into_error(self, id: &ArtifactId, folder: &Path) -> Error {
        let why = match self.why {
            Why::Newer(found) => return MANIFEST_FORMAT.newer(folder.join(MANIFEST), found),
            Why::Unreadable(error) => return Error::Io(error),
            Why::Missing => "is missing".to_owned(),
            Why::Changed(why) => why,
            Why::Foreign => "does not belong to it".to_owned(),
        };
        Error::Damaged { id: *id, file: self.file, why, hint: REMAKE.to_owned() }
    }
}
