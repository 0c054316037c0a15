//! Values that may be written in more than one way: visitors instead of untagged enums, so that a
//! mistake is named instead of "no variant matched".

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::recipe::Spec;

/// The second base of the other-base control.
#[derive(Clone, Debug, PartialEq)]
pub enum OtherBase {
    /// Left out.
    Off,
    /// The other built-in model if the base is built in, else left out.
    Auto,
    /// This model.
    Model(Spec),
}

impl OtherBase {
    /// The model, where one is named.
    pub fn model(&self) -> Option<&Spec> {
        match self {
            Self::Off | Self::Auto => None,
            Self::Model(spec) => Some(spec),
        }
    }
}

impl<'de> Deserialize<'de> for OtherBase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = OtherBase;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a model (such as \"builtin:b\", or a table with `endpoint` and `model`), \"auto\" or false")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<OtherBase, E> {
                Ok(if on { OtherBase::Auto } else { OtherBase::Off })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OtherBase, E> {
                match text {
                    "" => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                    "auto" => Ok(OtherBase::Auto),
                    _ => Ok(OtherBase::Model(Spec::Here(text.to_owned()))),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OtherBase, A::Error> {
                Spec::deserialize(MapAccessDeserializer::new(map)).map(OtherBase::Model)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for OtherBase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Auto => serializer.serialize_str("auto"),
            Self::Model(model) => model.serialize(serializer),
        }
    }
}

/// Rows shown in context; no numbers of rows means the control is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InContext {
    /// Numbers of rows shown; those that do not fit the model's context are left out.
    pub rows: Vec<usize>,
    /// Independent draws (with replacement) per number.
    pub draws: usize,
    /// Most questions asked; 0: all.
    pub questions: usize,
}

impl InContext {
    /// The control left out.
    pub fn off() -> Self {
        Self { rows: Vec::new(), draws: 1, questions: 0 }
    }
}

const IN_CONTEXT_KEYS: &[&str] = &["rows", "draws", "questions"];

impl<'de> Deserialize<'de> for InContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = InContext;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table { rows = [4, 16], draws = 3, questions = 8 } or false")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<InContext, E> {
                if on {
                    return Err(E::invalid_value(de::Unexpected::Bool(true), &self));
                }
                Ok(InContext::off())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InContext, A::Error> {
                let mut value = InContext { draws: 3, ..InContext::off() };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "rows" => value.rows = map.next_value()?,
                        "draws" => value.draws = map.next_value()?,
                        "questions" => value.questions = map.next_value()?,
                        _ => return Err(de::Error::unknown_field(&key, IN_CONTEXT_KEYS)),
                    }
                }
                Ok(value)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for InContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if self.rows.is_empty() {
            return serializer.serialize_bool(false);
        }
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("rows", &self.rows)?;
        map.serialize_entry("draws", &self.draws)?;
        map.serialize_entry("questions", &self.questions)?;
        map.end()
    }
}

impl JsonSchema for OtherBase {
    fn schema_name() -> Cow<'static, str> {
        "OtherBase".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let model = generator.subschema_for::<Spec>();
        json_schema!({
            "anyOf": [
                { "const": "auto", "description": "The other built-in model, if the base is built in." },
                model,
                { "type": "boolean" },
            ]
        })
    }
}

impl JsonSchema for InContext {
    fn schema_name() -> Cow<'static, str> {
        "InContext".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count = |description: &str, least: usize| json_schema!({ "type": "integer", "minimum": least, "description": description });
        json_schema!({
            "anyOf": [
                { "const": false, "description": "Left out." },
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "rows": {
                            "type": "array",
                            "items": count("Rows shown.", 1),
                            "description": "Numbers of rows shown.",
                        },
                        "draws": count("Independent draws per number.", 1),
                        "questions": count("Most questions asked; 0: all.", 0),
                    },
                },
            ]
        })
    }
}
