//! What canonical tensors are called in Hugging Face checkpoints, family by family.

use super::part::{Part, Rows};
use crate::config::{DecoderConfig, Family};

/// The tensor of a checkpoint that holds a canonical one, and where in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) part: Part,
}

/// A canonical name taken apart: `layers.3.q.weight` is layer 3, module `q`, field `weight`.
pub(super) struct Name<'a> {
    pub(super) layer: Option<&'a str>,
    pub(super) module: &'a str,
    pub(super) field: &'a str,
}

impl<'a> Name<'a> {
    pub(super) fn of(canonical: &'a str) -> Self {
        let (path, field) = canonical.rsplit_once('.').unwrap_or(("", canonical));
        match path.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
            Some((layer, module)) => Self { layer: Some(layer), module, field },
            None => Self { layer: None, module: path, field },
        }
    }
}

/// Where the rows of query (0), key (1) and value (2) are when they follow one another.
pub(super) fn third(config: &DecoderConfig, index: usize) -> Rows {
    let start = [0, config.query_width(), config.query_width() + config.kv_width()][index];
    Rows::From { start, of: config.qkv_width() }
}

/// The number of `q`, `k` or `v` among the three.
pub(super) fn fused_index(module: &str) -> Option<usize> {
    ["q", "k", "v"].iter().position(|&name| name == module)
}

/// The Hugging Face name of a module inside a layer, and how its outputs lie in it.
pub(super) fn layer_module(config: &DecoderConfig, module: &str) -> (&'static str, Part) {
    let conv = Part { transposed: true, ..Part::WHOLE };
    match (config.family, fused_index(module), module) {
        (Family::GptNeox, Some(index), _) => (
            "attention.query_key_value",
            Part::rows(Rows::PerHead { index, head_width: config.head_width }),
        ),
        (Family::GptNeox, _, "o") => ("attention.dense", Part::WHOLE),
        (Family::GptNeox, _, "up") => ("mlp.dense_h_to_4h", Part::WHOLE),
        (Family::GptNeox, _, "down") => ("mlp.dense_4h_to_h", Part::WHOLE),
        (Family::Gpt2, Some(index), _) => {
            ("attn.c_attn", Part { rows: third(config, index), ..conv })
        }
        (Family::Gpt2, _, "o") => ("attn.c_proj", conv),
        (Family::Gpt2, _, "up") => ("mlp.c_fc", conv),
        (Family::Gpt2, _, "down") => ("mlp.c_proj", conv),
        (Family::Gpt2, _, "norm1") => ("ln_1", Part::WHOLE),
        (Family::Gpt2, _, "norm2") => ("ln_2", Part::WHOLE),
        (_, _, "norm1") => ("input_layernorm", Part::WHOLE),
        (Family::Gemma3, _, "post_norm1") => ("post_attention_layernorm", Part::WHOLE),
        (Family::Gemma3, _, "norm2") => ("pre_feedforward_layernorm", Part::WHOLE),
        (Family::Gemma3, _, "post_norm2") => ("post_feedforward_layernorm", Part::WHOLE),
        (_, _, "norm2") => ("post_attention_layernorm", Part::WHOLE),
        (_, _, "q") => ("self_attn.q_proj", Part::WHOLE),
        (_, _, "k") => ("self_attn.k_proj", Part::WHOLE),
        (_, _, "v") => ("self_attn.v_proj", Part::WHOLE),
        (_, _, "o") => ("self_attn.o_proj", Part::WHOLE),
        (_, _, "q_norm") => ("self_attn.q_norm", Part::WHOLE),
        (_, _, "k_norm") => ("self_attn.k_norm", Part::WHOLE),
        (_, _, "gate") => ("mlp.gate_proj", Part::WHOLE),
        (_, _, "up") => ("mlp.up_proj", Part::WHOLE),
        (_, _, "down") => ("mlp.down_proj", Part::WHOLE),
        (_, _, other) => unreachable!("`{other}` is not a canonical module"),
    }
}

/// What the name of every layer's tensor begins with.
pub(super) fn layer_prefix(family: Family) -> &'static str {
    match family {
        Family::GptNeox => "gpt_neox.layers",
        Family::Gpt2 => "transformer.h",
        _ => "model.layers",
    }
}

/// Where a Hugging Face checkpoint holds a canonical tensor.
pub(super) fn huggingface(config: &DecoderConfig, canonical: &str) -> Stored {
    let name = Name::of(canonical);
    let field = name.field;
    if let Some(layer) = name.layer {
        let (module, part) = layer_module(config, name.module);
        // A transposed bias is a vector all the same.
        let part = Part { transposed: part.transposed && field == "weight", ..part };
        let prefix = layer_prefix(config.family);
        return Stored { name: format!("{prefix}.{layer}.{module}.{field}"), part };
    }
    let module = match (config.family, name.module) {
        (Family::GptNeox, "embed") => "gpt_neox.embed_in",
        (Family::GptNeox, "norm") => "gpt_neox.final_layer_norm",
        (Family::GptNeox, "head") => "embed_out",
        (Family::Gpt2, "embed") => "transformer.wte",
        (Family::Gpt2, "position") => "transformer.wpe",
        (Family::Gpt2, "norm") => "transformer.ln_f",
        (_, "embed") => "model.embed_tokens",
        (_, "position") => "model.embed_positions",
        (_, "norm") => "model.norm",
        (_, "head") => "lm_head",
        (_, other) => unreachable!("`{other}` is not a canonical module"),
    };
    Stored { name: format!("{module}.{field}"), part: Part::WHOLE }
}
