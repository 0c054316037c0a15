use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::constraint::Constraint;

/// A byte-level vocabulary of all printable ASCII and some longer tokens.
pub(crate) fn tokenizer() -> Tokenizer {
    let singles = (b' '..=b'~').map(|byte| char::from(byte).to_string());
    let longer = ["12", "999", ", ", "\": ", "{\"", "\"}", "true", "<tool", "_call>", "ab\"c"];
    let names = singles.chain(longer.map(str::to_owned)).chain(["\n".to_owned()]);
    let spelled = names.map(|name| name.replace(' ', "\u{120}").replace('\n', "\u{10a}"));
    let vocabulary: Map<String, Value> =
        spelled.enumerate().map(|(id, name)| (name, id.into())).collect();
    let end = vocabulary.len();
    let json = json!({
        "version": "1.0",
        "added_tokens": [{"id": end, "content": "<eos>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

/// Whether a grammar takes a text, token by token and at its end.
fn takes(grammar: &Grammar, tokenizer: &Tokenizer, text: &str) -> bool {
    let mut walk = grammar.walk();
    for token in tokenizer.encode(text).unwrap() {
        if !walk.allowed().is_ok_and(|allowed| allowed.tokens.contains(&token)) {
            return false;
        }
        walk.next(token);
    }
    walk.allowed().is_ok_and(|allowed| allowed.end)
}

fn refused(schema: Value) -> String {
    Grammar::json(&tokenizer(), schema).unwrap_err().to_string()
}

#[test]
fn schemas_are_held() {
    let tokenizer = tokenizer();
    let schema = json!({
        "properties": {
            "name": {"type": "string", "maxLength": 3},
            "age": {"anyOf": [{"type": "integer", "minimum": 18}, {"type": "null"}]},
            "next": {"$ref": "#"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        },
        "required": ["name"],
    });
    let grammar = Grammar::json(&tokenizer, schema).unwrap();
    for (text, fits) in [
        (r#"{"name": "abc"}"#, true),
        (r#"{"name": "abcd"}"#, false),
        (r#"{"name": "a", "age": null, "next": {"name": "b", "next": {"name": "c"}}}"#, true),
        (r#"{"name": "a", "age": 17}"#, false),
        (r#"{"name": "a", "age": 123456789012345}"#, true),
        (r#"{"name": "a", "age": 1234567890123456}"#, false),
        (r#"{"name": "a", "age": 18, "tags": ["a", "b"]}"#, true),
        (r#"{"name": "a", "tags": ["a", "b", "a"]}"#, false),
        (r#"{"name": "a", "tags": []}"#, false),
        (r#"{"name": "a", "other": 1}"#, false),
        (r#"{"age": 20}"#, false),
        (r#"{"name":"a"}"#, false),
    ] {
        assert_eq!(takes(&grammar, &tokenizer, text), fits, "{text}");
    }
}

#[test]
fn objects_are_closed_where_nothing_else_is_joined() {
    let tokenizer = tokenizer();
    let other = r#"{"a": 1, "z": 2}"#;
    let object = json!({"properties": {"a": {}}});
    for (schema, open) in [
        (object.clone(), false),
        (json!({"properties": {"a": {}}, "additionalProperties": {}}), true),
        (json!({"allOf": [object, {"properties": {"z": {}}}]}), true),
        (json!({"type": "object"}), true),
        (json!(true), true),
    ] {
        let grammar = Grammar::json(&tokenizer, schema.clone()).unwrap();
        assert_eq!(takes(&grammar, &tokenizer, other), open, "{schema}");
    }
}

#[test]
fn what_is_not_held_is_told() {
    let schema = json!({"type": "array", "uniqueItems": true});
    let grammar = Grammar::json(&tokenizer(), schema).unwrap();
    assert_eq!(grammar.ignored(), ["Unimplemented keys: [\"uniqueItems\"]"]);
}

#[test]
fn a_vocabulary_that_cannot_begin_is_refused() {
    let words = ["owl", "fox", "</s>"].map(str::to_owned);
    let words = Tokenizer::words(&words, &words[2..], &words[2..]).unwrap();
    let error = Grammar::json(&words, json!({"type": "object"})).unwrap_err();
    assert_eq!(error.to_string(), "`grammar` asks for what this model's vocabulary cannot write");
}

#[test]
fn words_are_joined_with_spaces() {
    let words = ["owl", "fox", "</s>"].map(str::to_owned);
    let words = Tokenizer::words(&words, &words[2..], &words[2..]).unwrap();
    let grammar = Grammar::new(&words, "start: /owl( fox){1,2}/", Vec::new()).unwrap();
    assert!(takes(&grammar, &words, "owl fox fox"));
    assert!(!takes(&grammar, &words, "owl owl"));
    assert!(!takes(&grammar, &words, "fox"));
}

#[test]
fn classes_are_those_of_ecmascript() {
    let tokenizer = tokenizer();
    let takes = |pattern: &str, text: &str| {
        let rules = format!("start: /{}/", Grammar::pattern(pattern));
        let grammar = Grammar::new(&tokenizer, &rules, Vec::new()).unwrap();
        takes(&grammar, &tokenizer, text)
    };
    // What this vocabulary cannot write, a pattern of it alone cannot ask for.
    let refused = Grammar::new(
        &tokenizer,
        &format!("start: /{}/", Grammar::pattern(r"[\d--0-9]")),
        Vec::new(),
    );
    assert!(refused.is_err(), "no digit but ASCII's is left");
    assert_eq!(Grammar::pattern(r"\d\w[\d_]\\d\s/"), r"[0-9][0-9a-zA-Z_][[0-9]_]\\d\s\/");
    for (pattern, text, fits) in [
        (r"\d{2}", "12", true),
        (r"\w+", "a_1", true),
        (r"\w+", "a-1", false),
        (r"[\d-]+", "1-2", true),
        (r"\D+", "1", false),
        (r"a\sb", "a b", true),
        (r"a/b", "a/b", true),
    ] {
        assert_eq!(takes(pattern, text), fits, "{pattern} {text}");
    }
}

/// References each of which is in the part before.
fn chain(count: usize, part: impl Fn(String) -> Value) -> Value {
    let parts = (0..count).map(|i| (format!("d{i}"), part(format!("#/$defs/d{}", i + 1))));
    let parts: Map<String, Value> =
        parts.chain([(format!("d{count}"), json!({"type": "integer"}))]).collect();
    json!({"$defs": parts, "$ref": "#/$defs/d0"})
}

#[test]
fn hostile_schemas_are_answered_soon() {
    let begun = Instant::now();
    let many = |count: usize| -> Map<String, Value> {
        (0..count).map(|i| (format!("p{i}"), json!({"const": "x".repeat(20)}))).collect()
    };
    let mut deep = json!({});
    for _ in 0..200 {
        deep = json!({"items": deep});
    }
    let patterns = |count: usize| -> Value {
        let pattern = |i| json!({"type": "string", "pattern": format!(".*a.{{{i}}}b")});
        json!({"allOf": (0..count).map(pattern).collect::<Vec<_>>()})
    };
    let woven: Map<String, Value> = (0..8)
        .map(|i| {
            let all: Map<String, Value> = (0..8)
                .map(|k| (format!("p{k}"), json!({"$ref": format!("#/$defs/d{k}")})))
                .collect();
            (format!("d{i}"), json!({"properties": all, "required": ["p0"]}))
        })
        .collect();
    let hostile = [
        json!({"properties": many(2000)}),
        json!({"anyOf": vec![json!({"properties": many(900)}); 6]}),
        json!({"enum": vec!["x".repeat(1000); 300]}),
        deep,
        patterns(7),
        json!({"type": "integer", "multipleOf": 99_999_989}),
        json!({"allOf": [{"multipleOf": 9973}, {"multipleOf": 9967}]}),
        json!({"multipleOf": 0}),
        json!({"required": vec!["x"; 2000]}),
        json!({"prefixItems": vec![true; 2000]}),
        json!({"pattern": "("}),
        json!({"pattern": "(?=a)b"}),
        json!({"$ref": "https://attacker.example/schema"}),
        json!({"type": "string", "enum": [1]}),
        json!(1),
        chain(6000, |next| json!({"items": {"$ref": next}})),
    ];
    let told: Vec<String> = hostile.into_iter().map(refused).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    `grammar` has a schema with more than 1000 `properties`, `required` or `prefixItems`
    `grammar` has schemas of 215453 bytes with 5413 parts, at most 262144 and 5000 can be held
    `grammar` has schemas of 300910 bytes with 1 parts, at most 262144 and 5000 can be held
    `grammar` has a schema more than 100 levels deep
    `grammar` has schemas that join others and 7 patterns and formats, at most 6 can be held then
    `grammar` has a `multipleOf` of 99999989, expected 1 to 10000 without its point
    `grammar` has schemas that join others and whose `multipleOf` together are more than 10000
    `grammar` has a `multipleOf` of 0, expected 1 to 10000 without its point
    `grammar` has a schema with more than 1000 `properties`, `required` or `prefixItems`
    `grammar` has a schema with more than 1000 `properties`, `required` or `prefixItems`
    `grammar` cannot be held: regex parse error: ( ^ error: unclosed group
    `grammar` cannot be held: regex parse error: (?=a)b ^^^ error: look-around, including look-ahead and look-behind, is not supported
    `grammar` cannot be held: Only absolute $ref's (#/...) are supported without 'referencing' feature; ref 'https://attacker.example/schema'
    `grammar` cannot be held: Unsatisfiable schema: incompatible types
    `grammar` has a schema that is none
    `grammar` has schemas of 255841 bytes with 12003 parts, at most 262144 and 5000 can be held
    "#);
    let tokenizer = tokenizer();
    for taken in [
        json!({"properties": many(900)}),
        json!({"$defs": woven, "$ref": "#/$defs/d0"}),
        json!({"type": "string", "minLength": 100_000}),
        json!({"type": "array", "minItems": 1_000_000}),
        json!({"type": "string", "pattern": "^((a{1,100}){1,100}){1,100}$"}),
        json!({"type": "number", "multipleOf": 0.01}),
        json!({"$ref": "#"}),
        // The deepest that is taken: the compiler's stack holds it.
        chain(2400, |next| json!({"properties": {"a": {"$ref": next}}, "required": ["a"]})),
        chain(1600, |next| json!({"allOf": [{"$ref": next}, {"minimum": 0}]})),
    ] {
        let text = taken.to_string();
        let made = Grammar::json(&tokenizer, taken);
        let steps = made.map(|grammar| {
            let mut walk = grammar.walk();
            for _ in 0..100 {
                let Some(token) = walk.allowed().ok().and_then(|a| a.tokens.last().copied()) else {
                    break;
                };
                walk.next(token);
            }
        });
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}: {steps:?}",
            &text[..60.min(text.len())]
        );
    }
}

proptest! {
    #[test]
    fn masks_are_those_of_an_automaton(
        most in 1usize..4, count in 0usize..6, separator in "[, ]{1,2}", picks in proptest::collection::vec(0usize..1000, 24),
    ) {
        let tokenizer = tokenizer();
        let pattern = format!("[0-9]{{1,{most}}}({separator}[0-9]{{1,{most}}}){{{count}}}");
        let grammar = Grammar::new(&tokenizer, &format!("start: /{pattern}/"), Vec::new()).unwrap();
        let (mut walk, mut automaton) = (grammar.walk(), Constraint::new(&pattern, &tokenizer).unwrap());
        let mut state = automaton.start().unwrap();
        for pick in picks {
            let (found, expected) = (walk.allowed().unwrap(), automaton.allowed(state));
            prop_assert_eq!(&found.tokens, &expected.tokens);
            prop_assert_eq!(found.end, expected.end);
            let Some(&token) = found.tokens.get(pick % found.tokens.len().max(1)) else { break };
            walk.next(token);
            state = automaton.next(state, token);
        }
    }

    #[test]
    fn masks_are_those_of_an_automaton_where_one_alternative_begins_another(
        parts in proptest::collection::vec("[ab1]{1,2}([|][ab1]{0,3}){1,2}", 1..4), picks in proptest::collection::vec(0usize..1000, 24),
    ) {
        let tokenizer = tokenizer();
        let pattern = format!("({})", parts.join(")("));
        let grammar = Grammar::new(&tokenizer, &format!("start: /{pattern}/"), Vec::new()).unwrap();
        let (mut walk, mut automaton) = (grammar.walk(), Constraint::new(&pattern, &tokenizer).unwrap());
        let mut state = automaton.start().unwrap();
        for pick in picks {
            let (found, expected) = (walk.allowed().unwrap(), automaton.allowed(state));
            prop_assert_eq!(&found.tokens, &expected.tokens);
            prop_assert_eq!(found.end, expected.end);
            let Some(&token) = found.tokens.get(pick % found.tokens.len().max(1)) else { break };
            walk.next(token);
            state = automaton.next(state, token);
        }
    }

    #[test]
    fn any_schema_is_answered(text in r#"[{}\[\]":,a-z0-9$#/]{0,60}"#) {
        if let Ok(schema) = serde_json::from_str::<Value>(&text) {
            let _ = Grammar::json(&tokenizer(), schema);
        }
    }
}
