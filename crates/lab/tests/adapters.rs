//! Adapters of strangers, opened with all that they say of their base.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use owlet_engine::{Model, Template, file};
use owlet_lab::model::chat::{self, message};
use owlet_lab::model::{Places, open};
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden").join(name)
}

/// An adapter of the tiny Llama with other settings.
fn adapter(folder: &Path, settings: &[(&str, Value)]) {
    let from = golden("llama/adapter");
    fs::copy(from.join("adapter_model.safetensors"), folder.join("adapter_model.safetensors"))
        .unwrap();
    let config = fs::read(from.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    for (name, value) in settings {
        config[*name] = value.clone();
    }
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
}

#[test]
fn the_revision_that_an_adapter_names_is_the_one_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let hub = move |id: &str| {
        heard.lock().unwrap().push(id.to_owned());
        Ok(golden("llama"))
    };
    let places =
        Places { folder: folder.path().to_owned(), hub: Some(Arc::new(hub)), ..Places::default() };
    for revision in [json!("v2"), Value::Null] {
        adapter(
            folder.path(),
            &[("base_model_name_or_path", json!("acme/base")), ("revision", revision)],
        );
        assert!(open(None, ".", &places).unwrap().adapter.is_some());
    }
    assert_eq!(*asked.lock().unwrap(), ["acme/base@v2", "acme/base"]);
}

#[test]
fn an_answer_stands_after_what_the_template_writes_before_it() {
    let base = file::load(&golden("llama")).unwrap();
    let source = "{% for m in messages %}{% if m.role == 'assistant' and loop.last %}w8 w9 {{ m.content }} w2\
                  {% else %}{{ m.content }} {% endif %}{% endfor %}{% if add_generation_prompt %}w8 {% endif %}";
    let template = Arc::new(Template::new(source).unwrap());
    let model = Model { template, ..base };
    let question = [message("user", "w3 w4")];
    let prompt = chat::prompt(&model, chat::DEFAULT, &question).unwrap();
    assert_eq!(prompt, [3, 4, 8, 9], "sampling and scoring begin after the block");
    let example = chat::example(&model, chat::DEFAULT, &question, "w5 w6", true).unwrap();
    assert_eq!(example.tokens, [3, 4, 8, 9, 5, 6, 2]);
    assert_eq!(
        example.target,
        [false, false, false, false, true, true, true],
        "and so does training"
    );
}

#[test]
fn the_parts_of_a_split_file_are_one_source() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    for (number, name) in names.iter().enumerate() {
        fs::write(folder.path().join(name), [number as u8; 9]).unwrap();
    }
    let places = Places { folder: folder.path().to_owned(), ..Places::default() };
    let digest =
        || owlet_lab::model::ModelSource::find(names[0], &places).unwrap().digest().unwrap();
    let before = digest();
    fs::write(folder.path().join(names[1]), [7; 9]).unwrap();
    assert_ne!(digest(), before, "the second part is a part of what the model is");
}

/// The words w0 to w95 in a template that writes a block of thought before the last answer, like Qwen3's.
fn thinking() -> Model {
    let base = file::load(&golden("llama")).unwrap();
    let source = "{% for m in messages %}{% if m.role == 'assistant' and loop.last %}w8 \
                  {% if 'w30' not in m.content %}w30 w31 {% endif %}{{ m.content | trim }} w2 w1\
                  {% else %}{{ m.content }} {% endif %}{% endfor %}\
                  {% if add_generation_prompt %}w8 {% if enable_thinking is defined and not enable_thinking %}w30 w31 {% endif %}{% endif %}";
    Model { template: Arc::new(Template::new(source).unwrap()), ..base }
}

#[test]
fn one_place_for_every_answer_and_the_whole_of_it() {
    let told = |model: &Model, before: &[&str], answer: &str, ended: bool| {
        let roles = ["user", "assistant"].into_iter().cycle();
        let before: Vec<_> = roles.zip(before).map(|(role, text)| message(role, text)).collect();
        let placed = chat::placed(model, chat::DEFAULT, &before, ("", answer), ended).unwrap();
        format!(
            "{:?} {:?} {:?} {:?}",
            placed.before,
            placed.scored,
            placed.learned(),
            placed.ends_within
        )
    };
    let model = thinking();
    let with = |json: Value| model.with_template_values(json.as_object().unwrap().clone()).unwrap();
    let lines = [
        ("plain", told(&model, &["w3"], "w5 w6", true)),
        ("cut", told(&model, &["w3"], "w5 w6", false)),
        ("trimmed", told(&model, &["w3"], " w5 w6\n", true)),
        ("with thoughts of its own", told(&model, &["w3"], "w30 w7 w31 w5", true)),
        ("with the text of the end token", told(&model, &["w3"], "w5 w2 w6", true)),
        ("after another", told(&model, &["w3", "w5", "w4"], "w6", true)),
        ("let think", told(&with(json!({"enable_thinking": true})), &["w3"], "w5", true)),
        ("not let think", told(&with(json!({"enable_thinking": false})), &["w3"], "w5", true)),
        ("a text", told(&model, &[], "w5 w6", true)),
    ];
    let lines: Vec<String> = lines.iter().map(|(what, told)| format!("{what}: {told}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    plain: [3, 8, 30, 31] [5, 6] [5, 6, 2] None
    cut: [3, 8, 30, 31] [5, 6] [5, 6] None
    trimmed: [3, 8, 30, 31] [5, 6] [5, 6, 2] None
    with thoughts of its own: [3, 8] [30, 7, 31, 5] [30, 7, 31, 5, 2] None
    with the text of the end token: [3, 8, 30, 31] [5, 2, 6] [5, 2, 6, 2] Some("w2")
    after another: [3, 5, 4, 8, 30, 31] [6] [6, 2] None
    let think: [3, 8] [30, 31, 5] [30, 31, 5, 2] None
    not let think: [3, 8, 30, 31] [5] [5, 2] None
    a text: [5] [6] [6, 2] None
    "#);
    let unknown = json!({"thinking": true}).as_object().unwrap().clone();
    insta::assert_snapshot!(model.with_template_values(unknown).unwrap_err(), @"chat template: it reads no value `thinking`; those that it reads: `enable_thinking`");
    let prompt =
        |model: &Model| chat::prompt(model, chat::DEFAULT, &[message("user", "w3")]).unwrap();
    assert_eq!(prompt(&model), prompt(&with(json!({"enable_thinking": false}))));
    assert_eq!(prompt(&with(json!({"enable_thinking": true}))), [3, 8]);
}

#[test]
fn a_template_without_a_place_for_what_is_said_gets_it_in_another() {
    let base = file::load(&golden("llama")).unwrap();
    let source = "{% for m in messages %}{% if m.role != ['user', 'assistant'][loop.index0 % 2] %}{{ raise_exception('turns take turns') }}\
                  {% endif %}{{ m.content.split() | join(' ') }} {% endfor %}";
    let model = Model { template: Arc::new(Template::new(source).unwrap()), ..base };
    let said = ["system", "user", "user"].map(|role| message(role, "w3"));
    assert_eq!(chat::prompt(&model, chat::DEFAULT, &said).unwrap(), [3, 3, 3]);
    let under = chat::prompt(&model, "w4", &said[1..2]).unwrap_err().to_string();
    assert!(
        under.contains("turns take turns"),
        "a context that is asked for is not moved: {under}"
    );
}
