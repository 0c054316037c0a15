//! GGUF files of every family against the Hugging Face folders of the same weights
//! (`tests/golden/make_gguf.py`).

use owlet_engine::config::{DecoderConfig, Position, RotaryScaling};
use owlet_engine::file::Storage;
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

#[test]
fn a_written_file_is_read_as_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for family in FAMILIES {
        let original = load(family);
        for (storage, step) in [(Storage::F32, 0.0), (Storage::F16, 1e-3), (Storage::Q8, 1e-2)] {
            file::save_gguf(&original, &path, storage).unwrap();
            let again = file::load(&path).unwrap();
            assert_eq!(original.decoder.config, again.decoder.config);
            assert_eq!(original.template.source(), again.template.source());
            assert_eq!(original.template.tokens(), again.template.tokens());
            assert_eq!(original.tokenizer.end_tokens(), again.tokenizer.end_tokens());
            assert_eq!(original.tokenizer.begin_token(), again.tokenizer.begin_token());
            for text in ["the owl's  mouse 12345", "über 🦉\n<|turn|>night"] {
                let tokens = original.tokenizer.encode(text).unwrap();
                assert_eq!(tokens, again.tokenizer.encode(text).unwrap(), "{family}");
            }
            let (ours, theirs) =
                (&original.decoder.parameters.data, &again.decoder.parameters.data);
            for (before, after) in ours.iter().zip(theirs.iter()) {
                assert!(
                    (before - after).abs() <= step * before.abs().max(1.0),
                    "{family} {before} {after}"
                );
            }
            let bytes = std::fs::read(&path).unwrap();
            file::save_gguf(&original, &path, storage).unwrap();
            assert!(bytes == std::fs::read(&path).unwrap(), "same model, same bytes");
        }
    }
}

#[test]
fn what_gguf_has_no_words_for_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let error = file::save_gguf(&model("llama"), &path, Storage::F32).unwrap_err();
    insta::assert_snapshot!(error, @"model configuration: `GGUF` can hold a tokenizer of byte-pair encoding, and this model's is of the kind WordLevel; a model folder holds every kind");
    assert!(!path.exists());
}

/// A file with further metadata, filled up so that its weights stay where they are.
fn with(
    family: &str,
    pairs: &[(&str, u32, &[u8])],
) -> Result<owlet_engine::Model, owlet_engine::Error> {
    let file = bytes(&format!("gguf/{family}.gguf"));
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    let mut added = Vec::new();
    for (key, kind, value) in pairs {
        text(&mut added, key);
        added.extend(kind.to_le_bytes());
        added.extend(*value);
    }
    text(&mut added, "z");
    added.extend(8_u32.to_le_bytes());
    let fill = (added.len() + 8).next_multiple_of(32) - added.len() - 8;
    text(&mut added, &"z".repeat(fill));
    let count = u64::from_le_bytes(file[16..24].try_into().unwrap()) + pairs.len() as u64 + 1;
    file::from_gguf(&[&file[..16], &count.to_le_bytes(), &added, &file[24..]].concat())
}

#[test]
fn settings_that_would_change_the_arithmetic_are_refused_by_name() {
    const WHOLE: u32 = 4;
    const NUMBER: u32 = 6;
    const FLAG: u32 = 7;
    let number = |value: f32| value.to_le_bytes();
    let two = 2_u32.to_le_bytes();
    for (key, kind, value) in [
        ("qwen2.rope.scaling.factor", NUMBER, &number(1.0)[..]),
        ("qwen2.rope.scale_linear", NUMBER, &number(0.0)),
        ("qwen2.expert_count", WHOLE, &[0; 4]),
        ("qwen2.attention.causal", FLAG, &[1]),
        ("qwen2.final_logit_softcapping", NUMBER, &number(0.0)),
        ("general.note", WHOLE, &two),
    ] {
        with("qwen2", &[(key, kind, value)]).unwrap();
    }
    let refused = [
        ("qwen2.rope.scaling.factor", NUMBER, &number(4.0)[..]),
        ("qwen2.rope.scale_linear", NUMBER, &number(4.0)),
        ("qwen2.rope.scaling.attn_factor", NUMBER, &number(2.0)),
        ("qwen2.expert_count", WHOLE, &two),
        ("qwen2.attention.causal", FLAG, &[0]),
        ("qwen2.final_logit_softcapping", NUMBER, &number(30.0)),
        ("qwen2.logit_scale", NUMBER, &number(2.0)),
        ("qwen2.attention.sliding_window", WHOLE, &two),
        ("split.count", WHOLE, &two),
    ];
    let errors = refused.map(|pair| with("qwen2", &[pair]).unwrap_err().to_string());
    insta::assert_snapshot!(errors.join("\n"), @r"
    `model.gguf` is not a usable GGUF file: rotary scaling `linear` by 4 is not supported
    `model.gguf` is not a usable GGUF file: rotary scaling `linear` by 4 is not supported
    `model.gguf` is not a usable GGUF file: `qwen2.rope.scaling.attn_factor` is set, which is not supported
    `model.gguf` is not a usable GGUF file: `qwen2.expert_count` is set, which is not supported
    `model.gguf` is not a usable GGUF file: `qwen2.attention.causal` is set, which is not supported
    `model.gguf` is not a usable GGUF file: `qwen2.final_logit_softcapping` is set, which is not supported
    `model.gguf` is not a usable GGUF file: `qwen2.logit_scale` is set, which is not supported
    `model.gguf` is not a usable GGUF file: `qwen2.attention.sliding_window` is set, which is not supported
    `model.gguf` is not a usable GGUF file: it is part 1 of 2 of a model
    ");
}

#[test]
fn the_parts_of_a_split_model_are_read_together() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    let parts = file::gguf_parts(&folder.path().join(names[1]));
    assert_eq!(parts, names.map(|name| folder.path().join(name)));
    let one = folder.path().join("m-1-of-2.gguf");
    assert_eq!(file::gguf_parts(&one), [one]);
}
