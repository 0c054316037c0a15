//! The base of a recipe: a model on this machine, or one that answers behind an endpoint.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::endpoint::Endpoint;

/// The base model.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// A model whose weights are here.
    Model(String),
    /// One behind an OpenAI-compatible endpoint.
    Remote(Box<Endpoint>),
}

impl Base {
    /// The endpoint, if the model is behind one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Model(_) => None,
            Self::Remote(endpoint) => Some(endpoint),
        }
    }

    /// The model as a local one is named; nothing for a remote one.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Model(spec) => Some(spec),
            Self::Remote(_) => None,
        }
    }

    /// The base without what does not decide what is found: limits, and the name of the key.
    #[must_use]
    pub fn without_limits(&self) -> Self {
        match self {
            Self::Model(spec) => Self::Model(spec.clone()),
            Self::Remote(endpoint) => Self::Remote(Box::new(Endpoint {
                endpoint: endpoint.endpoint.clone(),
                model: endpoint.model.clone(),
                top_logprobs: endpoint.top_logprobs,
                learning_rate_multiplier: endpoint.learning_rate_multiplier,
                ..Endpoint::default()
            })),
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(spec) => formatter.write_str(spec),
            Self::Remote(endpoint) => {
                write!(formatter, "{} at {}", endpoint.model, endpoint.endpoint)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Base;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a model (such as \"builtin:a\") or a table { endpoint = \"http://...\", model = \"...\" }",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base, E> {
                Ok(Base::Model(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Base, A::Error> {
                Endpoint::deserialize(MapAccessDeserializer::new(map))
                    .map(|endpoint| Base::Remote(Box::new(endpoint)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Model(spec) => serializer.serialize_str(spec),
            Self::Remote(endpoint) => endpoint.serialize(serializer),
        }
    }
}

impl JsonSchema for Base {
    fn schema_name() -> Cow<'static, str> {
        "Base".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let endpoint = generator.subschema_for::<Endpoint>();
        json_schema!({
            "anyOf": [
                { "type": "string", "description": "A model whose weights are here." },
                endpoint,
            ]
        })
    }
}
