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

/// What `config.json` calls a family, and what every family has.
struct Keys {
    model_type: &'static str,
    architecture: &'static str,
    width: &'static str,
    layers: &'static str,
    heads: &'static str,
    hidden: &'static str,
    context: &'static str,
    epsilon: &'static str,
    activation: &'static str,
}

const LLAMA: Keys = Keys {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    width: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    hidden: "intermediate_size",
    context: "max_position_embeddings",
    epsilon: "rms_norm_eps",
    activation: "hidden_act",
};

/// Llama with a window.
const MISTRAL: Keys = Keys { model_type: "mistral", architecture: "MistralForCausalLM", ..LLAMA };

fn keys(family: Family) -> Keys {
    let like_llama = |model_type, architecture| Keys { model_type, architecture, ..LLAMA };
    match family {
        Family::Llama => LLAMA,
        Family::Qwen2 => like_llama("qwen2", "Qwen2ForCausalLM"),
        Family::Qwen3 => like_llama("qwen3", "Qwen3ForCausalLM"),
        Family::Gemma => like_llama("gemma", "GemmaForCausalLM"),
        Family::Gemma3 => like_llama("gemma3_text", "Gemma3ForCausalLM"),
        Family::GptNeox => {
            Keys { epsilon: "layer_norm_eps", ..like_llama("gpt_neox", "GPTNeoXForCausalLM") }
        }
        Family::Gpt2 => Keys {
            model_type: "gpt2",
            architecture: "GPT2LMHeadModel",
            width: "n_embd",
            layers: "n_layer",
            heads: "n_head",
            hidden: "n_inner",
            context: "n_positions",
            epsilon: "layer_norm_epsilon",
            activation: "activation_function",
        },
    }
}

/// Reads a `config.json`.
pub(super) fn parse(fields: &Fields) -> Result<DecoderConfig> {
    let named = fields.required_text("model_type")?;
    // Mistral computes what Llama does, but for its window.
    let is_mistral = named == MISTRAL.model_type;
    let alike = if is_mistral { LLAMA.model_type } else { named };
    let Some(family) = Family::ALL.into_iter().find(|family| keys(*family).model_type == alike)
    else {
        return Err(fields.bad(format!(
            "`model_type` is `{named}`, expected llama, mistral, qwen2, qwen3, gpt_neox, gpt2, gemma or gemma3_text"
        )));
    };
    refuse(fields, family)?;
    let (keys, classic) = (keys(family), matches!(family, Family::Gpt2 | Family::GptNeox));
    // GPT-2's files may use the names that all others have.
    let size = |own: &str, common: &str| {
        let is_common = fields.value(own).is_none() && fields.value(common).is_some();
        fields.size(if is_common { common } else { own })
    };
    let width = size(keys.width, LLAMA.width)?;
    let heads = size(keys.heads, LLAMA.heads)?;
    let layers = size(keys.layers, LLAMA.layers)?;
    let context = match fields.size_if(keys.context)? {
        None if family == Family::Gpt2 => size("n_ctx", LLAMA.context)?,
        _ => fields.size(keys.context)?,
    };
    let head_width = match fields.size_if("head_dim")?.filter(|_| !classic) {
        Some(head_width) => head_width,
        None if family.is_gemma() => 256,
        None => split(fields, keys.width, width, heads)?,
    };
    let hidden = match fields.size_if(keys.hidden)? {
        None if family == Family::Gpt2 => width.saturating_mul(4),
        _ => fields.size(keys.hidden)?,
    };
    let common = DecoderConfig::of(family, width);
    let mut config = DecoderConfig {
        vocabulary: fields.size("vocab_size")?,
        layers,
        heads,
        kv_heads: heads,
        head_width,
        hidden,
        context,
        norm: NormConfig {
            epsilon: fields.number(keys.epsilon)?.unwrap_or(common.norm.epsilon),
            ..common.norm
        },
        activation: activation(fields, keys.activation, common.activation)?,
        tied: fields.flag("tie_word_embeddings", common.tied)?,
        ..common
    };
    match family {
        Family::Gpt2 => {}
        Family::GptNeox => {
            config.position = rotary(fields, head_width, 0.25, config.position)?;
            config.qkv_bias = fields.flag("attention_bias", true)?;
            config.output_bias = config.qkv_bias;
            config.parallel = fields.flag("use_parallel_residual", true)?;
        }
        Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Gemma | Family::Gemma3 => {
            config.kv_heads = fields.size_if("num_key_value_heads")?.unwrap_or(heads);
            config.position = rotary(fields, head_width, 1.0, config.position)?;
            config.mlp_bias = fields.flag("mlp_bias", false)?;
            if family != Family::Qwen2 {
                config.qkv_bias = fields.flag("attention_bias", false)?;
                config.output_bias = config.qkv_bias;
            }
        }
    }
    if family.is_gemma() {
        config.activation = gemma_activation(fields)?;
    }
    if let Some(absent) = config.local {
        config.local = local(fields, layers, absent)?;
        let scalar = fields.number("query_pre_attn_scalar")?;
        config.query_scalar = scalar.filter(|&scalar| scalar != head_width as f32);
    }
    if is_mistral {
        config.local = window(fields, &config)?;
    }
    config.check()?;
    Ok(config)
}

/// Mistral's window, which all of its layers have; `None` where no sequence is longer.
fn window(fields: &Fields, config: &DecoderConfig) -> Result<Option<LocalAttention>> {
    // Transformers' own where the file says nothing; `null` is none.
    let is_named = fields.entries().any(|(name, _)| name == "sliding_window");
    let window = fields.size_if("sliding_window")?.or((!is_named).then_some(4096));
    let Some(window) = window.filter(|&window| window < config.context) else {
        return Ok(None);
    };
    match config.position {
        Position::Rotary { theta, scaling: None, .. } => {
            Ok(Some(LocalAttention { window, theta, every: config.layers.saturating_add(1) }))
        }
        _ => Err(fields.bad("rotary scaling of layers with a `sliding_window` is not supported")),
    }
}

/// Refuses what a file says that would change the arithmetic.
fn refuse(fields: &Fields, family: Family) -> Result<()> {
    if fields.value("quantization_config").is_some() {
        return Err(fields.bad(
            "`quantization_config` is set; load the unquantised model or a GGUF file instead",
        ));
    }
    match family {
        Family::Gpt2 => {
            for (name, expected) in [
                ("scale_attn_weights", true),
                ("scale_attn_by_inverse_layer_idx", false),
                ("add_cross_attention", false),
            ] {
                if fields.flag(name, expected)? != expected {
                    let reason = format!("`{name}` is {}, expected {expected}", !expected);
                    return Err(fields.bad(reason));
                }
            }
        }
        Family::GptNeox => {}
        Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Gemma | Family::Gemma3 => {
            let may_slide = matches!(family, Family::Qwen2 | Family::Qwen3);
            let context = fields.size_if(LLAMA.context)?.unwrap_or(usize::MAX);
            let is_short = fields.size_if("sliding_window")?.is_none_or(|window| window < context);
            if may_slide && is_short && fields.flag("use_sliding_window", false)?
                || family != Family::Gemma3 && mentions(fields, "layer_types", "sliding_attention")
            {
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
        }
    }
    Ok(())
}

/// Which of `layers` layers are local: `layer_types` says it layer by layer, earlier files say of how
/// many one is not.
fn local(fields: &Fields, layers: usize, absent: LocalAttention) -> Result<Option<LocalAttention>> {
    let every = match fields.value("layer_types").and_then(Value::as_array) {
        None => fields.size_if("sliding_window_pattern")?.unwrap_or(absent.every),
        Some(kinds) => {
            let whole = kinds.iter().position(|kind| kind == "full_attention");
            let every = whole.unwrap_or(layers).saturating_add(1);
            if kinds.len() != layers || *kinds != layer_types(layers, every) {
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
    let theta = theta.or(fields.number("rope_local_base_freq")?).unwrap_or(absent.theta);
    let every = every.min(layers.saturating_add(1));
    Ok(Some(LocalAttention { window: fields.size("sliding_window")?, theta, every }))
}

/// Gemma's first files say `gelu` and mean its approximation, which is what the model was trained
/// with and what Transformers runs; a later field says so outright.
fn gemma_activation(fields: &Fields) -> Result<Activation> {
    match (fields.text("hidden_activation")?, fields.text("hidden_act")?) {
        (Some(_), _) => activation(fields, "hidden_activation", Activation::GeluTanh),
        (None, None | Some("gelu")) => Ok(Activation::GeluTanh),
        (None, Some(_)) => activation(fields, "hidden_act", Activation::GeluTanh),
    }
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

fn activation(fields: &Fields, name: &str, absent: Activation) -> Result<Activation> {
    match fields.text(name)? {
        None => Ok(absent),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu" | "gelu_python") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate") => {
            Ok(Activation::GeluTanh)
        }
        Some(other) => Err(fields.bad(format!(
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
    absent: Position,
) -> Result<Position> {
    let Position::Rotary { theta: absent_theta, .. } = absent else { return Ok(absent) };
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
    // Families that turn all of a head: others pass such a factor over, turn a part, or fail.
    if absent_fraction == 1.0 && fraction != 1.0 {
        return Err(fields.bad(format!(
            "`partial_rotary_factor` is {fraction}, expected 1: this family turns whole heads"
        )));
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
        // By one, these scale nothing.
        Some("linear" | "dynamic" | "yarn")
            if fields.number("factor")? == Some(1.0)
                && ["attention_factor", "mscale", "mscale_all_dim"]
                    .iter()
                    .all(|name| fields.value(name).is_none()) =>
        {
            Ok(None)
        }
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
    let is_windowed = config.family == Family::Llama && config.local.is_some();
    let keys = if is_windowed { MISTRAL } else { keys(config.family) };
    let activation = activation_name(config.activation);
    let mut written = json!({
        "model_type": keys.model_type,
        "architectures": [keys.architecture],
        "vocab_size": config.vocabulary,
        "tie_word_embeddings": config.tied,
        "torch_dtype": "float32",
        (keys.width): config.width,
        (keys.layers): config.layers,
        (keys.heads): config.heads,
        (keys.hidden): config.hidden,
        (keys.context): config.context,
        (keys.epsilon): shortest(config.norm.epsilon),
        (keys.activation): activation,
    });
    let own = match config.family {
        Family::Gpt2 => json!({
            "n_ctx": config.context,
            "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
        }),
        Family::GptNeox => json!({
            "attention_bias": config.qkv_bias,
            "use_parallel_residual": config.parallel,
            "attention_dropout": 0.0, "hidden_dropout": 0.0,
        }),
        Family::Llama | Family::Qwen2 | Family::Qwen3 | Family::Gemma | Family::Gemma3 => json!({
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_width,
            "hidden_activation": config.family.is_gemma().then_some(activation),
            "attention_bias": config.output_bias,
            "attention_dropout": 0.0,
            "mlp_bias": config.mlp_bias,
        }),
    };
    for (key, value) in own.as_object().into_iter().chain(rotated(config).as_object()).flatten() {
        written[key] = value.clone();
    }
    if config.family == Family::Gemma3 {
        // Transformers takes whole numbers only.
        let scalar = config.query_scalar.map_or(config.head_width, |scalar| scalar as usize);
        written["query_pre_attn_scalar"] = json!(scalar);
        let every = config.local.map_or(1, |local| local.every);
        written["layer_types"] = json!(layer_types(config.layers, every));
    }
    if let Some(local) = config.local {
        written["sliding_window"] = json!(local.window);
        if !is_windowed {
            written["rope_local_base_freq"] = shortest(local.theta);
        }
    }
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

/// What is written of rotary positions.
fn rotated(config: &DecoderConfig) -> Value {
    let Position::Rotary { theta, width, scaling } = config.position else {
        return json!({});
    };
    let mut object = json!({ "rope_theta": shortest(theta) });
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
