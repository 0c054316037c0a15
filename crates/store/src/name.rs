//! Names of files inside artifacts and runs: relative, plain, and unable to lead outside.
//!
//! Names come from callers and from manifests that anyone may have written, so they are checked
//! both when writing and when reading, before any path is built from them.

use crate::{Error, Result};

/// Longest name accepted, in bytes; below the limits of common file systems.
const LONGEST: usize = 1024;
/// Longest part between slashes, in bytes.
const LONGEST_PART: usize = 200;

/// Checks a `/`-separated name relative to a folder of the workspace and says which rule it breaks.
pub(crate) fn check_file_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a name must not be empty");
    }
    if name.len() > LONGEST {
        return Err("a name must not be longer than 1024 bytes");
    }
    if name.starts_with('/') {
        return Err("a name must be relative");
    }
    // A backslash or a colon means nothing here but leads elsewhere on Windows.
    if name.chars().any(|character| character.is_control() || matches!(character, '\\' | ':')) {
        return Err("a name must not have control characters, backslashes or colons");
    }
    for part in name.split('/') {
        match part {
            "" => return Err("a name must not have empty parts"),
            "." | ".." => return Err("a name must not have `.` or `..` parts"),
            _ if part.len() > LONGEST_PART => {
                return Err("a part of a name must not be longer than 200 bytes");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the kind of an artifact or a step: a short word that can stand in a table.
pub(crate) fn check_kind(what: &'static str, kind: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(plain) {
        return Err(Error::InvalidName {
            what,
            name: kind.chars().take(80).collect(),
            why: "a kind has 1 to 64 ASCII letters, digits, `-`, `_` or `.`",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_outside_or_differ_between_systems_are_refused() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/../../b",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:evil",
            "a\0b",
            "line\nbreak",
        ] {
            assert!(check_file_name(name).is_err(), "{name:?}");
        }
        assert!(check_file_name(&"a".repeat(201)).is_err());
        assert!(check_file_name(&"a/".repeat(600)).is_err());
    }

    #[test]
    fn plain_names_are_accepted() {
        for name in ["rows.jsonl", "adapter/adapter_model.safetensors", "..a", "été/été.txt"] {
            assert_eq!(check_file_name(name), Ok(()), "{name:?}");
        }
    }
}
