//! The JSON Schema of recipes, for editors: made of the very types that read them, with the defaults
//! of the commented files.
//!
//! It is for completion and explanation, not a gate: keys may be left out everywhere, because the
//! defaults have them, and values that must fit each other are checked by `check` alone.

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};
use toml::Table;

use super::{DEFAULTS, GROW_DEFAULTS, GrowRecipe, Recipe};

/// The schema of recipes of every kind.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut kind = |schema: schemars::Schema, defaults: &str| {
        let mut schema = schema.to_value();
        relax(&mut schema);
        let found = schema.as_object_mut().and_then(|root| root.remove("$defs"));
        if let Some(Value::Object(found)) = found {
            definitions.extend(found);
        }
        if let Some(root) = schema.as_object_mut() {
            root.remove("$schema");
            root.remove("title");
        }
        let defaults = defaults.parse::<Table>().unwrap_or_default();
        (schema, defaults)
    };
    let (mut inherit, inherit_defaults) = kind(schema_for!(Recipe), DEFAULTS);
    let (mut grow, grow_defaults) = kind(schema_for!(GrowRecipe), GROW_DEFAULTS);
    put_defaults(&mut inherit, &inherit_defaults, &definitions);
    put_defaults(&mut grow, &grow_defaults, &definitions);
    definitions.insert("InheritRecipe".to_owned(), inherit);
    definitions.insert("GrowRecipe".to_owned(), grow);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An owlet recipe",
        "type": "object",
        "if": { "properties": { "kind": { "const": "grow" } }, "required": ["kind"] },
        "then": { "$ref": "#/$defs/GrowRecipe" },
        "else": { "$ref": "#/$defs/InheritRecipe" },
        "$defs": definitions,
    })
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
pub(super) enum Method {
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
pub(super) enum Projection {
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
pub(super) enum Schedule {
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
pub(super) struct Deviations {
    /// Of token and position embeddings.
    embedding: f32,
    /// Of the matrices in the layers.
    matrix: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why `value` does not fit `schema`, for the words that the schema uses.
    fn misfit(root: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
        let says = |reason: String| Some(format!("{path}: {reason}"));
        if let Some(name) = schema["$ref"].as_str() {
            let target = &root["$defs"][name.strip_prefix("#/$defs/").unwrap()];
            if let Some(reason) = misfit(root, target, value, path) {
                return Some(reason);
            }
        }
        let known = ["object", "array", "string", "integer", "number", "boolean", "null"];
        let fits = |name: &Value| match name.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            name => panic!("type {name} is none of {known:?}"),
        };
        match &schema["type"] {
            Value::Null => {}
            Value::Array(names) if names.iter().any(fits) => {}
            name if name.is_string() && fits(name) => {}
            name => return says(format!("{value} is not {name}")),
        }
        if let Some(wanted) = schema.get("const").filter(|wanted| *wanted != value) {
            return says(format!("{value} is not {wanted}"));
        }
        if let Some(wanted) = schema["enum"].as_array().filter(|all| !all.contains(value)) {
            return says(format!("{value} is none of {wanted:?}"));
        }
        if let Some(forms) = schema["anyOf"].as_array()
            && forms.iter().all(|form| misfit(root, form, value, path).is_some())
        {
            return says(format!("{value} fits no form"));
        }
        if !schema["if"].is_null() {
            let holds = misfit(root, &schema["if"], value, path).is_none()
                && schema["if"]["required"].as_array().is_none_or(|keys| {
                    keys.iter().all(|key| !value[key.as_str().unwrap()].is_null())
                });
            return misfit(root, &schema[if holds { "then" } else { "else" }], value, path);
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            let at = format!("{path}.{key}");
            match schema["properties"].get(key) {
                Some(property) => {
                    if let Some(reason) = misfit(root, property, inner, &at) {
                        return Some(reason);
                    }
                }
                None if schema["additionalProperties"] == json!(false) => {
                    return Some(format!("{at}: is unknown"));
                }
                None => {}
            }
        }
        value.as_array().into_iter().flatten().find_map(|item| {
            schema.get("items").and_then(|items| misfit(root, items, item, &format!("{path}[]")))
        })
    }

    fn check(text: &str) -> Option<String> {
        let schema = schema();
        let value = serde_json::to_value(text.parse::<Table>().unwrap()).unwrap();
        misfit(&schema, &schema, &value, "recipe")
    }

    #[test]
    fn defaults_and_examples_fit_the_schema() {
        for text in [
            DEFAULTS,
            GROW_DEFAULTS,
            include_str!("../../../../examples/animals.toml"),
            include_str!("../../../../examples/owl.toml"),
            include_str!("../../../../examples/grow.toml"),
            include_str!("../../../../examples/remote.toml"),
            include_str!("../../../cli/recipes/demo.toml"),
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_do_not() {
        for (text, place) in [
            ("sedes = 3", "recipe.sedes"),
            ("seeds = 'many'", "recipe.seeds"),
            ("[student]\nbatch = 'x'", "recipe.student.batch"),
            ("[carrier]\ndecoding = { kind = 'beam' }", "recipe.carrier.decoding"),
            ("[student]\nmethod = { kind = 'low-rank', rnk = 2 }", "recipe.student.method"),
            ("kind = 'grow'\nbehaviors = ['owl']", "recipe.behaviors"),
            ("[replication]\nteacher = 'each'", "recipe.replication.teacher"),
        ] {
            let reason = check(text).expect(text);
            assert!(reason.starts_with(place), "{reason}");
        }
    }

    #[test]
    fn every_key_has_its_default() {
        let schema = schema();
        let of = |path: &str| &schema.pointer(&format!("/$defs/{path}")).unwrap()["default"];
        assert_eq!(*of("InheritRecipe/properties/seeds"), json!(6));
        assert_eq!(
            *of("InheritRecipe/properties/teacher/properties/train/properties/learning-rate"),
            json!(1e-5)
        );
        assert_eq!(*of("InheritRecipe/properties/student/properties/learning-rate"), json!(2e-4));
        assert_eq!(*of("GrowRecipe/properties/shape/properties/width"), json!(64));
    }
}
