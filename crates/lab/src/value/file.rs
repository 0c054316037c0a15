//! Small files that a recipe names: read whole, and no further than they may be long.

use std::io::Read;
use std::path::Path;

use fs_err as fs;

use crate::error::{Error, Result};

/// More than any file of behaviors, statements or text needs.
const MOST: u64 = 64 << 20;

/// The content of a regular file of at most 64 MiB.
///
/// # Errors
/// A file that cannot be read, that is longer, or that is none: a pipe or a device has no end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    // What is not there says so best when it is opened.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::record(path, "is no regular file; name one"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(Error::record(path, format!("is longer than {MOST} bytes; give a part of it")));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// As [`read`], and what is not UTF-8.
pub(crate) fn text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Error::record(path, "is not UTF-8 text"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_begun() {
        let why = text(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(why.contains("is no regular file"), "{why}");
    }
}
