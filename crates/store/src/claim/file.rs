//! A file of claims: a bundle a line, all signed by one key.

use std::path::Path;

use super::{PublicKey, Statement, bundle, statement};
use crate::{Error, Result, disk};
use serde_json::Value;

/// What it is called in a folder.
pub const FILE: &str = "claims.jsonl";
/// A longer one, in bytes, is not read.
pub const LARGEST: u64 = disk::LARGEST_DOCUMENT;

/// Reads the statements of a file of claims, in their order.
///
/// # Errors
/// [`Error::Refused`] that names the first line that is not signed by `key`, or is no statement.
pub fn read(path: &Path, key: &PublicKey) -> Result<Vec<Statement<Value>>> {
    let refused = |line: usize, why: String| Error::Refused { path: path.to_owned(), line, why };
    let bytes =
        disk::read_bounded(path, LARGEST)?.ok_or_else(|| refused(0, "is not there".to_owned()))?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if text.is_empty() {
        return Err(refused(0, "has no claims in it".to_owned()));
    }
    let lines = text.split(|byte| *byte == b'\n').zip(1..);
    lines
        .map(|(line, number)| {
            let payload = bundle::open(line, key).map_err(|why| refused(number, why))?;
            statement::predicate_type(&payload).map_err(|why| refused(number, why))?;
            statement::parse(&payload).map_err(|why| refused(number, why))
        })
        .collect()
}
