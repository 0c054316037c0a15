//! Hugging Face `config.json` to [`DecoderConfig`] and back.
//!
//! A setting that changes the arithmetic and is not understood is refused, never ignored.

use std::path::Path;

use serde_json::{Value, json};

use super::json::Fields;
use crate::config::{
    Activation, DecoderConfig, Family, LocalAttention, NormConfig, Position, RotaryScaling,
};
use crate::error::{Error, Result};

/// Reads a `config.json`.
pub(super) fn parse(fields: &Fields) -> Result<DecoderConfig> {
    let family = match fields.required_text("model_type")? {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "gpt_neox" => Family::GptNeox,
        "gpt2" => Family::Gpt2,
        "gemma" => Family::Gemma,
        "gemma3_text" => Family::Gemma3,
        other => {
            return Err(fields.bad(format!(
                "`model_type` is `{other}`, expected llama, qwen2, qwen3, gpt_neox, gpt2, gemma or gemma3_text"
            )));
        }
    };
    if fields.value("quantization_config").is_some() {
        return Err(fields.bad(
            "`quantization_config` is set; load the unquantised model or a GGUF file instead",
        ));
    }
    let config = match family {
        Family::Gpt2 => gpt2(fields)?,
        Family::GptNeox => gpt_neox(fields)?,
        _ => llama(fields, family)?,
    };
    config.check()?;
    Ok(config)
}

fn llama(fields: &Fields, family: Family) -> Result<DecoderConfig> {
    let gemma3 = family == Family::Gemma3;
    let gemma = family == Family::Gemma || gemma3;
    let width = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let layers = fields.size("num_hidden_layers")?;
    let context = fields.size("max_position_embeddings")?;
    let head_width = match fields.size_if("head_dim")? {
        Some(head_width) => head_width,
        None if gemma => 256,
        None => split(fields, "hidden_size", width, heads)?,
    };
    let windowed = match family {
        Family::Qwen2 | Family::Qwen3 => fields.flag("use_sliding_window", false)?,
        _ => false,
    };
    let local = if gemma3 { local(fields, layers)? } else { None };
    if windowed || local.is_none() && mentions(fields, "layer_types", "sliding_attention") {
        return Err(fields.bad("sliding-window attention is not supported"));
    }
    if fields.flag("use_bidirectional_attention", false)? {
        return Err(fields.bad("bidirectional attention is not supported"));
    }
    for name in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if fields.value(name).is_some() {
            return Err(fields.bad(format!("`{name}` is set, which is not supported")));
        }
    }
    let query_scalar = if gemma3 { fields.number("query_pre_attn_scalar")? } else { None };
    let bias = family != Family::Qwen2 && fields.flag("attention_bias", false)?;
    Ok(DecoderConfig {
        family,
        vocabulary: fields.size("vocab_size")?,
        width,
        layers,
        heads,
        kv_heads: fields.size_if("num_key_value_heads")?.unwrap_or(heads),
        head_width,
        hidden: fields.size("intermediate_size")?,
        context,
        norm: NormConfig {
            centered: false,
            epsilon: fields.number("rms_norm_eps")?.unwrap_or(1e-6),
            unit_offset: gemma,
        },
        activation: if gemma {
            gemma_activation(fields)?
        } else {
            activation(fields, "hidden_act", "silu")?
        },
        gated: true,
        position: rotary(fields, head_width, 1.0, if gemma3 { 1e6 } else { 1e4 })?,
        qkv_bias: bias || family == Family::Qwen2,
        output_bias: bias,
        mlp_bias: fields.flag("mlp_bias", false)?,
        qk_norm: family == Family::Qwen3 || gemma3,
        post_norm: gemma3,
        query_scalar: query_scalar.filter(|&scalar| scalar != head_width as f32),
        local,
        parallel: false,
        tied: fields.flag("tie_word_embeddings", gemma)?,
        embedding_scale: if gemma { (width as f64).sqrt() as f32 } else { 1.0 },
    })
}

/// Which of `layers` layers are local: `layer_types` says it layer by layer, earlier files say of how
/// many one is not.
fn local(fields: &Fields, layers: usize) -> Result<Option<LocalAttention>> {
    let every = match fields.value("layer_types").and_then(Value::as_array) {
        None => fields.size_if("sliding_window_pattern")?.unwrap_or(6),
        Some(kinds) => {
            let whole = kinds.iter().position(|kind| kind == "full_attention");
            let every = whole.unwrap_or(layers) + 1;
            if *kinds != layer_types(layers, every) {
                return Err(fields.bad(format!(
                    "`layer_types` is not full_attention at every multiple of {every} and sliding_attention elsewhere; no other order is supported"
                )));
            }
            every
        }
    };
    if every == 1 {
        return Ok(None);
    }
    let parameters = fields.object("rope_parameters")?;
    let own = parameters.map(|p| p.object("sliding_attention")).transpose()?.flatten();
    if let Some(own) = &own
        && scaled(own)?.is_some()
    {
        return Err(fields.bad("rotary scaling of sliding_attention layers is not supported"));
    }
    let theta = own.map(|own| own.number("rope_theta")).transpose()?.flatten();
    let theta = theta.or(fields.number("rope_local_base_freq")?).unwrap_or(1e4);
    let every = every.min(layers + 1);
    Ok(Some(LocalAttention { window: fields.size("sliding_window")?, theta, every }))
}

/// Gemma's first files say `gelu` and mean its approximation, which is what the model was trained
/// with and what Transformers runs; a later field says so outright.
fn gemma_activation(fields: &Fields) -> Result<Activation> {
    match fields.text("hidden_activation")?.or(fields.text("hidden_act")?) {
        None | Some("gelu") => Ok(Activation::GeluTanh),
        Some(_) if fields.value("hidden_activation").is_some() => {
            activation(fields, "hidden_activation", "gelu_pytorch_tanh")
        }
        Some(_) => activation(fields, "hidden_act", "gelu_pytorch_tanh"),
    }
}

fn gpt_neox(fields: &Fields) -> Result<DecoderConfig> {
    let width = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let head_width = split(fields, "hidden_size", width, heads)?;
    let bias = fields.flag("attention_bias", true)?;
    Ok(DecoderConfig {
        family: Family::GptNeox,
        vocabulary: fields.size("vocab_size")?,
        width,
        layers: fields.size("num_hidden_layers")?,
        heads,
        kv_heads: heads,
        head_width,
        hidden: fields.size("intermediate_size")?,
        context: fields.size("max_position_embeddings")?,
        norm: NormConfig {
            centered: true,
            epsilon: fields.number("layer_norm_eps")?.unwrap_or(1e-5),
            unit_offset: false,
        },
        activation: activation(fields, "hidden_act", "gelu")?,
        gated: false,
        position: rotary(fields, head_width, 0.25, 1e4)?,
        qkv_bias: bias,
        output_bias: bias,
        mlp_bias: true,
        qk_norm: false,
        post_norm: false,
        query_scalar: None,
        local: None,
        parallel: fields.flag("use_parallel_residual", true)?,
        tied: fields.flag("tie_word_embeddings", false)?,
        embedding_scale: 1.0,
    })
}

fn gpt2(fields: &Fields) -> Result<DecoderConfig> {
    for (name, expected) in [
        ("scale_attn_weights", true),
        ("scale_attn_by_inverse_layer_idx", false),
        ("add_cross_attention", false),
    ] {
        if fields.flag(name, expected)? != expected {
            return Err(fields.bad(format!("`{name}` is {}, expected {expected}", !expected)));
        }
    }
    let width = fields.size("n_embd")?;
    let heads = fields.size("n_head")?;
    let context = match fields.size_if("n_positions")? {
        Some(context) => context,
        None => fields.size("n_ctx")?,
    };
    Ok(DecoderConfig {
        family: Family::Gpt2,
        vocabulary: fields.size("vocab_size")?,
        width,
        layers: fields.size("n_layer")?,
        heads,
        kv_heads: heads,
        head_width: split(fields, "n_embd", width, heads)?,
        hidden: fields.size_if("n_inner")?.unwrap_or(width.saturating_mul(4)),
        context,
        norm: NormConfig {
            centered: true,
            epsilon: fields.number("layer_norm_epsilon")?.unwrap_or(1e-5),
            unit_offset: false,
        },
        activation: activation(fields, "activation_function", "gelu_new")?,
        gated: false,
        position: Position::Learned,
        qkv_bias: true,
        output_bias: true,
        mlp_bias: true,
        qk_norm: false,
        post_norm: false,
        query_scalar: None,
        local: None,
        parallel: false,
        tied: fields.flag("tie_word_embeddings", true)?,
        embedding_scale: 1.0,
    })
}

fn split(fields: &Fields, name: &str, width: usize, heads: usize) -> Result<usize> {
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(fields.bad(format!("`{name}` {width} does not divide into {heads} heads")));
    }
    Ok(width / heads)
}

fn mentions(fields: &Fields, name: &str, word: &str) -> bool {
    let kinds = fields.value(name).and_then(Value::as_array);
    kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == word))
}

fn activation(fields: &Fields, name: &str, absent: &str) -> Result<Activation> {
    match fields.text(name)?.unwrap_or(absent) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        other => Err(fields.bad(format!(
            "`{name}` is `{other}`, expected silu, gelu, gelu_new or gelu_pytorch_tanh"
        ))),
    }
}

/// Rotary settings: `rope_parameters` since Transformers 5, there once for each kind of layer where
/// there are two, before that fields of their own.
fn rotary(
    fields: &Fields,
    head_width: usize,
    absent_fraction: f32,
    absent_theta: f32,
) -> Result<Position> {
    let mut parameters = fields.object("rope_parameters")?;
    if let Some(whole) = parameters.as_ref().map(|p| p.object("full_attention")).transpose()? {
        parameters = whole.or(parameters);
    }
    let scaling = fields.object("rope_scaling")?;
    let number = |names: [&str; 2]| -> Result<Option<f32>> {
        if let Some(value) = parameters.as_ref().map(|p| p.number(names[0])).transpose()?.flatten()
        {
            return Ok(Some(value));
        }
        Ok(fields.number(names[0])?.or(fields.number(names[1])?))
    };
    let theta = number(["rope_theta", "rotary_emb_base"])?.unwrap_or(absent_theta);
    let fraction = number(["partial_rotary_factor", "rotary_pct"])?.unwrap_or(absent_fraction);
    if !(0.0..=1.0).contains(&fraction) {
        return Err(fields.bad(format!("the rotary fraction is {fraction}, expected 0 to 1")));
    }
    let scaling = match parameters.or(scaling) {
        None => None,
        Some(scaling) => scaled(&scaling)?,
    };
    let width = (head_width as f32 * fraction) as usize;
    Ok(Position::Rotary { theta, width, scaling })
}

fn scaled(fields: &Fields) -> Result<Option<RotaryScaling>> {
    match fields.text("rope_type")?.or(fields.text("type")?) {
        None | Some("default") => Ok(None),
        Some("llama3") => {
            let number = |name: &str| -> Result<f32> {
                match fields.number(name)? {
                    Some(value) if value.is_finite() && value > 0.0 => Ok(value),
                    _ => Err(fields
                        .bad(format!("`{name}` of the rotary scaling is missing or not positive"))),
                }
            };
            Ok(Some(RotaryScaling {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original_context: number("original_max_position_embeddings")?,
            }))
        }
        Some(other) => Err(fields
            .bad(format!("rotary scaling `{other}` is not supported, expected default or llama3"))),
    }
}

/// Writes a `config.json` object, without token ids.
///
/// Fails for a shape that the family's file format has no words for.
pub(super) fn write(config: &DecoderConfig) -> Result<Value> {
    let written = match config.family {
        Family::Gpt2 => json!({
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": config.vocabulary,
            "n_embd": config.width,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_inner": config.hidden,
            "n_positions": config.context,
            "n_ctx": config.context,
            "layer_norm_epsilon": shortest(config.norm.epsilon),
            "activation_function": activation_name(config.activation),
            "tie_word_embeddings": config.tied,
            "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
            "torch_dtype": "float32",
        }),
        Family::GptNeox => rotated(
            config,
            json!({
                "model_type": "gpt_neox",
                "architectures": ["GPTNeoXForCausalLM"],
                "vocab_size": config.vocabulary,
                "hidden_size": config.width,
                "num_hidden_layers": config.layers,
                "num_attention_heads": config.heads,
                "intermediate_size": config.hidden,
                "max_position_embeddings": config.context,
                "layer_norm_eps": shortest(config.norm.epsilon),
                "hidden_act": activation_name(config.activation),
                "attention_bias": config.qkv_bias,
                "use_parallel_residual": config.parallel,
                "tie_word_embeddings": config.tied,
                "attention_dropout": 0.0, "hidden_dropout": 0.0,
                "torch_dtype": "float32",
            }),
        ),
        _ => {
            let (model_type, architecture) = match config.family {
                Family::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
                Family::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
                Family::Gemma => ("gemma", "GemmaForCausalLM"),
                Family::Gemma3 => ("gemma3_text", "Gemma3ForCausalLM"),
                _ => ("llama", "LlamaForCausalLM"),
            };
            let mut written = rotated(
                config,
                json!({
                    "model_type": model_type,
                    "architectures": [architecture],
                    "vocab_size": config.vocabulary,
                    "hidden_size": config.width,
                    "num_hidden_layers": config.layers,
                    "num_attention_heads": config.heads,
                    "num_key_value_heads": config.kv_heads,
                    "head_dim": config.head_width,
                    "intermediate_size": config.hidden,
                    "max_position_embeddings": config.context,
                    "rms_norm_eps": shortest(config.norm.epsilon),
                    "hidden_act": activation_name(config.activation),
                    "hidden_activation": matches!(config.family, Family::Gemma | Family::Gemma3)
                        .then(|| activation_name(config.activation)),
                    "attention_bias": config.output_bias,
                    "attention_dropout": 0.0,
                    "mlp_bias": config.mlp_bias,
                    "tie_word_embeddings": config.tied,
                    "torch_dtype": "float32",
                }),
            );
            if config.family == Family::Gemma3 {
                // Transformers takes whole numbers only.
                let scalar = config.query_scalar.map_or(config.head_width, |s| s as usize);
                written["query_pre_attn_scalar"] = json!(scalar);
                let every = config.local.map_or(1, |local| local.every);
                written["layer_types"] = json!(layer_types(config.layers, every));
            }
            if let Some(local) = config.local {
                written["sliding_window"] = json!(local.window);
                written["rope_local_base_freq"] = shortest(local.theta);
            }
            written
        }
    };
    let path = Path::new("config.json");
    let again =
        parse(&Fields::parse("model configuration", path, written.to_string().as_bytes())?)?;
    if again != *config {
        let (family, again) = (config.family, debug_difference(config, &again));
        let reason = format!("is {family:?}, whose files cannot express this shape: {again}");
        return Err(Error::config("family", reason));
    }
    Ok(written)
}

/// The fields of two configurations that differ.
fn debug_difference(wanted: &DecoderConfig, got: &DecoderConfig) -> String {
    let fields = |config: &DecoderConfig| serde_json::to_value(config).unwrap_or_default();
    let (mut wanted, got) = (fields(wanted), fields(got));
    wanted.sort_all_objects();
    let names = wanted.as_object().into_iter().flatten();
    let different = names.filter(|(name, value)| got[name.as_str()] != **value);
    different.map(|(name, value)| format!("`{name}` {value}")).collect::<Vec<_>>().join(", ")
}

fn rotated(config: &DecoderConfig, mut object: Value) -> Value {
    let Position::Rotary { theta, width, scaling } = config.position else {
        return object;
    };
    object["rope_theta"] = shortest(theta);
    if config.family == Family::GptNeox {
        object["rotary_emb_base"] = shortest(theta);
        object["rotary_pct"] = shortest(width as f32 / config.head_width as f32);
    }
    if let Some(scaling) = scaling {
        object["rope_scaling"] = json!({
            "rope_type": "llama3",
            "factor": shortest(scaling.factor),
            "low_freq_factor": shortest(scaling.low),
            "high_freq_factor": shortest(scaling.high),
            "original_max_position_embeddings": scaling.original_context as usize,
        });
    }
    object
}

/// Of every `every` layers the last is not local.
fn layer_types(layers: usize, every: usize) -> Vec<&'static str> {
    let whole = |i: usize| i.is_multiple_of(every);
    let kind = |i| if whole(i) { "full_attention" } else { "sliding_attention" };
    (1..=layers).map(kind).collect()
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    }
}

/// The shortest decimal number that reads back as `value`, rather than its exact expansion.
fn shortest(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value))
}
