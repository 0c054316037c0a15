//! From GGUF metadata and tensors to a model.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::header::{Gguf, Value};
use super::tokenizer;
use crate::config::{DecoderConfig, Family, LocalAttention, NormConfig, Position, RotaryScaling};
use crate::error::{Error, Result};
use crate::file::names::{Name, Stored, fused_index, third};
use crate::file::opened;
use crate::file::part::{Part, Rows};
use crate::file::tensors::{self, Tensors};
use crate::model::Model;
use crate::template::Template;

/// The files of a model that `path` is a part of, by their names (`NAME-00001-of-00002.gguf`), or
/// `path` alone.
pub(in crate::file) fn parts(path: &Path) -> Vec<PathBuf> {
    let split = || {
        let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (name, number) = rest.rsplit_once('-')?;
        let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(count) || !is_number(number) {
            return None;
        }
        let of = count.parse::<usize>().ok().filter(|&of| of > 0)?;
        let part = |part| path.with_file_name(format!("{name}-{part:05}-of-{count}.gguf"));
        Some((1..=of).map(part).collect())
    };
    split().unwrap_or_else(|| vec![path.to_owned()])
}

/// Texts, whole numbers and lists of texts among the `general.` metadata of one file.
pub(in crate::file) fn general(path: &Path) -> Result<BTreeMap<String, String>> {
    let gguf = Gguf::open(path, opened::open(path)?)?;
    let told = |(key, value): (&str, &Value)| {
        let key = key.strip_prefix("general.")?.to_owned();
        let value = match value {
            Value::Text(text) => text.clone(),
            Value::Whole(whole) => whole.to_string(),
            Value::Texts(texts) => texts.join("\n"),
            _ => return None,
        };
        Some((key, value))
    };
    Ok(gguf.metadata().filter_map(told).collect())
}

/// Loads the model in a GGUF file and its other parts.
pub(in crate::file) fn load(path: &Path) -> Result<Model> {
    build(open(path)?)
}

/// Reads everything but the weights of a GGUF file and its other parts.
pub(in crate::file) fn open(path: &Path) -> Result<Gguf<File>> {
    let open = |path: &Path| {
        let part = Gguf::open(path, opened::open(path)?)?;
        opened::check_written(path)?;
        Ok::<_, Error>(part)
    };
    let (files, given) = (parts(path), open(path)?);
    let (_, count) = given.part()?;
    if count == 1 {
        return Ok(given);
    }
    if files.len() != count {
        return Err(given.bad(format!(
            "it is one of {count} parts of a model, which are found by their names, expected `NAME-00001-of-{count:05}.gguf`"
        )));
    }
    drop(given);
    let nth = |number: usize| {
        let part = open(&files[number])?;
        if part.part()? != (number, count) {
            let reason =
                format!("`split.no` and `split.count` are not of part {} of {count}", number + 1);
            return Err(part.bad(reason));
        }
        Ok(part)
    };
    let mut whole = nth(0)?;
    for number in 1..count {
        whole.join(nth(number)?)?;
    }
    let tensors = whole.names().count();
    if whole.size("split.tensors.count")?.is_some_and(|expected| expected != tensors) {
        return Err(
            whole.bad(format!("`split.tensors.count` is not {tensors}, which its parts hold"))
        );
    }
    Ok(whole)
}

/// Reads a whole file.
pub(in crate::file) fn read<R: Read + Seek>(path: &Path, reader: R) -> Result<Model> {
    let gguf = Gguf::open(path, reader)?;
    match gguf.part()? {
        (_, 1) => build(gguf),
        (part, count) => Err(gguf.bad(format!("it is part {} of {count} of a model", part + 1))),
    }
}

/// The shape of the model, and that every tensor is a part of it.
pub(in crate::file) fn shape<R: Read + Seek>(gguf: &mut Gguf<R>) -> Result<DecoderConfig> {
    let config = config(gguf)?;
    let used = tensors::names(&config, stored);
    let scaled = config.family == Family::Llama && config.position != Position::Learned;
    let unread = |name: &&str| !(used.contains(*name) || scaled && *name == DIVISORS);
    if let Some(name) = gguf.names().find(unread) {
        let reason = "belongs to no part of this model as its metadata describes it; without it the model would be another";
        return Err(Error::tensor(name, reason));
    }
    Ok(config)
}

pub(super) fn build<R: Read + Seek>(mut gguf: Gguf<R>) -> Result<Model> {
    let tokenizer = tokenizer::read(&gguf)?;
    let config = shape(&mut gguf)?;
    if tokenizer.vocabulary() > config.vocabulary {
        return Err(gguf.bad(format!(
            "the tokenizer has {} ids, but `token_embd.weight` only {} rows",
            tokenizer.vocabulary(),
            config.vocabulary
        )));
    }
    let mut named = Vec::new();
    for (name, key) in SPECIAL {
        let id = gguf.size(&format!("tokenizer.ggml.{key}_token_id"))?;
        let text = id.and_then(|id| tokenizer.name(u32::try_from(id).ok()?));
        named.extend(text.map(|text| (name.to_owned(), text)));
    }
    let template = match gguf.text("tokenizer.chat_template")? {
        Some(source) => Template::new(source)?,
        None => Template::fallback(&tokenizer)?,
    };
    let decoder = tensors::decoder(config, &mut gguf, stored)?;
    Ok(Model::new(decoder, tokenizer, template.with_named(named)))
}

/// What templates call special tokens, and what GGUF does (the misspelling is the format's).
pub(super) const SPECIAL: [(&str, &str); 7] = [
    ("bos_token", "bos"),
    ("eos_token", "eos"),
    ("unk_token", "unknown"),
    ("sep_token", "seperator"),
    ("pad_token", "padding"),
    ("cls_token", "cls"),
    ("mask_token", "mask"),
];

pub(super) fn family(architecture: &str) -> Option<Family> {
    Some(match architecture {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "gpt2" => Family::Gpt2,
        "gptneox" => Family::GptNeox,
        "gemma" => Family::Gemma,
        "gemma3" => Family::Gemma3,
        _ => return None,
    })
}

pub(super) fn config<R: Read + Seek>(gguf: &mut Gguf<R>) -> Result<DecoderConfig> {
    let architecture = match gguf.text("general.architecture")? {
        Some(architecture) => architecture.to_owned(),
        None => return Err(gguf.bad("`general.architecture` is missing")),
    };
    let family = family(&architecture).ok_or_else(|| {
        gguf.bad(format!(
            "`general.architecture` is `{architecture}`, expected llama, qwen2, qwen3, gpt2, gptneox, gemma or gemma3"
        ))
    })?;
    let key = |name: &str| format!("{architecture}.{name}");
    let size = |name: &str| -> Result<usize> {
        let value = gguf.size(&key(name))?;
        value.ok_or_else(|| gguf.bad(format!("`{}` is missing", key(name))))
    };
    let embedding = gguf.shape("token_embd.weight");
    let Some(&[vocabulary, _]) = embedding.as_deref() else {
        return Err(gguf.bad("`token_embd.weight` is missing or not a matrix"));
    };
    let (width, heads) = (size("embedding_length")?, size("attention.head_count")?);
    let head_width = match gguf.size(&key("attention.key_length"))? {
        Some(head_width) => head_width,
        None if heads > 0 => width / heads,
        None => return Err(gguf.bad(format!("`{}` is zero", key("attention.head_count")))),
    };
    if gguf.size(&key("attention.value_length"))?.is_some_and(|width| width != head_width) {
        return Err(gguf.bad("keys and values of different widths are not supported"));
    }
    let common = DecoderConfig::of(family, width);
    let kind = if common.norm.centered { "layer_norm" } else { "layer_norm_rms" };
    let epsilon = key(&format!("attention.{kind}_epsilon"));
    let Some(epsilon) = gguf.number(&epsilon)? else {
        return Err(gguf.bad(format!("`{epsilon}` is missing")));
    };
    let has = |tensor: &str| gguf.shape(tensor).is_some();
    let position = match common.position {
        Position::Learned => Position::Learned,
        Position::Rotary { theta, .. } => Position::Rotary {
            theta: gguf.number(&key("rope.freq_base"))?.unwrap_or(theta),
            width: gguf.size(&key("rope.dimension_count"))?.unwrap_or(head_width),
            scaling: None,
        },
    };
    let layers = size("block_count")?;
    let local = match common.local {
        None => None,
        Some(absent) => {
            let theta = gguf.number(&key("rope.freq_base_swa"))?.unwrap_or(absent.theta);
            let every =
                gguf.size(&key("attention.sliding_window_pattern"))?.unwrap_or(absent.every);
            let window = size("attention.sliding_window")?;
            (every != 1).then(|| LocalAttention {
                window,
                theta,
                every: every.min(layers.saturating_add(1)),
            })
        }
    };
    let mut config = DecoderConfig {
        vocabulary,
        layers,
        heads,
        kv_heads: gguf.size(&key("attention.head_count_kv"))?.unwrap_or(heads),
        head_width,
        hidden: size("feed_forward_length")?,
        context: size("context_length")?,
        norm: NormConfig { epsilon, ..common.norm },
        position,
        qkv_bias: has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias"),
        output_bias: has("blk.0.attn_output.bias"),
        mlp_bias: has("blk.0.ffn_up.bias"),
        // Only the largest, 27B with 62 layers, is not scaled by its head width.
        query_scalar: (family == Family::Gemma3 && layers == 62)
            .then(|| width as f32 / heads as f32),
        local,
        parallel: common.parallel && gguf.flag(&key("use_parallel_residual"))?.unwrap_or(true),
        tied: !has("output.weight"),
        ..common
    };
    refuse(gguf, &architecture, &config)?;
    config.check()?;
    if let Position::Rotary { theta, width, .. } = config.position {
        let scaling = if family == Family::Llama { scaling(gguf, theta, width)? } else { None };
        config.position = Position::Rotary { theta, width, scaling };
    }
    Ok(config)
}

/// Settings of an architecture that are read, or change nothing.
const SETTINGS: [&str; 20] = [
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    // How the original files were laid out, and how a scaling that is refused came about.
    "tensor_data_layout",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_log_multiplier",
];

/// Refuses settings that would change the arithmetic; one that is zero or false is off.
fn refuse<R: Read + Seek>(
    gguf: &Gguf<R>,
    architecture: &str,
    config: &DecoderConfig,
) -> Result<()> {
    let key = |name: &str| format!("{architecture}.{name}");
    // What llama.cpp takes for the kind where there is none, and the factor's older name.
    let kind = gguf.text(&key("rope.scaling.type"))?.unwrap_or("linear");
    let older = gguf.number(&key("rope.scale_linear"))?;
    let factor = gguf.number(&key("rope.scaling.factor"))?.or(older).unwrap_or(0.0);
    if kind != "none" && (![0.0, 1.0].contains(&factor) || !["linear", "yarn"].contains(&kind)) {
        return Err(gguf.bad(format!("rotary scaling `{kind}` by {factor} is not supported")));
    }
    let window = gguf.size(&key("attention.sliding_window"))?.unwrap_or(0);
    for (full, value) in gguf.metadata() {
        let Some(name) = full.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('.'))
        else {
            continue;
        };
        let is_off = match value {
            Value::Whole(whole) => *whole == 0,
            Value::Number(number) => *number == 0.0,
            Value::Flag(flag) => !flag,
            _ => false,
        };
        let is_fine = SETTINGS.contains(&name)
            || match name {
                "attention.causal" => !is_off,
                "rope.scaling.attn_factor" => *value == Value::Number(1.0),
                "attention.sliding_window" => config.local.is_some() || window >= config.context,
                "attention.sliding_window_pattern" | "rope.freq_base_swa" => {
                    config.family == Family::Gemma3
                }
                "use_parallel_residual" => config.family == Family::GptNeox,
                _ => false,
            };
        if !(is_fine || is_off && name != "attention.causal") {
            return Err(gguf.bad(format!("`{full}` is set, which is not supported")));
        }
    }
    Ok(())
}

/// Holds the divisors of rotary frequencies.
pub(super) const DIVISORS: &str = "rope_freqs.weight";

/// Llama 3's rotary scaling, which GGUF stores as the divisor of each frequency and not as the
/// settings they follow from; all of Meta's checkpoints share the bounds.
fn scaling<R: Read + Seek>(
    gguf: &mut Gguf<R>,
    theta: f32,
    width: usize,
) -> Result<Option<RotaryScaling>> {
    let Some(shape) = gguf.shape(DIVISORS) else {
        return Ok(None);
    };
    let bad = |reason: &str| Error::tensor(DIVISORS, reason);
    if shape != [width / 2] {
        return Err(bad(&format!("has shape {shape:?}, expected [{}]", width / 2)));
    }
    let divisors = gguf.read(DIVISORS)?;
    let factor = divisors.iter().copied().fold(1.0, f32::max);
    if divisors.iter().all(|&divisor| divisor == 1.0) {
        return Ok(None);
    }
    let scaling = RotaryScaling { factor, low: 1.0, high: 4.0, original_context: 8192.0 };
    for (i, &divisor) in divisors.iter().enumerate() {
        let frequency = f64::from(theta).powf(-2.0 * i as f64 / width as f64);
        let turns = 8192.0 * frequency / (2.0 * std::f64::consts::PI);
        let smooth = ((turns - 1.0) / 3.0).clamp(0.0, 1.0);
        let expected = 1.0 / ((1.0 - smooth) / f64::from(factor) + smooth);
        if (f64::from(divisor) / expected - 1.0).abs() > 1e-3 {
            return Err(bad("is not Llama 3's rotary scaling, the only one supported"));
        }
    }
    Ok(Some(scaling))
}

/// Where a GGUF file holds a canonical tensor.
pub(in crate::file) fn stored(config: &DecoderConfig, canonical: &str) -> Stored {
    let name = Name::of(canonical);
    let fused = matches!(config.family, Family::Gpt2 | Family::GptNeox);
    let module = match name.module {
        "embed" => "token_embd",
        "position" => "position_embd",
        "norm" => "output_norm",
        "head" => "output",
        "norm1" => "attn_norm",
        "norm2" => "ffn_norm",
        "post_norm1" => "post_attention_norm",
        "post_norm2" => "post_ffw_norm",
        "q" | "k" | "v" if fused => "attn_qkv",
        "q" => "attn_q",
        "k" => "attn_k",
        "v" => "attn_v",
        "o" => "attn_output",
        "q_norm" => "attn_q_norm",
        "k_norm" => "attn_k_norm",
        "gate" => "ffn_gate",
        "up" => "ffn_up",
        "down" => "ffn_down",
        other => unreachable!("`{other}` is not a canonical module"),
    };
    let rotated = config.family == Family::Llama && matches!(name.module, "q" | "k");
    let rows = match fused_index(name.module) {
        Some(index) if fused => third(config, index),
        _ if rotated => Rows::Alternating { head_width: config.head_width },
        _ => Rows::Same,
    };
    // GGUF adds the one that Gemma's norms leave out.
    let shifted = config.norm.unit_offset && name.module.contains("norm");
    let part = Part { offset: if shifted { 1.0 } else { 0.0 }, ..Part::rows(rows) };
    let layer = name.layer.map(|layer| format!("blk.{layer}.")).unwrap_or_default();
    Stored { name: format!("{layer}{module}.{}", name.field), part }
}
