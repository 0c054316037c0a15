//! A model as a GGUF file (version 3), laid out as llama.cpp's converter does.
//!
//! What is written is read again before it counts: a shape, splitting or template that the format has no
//! words for is refused, never written nearly right.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value as Json, json};

use super::header::{ARRAY, BOOL, FLOAT32, Gguf, INT32, STRING, UINT32, Value};
use super::model::{DIVISORS, SPECIAL, build, config as read_config, family, stored};
use super::tokenizer::{
    CONTROL, NORMAL, SPLITTINGS, UNKNOWN, UNUSED, USER_DEFINED, marks, splitting,
};
use crate::config::{DecoderConfig, Family, Position, RotaryScaling};
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::file::bytes::{f32_to_f16, to_f32};
use crate::file::{cannot_write, folder, opened};
use crate::model::Model;
use crate::tokenizer::Tokenizer;

/// How a GGUF file holds matrices; vectors are single precision in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Single precision.
    F32,
    /// Half precision (IEEE 754 binary16).
    F16,
    /// Eight bits a number, 32 of them with a common scale; rows of other lengths are half precision.
    Q8,
}

/// Numbers that share a scale.
const BLOCK: usize = 32;
const ALIGNMENT: usize = 32;

/// A tensor to be written.
struct Tensor {
    shape: Vec<usize>,
    holds: Holds,
    /// The spans of parameters that it is made of; none of what follows from the settings.
    spans: Vec<usize>,
}

/// How a tensor holds its numbers.
#[derive(Clone, Copy)]
enum Holds {
    Single,
    Half,
    Blocks,
}

impl Holds {
    /// The type's number.
    fn kind(self) -> u32 {
        match self {
            Self::Single => 0,
            Self::Half => 1,
            Self::Blocks => 8,
        }
    }

    /// Bytes of so many numbers.
    fn bytes(self, numbers: usize) -> usize {
        match self {
            Self::Single => 4 * numbers,
            Self::Half => 2 * numbers,
            Self::Blocks => numbers / BLOCK * (BLOCK + 2),
        }
    }
}

type Pairs = Vec<(String, Value)>;

fn bad(reason: impl Into<String>) -> Error {
    Error::config("GGUF", reason)
}

/// Writes a model; an adapter is merged into the weights.
pub(in crate::file) fn save(model: &Model, path: &Path, storage: Storage) -> Result<()> {
    let decoder = folder::merged(model)?;
    let config = &decoder.config;
    check_window(config)?;
    let language = language(model)?;
    let mut pairs = settings(config, storage)?;
    pairs.extend(language);
    let written = write(path, &pairs, &decoder, storage).and_then(|()| check(model, config, path));
    if written.is_err() {
        // What is half written is of no use, and what kept it from being written may keep it from going.
        let _ = fs::remove_file(path);
    }
    written
}

/// Fails for a window that the family has no word for.
fn check_window(config: &DecoderConfig) -> Result<()> {
    let usual = DecoderConfig::of(config.family, config.width);
    if config.local.is_some() && usual.local.is_none() {
        return Err(bad(format!(
            "has no words for a window of all layers in {:?}: llama.cpp would read the model without it; a model folder has",
            config.family
        )));
    }
    Ok(())
}

/// Fails unless what was written is read as the same model.
fn check(model: &Model, config: &DecoderConfig, path: &Path) -> Result<()> {
    let mut gguf = Gguf::open(path, opened::open(path)?)?;
    if read_config(&mut gguf)? != *config {
        return Err(bad(format!("has no words for this shape of {:?}", config.family)));
    }
    let again = build(gguf)?;
    let (ours, theirs) = (&model.tokenizer, &again.tokenizer);
    let same =
        |id: u32| ours.name(id) == theirs.name(id) && ours.is_special(id) == theirs.is_special(id);
    if !(0..ours.vocabulary() as u32).all(same) || ours.end_tokens() != theirs.end_tokens() {
        return Err(bad("has no words for this tokenizer's special tokens"));
    }
    if bpe(ours)?.1 != bpe(theirs)?.1 {
        return Err(bad("has no words for this tokenizer's merges"));
    }
    if model.template.tokens() != again.template.tokens() {
        return Err(bad("has no words for all special tokens that the chat template may write"));
    }
    Ok(())
}

/// What the metadata says of the shape.
fn settings(config: &DecoderConfig, storage: Storage) -> Result<Pairs> {
    let names = ["llama", "qwen2", "qwen3", "gpt2", "gptneox", "gemma", "gemma3"];
    let architecture = names.into_iter().find(|name| family(name) == Some(config.family));
    let architecture = architecture.ok_or_else(|| bad("has no name for this family"))?;
    // A non-linearity is never said.
    let usual = DecoderConfig::of(config.family, config.width);
    if config.activation != usual.activation || config.embedding_scale != usual.embedding_scale {
        return Err(bad(format!(
            "has no words for the non-linearity or scale of this model, which are not those of {:?}; a model folder has",
            config.family
        )));
    }
    let whole = |value: usize| Value::Whole(value as i128);
    let number = |value: f32| Value::Number(f64::from(value));
    let mut own = vec![
        ("context_length", whole(config.context)),
        ("embedding_length", whole(config.width)),
        ("block_count", whole(config.layers)),
        ("feed_forward_length", whole(config.hidden)),
        ("attention.head_count", whole(config.heads)),
        ("attention.head_count_kv", whole(config.kv_heads)),
        ("attention.key_length", whole(config.head_width)),
        ("attention.value_length", whole(config.head_width)),
    ];
    let kind = if config.norm.centered {
        "attention.layer_norm_epsilon"
    } else {
        "attention.layer_norm_rms_epsilon"
    };
    own.push((kind, number(config.norm.epsilon)));
    if let Position::Rotary { theta, width, .. } = config.position {
        own.extend([("rope.freq_base", number(theta)), ("rope.dimension_count", whole(width))]);
    }
    if config.family == Family::Gemma3 {
        own.push((
            "attention.sliding_window_pattern",
            whole(config.local.map_or(1, |local| local.every)),
        ));
        own.push(("attention.sliding_window", whole(config.local.map_or(0, |local| local.window))));
    }
    if let Some(local) = config.local {
        own.push(("rope.freq_base_swa", number(local.theta)));
    }
    if config.family == Family::GptNeox {
        own.push(("use_parallel_residual", Value::Flag(config.parallel)));
    }
    // The numbers are those of `llama_ftype`.
    let file_type = match storage {
        Storage::F32 => 0,
        Storage::F16 => 1,
        Storage::Q8 => 7,
    };
    let text = |key: &str, value: &str| (key.to_owned(), Value::Text(value.to_owned()));
    let mut pairs = vec![text("general.architecture", architecture), text("general.type", "model")];
    pairs.push(("general.file_type".to_owned(), whole(file_type)));
    pairs.extend(own.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value)));
    Ok(pairs)
}

/// A `tokenizer.json`, and its merges as pairs; fails for another kind than byte-pair encoding.
fn bpe(tokenizer: &Tokenizer) -> Result<(Json, Vec<(String, String)>)> {
    let json: Json =
        serde_json::from_slice(tokenizer.json()).map_err(|error| bad(error.to_string()))?;
    let merges = json["model"]["merges"].as_array().filter(|_| json["model"]["type"] == "BPE");
    let merges = merges.ok_or_else(|| {
        let kind = json["model"]["type"].as_str().unwrap_or("unknown");
        bad(format!(
            "can hold a tokenizer of byte-pair encoding, and this model's is of the kind {kind}; a model folder holds every kind"
        ))
    })?;
    let pair = |merge: &Json| {
        let two = merge.as_array().map(|two| (two.first(), two.get(1)));
        let two = two.and_then(|(l, r)| Some((l?.as_str()?, r?.as_str()?)));
        two.or_else(|| merge.as_str()?.split_once(' ')).map(|(l, r)| (l.to_owned(), r.to_owned()))
    };
    let merges: Option<Vec<_>> = merges.iter().map(pair).collect();
    let merges = merges.ok_or_else(|| bad("cannot hold merges that are not pairs"))?;
    Ok((json, merges))
}

/// What the metadata says of tokenizer and template.
fn language(model: &Model) -> Result<Pairs> {
    let (tokenizer, template) = (&model.tokenizer, &model.template);
    let (json, merges) = bpe(tokenizer)?;
    let added = tokenizer.added();
    let count = model.decoder.config.vocabulary.max(tokenizer.vocabulary());
    let unknown = json["model"]["unk_token"].as_str();
    let (mut words, mut types) = (Vec::new(), Vec::new());
    for id in 0..count as u32 {
        let name = tokenizer.name(id);
        types.push(match (&name, added.get(&id)) {
            (None, _) => UNUSED,
            (Some(name), _) if Some(name.as_str()) == unknown => UNKNOWN,
            (_, Some(token)) if token.special => CONTROL,
            (_, Some(_)) => USER_DEFINED,
            _ => NORMAL,
        });
        words.push(name.unwrap_or_else(|| format!("[PAD{id}]")));
    }
    let mut pairs = Pairs::new();
    let mut set = |key: &str, value: Value| pairs.push((format!("tokenizer.ggml.{key}"), value));
    let plain = |value: &Json| {
        let mut value = value.clone();
        without_offsets(&mut value);
        value
    };
    if json["decoder"]["type"] == "ByteLevel" {
        let fits = |name: &&str| {
            splitting(name).is_some_and(|(pre_tokenizer, normalizer, whole)| {
                plain(&pre_tokenizer) == plain(&json["pre_tokenizer"])
                    && normalizer == json["normalizer"]
                    && json["model"]["ignore_merges"].as_bool().unwrap_or(false) == whole
            })
        };
        let pre = SPLITTINGS.into_iter().find(fits);
        let pre = pre.ok_or_else(|| bad("has no name for how this tokenizer splits texts"))?;
        set("model", Value::Text("gpt2".to_owned()));
        set("pre", Value::Text(pre.to_owned()));
        set("merges", Value::Texts(merges.iter().map(|(l, r)| format!("{l} {r}")).collect()));
    } else {
        let prefix = [true, false].into_iter().find(|&prefix| {
            let (normalizer, decoder) = marks(prefix);
            normalizer == json["normalizer"] && decoder == json["decoder"]
        });
        let prefix = prefix.filter(|_| json["pre_tokenizer"].is_null());
        let prefix =
            prefix.ok_or_else(|| bad("has no name for how this tokenizer splits texts"))?;
        let mut scores: BTreeMap<String, f32> = BTreeMap::new();
        for (rank, (left, right)) in merges.iter().enumerate() {
            scores.entry(format!("{left}{right}")).or_insert(-(rank as f32) - 1.0);
        }
        let least = -(merges.len() as f32) - 1000.0;
        set("model", Value::Text("llama".to_owned()));
        set(
            "scores",
            Value::Numbers(words.iter().map(|word| *scores.get(word).unwrap_or(&least)).collect()),
        );
        set("add_space_prefix", Value::Flag(prefix));
    }
    set("tokens", Value::Texts(words));
    set("token_type", Value::Wholes(types));
    set("add_bos_token", Value::Flag(tokenizer.begin_token().is_some()));
    let mut id_of = |key: &str, id: u32| set(&format!("{key}_token_id"), Value::Whole(id.into()));
    for (name, key) in SPECIAL.iter().filter(|(_, key)| *key != "eos") {
        let id = template.tokens().get(*name).and_then(|text| tokenizer.token(text));
        if let Some(id) = id {
            id_of(key, id);
        }
    }
    let mut ends = tokenizer.end_tokens().to_vec();
    let last = tokenizer.token(template.end());
    ends.sort_by_key(|&id| Some(id) != last);
    if ends.len() > 3 {
        return Err(bad("can only hold three tokens that end a turn"));
    }
    for (key, &id) in ["eos", "eot", "eom"].iter().zip(&ends) {
        id_of(key, id);
    }
    pairs.push(("tokenizer.chat_template".to_owned(), Value::Text(template.source().to_owned())));
    Ok(pairs)
}

/// Where offsets are cut changes no token.
fn without_offsets(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            fields.remove("trim_offsets");
            fields.values_mut().for_each(without_offsets);
        }
        Json::Array(values) => values.iter_mut().for_each(without_offsets),
        _ => {}
    }
    if value["add_prefix_space"] == json!(null) && value["type"] == "ByteLevel" {
        value["add_prefix_space"] = json!(true);
    }
}

/// What is written, by name.
fn tensors(decoder: &Decoder, storage: Storage) -> BTreeMap<String, Tensor> {
    let config = &decoder.config;
    let holds = |name: &str, shape: &[usize]| match storage {
        _ if shape.len() < 2 || name == "position_embd.weight" => Holds::Single,
        Storage::F32 => Holds::Single,
        Storage::Q8 if shape.last().is_some_and(|columns| columns % BLOCK == 0) => Holds::Blocks,
        Storage::F16 | Storage::Q8 => Holds::Half,
    };
    let mut all: BTreeMap<String, Tensor> = BTreeMap::new();
    for (at, span) in decoder.parameters.layout.spans().iter().enumerate() {
        let place = stored(config, &span.name);
        let shape = place.part.stored_shape(&span.shape);
        let holds = holds(&place.name, &shape);
        let tensor = Tensor { shape, holds, spans: Vec::new() };
        all.entry(place.name).or_insert(tensor).spans.push(at);
    }
    if let Position::Rotary { width, scaling: Some(_), .. } = config.position {
        let tensor = Tensor { shape: vec![width / 2], holds: Holds::Single, spans: Vec::new() };
        all.insert(DIVISORS.to_owned(), tensor);
    }
    all
}

/// The bytes of a tensor: one at a time, for all of them are a second model in memory.
fn bytes(decoder: &Decoder, name: &str, tensor: &Tensor) -> Result<Vec<u8>> {
    let mut values = vec![0.0; tensor.shape.iter().product()];
    for &at in &tensor.spans {
        let span = &decoder.parameters.layout.spans()[at];
        let place = stored(&decoder.config, &span.name);
        place.part.put(&decoder.parameters.data[span.range.clone()], &span.shape, &mut values);
    }
    if let (true, Position::Rotary { theta, width, scaling: Some(scaling) }) =
        (tensor.spans.is_empty(), decoder.config.position)
    {
        values = divisors(theta, width, scaling);
    }
    Ok(match tensor.holds {
        Holds::Single => to_f32(&values),
        Holds::Blocks => eight_bits(&values),
        Holds::Half => {
            if let Some(large) = values.iter().find(|value| value.abs() >= 65_520.0) {
                let why = format!("has {large}, too large for half precision");
                return Err(Error::tensor(name, why));
            }
            values.iter().flat_map(|&value| f32_to_f16(value).to_le_bytes()).collect()
        }
    })
}

/// Llama 3's scaling as the divisor of each frequency.
fn divisors(theta: f32, width: usize, scaling: RotaryScaling) -> Vec<f32> {
    let RotaryScaling { factor, low, high, original_context } = scaling;
    let [factor, low, high, context] = [factor, low, high, original_context].map(f64::from);
    let divisor = |i: usize| {
        let frequency = f64::from(theta).powf(-2.0 * i as f64 / width as f64);
        let turns = context * frequency / (2.0 * std::f64::consts::PI);
        let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
    };
    (0..width / 2).map(divisor).collect()
}

/// Blocks of 32 numbers as signed bytes of the largest's 127th (llama.cpp's `quantize_row_q8_0_ref`).
fn eight_bits(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * (BLOCK + 2));
    for block in values.chunks_exact(BLOCK) {
        let scale = block.iter().fold(0.0_f32, |most, value| most.max(value.abs())) / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        bytes.extend(f32_to_f16(scale).to_le_bytes());
        bytes.extend(block.iter().map(|value| ((value * inverse).round() as i8).cast_unsigned()));
    }
    bytes
}

fn write(path: &Path, pairs: &Pairs, decoder: &Decoder, storage: Storage) -> Result<()> {
    let tensors = tensors(decoder, storage);
    let mut header = b"GGUF".to_vec();
    header.extend(3_u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        text(&mut header, key);
        put(&mut header, value);
    }
    let mut start = 0_usize;
    for (name, Tensor { shape, holds, .. }) in &tensors {
        text(&mut header, name);
        header.extend((shape.len() as u32).to_le_bytes());
        for length in shape.iter().rev() {
            header.extend((*length as u64).to_le_bytes());
        }
        header.extend(holds.kind().to_le_bytes());
        header.extend((start as u64).to_le_bytes());
        let length = holds.bytes(shape.iter().product());
        start = (start + length).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    let io = |source: io::Error| cannot_write(path, source);
    let mut file = BufWriter::new(File::create(path).map_err(io)?);
    file.write_all(&header).map_err(io)?;
    for (name, tensor) in &tensors {
        let mut bytes = bytes(decoder, name, tensor)?;
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        file.write_all(&bytes).map_err(io)?;
    }
    file.flush().map_err(io)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put(out: &mut Vec<u8>, value: &Value) {
    fn list<T>(out: &mut Vec<u8>, kind: u32, values: &[T], each: impl Fn(&mut Vec<u8>, &T)) {
        out.extend(ARRAY.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        for value in values {
            each(out, value);
        }
    }
    let mut tagged = |kind: u32, bytes: &[u8]| {
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::Whole(whole) => tagged(UINT32, &(*whole as u32).to_le_bytes()),
        Value::Number(number) => tagged(FLOAT32, &(*number as f32).to_le_bytes()),
        Value::Flag(flag) => tagged(BOOL, &[u8::from(*flag)]),
        Value::Text(content) => {
            tagged(STRING, &[]);
            text(out, content);
        }
        Value::Wholes(wholes) => {
            list(out, INT32, wholes, |out, &whole| out.extend((whole as i32).to_le_bytes()));
        }
        Value::Numbers(numbers) => {
            list(out, FLOAT32, numbers, |out, number| out.extend(number.to_le_bytes()));
        }
        Value::Texts(texts) => list(out, STRING, texts, |out, content| text(out, content)),
        Value::Bytes(bytes) => list(out, super::header::UINT8, bytes, |out, &byte| out.push(byte)),
    }
}
