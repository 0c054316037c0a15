//! PEFT adapter folders: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Where a family fuses query, key and value into one matrix (GPT-NeoX, GPT-2), PEFT has one pair
//! `A`, `B` for it. Read, that pair is three with the same `A`; written, three different `A` are
//! stacked to one of three times the rank, whose `B` is zero outside each one's rows and columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use super::json::{self, Fields};
use super::names::{layer_module, layer_prefix};
use super::part::Part;
use super::safetensors::{self, Precision, Safetensors, Written};
use super::tensors::Tensors;
use super::{cannot_read, cannot_write};
use crate::adapter::{Adapter, AdapterConfig, Projection};
use crate::config::{DecoderConfig, Family};
use crate::error::{Error, Result};
use crate::parameters::Parameters;

/// What marks a folder as an adapter.
pub(super) const CONFIG: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";

const FUSED: [Projection; 3] = [Projection::Q, Projection::K, Projection::V];

/// Whether query, key and value are one matrix in the family's files.
fn fuses(config: &DecoderConfig) -> bool {
    matches!(config.family, Family::GptNeox | Family::Gpt2)
}

/// Whether a projection is a part of a module that holds several.
fn is_fused(config: &DecoderConfig, projection: Projection) -> bool {
    fuses(config) && FUSED.contains(&projection)
}

/// PEFT's name of one of an adapter's tensors, `part` being `A` or `B`.
fn name(config: &DecoderConfig, layer: usize, projection: Projection, part: &str) -> String {
    let (module, _) = layer_module(config, projection.name());
    let prefix = layer_prefix(config.family);
    format!("base_model.model.{prefix}.{layer}.{module}.lora_{part}.weight")
}

/// Where a projection's rows are in `B`, which is `[outputs, rank]` whatever the weight is.
fn rows(config: &DecoderConfig, projection: Projection) -> Part {
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

/// Loads an adapter for a decoder.
pub(super) fn load(folder: &Path, base: &DecoderConfig) -> Result<Adapter> {
    let path = folder.join(CONFIG);
    let bytes = fs::read(&path).map_err(|source| cannot_read(&path, source))?;
    let fields = Fields::parse("adapter configuration", &path, &bytes)?;
    let path = folder.join(WEIGHTS);
    if !path.exists() {
        return Err(Error::Adapter(format!(
            "`{}` is missing; other weight formats are not read",
            path.display()
        )));
    }
    let file = File::open(&path).map_err(|source| cannot_read(&path, source))?;
    read(&fields, Safetensors::open([(path, file)])?, base)
}

/// Builds an adapter from the two files' contents.
pub(super) fn read<R: std::io::Read + std::io::Seek>(
    fields: &Fields,
    mut tensors: Safetensors<R>,
    base: &DecoderConfig,
) -> Result<Adapter> {
    refuse_variants(fields)?;
    let rank = fields.size("r")?;
    let alpha = fields.number("lora_alpha")?.unwrap_or(8.0);
    let rank_stabilized = fields.flag("use_rslora", false)?;
    let targets = targets(&tensors, base)?;
    let mut config = AdapterConfig { rank, alpha, rank_stabilized, targets };
    if Projection::ALL.iter().all(|p| p.shape(base).is_none() || config.targets.contains(p)) {
        config.targets.clear();
    }
    let layout = Adapter::layout(&config, base)?;
    let wide = fused_rank(fields, &config, base)?;
    check_shapes(&tensors, &config, base, wide)?;
    let mut parameters = Parameters::zeros(layout);
    for layer in 0..base.layers {
        for (projection, (outputs, inputs)) in config.projections(base) {
            let mut a = tensors.read(&name(base, layer, projection, "A"))?;
            let mut b = tensors.read(&name(base, layer, projection, "B"))?;
            if is_fused(base, projection) {
                b = rows(base, projection).take(&b, &[outputs, wide]);
                if wide != rank {
                    let third = FUSED.iter().position(|&p| p == projection).unwrap_or(0);
                    a = a[third * rank * inputs..][..rank * inputs].to_vec();
                    b = unstack(&b, wide, third * rank, rank).ok_or_else(|| {
                        Error::Adapter(format!(
                            "`{}` has rank {wide}, the others {rank}; adapters of several ranks are not supported",
                            name(base, layer, projection, "B")
                        ))
                    })?;
                }
            }
            if a.iter().chain(&b).any(|value| !value.is_finite()) {
                return Err(Error::Adapter(format!(
                    "`{}` or its partner has numbers that are not finite",
                    name(base, layer, projection, "A")
                )));
            }
            for (part, values) in [("a", a), ("b", b)] {
                let name = projection.tensor(layer, part);
                let missing = || Error::tensor(&name, "is not in the adapter's layout");
                let span = parameters.layout.get(&name).cloned().ok_or_else(missing)?;
                parameters.data[span.range].copy_from_slice(&values);
            }
        }
    }
    Ok(Adapter { config, parameters })
}

/// Shapes before numbers: the layout's size is what the file claims until they are known to agree.
fn check_shapes<R: std::io::Read + std::io::Seek>(
    tensors: &Safetensors<R>,
    config: &AdapterConfig,
    base: &DecoderConfig,
    wide: usize,
) -> Result<()> {
    let mut used = std::collections::BTreeSet::new();
    for layer in 0..base.layers {
        for (projection, (outputs, inputs)) in config.projections(base) {
            let fused = is_fused(base, projection);
            let rank = if fused { wide } else { config.rank };
            let outputs = if fused { base.qkv_width() } else { outputs };
            for (part, expected) in [("A", [rank, inputs]), ("B", [outputs, rank])] {
                let name = name(base, layer, projection, part);
                match tensors.shape(&name) {
                    Some(shape) if shape == expected => used.insert(name),
                    found => return Err(misfit(&name, found, &expected)),
                };
            }
        }
    }
    match tensors.names().find(|name| !used.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::Adapter(format!(
            "tensor `{name}` belongs to no projection of this model; it was made for another base"
        ))),
    }
}

fn misfit(name: &str, found: Option<Vec<usize>>, expected: &[usize]) -> Error {
    let found = found.map_or("is missing".to_owned(), |shape| format!("has shape {shape:?}"));
    Error::Adapter(format!(
        "tensor `{name}` {found}, expected {expected:?}; was it made for another base?"
    ))
}

/// Fields of PEFT's settings that add to `A` and `B` or change how they are used.
const VARIANTS: [&str; 9] = [
    "use_dora",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
];

/// Fails for what makes an adapter more than `A` and `B`.
fn refuse_variants(fields: &Fields) -> Result<()> {
    if fields.text("peft_type")? != Some("LORA") {
        return Err(fields.bad("`peft_type` is not LORA, the only one supported"));
    }
    if fields.text("bias")?.is_some_and(|bias| bias != "none") {
        return Err(fields.bad("`bias` is not none; adapters with biases are not supported"));
    }
    for flag in VARIANTS {
        if fields.value(flag).is_some_and(|value| *value != json!(false)) {
            return Err(fields.bad(format!("`{flag}` is set, which is not supported")));
        }
    }
    for list in
        ["modules_to_save", "target_parameters", "trainable_token_indices", "layer_replication"]
    {
        let empty = |value: &Value| {
            value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty)
        };
        if fields.value(list).is_some_and(|value| !empty(value)) {
            return Err(fields.bad(format!("`{list}` is set, which is not supported")));
        }
    }
    // These initialisations change the base's weights too.
    if let Some(Value::String(kind)) = fields.value("init_lora_weights")
        && !["gaussian", "eva", "orthogonal"].contains(&kind.as_str())
    {
        return Err(fields.bad(format!(
            "`init_lora_weights` is `{kind}`, which changes the base too; convert the adapter with PEFT first"
        )));
    }
    Ok(())
}

/// The projections that the file has tensors for, the same in every layer.
fn targets<R: std::io::Read + std::io::Seek>(
    tensors: &Safetensors<R>,
    base: &DecoderConfig,
) -> Result<Vec<Projection>> {
    let mut targets = Vec::new();
    for projection in Projection::ALL.into_iter().filter(|p| p.shape(base).is_some()) {
        let has = |layer| tensors.shape(&name(base, layer, projection, "A")).is_some();
        let count = (0..base.layers).filter(|&layer| has(layer)).count();
        if count == base.layers {
            targets.push(projection);
        } else if count > 0 {
            return Err(Error::Adapter(format!(
                "`{}` is adapted in {count} of {} layers; adapters of some layers are not supported",
                target(base, projection),
                base.layers
            )));
        }
    }
    if targets.is_empty() {
        return Err(Error::Adapter(
            "no tensor belongs to a projection of this model; it was made for another base"
                .to_owned(),
        ));
    }
    Ok(targets)
}

/// The rank of the fused projection: the common one, or three times it at the same scale.
fn fused_rank(fields: &Fields, config: &AdapterConfig, base: &DecoderConfig) -> Result<usize> {
    let patterns = |name: &str| -> Result<BTreeMap<String, f32>> {
        let Some(pattern) = fields.object(name)? else {
            return Ok(BTreeMap::new());
        };
        let entries = fields.map(name)?.keys();
        entries.map(|key| Ok((key.clone(), pattern.number(key)?.unwrap_or(0.0)))).collect()
    };
    let (ranks, alphas) = (patterns("rank_pattern")?, patterns("alpha_pattern")?);
    if ranks.is_empty() && alphas.is_empty() {
        return Ok(config.rank);
    }
    let wide = AdapterConfig { rank: 3 * config.rank, ..config.clone() };
    let alpha = config.alpha * config.scale() / wide.scale();
    let only = |found: &BTreeMap<String, f32>, expected: f32| {
        let key = target(base, Projection::Q);
        found.len() == 1
            && found.get(key).is_some_and(|value| (value / expected - 1.0).abs() < 1e-5)
    };
    if fuses(base) && only(&ranks, wide.rank as f32) && only(&alphas, alpha) {
        return Ok(wide.rank);
    }
    Err(fields.bad("`rank_pattern` or `alpha_pattern` is set; adapters of several ranks or scales are not supported"))
}

/// Columns `start..start + rank` of `b`, if all others are zero.
fn unstack(b: &[f32], wide: usize, start: usize, rank: usize) -> Option<Vec<f32>> {
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
