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
