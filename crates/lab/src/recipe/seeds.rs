//! Seeds, which may be written in two ways: a visitor instead of an untagged enum, so that a mistake is
//! named instead of "no variant matched".

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Paired seeds: a number `n` (seeds 1 to n) or a list of seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

/// More seeds than anyone trains students for; a bound against typing errors.
const MOST_SEEDS: u64 = 10_000;

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Seeds;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("a number of seeds (such as 6) or a list of them (such as [1, 2])")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Seeds, E> {
                if count > MOST_SEEDS {
                    return Err(E::custom(format!("{count} seeds, expected at most {MOST_SEEDS}")));
                }
                Ok(Seeds((1..=count).collect()))
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Seeds, E> {
                let count = u64::try_from(count)
                    .map_err(|_| E::custom(format!("{count} seeds, expected one or more")))?;
                self.visit_u64(count)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seeds, A::Error> {
                let mut seeds = Vec::new();
                while let Some(seed) = list.next_element()? {
                    seeds.push(seed);
                }
                Ok(Seeds(seeds))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Seeds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Seeds {
    fn schema_name() -> Cow<'static, str> {
        "Seeds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1, "description": "Seeds 1 to this." },
                { "type": "array", "items": { "type": "integer", "minimum": 0 } },
            ]
        })
    }
}
