//! Damaged and hostile files: an error that names the place, never a panic. What they may make a
//! loader allocate is measured in `tests/memory.rs`.

use std::sync::LazyLock;

use owlet_engine::file::{self, Precision};
use owlet_engine::{Message, Model, Template, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::tiny::{FAMILIES, bytes, model};

static BASE: LazyLock<Model> = LazyLock::new(|| model("llama"));

fn error<T>(result: owlet_engine::Result<T>) -> String {
    result.err().expect("the file is damaged").to_string()
}

/// A folder's four files.
fn parts(family: &str) -> [Vec<u8>; 4] {
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        .map(|name| bytes(&format!("{family}/{name}")))
}

fn load(parts: &[Vec<u8>; 4]) -> owlet_engine::Result<Model> {
    file::from_parts(&parts[0], &parts[1], &parts[2], &parts[3])
}

/// Changes some bytes, then cuts or repeats a stretch.
fn damage(mut bytes: Vec<u8>, flips: &[(usize, u8)], cut: Option<(usize, usize, bool)>) -> Vec<u8> {
    for &(place, value) in flips {
        let place = place % bytes.len();
        bytes[place] ^= value;
    }
    if let Some((start, length, repeat)) = cut {
        let start = start % bytes.len();
        let end = (start + length).min(bytes.len());
        let stretch = if repeat { bytes[start..end].to_vec() } else { Vec::new() };
        let place = if repeat { start..start } else { start..end };
        bytes.splice(place, stretch);
    }
    bytes
}

fn flips() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)
}

fn cut() -> impl Strategy<Value = Option<(usize, usize, bool)>> {
    prop::option::of((any::<usize>(), 1..200_usize, any::<bool>()))
}

/// Damage near the front, where headers are.
fn early(flips: &[(usize, u8)], within: usize) -> Vec<(usize, u8)> {
    flips.iter().map(|&(place, value)| (place % within, value)).collect()
}

#[test]
fn a_gguf_file_cut_off_anywhere_is_refused() {
    let whole = bytes("gguf/llama.gguf");
    for end in (0..whole.len()).filter(|end| *end < 3000 || end % 211 == 0) {
        assert!(file::from_gguf(&whole[..end]).is_err(), "{end}");
    }
    file::from_gguf(&whole).unwrap();
}

#[test]
fn a_safetensors_file_cut_off_anywhere_is_refused() {
    let mut parts = parts("gpt2");
    let whole = parts[1].clone();
    for end in (0..whole.len()).filter(|end| *end < 3000 || end % 211 == 0) {
        parts[1] = whole[..end].to_vec();
        assert!(load(&parts).is_err(), "{end}");
    }
    parts[1] = [whole, vec![0]].concat();
    assert!(load(&parts).is_err());
}

/// A GGUF file of metadata and tensor descriptions, without weights.
fn gguf(version: u32, tensors: u64, pairs: u64, rest: &[&[u8]]) -> Vec<u8> {
    let head = [&b"GGUF"[..], &version.to_le_bytes(), &tensors.to_le_bytes(), &pairs.to_le_bytes()];
    [head.concat(), rest.concat()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn tensor(name: &str, shape: &[u64], kind: u32, start: u64) -> Vec<u8> {
    let shape_bytes: Vec<u8> = shape.iter().flat_map(|length| length.to_le_bytes()).collect();
    [
        text(name),
        (shape.len() as u32).to_le_bytes().to_vec(),
        shape_bytes,
        kind.to_le_bytes().to_vec(),
        start.to_le_bytes().to_vec(),
    ]
    .concat()
}

#[test]
fn impossible_gguf_headers_are_refused_by_place() {
    let refused = |file: Vec<u8>| error(file::from_gguf(&file));
    let (u32_, string, array) = (4_u32.to_le_bytes(), 8_u32.to_le_bytes(), 9_u32.to_le_bytes());
    let huge = (1_u64 << 62).to_le_bytes();
    let pad = [0_u8; 256];
    insta::assert_snapshot!(refused(b"GGUX".to_vec()), @"`model.gguf` is not a usable GGUF file: at byte 4: expected the letters GGUF");
    insta::assert_snapshot!(refused(gguf(1, 0, 0, &[])), @"`model.gguf` is not a usable GGUF file: at byte 8: version 1, expected 2 or 3");
    insta::assert_snapshot!(refused(gguf(3_u32.swap_bytes(), 0, 0, &[])), @"`model.gguf` is not a usable GGUF file: at byte 8: a big-endian file; convert it to little-endian");
    insta::assert_snapshot!(refused(gguf(3, 0, u64::MAX, &[&pad])), @"`model.gguf` is not a usable GGUF file: at byte 24: 18446744073709551615 metadata pairs cannot fit in the 256 bytes left");
    insta::assert_snapshot!(refused(gguf(3, 1 << 60, 0, &[&pad])), @"`model.gguf` is not a usable GGUF file: at byte 24: 1152921504606846976 tensors cannot fit in the 256 bytes left");
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&huge, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 32: a key is too long, 4611686018427387904 bytes, expected at most 65535");
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&text("k"), &string, &huge, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 45: a text is too long, 4611686018427387904 bytes, expected at most 16777216");
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&text("k"), &array, &u32_, &huge, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 49: 4611686018427387904 array elements cannot fit in the 256 bytes left");
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&text("k"), &array, &array, &huge, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 49: arrays of arrays are not supported");
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&text("k"), &[99, 0, 0, 0], &pad])), @"`model.gguf` is not a usable GGUF file: at byte 37: 99 is not a metadata type");
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&[1, 0, 0, 0, 0, 0, 0, 0, 0xFF], &pad])), @"`model.gguf` is not a usable GGUF file: at byte 33: a text is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0");
    let twice = [text("k"), u32_.to_vec(), vec![0; 4]].concat();
    insta::assert_snapshot!(refused(gguf(3, 0, 2, &[&twice, &twice, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 58: `k` is there twice");
    let aligned = [text("general.alignment"), u32_.to_vec(), 7_u32.to_le_bytes().to_vec()].concat();
    insta::assert_snapshot!(refused(gguf(3, 0, 1, &[&aligned])), @"`model.gguf` is not a usable GGUF file: at byte 57: `general.alignment` is not a multiple of 8 up to 65536");

    let one = |tensor: &[u8]| refused(gguf(3, 1, 0, &[tensor, &pad]));
    insta::assert_snapshot!(one(&tensor("t", &[4; 5], 0, 0)), @"`model.gguf` is not a usable GGUF file: at byte 37: tensor `t` has 5 dimensions, expected 1 to 4");
    insta::assert_snapshot!(one(&tensor("t", &[], 0, 0)), @"`model.gguf` is not a usable GGUF file: at byte 37: tensor `t` has 0 dimensions, expected 1 to 4");
    insta::assert_snapshot!(one(&tensor("t", &[0, 4], 0, 0)), @"`model.gguf` is not a usable GGUF file: at byte 45: tensor `t` has an impossible size");
    insta::assert_snapshot!(one(&tensor("t", &[1 << 40, 1 << 40], 0, 0)), @"`model.gguf` is not a usable GGUF file: at byte 53: tensor `t` has an impossible size");
    insta::assert_snapshot!(one(&tensor("t", &[31, 4], 8, 0)), @"`model.gguf` is not a usable GGUF file: at byte 57: tensor `t` has rows of 31, not a multiple of its block of 32");
    insta::assert_snapshot!(one(&tensor("t", &[32], 16, 0)), @"`model.gguf` is not a usable GGUF file: at byte 49: tensor `t` has type 16, expected F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K");
    insta::assert_snapshot!(one(&tensor("t", &[8], 0, 8)), @"`model.gguf` is not a usable GGUF file: at byte 57: tensor `t` begins at 8, not a multiple of 32");
    insta::assert_snapshot!(one(&tensor("t", &[8], 0, u64::MAX - 31)), @"`model.gguf` is not a usable GGUF file: at byte 57: tensor `t` reaches beyond the end of the file; it is cut off or damaged");
    insta::assert_snapshot!(one(&tensor("t", &[1 << 20], 0, 0)), @"`model.gguf` is not a usable GGUF file: at byte 57: tensor `t` reaches beyond the end of the file; it is cut off or damaged");
    let both = [tensor("t", &[8], 0, 0), tensor("t", &[8], 0, 32)].concat();
    insta::assert_snapshot!(refused(gguf(3, 2, 0, &[&both, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 90: tensor `t` is there twice");
    let both = [tensor("t", &[16], 0, 0), tensor("u", &[8], 0, 32)].concat();
    insta::assert_snapshot!(refused(gguf(3, 2, 0, &[&both, &pad])), @"`model.gguf` is not a usable GGUF file: at byte 90: tensors `t` and `u` overlap");
    insta::assert_snapshot!(refused(gguf(3, 0, 0, &[])), @"`model.gguf` is not a usable GGUF file: `tokenizer.ggml.tokens` is missing");
}

#[test]
fn impossible_safetensors_headers_are_refused() {
    let [config, _, tokenizer, tokenizer_config] = parts("llama");
    let refused = |header: &str, data: usize| {
        let length = (header.len() as u64).to_le_bytes();
        let weights = [&length[..], header.as_bytes(), &vec![0; data]].concat();
        error(file::from_parts(&config, &weights, &tokenizer, &tokenizer_config))
    };
    insta::assert_snapshot!(refused("[]", 0), @"`model.safetensors` is not a usable safetensors file: its header cannot be used: invalid type: sequence, expected struct HashMetadata at line 1 column 0");
    insta::assert_snapshot!(refused(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4), @"`model.safetensors` is not a usable safetensors file: its header cannot be used: invalid shape, data type, or offset for tensor");
    insta::assert_snapshot!(refused(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8), @"`model.safetensors` is not a usable safetensors file: its header cannot be used: invalid offset for tensor `a`");
    insta::assert_snapshot!(refused(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,0]}}"#, 0), @"`model.safetensors` is not a usable safetensors file: its header cannot be used: overflow computing buffer size from shape and/or element type");
    insta::assert_snapshot!(refused(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8), @"`model.safetensors` is not a usable safetensors file: its tensors take 4 bytes, but 8 follow the header; the file is cut off or damaged");
    insta::assert_snapshot!(refused(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4), @"tensor `a`: belongs to no part of this model as `config.json` describes it; without it the model would be another");
}

#[test]
fn weights_of_another_type_are_refused() {
    let mut changed = parts("llama");
    let header = String::from_utf8_lossy(&changed[1][..2000]).into_owned();
    let place = header.find("\"F32\"").unwrap();
    changed[1][place..place + 5].copy_from_slice(b"\"I32\"");
    insta::assert_snapshot!(error(load(&changed)), @"tensor `lm_head.weight`: has type I32, expected F32, F16 or BF16");
}

#[test]
fn tokenizers_whose_settings_contradict_one_another_are_refused() {
    let used = |settings: Value| {
        let mut file = json!({
            "version": "1.0",
            "added_tokens": [],
            "model": {"type": "BPE", "vocab": {" ": 0, "a": 1, "b": 2, "ab": 3}, "merges": [["a", "b"]]},
        });
        for (name, value) in settings.as_object().unwrap() {
            file[name] = value.clone();
        }
        let tokenizer = Tokenizer::from_json(file.to_string().as_bytes())?;
        let _ = tokenizer.begin_token();
        tokenizer.decode(&tokenizer.encode("ab  a")?)
    };
    for settings in [
        json!({"decoder": {"type": "Strip", "content": "a", "start": 1, "stop": 1}}),
        json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAAAAAA"}}),
        json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}),
        json!({"normalizer": {"type": "Sequence", "normalizers": vec![
            json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}); 40]}}),
        json!({"decoder": {"type": "Sequence", "decoders": vec![
            json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "aaaaaaaa"}); 9]}}),
        json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}}),
        json!({"model": {
            "type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]],
            "continuing_subword_prefix": "##",
        }}),
        json!({"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.0]]}}),
    ] {
        assert!(used(settings.clone()).is_err(), "{settings}");
    }
    // These ask for too much, or for what is not there, and are answered without it.
    for settings in [
        json!({"padding": {
            "strategy": {"Fixed": 1_u64 << 60}, "direction": "Right", "pad_to_multiple_of": 0,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "x",
        }}),
        json!({"post_processor": {
            "type": "TemplateProcessing", "pair": [], "special_tokens": {}, "single": [
                {"SpecialToken": {"id": "Q", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            ],
        }}),
    ] {
        let text = used(settings.clone());
        assert!(text.as_ref().is_ok_and(|text| text.contains("ab")), "{settings} {text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_gguf_files_never_panic(
        family in 0..6_usize, flips in flips(), cut in cut(), front in any::<bool>()
    ) {
        let whole = bytes(&format!("gguf/{}.gguf", FAMILIES[family]));
        let flips = if front { early(&flips, 1500) } else { flips };
        let _ = file::from_gguf(&damage(whole, &flips, cut));
    }

    #[test]
    fn damaged_folders_never_panic(
        family in 0..6_usize, which in 0..4_usize, flips in flips(), cut in cut()
    ) {
        let mut parts = parts(FAMILIES[family]);
        let flips = if which == 1 { early(&flips, 3000) } else { flips };
        parts[which] = damage(std::mem::take(&mut parts[which]), &flips, cut);
        let _ = load(&parts);
    }

    #[test]
    fn damaged_adapters_never_panic(which in 0..2_usize, flips in flips(), cut in cut()) {
        let mut parts = ["adapter_config.json", "adapter_model.safetensors"]
            .map(|name| bytes(&format!("llama/adapter/{name}")));
        let flips = if which == 1 { early(&flips, 3000) } else { flips };
        parts[which] = damage(std::mem::take(&mut parts[which]), &flips, cut);
        let _ = file::adapter_from_parts(&parts[0], &parts[1], &BASE);
    }

    #[test]
    fn damaged_tokenizers_never_panic(
        family in 0..6_usize, flips in flips(), cut in cut(), text in ".{0,20}"
    ) {
        let whole = bytes(&format!("gguf/{}.gguf", FAMILIES[family]));
        let whole = file::from_gguf(&whole).unwrap().tokenizer.json().to_vec();
        if let Ok(tokenizer) = Tokenizer::from_json(&damage(whole, &flips, cut))
            && let Ok(tokens) = tokenizer.encode(&text)
        {
            let _ = tokenizer.decode(&tokens);
        }
    }

    #[test]
    fn damaged_templates_never_panic(flips in flips(), cut in cut()) {
        let whole = br"{%- for message in messages %}{% if loop.first and message['role'] != 'system' %}
            {{- '<|im_start|>system\n' ~ strftime_now('%d %b %Y') | upper }}{% endif %}
            {{- bos_token + message.content.strip()[1:] | tojson }}{% set ns = namespace(x=1) %}
            {%- if ns.x * 3 > 2 %}{{ raise_exception('no') if false else eos_token }}{% endif %}
        {%- endfor %}{% macro m(a, b=2) %}{{ a * b }}{% endmacro %}{{ m('x') }}";
        let damaged = damage(whole.to_vec(), &flips, cut);
        let message = Message { role: "user".to_owned(), content: "hi".to_owned() };
        if let Ok(template) = Template::new(&String::from_utf8_lossy(&damaged)) {
            let _ = template.render(&[message], true);
        }
    }

    #[test]
    fn any_numbers_survive_a_file(values in prop::collection::vec(any::<f32>(), 32)) {
        let mut model = BASE.clone();
        let mut decoder = (*model.decoder).clone();
        let finite = values.iter().all(|value| value.is_finite());
        decoder.parameters.data[..32].copy_from_slice(&values);
        model = model.with_decoder(decoder.into());
        let parts = file::parts(&model, Precision::F32).unwrap();
        let part = |name: &str| parts[name].as_slice();
        let again = file::from_parts(
            part("config.json"), part("model.safetensors"), part("tokenizer.json"), part("tokenizer_config.json"),
        );
        prop_assert_eq!(again.is_ok(), finite);
        if let Ok(again) = again {
            let bits = |model: &Model| -> Vec<u32> {
                model.decoder.parameters.data.iter().map(|value| value.to_bits()).collect()
            };
            prop_assert_eq!(bits(&model), bits(&again));
        }
    }
}
