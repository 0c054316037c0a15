//! Fields of an untrusted JSON object: asked for by name and type, with errors that
//! name both. `null` counts as absent, as it does in Hugging Face files.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A file of JSON: keys in the order of their bytes, whatever order the JSON library keeps.
pub(super) fn pretty(mut value: Value) -> Vec<u8> {
    value.sort_all_objects();
    format!("{value:#}\n").into_bytes()
}

/// A JSON object and the file it is in.
pub(super) struct Fields {
    format: &'static str,
    path: PathBuf,
    object: Map<String, Value>,
}

impl Fields {
    /// Parses the bytes of the file at `path`.
    pub(super) fn parse(format: &'static str, path: &Path, bytes: &[u8]) -> Result<Self> {
        let path = path.to_owned();
        match serde_json::from_slice(bytes) {
            Ok(object) => Ok(Self { format, path, object }),
            Err(error) => Err(Error::format(format, path, error.to_string())),
        }
    }

    /// An error about this file.
    pub(super) fn bad(&self, reason: impl Into<String>) -> Error {
        Error::format(self.format, &self.path, reason)
    }

    /// A field that is there and not null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        if let Some(read) = read(value) {
            return Ok(Some(read));
        }
        let mut shown = value.to_string();
        if shown.len() > 80 {
            shown = format!("{}…", shown.chars().take(80).collect::<String>());
        }
        Err(self.bad(format!("`{name}` is {shown}, expected {expected}")))
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.bad(format!("`{name}` is missing")))
    }

    /// A whole number that must be there.
    pub(super) fn size(&self, name: &str) -> Result<usize> {
        let value = self.size_if(name)?;
        self.required(name, value)
    }

    /// A whole number.
    pub(super) fn size_if(&self, name: &str) -> Result<Option<usize>> {
        self.typed(name, "a whole number", |value| {
            value.as_u64().and_then(|value| usize::try_from(value).ok())
        })
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f32>> {
        self.typed(name, "a number", |value| value.as_f64().map(|value| value as f32))
    }

    /// A truth value, or what it is when absent.
    pub(super) fn flag(&self, name: &str, absent: bool) -> Result<bool> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(absent))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        self.typed(name, "a text", Value::as_str)
    }

    /// A text that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str> {
        let value = self.text(name)?;
        self.required(name, value)
    }

    /// An object inside this one.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>> {
        let object = self.typed(name, "an object", |value| value.as_object().cloned())?;
        Ok(object.map(|object| Self { format: self.format, path: self.path.clone(), object }))
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.object.iter()
    }

    /// The entries of an object inside this one.
    pub(super) fn map(&self, name: &str) -> Result<&Map<String, Value>> {
        let object = self.typed(name, "an object", Value::as_object)?;
        self.required(name, object)
    }

    /// A list of whole numbers, or a single one; negative ones, which stand for none, are left out.
    pub(super) fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let one = |value: &Value| {
            let size = value.as_u64().and_then(|value| usize::try_from(value).ok());
            size.map(Some).or(value.as_i64().map(|_| None))
        };
        let sizes = self.typed(name, "a whole number or a list of them", |value| match value {
            Value::Array(values) => values.iter().map(one).collect(),
            value => one(value).map(|value| vec![value]),
        })?;
        Ok(sizes.unwrap_or_default().into_iter().flatten().collect())
    }

    /// A special token: its text, or an object that has it as `content`.
    pub(super) fn token(&self, name: &str) -> Result<Option<&str>> {
        self.typed(name, "a token", |value| value.as_str().or_else(|| value["content"].as_str()))
    }
}
