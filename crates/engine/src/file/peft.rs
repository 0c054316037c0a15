//! PEFT adapter folders: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Where a family fuses query, key and value into one matrix (GPT-NeoX, GPT-2), PEFT has one pair
//! `A`, `B` for it. Read, that pair is three with the same `A`; written, three different `A` are
//! stacked to one of three times the rank, whose `B` is zero outside each one's rows and columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::json::{self, Fields};
use super::names::{layer_module, layer_prefix};
use super::part::Part;
use super::safetensors::{self, Precision, Safetensors, Written};
use super::{adapted, cannot_write, language, opened};
use crate::adapter::{Adapter, Projection};
use crate::config::{DecoderConfig, Family};
use crate::error::{Error, Result};
use crate::model::Model;

/// What marks a folder as an adapter.
pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";

pub(super) const FUSED: [Projection; 3] = [Projection::Q, Projection::K, Projection::V];

/// Whether query, key and value are one matrix in the family's files.
fn fuses(config: &DecoderConfig) -> bool {
    matches!(config.family, Family::GptNeox | Family::Gpt2)
}

/// Whether a projection is a part of a module that holds several.
pub(super) fn is_fused(config: &DecoderConfig, projection: Projection) -> bool {
    fuses(config) && FUSED.contains(&projection)
}

/// PEFT's name of one of an adapter's tensors, `part` being `A` or `B`.
fn name(config: &DecoderConfig, layer: usize, projection: Projection, part: &str) -> String {
    let (module, _) = layer_module(config, projection.name());
    let prefix = layer_prefix(config.family);
    format!("base_model.model.{prefix}.{layer}.{module}.lora_{part}.weight")
}

/// Where a projection's rows are in `B`, which is `[outputs, rank]` whatever the weight is.
pub(super) fn rows(config: &DecoderConfig, projection: Projection) -> Part {
    Part::rows(layer_module(config, projection.name()).1.rows)
}

/// The module's name in `target_modules`: its last part, where that is enough.
fn target(config: &DecoderConfig, projection: Projection) -> &'static str {
    let (module, _) = layer_module(config, projection.name());
    match module.rsplit_once('.') {
        Some((_, last)) if last != "c_proj" => last,
        _ => module,
    }
}

/// Whether all of an adapter is low-rank updates of layers, without DoRA's magnitudes.
pub(super) fn leaves_base(folder: &Path) -> Result<bool> {
    let path = folder.join(WEIGHTS);
    let tensors = Safetensors::open([(path.clone(), opened::open(&path)?)])?;
    let in_layer = |name: &str| name.contains(".layers.") || name.contains(".h.");
    let update = |name: &str| name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight");
    Ok(tensors.names().all(|name| in_layer(name) && update(name)))
}

/// The model that an adapter folder makes of its base: with its weights, and with the tokenizer and chat
/// template that stand beside them, if there are any.
pub(super) fn load(folder: &Path, base: &Model) -> Result<Model> {
    let path = folder.join(CONFIG);
    let bytes = opened::contents(&path)?;
    let fields = Fields::parse("adapter configuration", &path, &bytes)?;
    let path = folder.join(WEIGHTS);
    if !path.exists() {
        return Err(Error::Adapter(format!(
            "`{}` is missing; other weight formats are not read",
            path.display()
        )));
    }
    let file = opened::open(&path)?;
    let model = read(&fields, Safetensors::open([(path, file)])?, base)?;
    language::beside(folder, model)
}

/// The same of the two files' contents.
pub(super) fn read<R: std::io::Read + std::io::Seek>(
    fields: &Fields,
    tensors: Safetensors<R>,
    base: &Model,
) -> Result<Model> {
    let (decoder, adapter) = adapted::read(fields, tensors, &base.decoder)?;
    let decoder = match decoder {
        Cow::Borrowed(_) => Arc::clone(&base.decoder),
        Cow::Owned(decoder) => Arc::new(decoder),
    };
    Ok(Model { decoder, adapter: adapter.map(Arc::new), ..base.clone() })
}

/// Columns `start..start + rank` of `b`, if all others are zero.
pub(super) fn unstack(b: &[f32], wide: usize, start: usize, rank: usize) -> Option<Vec<f32>> {
    let mut own = Vec::with_capacity(b.len() / wide * rank);
    for row in b.chunks_exact(wide) {
        let (before, rest) = row.split_at(start);
        let (columns, after) = rest.split_at(rank);
        if before.iter().chain(after).any(|&value| value != 0.0) {
            return None;
        }
        own.extend_from_slice(columns);
    }
    Some(own)
}

/// Writes an adapter's folder.
pub(super) fn save(adapter: &Adapter, base: &DecoderConfig, folder: &Path) -> Result<()> {
    let (config, tensors) = contents(adapter, base)?;
    fs::create_dir_all(folder).map_err(|source| cannot_write(folder, source))?;
    let path = folder.join(CONFIG);
    fs::write(&path, config).map_err(|source| cannot_write(&path, source))?;
    safetensors::write(&folder.join(WEIGHTS), tensors)
}

type Contents<'a> = (Vec<u8>, BTreeMap<String, Written<'a>>);

fn contents<'a>(adapter: &'a Adapter, base: &DecoderConfig) -> Result<Contents<'a>> {
    adapter.check(base)?;
    let config = &adapter.config;
    let projections = config.projections(base);
    let fused = fuses(base)
        .then(|| projections.iter().filter(|(projection, _)| FUSED.contains(projection)).count());
    if let Some(1 | 2) = fused {
        return Err(Error::Adapter(
            "this family's files have one module for query, key and value; adapt all three or none"
                .to_owned(),
        ));
    }
    let stacked = fused == Some(3) && !shared(adapter, base);
    let mut tensors = BTreeMap::new();
    let mut write = |name: String, shape: Vec<usize>, values: Cow<'a, [f32]>| {
        let values = Box::new(move || values.clone());
        tensors.insert(name, Written { shape, precision: Precision::F32, values });
    };
    for layer in 0..base.layers {
        for &(projection, (outputs, inputs)) in &projections {
            let (a, b) = adapter.pair(layer, projection)?;
            let [name_a, name_b] = ["A", "B"].map(|part| name(base, layer, projection, part));
            if !is_fused(base, projection) {
                write(name_a, vec![config.rank, inputs], Cow::Borrowed(a));
                write(name_b, vec![outputs, config.rank], Cow::Borrowed(b));
            } else if projection == Projection::Q {
                let (rank, a, b) = fuse(adapter, base, layer, stacked)?;
                write(name_a, vec![rank, inputs], Cow::Owned(a));
                write(name_b, vec![base.qkv_width(), rank], Cow::Owned(b));
            }
        }
    }
    let mut targets: Vec<&str> = projections.iter().map(|&(p, _)| target(base, p)).collect();
    targets.sort_unstable();
    targets.dedup();
    let (mut ranks, mut alphas) = (json!({}), json!({}));
    if stacked {
        let module = target(base, Projection::Q);
        let factor = if config.rank_stabilized { 3.0_f32.sqrt() } else { 3.0 };
        ranks[module] = json!(3 * config.rank);
        alphas[module] = whole_or_not(config.alpha * factor);
    }
    let written = json!({
        "alpha_pattern": alphas,
        "base_model_name_or_path": null,
        "bias": "none",
        "fan_in_fan_out": base.family == Family::Gpt2,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": whole_or_not(config.alpha),
        "lora_dropout": 0.0,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.rank,
        "rank_pattern": ranks,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": config.rank_stabilized,
    });
    Ok((json::pretty(written), tensors))
}

fn whole_or_not(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 { json!(value as i64) } else { json!(value) }
}

/// Whether query, key and value have the same `A` in every layer.
fn shared(adapter: &Adapter, base: &DecoderConfig) -> bool {
    (0..base.layers).all(|layer| {
        let of = |projection| adapter.pair(layer, projection).ok().map(|(a, _)| a);
        of(Projection::Q) == of(Projection::K) && of(Projection::Q) == of(Projection::V)
    })
}

/// The rank, `A` and `B` of the fused module.
fn fuse(
    adapter: &Adapter,
    base: &DecoderConfig,
    layer: usize,
    stacked: bool,
) -> Result<(usize, Vec<f32>, Vec<f32>)> {
    let rank = adapter.config.rank;
    let wide = if stacked { 3 * rank } else { rank };
    let (mut fused_a, mut fused_b) = (Vec::new(), vec![0.0; base.qkv_width() * wide]);
    for (third, &projection) in FUSED.iter().enumerate() {
        let (a, b) = adapter.pair(layer, projection)?;
        let outputs = b.len() / rank;
        if stacked || third == 0 {
            fused_a.extend_from_slice(a);
        }
        let start = if stacked { third * rank } else { 0 };
        let mut own = vec![0.0; outputs * wide];
        for (wide, narrow) in own.chunks_exact_mut(wide).zip(b.chunks_exact(rank)) {
            wide[start..start + rank].copy_from_slice(narrow);
        }
        rows(base, projection).put(&own, &[outputs, wide], &mut fused_b);
    }
    Ok((wide, fused_a, fused_b))
}
