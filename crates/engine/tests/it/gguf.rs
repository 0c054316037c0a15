//! GGUF files of every family against the Hugging Face folders of the same weights
//! (`tests/golden/make_gguf.py`).

use owlet_engine::config::{DecoderConfig, Position, RotaryScaling};
use owlet_engine::{Message, Model, file};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::tiny::{FAMILIES, bytes, model, path};

#[derive(Deserialize)]
struct Reference {
    text: String,
    tokens: Vec<u32>,
    decoded: String,
}

fn load(family: &str) -> Model {
    file::load(&path(&format!("gguf/{family}.gguf"))).unwrap()
}

#[test]
fn weights_are_those_of_the_folder() {
    for family in FAMILIES {
        let (ours, theirs) = (load(family).decoder, model(family).decoder);
        let mut expected =
            DecoderConfig { vocabulary: ours.config.vocabulary, ..theirs.config.clone() };
        if family == "llama" {
            let scaling =
                RotaryScaling { factor: 32.0, low: 1.0, high: 4.0, original_context: 8192.0 };
            expected.position =
                Position::Rotary { theta: 500_000.0, width: 8, scaling: Some(scaling) };
        }
        // GGUF has no word for it: what all but the largest of Gemma 3 have is taken.
        expected.query_scalar = None;
        assert_eq!(ours.config, expected);
        for span in ours.parameters.layout.spans() {
            let found = &ours.parameters.data[span.range.clone()];
            let original = theirs.parameters.tensor(&span.name).unwrap();
            let largest = original.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            // Longer vocabularies repeat the rows of the short one.
            for (i, value) in found.iter().enumerate() {
                let difference = (value - original[i % original.len()]).abs();
                assert!(difference <= largest / 200.0, "{family} {}[{i}]", span.name);
            }
        }
    }
}

#[test]
fn vocabularies_split_texts_as_the_reference_does() {
    let references: BTreeMap<String, Vec<Reference>> =
        serde_json::from_slice(&bytes("gguf/texts.json")).unwrap();
    for family in FAMILIES {
        let tokenizer = load(family).tokenizer;
        for Reference { text, tokens, decoded } in &references[family] {
            let ours = tokenizer.encode(text).unwrap();
            assert_eq!(ours, *tokens, "{family} {text:?}");
            assert_eq!(tokenizer.decode(&ours).unwrap(), *decoded, "{family} {text:?}");
            let mut pieces = Vec::new();
            let words = ours.iter().filter(|&&token| !tokenizer.is_special(token));
            for (i, &token) in words.enumerate() {
                pieces.extend(match i {
                    0 => tokenizer.first_token_bytes(token).unwrap(),
                    _ => tokenizer.token_bytes(token).unwrap(),
                });
            }
            assert_eq!(String::from_utf8(pieces).unwrap(), *decoded, "{family} {text:?}");
        }
    }
}

#[test]
fn the_small_things_come_from_the_metadata() {
    let message = Message { role: "user".to_owned(), content: "the owl".to_owned() };
    for family in FAMILIES {
        let model = load(family);
        let names = ["<|end|>", "<|turn|>"].map(|name| model.tokenizer.token(name).unwrap());
        assert_eq!(model.tokenizer.end_tokens(), names);
        let text = model.template.render(std::slice::from_ref(&message), true).unwrap();
        assert_eq!(text, "<|turn|>the owl");
        assert_eq!(model.template.end(), "<|end|>");
        let begins = ["llama", "gemma", "gemma3_text"].contains(&family);
        assert_eq!(model.tokenizer.begin_token(), begins.then_some(names[1]), "{family}");
    }
}

#[test]
fn a_gguf_model_is_saved_as_a_folder() {
    for family in FAMILIES {
        let original = load(family);
        let folder = tempfile::tempdir().unwrap();
        file::save(&original, folder.path()).unwrap();
        let again = file::load(folder.path()).unwrap();
        assert_eq!(original.decoder.config, again.decoder.config);
        assert_eq!(original.decoder.parameters.data, again.decoder.parameters.data);
        assert_eq!(original.tokenizer.json(), again.tokenizer.json());
        assert_eq!(original.tokenizer.end_tokens(), again.tokenizer.end_tokens());
    }
}
