//! Values that may be written in more than one way: visitors instead of untagged enums, so that a
//! mistake is named instead of "no variant matched".

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Rows shown in context; no numbers of rows means the control is left out, which is written `false`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InContext {
    /// Numbers of rows shown; those that do not fit the model's context are left out.
    #[schemars(inner(range(min = 1)))]
    pub rows: Vec<usize>,
    /// Independent draws (with replacement) per number.
    #[schemars(range(min = 1))]
    pub draws: usize,
    /// Most questions asked; 0: all.
    pub questions: usize,
}

impl Default for InContext {
    fn default() -> Self {
        Self { rows: Vec::new(), draws: 3, questions: 0 }
    }
}

/// Reads a table, or false.
pub(super) fn read_in_context<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<InContext, D::Error> {
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
            Ok(InContext::default())
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InContext, A::Error> {
            InContext::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Reader)
}

/// Writes what [`read_in_context`] reads.
pub(super) fn write_in_context<S: Serializer>(
    shown: &InContext,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if shown.rows.is_empty() {
        serializer.serialize_bool(false)
    } else {
        shown.serialize(serializer)
    }
}

/// The schema of what [`read_in_context`] reads.
pub(super) fn in_context_schema(generator: &mut SchemaGenerator) -> Schema {
    let table = generator.subschema_for::<InContext>();
    json_schema!({ "anyOf": [{ "const": false, "description": "Left out." }, table] })
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

/// Students of the teacher's own rows.
pub(super) fn one_hop() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_one_hop(hops: &usize) -> bool {
    *hops == one_hop()
}

pub(super) fn is_on() -> bool {
    true
}

pub(super) fn whole() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_whole(share: &f64) -> bool {
    *share == whole()
}
