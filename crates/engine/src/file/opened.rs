//! Files are looked at before they are opened: reading a pipe may never end, a device never does, and
//! holes cost nothing on the disk and everything in memory.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek};
use std::path::Path;

use super::cannot_read;
use crate::error::{Error, Result};

/// Bytes of the longest file that is read whole (a tokenizer of a million tokens has 60 million).
const MOST_TEXT: u64 = 256 << 20;
/// What Git keeps in place of a file whose content is elsewhere.
const POINTER: &[u8] = b"version https://git-lfs";
/// A file this long with less than a sixteenth of it on the disk is one of holes.
const LONG: u64 = 64 << 20;

/// Opens a regular file that holds what it says.
pub fn open(path: &Path) -> Result<File> {
    let io = |source| cannot_read(path, source);
    let bad = |reason: &str| Error::format("file", path, reason);
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(bad("it is a folder, pipe or device, expected a regular file"));
    }
    let mut file = File::open(path).map_err(io)?;
    let mut first = [0; POINTER.len()];
    if metadata.len() < 1024 && file.read_exact(&mut first).is_ok() && first == *POINTER {
        return Err(bad(
            "it is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository, or fetch the file from where it is kept",
        ));
    }
    file.rewind().map_err(io)?;
    Ok(file)
}

/// Fails for a file of holes.
pub(super) fn check_written(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|source| cannot_read(path, source))?;
    #[cfg(unix)]
    if metadata.len() > LONG
        && std::os::unix::fs::MetadataExt::blocks(&metadata) < metadata.len() / 512 / 16
    {
        return Err(Error::format("file", path, "most of it was never written; fetch it again"));
    }
    Ok(())
}

/// A small file's contents.
pub(super) fn contents(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    check_written(path)?;
    let mut file = file.take(MOST_TEXT + 1);
    file.read_to_end(&mut bytes).map_err(|source| cannot_read(path, source))?;
    if bytes.len() as u64 > MOST_TEXT {
        let reason = format!("it is longer than {MOST_TEXT} bytes, which no file of its kind is");
        return Err(Error::format("file", path, reason));
    }
    Ok(bytes)
}

/// The same, if there is such a file.
pub(super) fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match contents(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
