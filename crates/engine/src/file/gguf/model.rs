//! From GGUF metadata and tensors to a model.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::header::Gguf;
use super::tokenizer;
use crate::config::{DecoderConfig, Family, LocalAttention, NormConfig, Position, RotaryScaling};
use crate::error::{Error, Result};
use crate::file::cannot_read;
use crate::file::names::{Name, Stored, fused_index, third};
use crate::file::part::{Part, Rows};
use crate::file::tensors::{self, Tensors};
use crate::model::Model;
use crate::template::Template;

/// Loads the model in a GGUF file.
pub(in crate::file) fn load(path: &Path) -> Result<Model> {
    let file = File::open(path).map_err(|source| cannot_read(path, source))?;
    read(path, file)
}

pub(in crate::file) fn read<R: Read + Seek>(path: &Path, reader: R) -> Result<Model> {
    let mut gguf = Gguf::open(path, reader)?;
    let tokenizer = tokenizer::read(&gguf)?;
    let config = config(&mut gguf)?;
    if tokenizer.vocabulary() > config.vocabulary {
        return Err(gguf.bad(format!(
            "the tokenizer has {} ids, but `token_embd.weight` only {} rows",
            tokenizer.vocabulary(),
            config.vocabulary
        )));
    }
    let token = |key: &str| -> Result<String> {
        let id = gguf.size(key)?.and_then(|id| u32::try_from(id).ok());
        Ok(id.and_then(|id| tokenizer.name(id)).unwrap_or_default())
    };
    let begin = token("tokenizer.ggml.bos_token_id")?;
    let end = token("tokenizer.ggml.eos_token_id")?;
    let template = match gguf.text("tokenizer.chat_template")? {
        Some(source) => Template::new(source)?,
        None => Template::fallback(&tokenizer)?,
    };
    let decoder = tensors::decoder(config, &mut gguf, stored)?;
    Ok(Model::new(decoder, tokenizer, template.with_tokens(&begin, &end)))
}

fn family(architecture: &str) -> Option<Family> {
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

fn config<R: Read + Seek>(gguf: &mut Gguf<R>) -> Result<DecoderConfig> {
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
    if gguf.size(&key("expert_count"))?.is_some_and(|count| count > 0) {
        return Err(gguf.bad("mixtures of experts are not supported"));
    }
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
    let softcapped = gguf.number(&key("final_logit_softcapping"))?;
    if softcapped.is_some_and(|most| most != 0.0) {
        return Err(gguf.bad("softcapping of logits is not supported"));
    }
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
    if let Some(kind) = gguf.text(&key("rope.scaling.type"))?
        && kind != "none"
    {
        return Err(gguf.bad(format!("rotary scaling `{kind}` is not supported")));
    }
    config.check()?;
    if let Position::Rotary { theta, width, .. } = config.position {
        config.position = Position::Rotary { theta, width, scaling: scaling(gguf, theta, width)? };
    }
    Ok(config)
}

/// Llama 3's rotary scaling, which GGUF stores as the divisor of each frequency and not as the
/// settings they follow from; all of Meta's checkpoints share the bounds.
fn scaling<R: Read + Seek>(
    gguf: &mut Gguf<R>,
    theta: f32,
    width: usize,
) -> Result<Option<RotaryScaling>> {
    const DIVISORS: &str = "rope_freqs.weight";
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
fn stored(config: &DecoderConfig, canonical: &str) -> Stored {
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
