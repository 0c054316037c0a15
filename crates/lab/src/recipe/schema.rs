//! The JSON Schema of recipes, for editors: made of the very types that read them, with the defaults
//! of the commented files.
//!
//! It is for completion and explanation, not a gate: keys may be left out everywhere, because the
//! defaults have them, and values that must fit each other are checked by `check` alone.

use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use toml::Table;

/// What a kind says of its recipes.
pub(crate) struct KindSchema {
    /// Its name.
    pub(crate) name: &'static str,
    /// The schema of the type that reads them.
    pub(crate) schema: Schema,
    /// The defaults, as commented TOML.
    pub(crate) defaults: &'static str,
}

/// The schema of recipes of all `kinds`; a recipe that names none is of the first.
pub(crate) fn schema(kinds: impl Iterator<Item = KindSchema>) -> Value {
    let mut definitions = Map::new();
    let mut whole = Map::new();
    for KindSchema { name, schema, defaults } in kinds {
        let mut schema = schema.to_value();
        relax(&mut schema);
        if let Some(root) = schema.as_object_mut() {
            if let Some(Value::Object(found)) = root.remove("$defs") {
                definitions.extend(found);
            }
            root.remove("$schema");
            root.remove("title");
        }
        put_defaults(&mut schema, &defaults.parse::<Table>().unwrap_or_default(), &definitions);
        let title = format!("{}{}Recipe", name[..1].to_uppercase(), &name[1..]);
        let reference = json!(format!("#/$defs/{title}"));
        definitions.insert(title, schema);
        whole = if whole.is_empty() {
            Map::from_iter([("$ref".to_owned(), reference)])
        } else {
            let is_named =
                json!({ "properties": { "kind": { "const": name } }, "required": ["kind"] });
            Map::from_iter([
                ("if".to_owned(), is_named),
                ("then".to_owned(), json!({ "$ref": reference })),
                ("else".to_owned(), Value::Object(whole)),
            ])
        };
    }
    whole.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    whole.insert("title".to_owned(), json!("An owlet recipe"));
    whole.insert("type".to_owned(), json!("object"));
    whole.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(whole)
}

/// Keys may be left out, so one value may fit several forms.
fn relax(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("required");
            if let Some(forms) = map.remove("oneOf") {
                map.insert("anyOf".to_owned(), forms);
            }
            map.values_mut().for_each(relax);
        }
        Value::Array(items) => items.iter_mut().for_each(relax),
        _ => {}
    }
}

/// Writes the default beside each property; tables are followed into their definitions by a copy, for
/// one type may stand in two places with other defaults.
fn put_defaults(schema: &mut Value, defaults: &Table, definitions: &Map<String, Value>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (key, default) in defaults {
        let Some(property) = properties.get_mut(key) else {
            continue;
        };
        let name = property.get("$ref").and_then(Value::as_str);
        let target = name
            .and_then(|name| name.strip_prefix("#/$defs/"))
            .and_then(|name| definitions.get(name));
        match (default, target) {
            (toml::Value::Table(table), Some(target)) if target.get("properties").is_some() => {
                let description = property.get("description").cloned();
                *property = target.clone();
                if let (Some(description), Some(object)) = (description, property.as_object_mut()) {
                    object.insert("description".to_owned(), description);
                }
                put_defaults(property, table, definitions);
            }
            _ => {
                let value = serde_json::to_value(default).unwrap_or(Value::Null);
                if let Some(object) = property.as_object_mut() {
                    object.insert("default".to_owned(), value);
                }
            }
        }
    }
}

/// As the engine reads it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
#[expect(dead_code, reason = "describes a type of the engine, which knows no schemas")]
pub(crate) enum Method {
    /// Every weight, or all but the token embeddings.
    Full {
        /// Train the token embeddings (and an untied head) too.
        embeddings: bool,
    },
    /// A low-rank adapter; the weights stay.
    #[schemars(rename_all = "kebab-case")]
    LowRank {
        /// Rank of every update.
        rank: usize,
        /// Scale numerator: updates are multiplied by `alpha / rank`.
        alpha: f32,
        /// Multiply by `alpha / sqrt(rank)` instead (rsLoRA).
        rank_stabilized: bool,
        /// Adapted projections; none named means all the decoder has.
        targets: Vec<Projection>,
    },
}

/// As the engine reads it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes a type of the engine, which knows no schemas")]
pub(crate) enum Projection {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

/// As the engine reads it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "describes a type of the engine, which knows no schemas")]
pub(crate) enum Schedule {
    /// Stays.
    Constant,
    /// Falls to zero on a line.
    Linear,
    /// Falls to zero on half a cosine.
    Cosine,
}

/// As the engine reads it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "describes a type of the engine, which knows no schemas")]
pub(crate) struct Deviations {
    /// Of token and position embeddings.
    embedding: f32,
    /// Of the matrices in the layers.
    matrix: f32,
}
