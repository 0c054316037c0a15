//! Versioned JSON documents with a seal: manifests, step records, run headers.
//!
//! A document is one JSON object, keys sorted, with `format` (its version) and `seal`, the digest
//! of everything else. The seal tells a newer document (sealed, version unknown) from a damaged one
//! (not sealed), so that the first is refused and the second may be made again. Reading is strict:
//! a document is accepted only if writing it again gives the same bytes.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::disk::{self, Stamp};
use crate::{Error, FileDigest, Result};

/// A kind of document and the newest version this build reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// What people call it.
    pub(crate) what: &'static str,
    /// The version written; the newest one read.
    pub(crate) version: u32,
    /// Separates the seals of different kinds of document.
    pub(crate) context: &'static str,
}

impl Format {
    /// What to say of a document that a newer owlet wrote.
    pub(crate) fn newer(self, path: PathBuf, found: u64) -> Error {
        Error::Newer { what: self.what, path, found, reads: u64::from(self.version) }
    }
}

/// Why a document cannot be read.
#[derive(Debug)]
pub(crate) enum Flaw {
    Newer(u64),
    Damaged(String),
}

/// Returns JSON in its canonical form: no white space, keys sorted by their bytes.
///
/// Numbers keep their spelling, so `1` and `1.0` differ.
pub fn canonical_json(value: &Value) -> String {
    serde_json::to_string(&sorted(value)).expect("any JSON value because its keys are strings")
}

/// Sorts the keys whatever order the JSON library keeps (another crate may switch its feature on).
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(
                entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Returns the digest of texts, each with its length, so that no two lists of texts are the same bytes.
pub(crate) fn digest_texts(context: &str, texts: impl IntoIterator<Item = String>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn seal(format: Format, content: &Map<String, Value>) -> FileDigest {
    let mut hasher = blake3::Hasher::new_derive_key(format.context);
    hasher.update(canonical_json(&Value::Object(content.clone())).as_bytes());
    FileDigest::from_bytes(*hasher.finalize().as_bytes())
}

fn print(format: Format, mut content: Map<String, Value>) -> Vec<u8> {
    let seal = seal(format, &content).to_string();
    content.insert("seal".to_owned(), Value::String(seal));
    let mut bytes = serde_json::to_vec_pretty(&sorted(&Value::Object(content)))
        .expect("any JSON value because its keys are strings");
    bytes.push(b'\n');
    bytes
}

/// Renders a document, making sure that it reads back as the same value.
pub(crate) fn render<T>(format: Format, document: &T) -> Result<Vec<u8>>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    let unwritable = |why: String| Error::Unwritable { what: format.what, why };
    let value = serde_json::to_value(document).map_err(|error| unwritable(error.to_string()))?;
    let Value::Object(content) = value else {
        return Err(unwritable("it is not an object".to_owned()));
    };
    let bytes = print(format, content);
    match parse::<T>(format, &bytes) {
        Ok(again) if again == *document => Ok(bytes),
        Ok(_) => {
            Err(unwritable("it would read back differently (a number that is not finite?)".into()))
        }
        Err(Flaw::Damaged(why)) => Err(unwritable(why)),
        Err(Flaw::Newer(found)) => {
            Err(unwritable(format!("format {found} is newer than {}", format.version)))
        }
    }
}

/// Reads a document.
pub(crate) fn parse<T>(format: Format, bytes: &[u8]) -> Result<T, Flaw>
where
    T: Serialize + DeserializeOwned,
{
    let damaged = |why: &str| Flaw::Damaged(why.to_owned());
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Flaw::Damaged(format!("is not JSON: {error}")))?;
    let Value::Object(mut content) = value else {
        return Err(damaged("is not a JSON object"));
    };
    let Some(Value::String(found)) = content.remove("seal") else {
        return Err(damaged("has no seal"));
    };
    if found != seal(format, &content).to_string() {
        return Err(damaged("does not match its seal: it was changed after it was written"));
    }
    match content.get("format").and_then(Value::as_u64) {
        None | Some(0) => return Err(damaged("has no format version")),
        Some(version) if version > u64::from(format.version) => return Err(Flaw::Newer(version)),
        Some(_) => {}
    }
    let again = print(format, content.clone());
    if again != bytes {
        return Err(damaged("is not as owlet writes it: it was edited"));
    }
    serde_json::from_value(Value::Object(content))
        .map_err(|error| Flaw::Damaged(format!("has unexpected content: {error}")))
}

/// Reads a document from a file; `None` when there is no such file.
pub(crate) fn read<T>(format: Format, path: &Path) -> io::Result<Option<Result<T, Flaw>>>
where
    T: Serialize + DeserializeOwned,
{
    let damaged = |why: &str| Ok(Some(Err(Flaw::Damaged(why.to_owned()))));
    match disk::if_there(Stamp::take(path))? {
        Some(Some(stamp)) if stamp.size() <= disk::LARGEST_DOCUMENT => {}
        Some(Some(_)) => return damaged("is too large"),
        Some(None) => return damaged("is not a regular file"),
        None => return Ok(None),
    }
    let bytes = disk::read_bounded(path, disk::LARGEST_DOCUMENT)?;
    Ok(bytes.map(|bytes| parse(format, &bytes)))
}

/// Reads a record; the inner error says what is wrong with a damaged one.
pub(crate) fn read_record<T>(format: Format, path: &Path) -> Result<Option<Result<T, String>>>
where
    T: Serialize + DeserializeOwned,
{
    match read(format, path)? {
        None => Ok(None),
        Some(Ok(record)) => Ok(Some(Ok(record))),
        Some(Err(Flaw::Damaged(why))) => Ok(Some(Err(why))),
        Some(Err(Flaw::Newer(found))) => Err(format.newer(path.to_owned(), found)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Note {
        format: u32,
        text: String,
        about: Value,
    }

    const NOTE: Format = Format { what: "note", version: 1, context: "owlet test note" };

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn documents_read_back_as_written(text: String, about in json_value()) {
            let note = Note { format: 1, text, about };
            let bytes = render(NOTE, &note).unwrap();
            prop_assert_eq!(parse::<Note>(NOTE, &bytes).unwrap(), note);
        }

        #[test]
        fn canonical_json_reads_back_and_is_a_fixed_point(value in json_value()) {
            let text = canonical_json(&value);
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(canonical_json(&again), text);
        }

        #[test]
        fn any_flipped_bit_is_damage_and_never_a_newer_version(
            text in "[a-z ]{0,20}", position: prop::sample::Index, bit in 0u8..8,
        ) {
            let note = Note { format: 1, text, about: json!({"n": 1.5, "list": [1, 2, {"a": null}]}) };
            let mut bytes = render(NOTE, &note).unwrap();
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
            prop_assert!(matches!(parse::<Note>(NOTE, &bytes), Err(Flaw::Damaged(_))));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            prop_assert!(parse::<Note>(NOTE, &bytes).is_err());
        }
    }

    #[test]
    fn newer_documents_are_told_from_damaged_ones() {
        let content = json!({"format": 2, "text": "from the future", "shape": "unknown"});
        let bytes = print(NOTE, content.as_object().unwrap().clone());
        assert!(matches!(parse::<Note>(NOTE, &bytes), Err(Flaw::Newer(2))));
    }

    #[test]
    fn values_that_cannot_be_written_are_refused() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Number {
            format: u32,
            seconds: Option<f64>,
        }
        let error = render(NOTE, &Number { format: 1, seconds: Some(f64::NAN) }).unwrap_err();
        insta::assert_snapshot!(error, @"cannot write note: it would read back differently (a number that is not finite?)");
        let mut deep = Value::Null;
        for _ in 0..200 {
            deep = json!([deep]);
        }
        let error = render(NOTE, &Note { format: 1, text: String::new(), about: deep });
        assert!(matches!(error, Err(Error::Unwritable { .. })));
    }
}
