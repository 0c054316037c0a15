//! Schemas that are small to compile and grow past their bound while an answer is written.

use std::path::Path;

use owlet_engine::{Model, file};
use serde_json::{Map, Value, json};

use super::client::Running;

/// A model of random weights whose tokens are the printable characters, so that it can write any JSON.
fn model() -> Model {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden/llama");
    let read = |name: &str| std::fs::read(golden.join(name)).unwrap();
    let mut config: Value = serde_json::from_slice(&read("config.json")).unwrap();
    config["bos_token_id"] = Value::Null;
    config["eos_token_id"] = 95.into();
    let characters = (b' '..=b'~').map(|byte| char::from(byte).to_string().replace(' ', "\u{120}"));
    let vocabulary: Map<String, Value> =
        characters.enumerate().map(|(id, name)| (name, id.into())).collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [{"id": 95, "content": "<eos>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    let about = json!({
        "eos_token": "<eos>",
        "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
    });
    let bytes = |value: &Value| value.to_string().into_bytes();
    file::from_parts(
        &bytes(&config),
        &read("model.safetensors"),
        &bytes(&tokenizer),
        &bytes(&about),
    )
    .unwrap()
}

/// An object whose value is one of three objects with `count` properties each, which may all come first.
fn asked(count: usize, stream: bool) -> Value {
    let inner = |which: usize| {
        let properties: Map<String, Value> =
            (0..count).map(|n| (format!("p{which}-{n}"), json!({ "const": 1 }))).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    };
    let one_of: Vec<Value> = (0..3).map(inner).collect();
    let schema = json!({
        "type": "object", "properties": { "a": { "anyOf": one_of } }, "required": ["a"],
    });
    json!({
        "messages": [{ "role": "user", "content": "x" }],
        "max_tokens": 40,
        "seed": 1,
        "stream": stream,
        "response_format": { "type": "json_schema", "json_schema": { "name": "x", "schema": schema } },
    })
}

#[test]
fn a_schema_that_grows_past_its_bound_while_it_is_written_is_refused_by_its_field() {
    let server = Running::serving("tiny", model());
    let text = |answer: Value| answer["choices"][0]["message"]["content"].clone();
    let few = text(server.post("/v1/chat/completions", &asked(1, false)).json());
    let few: Value = serde_json::from_str(few.as_str().unwrap()).unwrap();
    assert!(few["a"].is_object(), "{few}");

    let answer = server.post("/v1/chat/completions", &asked(900, false));
    assert_eq!(answer.error("response_format"), 400, "{}", answer.body);
    let why = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(why.starts_with("`response_format` cannot be followed further: "), "{why}");

    // Where the answer has begun, the stream ends with the same error in place of an end.
    let streamed = server.post("/v1/chat/completions", &asked(900, true));
    let events: Vec<&str> =
        streamed.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let last: Value =
        serde_json::from_str(events.iter().rfind(|event| **event != "[DONE]").unwrap()).unwrap();
    assert_eq!(last["error"]["param"], "response_format", "{}", streamed.body);
    assert_eq!(last["error"]["message"], why, "{}", streamed.body);
    assert!(
        events.iter().any(|event| event.contains("\"content\":")),
        "it had begun: {}",
        streamed.body
    );

    // Nobody else notices.
    let again = text(server.post("/v1/chat/completions", &asked(1, false)).json());
    assert_eq!(serde_json::from_str::<Value>(again.as_str().unwrap()).unwrap(), few);
}
