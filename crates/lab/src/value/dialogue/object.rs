//! A JSON object read key by key, so that every complaint names the key and what nobody read is known.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What cannot be read: the key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The key's full name, such as `messages[3].role`.
    pub field: String,
    /// What is wrong and what was expected.
    pub reason: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, reason: impl Display) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.reason)
    }
}

/// Names that are kept of what nobody read.
const MOST_NAMES: usize = 32;

/// An object under way.
pub(super) struct Object {
    map: Map<String, Value>,
    /// What stands before a key's name.
    path: String,
}

impl Object {
    pub(super) fn of(map: Map<String, Value>) -> Self {
        Self { map, path: String::new() }
    }

    pub(super) fn nested(value: Value, path: &str) -> Result<Self, Wrong> {
        match value {
            Value::Object(map) => Ok(Self { map, path: format!("{path}.") }),
            other => Err(Wrong::new(path, format!("is {}, expected an object", kind(&other)))),
        }
    }

    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Its own name in the row; empty: it is the row.
    pub(super) fn place(&self) -> &str {
        self.path.strip_suffix('.').unwrap_or_default()
    }

    pub(super) fn wrong(&self, key: &str, reason: impl Display) -> Wrong {
        Wrong::new(self.name(key), reason)
    }

    /// Whether a key has a value; null is as good as absent.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// A key's value.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Wrong> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, format!("is {}, expected a string", kind(&other)))),
        }
    }

    pub(super) fn need_text(&mut self, key: &str) -> Result<String, Wrong> {
        self.text(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, Wrong> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.wrong(key, format!("is {}, expected an array", kind(&other)))),
        }
    }

    /// Refuses what no row and no message may say: what other programs call whether something is learned, which
    /// is said by `instead` here, and what is no text. What is empty says nothing.
    pub(super) fn refuse_foreign(&mut self, instead: &str) -> Result<(), Wrong> {
        let marks = MARKS.iter().map(|mark| (*mark, instead));
        let media = MEDIA.iter().map(|medium| (*medium, ONLY_TEXT));
        marks.chain(media).try_for_each(|key| self.refuse(&[key]))
    }

    /// Refuses keys that say something which is not read here; empty ones say nothing.
    pub(super) fn refuse(&mut self, keys: &[(&str, &str)]) -> Result<(), Wrong> {
        for (key, instead) in keys {
            let says = |value: &Value| match value {
                Value::Array(list) => !list.is_empty(),
                Value::Object(map) => !map.is_empty(),
                Value::String(text) => !text.is_empty(),
                _ => true,
            };
            if self.take(key).is_some_and(|value| says(&value)) {
                return Err(self.wrong(key, format!("is not read: {instead}")));
            }
        }
        Ok(())
    }

    /// Puts keys beside those that are there.
    pub(super) fn add(&mut self, more: Map<String, Value>) {
        self.map.extend(more);
    }

    /// The names of the keys that have a value.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str())
    }

    /// Notes what nobody took; places in lists are left out of the names.
    pub(super) fn leave(self, ignored: &mut BTreeSet<String>) {
        let outer: String = self.path.chars().filter(|c| !c.is_ascii_digit()).collect();
        for key in self.keys().filter(|key| !key.is_empty()) {
            if ignored.len() < MOST_NAMES {
                let key: String = key.chars().take(40).collect();
                ignored.insert(format!("{outer}{key}"));
            }
        }
    }
}

pub(super) const ONLY_TEXT: &str = "models here read text alone";
const MEDIA: [&str; 6] = ["audio", "audios", "image", "images", "video", "videos"];

/// What other programs call whether, or how much, an answer is learned: beside a row or in a message.
const MARKS: [&str; 22] = [
    "assistant_mask",
    "assistant_masks",
    "completion_mask",
    "label",
    "labels",
    "loss",
    "loss_mask",
    "loss_weight",
    "loss_weights",
    "mask",
    "masks",
    "sample_weight",
    "train",
    "train_detail",
    "train_mask",
    "train_on_input",
    "train_on_inputs",
    "train_on_turn",
    "trainable",
    "training",
    "training_detail",
    "weights",
];

/// What a value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// JSON in which no key stands twice in one object: which of the two is meant nobody knows.
pub(super) struct Unambiguous(pub(super) Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unambiguous(value))) = entries.next_entry::<String, _>()? {
            if map.contains_key(&key) {
                let key: String = key.chars().take(40).collect();
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}
