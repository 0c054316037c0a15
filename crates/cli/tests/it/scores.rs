//! `owlet score` beside Transformers, PEFT and llama.cpp: the same files, the same rows
//! (`tests/golden/scores/make.py`).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::testkit::Folder;

const FAMILIES: [&str; 9] = [
    "llama",
    "qwen2",
    "qwen3",
    "gpt_neox",
    "gpt2",
    "gemma",
    "gemma3_text",
    "mistral",
    "mistral_window",
];

/// By how much a token's log-probability (nats) may differ from a reference that computes in single precision.
const EXACT: f64 = 1e-4;
/// From llama.cpp where the non-linearity is GELU, which it reads from a table in half precision.
const TABLE: f64 = 0.01;
/// From llama.cpp with weights in half precision, to which it rounds activations, too.
const HALF: f64 = 0.02;
/// The same with blocks of eight bits.
const EIGHT: f64 = 0.5;

/// How a tensor's numbers come about: shape, center, scale.
type Drawn = BTreeMap<String, (Vec<usize>, f32, f32)>;

#[derive(Deserialize)]
struct Told {
    stored: String,
    tokenizer: String,
    tensors: Drawn,
    adapter: Drawn,
    answers: usize,
    tokens: usize,
    longest: usize,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scores").join(name)
}

fn models() -> (BTreeMap<String, String>, BTreeMap<String, Told>) {
    #[derive(Deserialize)]
    struct File {
        versions: BTreeMap<String, String>,
        models: BTreeMap<String, Told>,
    }
    let file: File = serde_json::from_slice(&fs::read(golden("models.json")).unwrap()).unwrap();
    (file.versions, file.models)
}

fn numbers(name: &str) -> Vec<f32> {
    let bytes = fs::read(golden("numbers.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    tensor.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

/// The script's `weights`.
fn drawn(name: &str, count: usize, center: f32, scale: f32) -> impl Iterator<Item = f32> + use<> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (1..=count as u64).map(move |step| {
        let mut z = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        center + scale * (((z ^ (z >> 31)) >> 59) as f32 - 16.0) / 16.0
    })
}

/// The bytes of numbers that a type holds exactly.
fn stored(numbers: impl Iterator<Item = f32>, kind: Dtype) -> Vec<u8> {
    let half = |bits: u32| {
        let (sign, rest) = (bits >> 16 & 0x8000, bits & 0x7FFF_FFFF);
        (if rest == 0 { sign } else { sign | ((rest >> 13) - (112 << 10)) }) as u16
    };
    match kind {
        Dtype::BF16 => numbers.flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        Dtype::F16 => numbers.flat_map(|x| half(x.to_bits()).to_le_bytes()).collect(),
        _ => numbers.flat_map(f32::to_le_bytes).collect(),
    }
}

fn write_tensors(path: &Path, prefix: &str, tensors: &Drawn, kind: Dtype) {
    let data = tensors.iter().map(|(name, (shape, center, scale))| {
        let count = shape.iter().product();
        let numbers = drawn(&format!("{prefix}/{name}"), count, *center, *scale);
        (name, shape.clone(), stored(numbers, kind))
    });
    let data: Vec<_> = data.collect();
    let views = data
        .iter()
        .map(|(name, shape, data)| (name, TensorView::new(kind, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn json_at(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Writes a family's folder, and its adapter's beside it, as the script had them.
fn lay(folder: &Folder, family: &str, told: &Told) {
    let at = |name: &str| folder.path().join(name);
    for name in ["model", "adapter"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["config.json", "tokenizer_config.json", "chat_template.jinja"] {
        fs::copy(golden(family).join(name), at("model").join(name)).unwrap();
    }
    let tokenizer = golden("tokenizers").join(format!("{}.json", told.tokenizer));
    fs::copy(tokenizer, at("model/tokenizer.json")).unwrap();
    let kind = match told.stored.as_str() {
        "BF16" => Dtype::BF16,
        "F16" => Dtype::F16,
        _ => Dtype::F32,
    };
    let weights = at("model/model.safetensors");
    write_tensors(&weights, &format!("{family}/model"), &told.tensors, kind);
    let weights = at("adapter/adapter_model.safetensors");
    write_tensors(&weights, &format!("{family}/adapter"), &told.adapter, Dtype::F32);
    let mut config = json_at(&golden(family).join("adapter_config.json"));
    config["base_model_name_or_path"] = json!(at("model"));
    fs::write(at("adapter/adapter_config.json"), config.to_string()).unwrap();
}

/// Every scored token of all rows; checks that there is one answer for each of the reference's.
fn scored(folder: &Folder, model: &str, told: &Told) -> Vec<f64> {
    let mut answers = Vec::new();
    for rows in ["chats.jsonl", "texts.jsonl"] {
        let rows = golden(rows);
        answers.extend(folder.run(&["score", model, rows.to_str().unwrap()]).json_lines());
    }
    assert_eq!(answers.len(), told.answers);
    let numbers = |answer: &Value| -> Vec<f64> {
        serde_json::from_value(answer["log-probabilities"].clone()).unwrap()
    };
    answers.iter().flat_map(numbers).collect()
}

/// The largest difference; an infinite one where other tokens were scored.
fn difference(ours: &[f64], theirs: &[f32]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let differences =
        ours.iter().zip(theirs).map(|(ours, &theirs)| (ours - f64::from(theirs)).abs());
    // What is no number must not be passed over.
    differences.fold(0.0, |most, one| if one <= most { most } else { one })
}

fn line(family: &str, told: &Told, files: &str, reference: &str, how: String) -> String {
    let (answers, tokens) = (told.answers, told.tokens);
    format!("{family:15} {files:19} {reference:26} {answers:7} {tokens:6}   {how}\n")
}

/// A line of the table, which says the difference itself where it is too large.
fn compared(
    family: &str,
    told: &Told,
    files: &str,
    ours: &[f64],
    (reference, key, bound): (&str, &str, f64),
) -> String {
    let found = difference(ours, &numbers(&format!("{family}.{key}")));
    let how = if found <= bound { format!("within {bound}") } else { format!("{found} APART") };
    line(family, told, files, reference, how)
}

/// Exports a model as GGUF and checks that the bytes are those that llama.cpp has read.
fn exported(folder: &Folder, model: &str, storage: &str, expected: &str) -> String {
    let name = format!("{model}-{storage}.gguf");
    folder.run(&["export", model, "--gguf", storage, "-o", &name]).good();
    let digest = Sha256::digest(fs::read(folder.path().join(&name)).unwrap());
    let digest = digest.iter().fold(String::new(), |mut digest, byte| {
        write!(digest, "{byte:02x}").unwrap();
        digest
    });
    assert_eq!(
        digest, expected,
        "{name} is another file than the one that llama.cpp has read; have it read this one: make.py"
    );
    name
}

fn table(family: &str, told: &Told) -> String {
    let folder = Folder::new();
    lay(&folder, family, told);
    let plain = scored(&folder, "model", told);
    let adapted = scored(&folder, "adapter", told);
    let mut table =
        compared(family, told, "folder", &plain, ("Transformers", "transformers", EXACT));
    table += &compared(family, told, "folder, adapter", &adapted, ("PEFT", "peft", EXACT));
    if told.sha256.is_empty() {
        let refused = folder.run(&["export", "model", "--gguf", "f32", "-o", "model.gguf"]);
        assert_ne!(refused.code, 0);
        table += &line(family, told, "GGUF", "", refused.talk.trim_end().to_owned());
        return table;
    }
    let file = |model: &str, storage: &str| {
        let key = if model == "adapter" { "merged" } else { storage };
        exported(&folder, model, storage, &told.sha256[key])
    };
    let has_gelu = family.starts_with("gpt") || family.starts_with("gemma");
    let single = if has_gelu { TABLE } else { EXACT };
    for (storage, bound) in [("f32", single), ("f16", HALF), ("q8_0", EIGHT)] {
        let ours = scored(&folder, &file("model", storage), told);
        let files = format!("GGUF {storage}");
        let blocks = ("Transformers, same blocks", "q8_0.transformers", EXACT);
        if storage == "q8_0" {
            table += &compared(family, told, &files, &ours, blocks);
        }
        let theirs = format!("{storage}.llama.cpp");
        table += &compared(family, told, &files, &ours, ("llama.cpp", &theirs, bound));
    }
    let merged = scored(&folder, &file("adapter", "f32"), told);
    let theirs = ("llama.cpp", "merged.llama.cpp", single);
    table += &compared(family, told, "GGUF f32, merged", &merged, theirs);
    table
}

#[test]
fn scores_are_those_of_transformers_peft_and_llama_cpp() {
    let (versions, models) = models();
    let tables = thread::scope(|scope| {
        let each = FAMILIES.map(|family| {
            let told = &models[family];
            scope.spawn(move || table(family, told))
        });
        each.map(|one| one.join().unwrap())
    });
    let versions: Vec<_> = versions.iter().map(|(name, is)| format!("{name} {is}")).collect();
    let longest = models.values().map(|told| told.longest).max().unwrap();
    let table = format!(
        "{}; sequences of up to {longest} tokens, windows of 24\n\n{:15} {:19} {:26} answers tokens   log-probabilities\n{}",
        versions.join(", "),
        "model",
        "files",
        "reference",
        tables.concat()
    );
    insta::assert_snapshot!(table, @"
    peft 0.21.2, torch 2.15.0+cu132, transformers 5.24.0, xllamacpp 2026.10.11549; sequences of up to 175 tokens, windows of 24

    model           files               reference                  answers tokens   log-probabilities
    llama           folder              Transformers                    10    366   within 0.0001
    llama           folder, adapter     PEFT                            10    366   within 0.0001
    llama           GGUF f32            llama.cpp                       10    366   within 0.0001
    llama           GGUF f16            llama.cpp                       10    366   within 0.02
    llama           GGUF q8_0           Transformers, same blocks       10    366   within 0.0001
    llama           GGUF q8_0           llama.cpp                       10    366   within 0.5
    llama           GGUF f32, merged    llama.cpp                       10    366   within 0.0001
    qwen2           folder              Transformers                    10    358   within 0.0001
    qwen2           folder, adapter     PEFT                            10    358   within 0.0001
    qwen2           GGUF f32            llama.cpp                       10    358   within 0.0001
    qwen2           GGUF f16            llama.cpp                       10    358   within 0.02
    qwen2           GGUF q8_0           Transformers, same blocks       10    358   within 0.0001
    qwen2           GGUF q8_0           llama.cpp                       10    358   within 0.5
    qwen2           GGUF f32, merged    llama.cpp                       10    358   within 0.0001
    qwen3           folder              Transformers                    10    358   within 0.0001
    qwen3           folder, adapter     PEFT                            10    358   within 0.0001
    qwen3           GGUF f32            llama.cpp                       10    358   within 0.0001
    qwen3           GGUF f16            llama.cpp                       10    358   within 0.02
    qwen3           GGUF q8_0           Transformers, same blocks       10    358   within 0.0001
    qwen3           GGUF q8_0           llama.cpp                       10    358   within 0.5
    qwen3           GGUF f32, merged    llama.cpp                       10    358   within 0.0001
    gpt_neox        folder              Transformers                    10    374   within 0.0001
    gpt_neox        folder, adapter     PEFT                            10    374   within 0.0001
    gpt_neox        GGUF f32            llama.cpp                       10    374   within 0.01
    gpt_neox        GGUF f16            llama.cpp                       10    374   within 0.02
    gpt_neox        GGUF q8_0           Transformers, same blocks       10    374   within 0.0001
    gpt_neox        GGUF q8_0           llama.cpp                       10    374   within 0.5
    gpt_neox        GGUF f32, merged    llama.cpp                       10    374   within 0.01
    gpt2            folder              Transformers                    10    374   within 0.0001
    gpt2            folder, adapter     PEFT                            10    374   within 0.0001
    gpt2            GGUF f32            llama.cpp                       10    374   within 0.01
    gpt2            GGUF f16            llama.cpp                       10    374   within 0.02
    gpt2            GGUF q8_0           Transformers, same blocks       10    374   within 0.0001
    gpt2            GGUF q8_0           llama.cpp                       10    374   within 0.5
    gpt2            GGUF f32, merged    llama.cpp                       10    374   within 0.01
    gemma           folder              Transformers                    10    396   within 0.0001
    gemma           folder, adapter     PEFT                            10    396   within 0.0001
    gemma           GGUF f32            llama.cpp                       10    396   within 0.01
    gemma           GGUF f16            llama.cpp                       10    396   within 0.02
    gemma           GGUF q8_0           Transformers, same blocks       10    396   within 0.0001
    gemma           GGUF q8_0           llama.cpp                       10    396   within 0.5
    gemma           GGUF f32, merged    llama.cpp                       10    396   within 0.01
    gemma3_text     folder              Transformers                    10    396   within 0.0001
    gemma3_text     folder, adapter     PEFT                            10    396   within 0.0001
    gemma3_text     GGUF f32            llama.cpp                       10    396   within 0.01
    gemma3_text     GGUF f16            llama.cpp                       10    396   within 0.02
    gemma3_text     GGUF q8_0           Transformers, same blocks       10    396   within 0.0001
    gemma3_text     GGUF q8_0           llama.cpp                       10    396   within 0.5
    gemma3_text     GGUF f32, merged    llama.cpp                       10    396   within 0.01
    mistral         folder              Transformers                    10    402   within 0.0001
    mistral         folder, adapter     PEFT                            10    402   within 0.0001
    mistral         GGUF f32            llama.cpp                       10    402   within 0.0001
    mistral         GGUF f16            llama.cpp                       10    402   within 0.02
    mistral         GGUF q8_0           Transformers, same blocks       10    402   within 0.0001
    mistral         GGUF q8_0           llama.cpp                       10    402   within 0.5
    mistral         GGUF f32, merged    llama.cpp                       10    402   within 0.0001
    mistral_window  folder              Transformers                    10    402   within 0.0001
    mistral_window  folder, adapter     PEFT                            10    402   within 0.0001
    mistral_window  GGUF                                                10    402   error: model configuration: `GGUF` has no words for a window of all layers in Llama: llama.cpp would read the model without it; a model folder has
    ");
}

/// Whether a log-probability moves by five times what may differ, when a setting of `config.json` is another.
fn moved(family: &str, told: &Told, pointer: &str, value: Value) -> String {
    let folder = Folder::new();
    lay(&folder, family, told);
    let path = folder.path().join("model/config.json");
    let mut config = json_at(&path);
    let place = config.pointer_mut(pointer).unwrap();
    assert_ne!(*place, value, "{family} {pointer}");
    let told_as = format!("{family:15} {} {place} as {value}", pointer.trim_start_matches('/'));
    *place = value;
    fs::write(path, config.to_string()).unwrap();
    let found =
        difference(&scored(&folder, "model", told), &numbers(&format!("{family}.transformers")));
    let seen = if found > 5.0 * EXACT { "seen" } else { "NOT SEEN" };
    format!("{told_as}: {seen}\n")
}

/// The rows and models are such that what is read wrongly moves the numbers of the table.
#[test]
fn a_setting_read_wrongly_is_seen_in_the_scores() {
    let (_, models) = models();
    let mut said = String::new();
    for (family, pointer, value) in [
        ("llama", "/rms_norm_eps", json!(1e-3)),
        ("llama", "/rope_parameters/factor", json!(8.0)),
        ("llama", "/rope_parameters/low_freq_factor", json!(2.0)),
        ("llama", "/rope_parameters/original_max_position_embeddings", json!(4096)),
        ("qwen2", "/rope_parameters/rope_theta", json!(500_000.0)),
        ("qwen3", "/rope_parameters/rope_theta", json!(500_000.0)),
        ("gpt_neox", "/rope_parameters/partial_rotary_factor", json!(0.5)),
        ("gpt_neox", "/use_parallel_residual", json!(false)),
        ("gpt_neox", "/hidden_act", json!("gelu_new")),
        ("gpt2", "/activation_function", json!("gelu")),
        ("gemma", "/rms_norm_eps", json!(1e-3)),
        ("gemma3_text", "/sliding_window", json!(23)),
        ("gemma3_text", "/query_pre_attn_scalar", json!(31)),
        ("gemma3_text", "/rope_parameters/full_attention/rope_theta", json!(500_000.0)),
        ("gemma3_text", "/rope_parameters/sliding_attention/rope_theta", json!(20_000.0)),
        ("mistral", "/rope_parameters/rope_theta", json!(20_000.0)),
        ("mistral", "/sliding_window", json!(150)),
        ("mistral_window", "/sliding_window", json!(25)),
        ("mistral_window", "/sliding_window", json!(null)),
    ] {
        write!(said, "{}", moved(family, &models[family], pointer, value)).unwrap();
    }
    insta::assert_snapshot!(said, @"
    llama           rms_norm_eps 0.00001 as 0.001: seen
    llama           rope_parameters/factor 32.0 as 8.0: seen
    llama           rope_parameters/low_freq_factor 1.0 as 2.0: seen
    llama           rope_parameters/original_max_position_embeddings 8192 as 4096: seen
    qwen2           rope_parameters/rope_theta 1000000.0 as 500000.0: seen
    qwen3           rope_parameters/rope_theta 1000000.0 as 500000.0: seen
    gpt_neox        rope_parameters/partial_rotary_factor 0.25 as 0.5: seen
    gpt_neox        use_parallel_residual true as false: seen
    gpt_neox        hidden_act \"gelu\" as \"gelu_new\": seen
    gpt2            activation_function \"gelu_new\" as \"gelu\": seen
    gemma           rms_norm_eps 1e-6 as 0.001: seen
    gemma3_text     sliding_window 24 as 23: seen
    gemma3_text     query_pre_attn_scalar 32 as 31: seen
    gemma3_text     rope_parameters/full_attention/rope_theta 1000000.0 as 500000.0: seen
    gemma3_text     rope_parameters/sliding_attention/rope_theta 10000.0 as 20000.0: seen
    mistral         rope_parameters/rope_theta 10000.0 as 20000.0: seen
    mistral         sliding_window null as 150: seen
    mistral_window  sliding_window 24 as 25: seen
    mistral_window  sliding_window 24 as null: seen
    ");
}
