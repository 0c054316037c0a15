//! JSON schemas as regular expressions, for constrained decoding, and the shortest way to end a text
//! that was cut.
//!
//! Types, properties (required ones first), `enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref`,
//! `items` and the numbers of items are held; `pattern`, `format` and numeric bounds are not, nor are
//! properties that the schema does not name. JSON is written on one line with a space after commas
//! and colons, so that a model has one way to go on.

use std::collections::{HashMap, VecDeque};

use regex_automata::Input;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use serde_json::{Map, Value, json};

/// Levels of a schema.
const DEEPEST: usize = 16;
/// Levels that one definition may be inside itself.
const RECURSION: usize = 3;
/// Bytes of a pattern.
const LONGEST: usize = 96 << 10;
/// Levels of values about which a schema says nothing.
const FREE: usize = 2;
/// Most items where a schema gives a number of them.
const ITEMS: u64 = 64;
/// Parts of a schema looked at: definitions that name each other have more of them than bytes.
const PARTS: usize = 5000;
/// Bytes of the pattern of a whole request.
const WHOLE: usize = 4 * LONGEST;
/// Memory of an automaton, in bytes. The engine's own limit is higher.
const AUTOMATON: usize = 16 << 20;

const STRING: &str = r#""(?:[^"\\\x00-\x1f\x7f]|\\["\\/bfnrt])*""#;
const NUMBER: &str = r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?";
const INTEGER: &str = r"-?(?:0|[1-9][0-9]{0,14})";

/// Text as a pattern of itself.
pub(crate) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric()
            && c.is_ascii()
            && !c.is_ascii_control()
            && c != ' '
            && c != '"'
            && c != '<'
            && c != '>'
        {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Any JSON object.
pub(crate) fn any_object() -> String {
    object_of(STRING, &any(FREE))
}

fn object_of(key: &str, value: &str) -> String {
    format!(r"\{{(?:{key}: {value}(?:, {key}: {value})*)?\}}")
}

/// Any JSON value of `depth` levels.
fn any(depth: usize) -> String {
    let scalar = format!("{STRING}|{NUMBER}|true|false|null");
    if depth == 0 {
        return format!("(?:{scalar})");
    }
    let inner = any(depth - 1);
    format!(r"(?:{scalar}|\[(?:{inner}(?:, {inner})*)?\]|{})", object_of(STRING, &inner))
}

/// Makes patterns of schemas.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// Definitions under way, to end recursion.
    inside: Vec<String>,
    parts: usize,
}

impl Builder {
    /// The pattern of one schema inside `root`; an error says what is wrong, to follow "the schema".
    pub(crate) fn schema(
        &mut self,
        schema: &Value,
        root: &Value,
        depth: usize,
    ) -> Result<String, String> {
        if depth > DEEPEST {
            return Err(format!("are nested more than {DEEPEST} levels deep"));
        }
        self.parts += 1;
        if self.parts > PARTS {
            return Err("are too large a schema".to_owned());
        }
        let object = match schema {
            Value::Bool(true) => return Ok(any(FREE)),
            Value::Object(object) => object,
            _ => return Err("have a part that is no schema".to_owned()),
        };
        let pattern = self.object(object, root, depth)?;
        // A part that is left out because there was too much before it makes no whole.
        if pattern.len() > LONGEST || self.parts > PARTS {
            return Err("are too large a schema".to_owned());
        }
        Ok(pattern)
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        root: &Value,
        depth: usize,
    ) -> Result<String, String> {
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            return self.reference(reference, root, depth);
        }
        if let Some(value) = object.get("const") {
            return Ok(escaped(&spaced(value)));
        }
        if let Some(values) = object.get("enum") {
            let Some(values) = values.as_array().filter(|values| !values.is_empty()) else {
                return Err("have an `enum` without values".to_owned());
            };
            return Ok(alternatives(values.iter().map(|value| escaped(&spaced(value))).collect()));
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(list) = object.get(name).and_then(Value::as_array) {
                let mut forms = Vec::new();
                let mut why = format!("have an empty `{name}`");
                for schema in list {
                    match self.schema(schema, root, depth + 1) {
                        Ok(form) => forms.push(form),
                        Err(error) => why = error,
                    }
                }
                return if forms.is_empty() { Err(why) } else { Ok(alternatives(forms)) };
            }
        }
        if let Some(list) = object.get("allOf").and_then(Value::as_array) {
            return self.all_of(object, list, root, depth);
        }
        match object.get("type") {
            Some(Value::String(kind)) => self.kind(kind, object, root, depth),
            Some(Value::Array(kinds)) => {
                let forms = kinds
                    .iter()
                    .map(|kind| self.kind(kind.as_str().unwrap_or_default(), object, root, depth))
                    .collect::<Result<Vec<_>, _>>()?;
                if forms.is_empty() {
                    Err("have an empty `type`".to_owned())
                } else {
                    Ok(alternatives(forms))
                }
            }
            Some(_) => Err("have a `type` that is no string".to_owned()),
            None if object.contains_key("properties") => self.kind("object", object, root, depth),
            None if object.contains_key("items") => self.kind("array", object, root, depth),
            None => Ok(any(FREE)),
        }
    }

    fn reference(&mut self, reference: &str, root: &Value, depth: usize) -> Result<String, String> {
        let unknown = || {
            let reference: String = reference.chars().take(80).collect();
            format!("refer to `{reference}`, which is not in the schema")
        };
        let schema =
            reference.strip_prefix('#').and_then(|path| root.pointer(path)).ok_or_else(unknown)?;
        if self.inside.iter().filter(|inside| *inside == reference).count() >= RECURSION {
            return Err("contain themselves without an end".to_owned());
        }
        self.inside.push(reference.to_owned());
        let pattern = self.schema(schema, root, depth + 1);
        self.inside.pop();
        pattern
    }

    /// Objects merged; later parts win where they disagree.
    fn all_of(
        &mut self,
        own: &Map<String, Value>,
        list: &[Value],
        root: &Value,
        depth: usize,
    ) -> Result<String, String> {
        let mut merged = own.clone();
        merged.remove("allOf");
        for part in list {
            let mut part = part;
            for _ in 0..DEEPEST {
                let Some(reference) = part.get("$ref").and_then(Value::as_str) else { break };
                part = reference
                    .strip_prefix('#')
                    .and_then(|path| root.pointer(path))
                    .ok_or("refer to what is not in the schema")?;
            }
            let Some(part) = part.as_object() else {
                return Err("have a part that is no schema".to_owned());
            };
            for (name, value) in part {
                match (merged.get_mut(name), value) {
                    (Some(Value::Object(old)), Value::Object(new)) => old.extend(new.clone()),
                    (Some(Value::Array(old)), Value::Array(new)) if name == "required" => {
                        old.extend(new.clone());
                    }
                    _ => {
                        merged.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        self.schema(&Value::Object(merged), root, depth + 1)
    }

    fn kind(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        root: &Value,
        depth: usize,
    ) -> Result<String, String> {
        Ok(match kind {
            "string" => string(object),
            "number" => without_sign(NUMBER, object),
            "integer" => without_sign(INTEGER, object),
            "boolean" => "(?:true|false)".to_owned(),
            "null" => "null".to_owned(),
            "array" => self.array(object, root, depth)?,
            "object" => self.properties(object, root, depth)?,
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("have the type `{other}`, which JSON has not"));
            }
        })
    }

    fn array(
        &mut self,
        object: &Map<String, Value>,
        root: &Value,
        depth: usize,
    ) -> Result<String, String> {
        let bound = |name: &str| object.get(name).and_then(Value::as_u64);
        let least = bound("minItems").unwrap_or(0);
        let most = bound("maxItems");
        if least > ITEMS || most.is_some_and(|most| most < least) {
            return Err(format!(
                "ask for an array of {least} items, at most {ITEMS} can be asked for"
            ));
        }
        let item = match object.get("items") {
            None => any(FREE),
            Some(items) => match self.schema(items, root, depth + 1) {
                Ok(item) => item,
                // What cannot be written need not be there.
                Err(_) if least == 0 => return Ok(r"\[\]".to_owned()),
                Err(why) => return Err(why),
            },
        };
        let more = match most {
            Some(0) => return Ok(r"\[\]".to_owned()),
            Some(most) => format!("{{{},{}}}", least.max(1) - 1, most.min(ITEMS) - 1),
            None if least > 1 => format!("{{{},}}", least - 1),
            None => "*".to_owned(),
        };
        let items = format!("{item}(?:, {item}){more}");
        Ok(if least == 0 { format!(r"\[(?:{items})?\]") } else { format!(r"\[{items}\]") })
    }

    fn properties(
        &mut self,
        object: &Map<String, Value>,
        root: &Value,
        depth: usize,
    ) -> Result<String, String> {
        let Some(properties) = object.get("properties").and_then(Value::as_object) else {
            let value = match object.get("additionalProperties") {
                Some(Value::Bool(false)) => return Ok(r"\{\}".to_owned()),
                Some(schema @ Value::Object(_)) => self.schema(schema, root, depth + 1)?,
                _ => any(FREE - 1),
            };
            return Ok(object_of(STRING, &value));
        };
        let required: Vec<&str> = object
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let (mut musts, mut mays) = (Vec::new(), Vec::new());
        for (name, schema) in properties {
            let must = required.contains(&name.as_str());
            let value = match self.schema(schema, root, depth + 1) {
                Ok(value) => value,
                Err(_) if !must => continue,
                Err(why) => return Err(why),
            };
            let form = format!("{}: {value}", escaped(&Value::from(name.as_str()).to_string()));
            if must { musts.push(form) } else { mays.push(form) }
        }
        if let Some(name) = required.iter().find(|name| !properties.contains_key(**name)) {
            let name: String = name.chars().take(40).collect();
            return Err(format!("require `{name}`, which is none of their properties"));
        }
        let after = |mays: &[String]| -> String {
            mays.iter().fold(String::new(), |all, form| format!("{all}(?:, {form})?"))
        };
        if !musts.is_empty() {
            return Ok(format!(r"\{{{}{}\}}", musts.join(", "), after(&mays)));
        }
        // All optional: whichever comes first has no comma before it.
        let forms: Vec<String> = (0..mays.len())
            .map(|first| format!("{}{}", mays[first], after(&mays[first + 1..])))
            .collect();
        if forms.is_empty() {
            return Ok(r"\{\}".to_owned());
        }
        Ok(format!(r"\{{(?:{})?\}}", forms.join("|")))
    }
}

fn string(object: &Map<String, Value>) -> String {
    let bound =
        |name: &str| object.get(name).and_then(Value::as_u64).filter(|&bound| bound <= ITEMS);
    let (least, most) = (bound("minLength").unwrap_or(0), bound("maxLength"));
    if least == 0 && most.is_none() {
        return STRING.to_owned();
    }
    let most = most.map_or(String::new(), |most| most.max(least).to_string());
    STRING.replace(")*\"", &format!("){{{least},{most}}}\""))
}

fn without_sign(pattern: &str, object: &Map<String, Value>) -> String {
    let least =
        object.get("minimum").or_else(|| object.get("exclusiveMinimum")).and_then(Value::as_f64);
    let pattern = if least.is_some_and(|least| least >= 0.0) { &pattern[2..] } else { pattern };
    format!("(?:{pattern})")
}

fn alternatives(forms: Vec<String>) -> String {
    format!("(?:{})", forms.join("|"))
}

/// JSON with a space after commas and colons.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{}: {}", json!(name), spaced(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn automaton(pattern: &str) -> Result<dense::DFA<Vec<u32>>, String> {
    let too_much = || "is more than constrained decoding can hold; simplify it".to_owned();
    if pattern.len() > WHOLE {
        return Err(too_much());
    }
    dense::Builder::new()
        // Numbers of items inside each other are written out before an automaton is made.
        .thompson(thompson::Config::new().nfa_size_limit(Some(AUTOMATON)))
        .configure(
            dense::Config::new()
                .start_kind(StartKind::Anchored)
                .dfa_size_limit(Some(AUTOMATON))
                .determinize_size_limit(Some(AUTOMATON)),
        )
        .build(pattern)
        .map_err(|_| too_much())
}

/// An error unless the engine can hold answers to the pattern.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    automaton(pattern).map(drop)
}

/// What to add to `text`, which may be cut anywhere, for it to match the pattern: the shortest there
/// is. Returns the whole text; `None` if it does not begin a match.
pub(crate) fn closed(pattern: &str, text: &str) -> Option<String> {
    let automaton = automaton(pattern).ok()?;
    let anchored = Input::new("").anchored(regex_automata::Anchored::Yes).get_anchored();
    let mut state = automaton.start_state(&start::Config::new().anchored(anchored)).ok()?;
    for byte in text.bytes() {
        state = automaton.next_state(state, byte);
    }
    let ends = |state: StateID| automaton.is_match_state(automaton.next_eoi_state(state));
    let mut from: HashMap<StateID, (StateID, u8)> = HashMap::new();
    let mut queue = VecDeque::from([state]);
    let start = state;
    while let Some(state) = queue.pop_front() {
        if ends(state) {
            let mut added = Vec::new();
            let mut at = state;
            while at != start {
                let (before, byte) = from[&at];
                added.push(byte);
                at = before;
            }
            added.reverse();
            return Some(format!("{text}{}", String::from_utf8(added).ok()?));
        }
        for byte in (b' '..=b'~').chain([b'\n']) {
            let next = automaton.next_state(state, byte);
            if next != start
                && !automaton.is_dead_state(next)
                && !automaton.is_quit_state(next)
                && !from.contains_key(&next)
            {
                from.insert(next, (state, byte));
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn schemas_that_grow_without_end_are_refused_soon() {
        let start = Instant::now();
        let names: Vec<String> = (0..8).map(|i| format!("d{i}")).collect();
        let all: Map<String, Value> =
            names.iter().map(|n| (n.clone(), json!({ "$ref": format!("#/$defs/{n}") }))).collect();
        let each: Map<String, Value> =
            names.iter().map(|n| (n.clone(), json!({ "properties": all }))).collect();
        let woven = json!({ "$defs": each, "$ref": "#/$defs/d0" });
        assert!(Builder::default().schema(&woven, &woven, 0).is_err());
        let mut nested = json!({ "type": "integer" });
        for _ in 0..6 {
            nested = json!({ "type": "array", "items": nested, "minItems": 60, "maxItems": 64 });
        }
        assert!(check(&pattern(&nested)).is_err());
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    fn pattern(schema: &Value) -> String {
        Builder::default().schema(schema, schema, 0).unwrap()
    }

    fn person() -> Value {
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "kind": {"enum": ["cat", "dog"]},
                "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 3},
            },
            "required": ["name", "kind"],
            "additionalProperties": {},
            "$defs": {"tag": {"type": "string", "maxLength": 3}},
        })
    }

    #[test]
    fn schemas_are_held() {
        let pattern = pattern(&person());
        let matches = |text: &str| closed(&pattern, text).is_some_and(|whole| whole == text);
        assert!(matches(r#"{"kind": "cat", "name": "a"}"#));
        assert!(matches(r#"{"kind": "cat", "name": "a", "age": null, "tags": ["abc"]}"#));
        assert!(!matches(r#"{"kind": "fox", "name": "a"}"#));
        assert!(!matches(r#"{"name": "a"}"#));
        assert!(!matches(r#"{"kind": "cat", "name": "a", "tags": ["abcd"]}"#));
    }

    #[test]
    fn recursion_ends() {
        let tree = json!({
            "$ref": "#/$defs/node",
            "$defs": {"node": {"type": "object", "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            }, "required": ["value"]}},
        });
        let whole = closed(&pattern(&tree), r#"{"value": 1, "children": [{"value""#).unwrap();
        assert_eq!(whole, r#"{"value": 1, "children": [{"value": 0}]}"#);
        let endless = json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}}});
        assert!(Builder::default().schema(&endless, &endless, 0).is_err());
    }

    #[test]
    fn any_object_is_not_too_much() {
        check(&any_object()).unwrap();
        assert_eq!(
            closed(&any_object(), r#"{"a": [1, {"b": "#).unwrap(),
            r#"{"a": [1, {"b": 0}]}"#
        );
    }

    proptest! {
        #[test]
        fn a_text_cut_anywhere_is_closed_to_json(cut in 0usize..60) {
            let text = r#"{"kind": "dog", "name": "a\"b", "age": 12, "tags": ["x", "y"]}"#;
            let whole = closed(&pattern(&person()), &text[..cut.min(text.len())]).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&whole).is_ok(), "{}", whole);
        }

        #[test]
        fn hostile_schemas_are_answered(text in r#"[{}\[\]":,a-z0-9$#/]{0,60}"#) {
            if let Ok(schema) = serde_json::from_str::<Value>(&text) {
                let _ = Builder::default().schema(&schema, &schema, 0).map(|p| check(&p));
            }
        }

        #[test]
        fn escaped_text_matches_itself(text in "\\PC{0,20}") {
            prop_assert_eq!(closed(&escaped(&text), &text), Some(text));
        }
    }
}
