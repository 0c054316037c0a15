//! From a PEFT adapter's tensors to a model: what is a plain low-rank update of a layer's projection
//! stays one; the rest (DoRA, embedding and head, biases, modules saved whole) changes the weights.
//!
//! Ranks and scales may differ from module to module. In memory an adapter has one of each, so smaller
//! ranks are filled up with zeros and other scales are taken into `B`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::iter;

use regex_automata::dfa::{Automaton, dense};
use regex_automata::{Anchored, Input};
use serde_json::{Value, json};

use super::folder::merge;
use super::json::Fields;
use super::names::{huggingface, layer_module, layer_prefix};
use super::peft::{FUSED, is_fused, rows, unstack};
use super::safetensors::Safetensors;
use super::tensors::Tensors;
use crate::adapter::{Adapter, AdapterConfig, Projection};
use crate::config::{DecoderConfig, Family};
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::parameters::Parameters;

/// What every name begins with.
const ROOT: &str = "base_model.model.";
/// Memory of an automaton of a pattern in the settings, in bytes: a bound, not tuned.
const AUTOMATON: usize = 1 << 20;

/// The low-rank update of one matrix: `scale · B·A`, with DoRA the whole row scaled to a magnitude.
struct Update {
    rank: usize,
    scale: f32,
    a: Vec<f32>,
    b: Vec<f32>,
    magnitude: Option<Vec<f32>>,
}

/// The settings and tensors of an adapter folder.
struct Reading<'a, R> {
    fields: &'a Fields,
    tensors: Safetensors<R>,
    base: &'a DecoderConfig,
    config: AdapterConfig,
    used: BTreeSet<String>,
    /// Of patterns that were asked for; there may be one for each module.
    automata: RefCell<BTreeMap<String, dense::DFA<Vec<u32>>>>,
}

/// The base's weights as the adapter changes them, if it does, and what stays apart from them.
pub(super) fn read<'a, R: Read + Seek>(
    fields: &Fields,
    tensors: Safetensors<R>,
    base: &'a Decoder,
) -> Result<(Cow<'a, Decoder>, Option<Adapter>)> {
    let mut reading = Reading::new(fields, tensors, &base.config)?;
    let mut decoder = Cow::Borrowed(base);
    reading.replace(&mut decoder)?;
    reading.update_ends(&mut decoder)?;
    let mut plain = Vec::new();
    for layer in 0..base.config.layers {
        for (projection, update) in reading.layer(layer)? {
            if update.magnitude.is_some() {
                merge_into(decoder.to_mut(), &projection.tensor(layer, "weight"), &update)?;
            } else {
                plain.push((layer, projection, update));
            }
        }
    }
    let used = &reading.used;
    let saved = fields.value("modules_to_save").and_then(Value::as_array);
    for name in saved.into_iter().flatten().filter_map(Value::as_str) {
        if !used.iter().any(|tensor| tensor.contains(name)) {
            return Err(fields.bad(format!(
                "`modules_to_save` names `{name}`, of which the file has no tensor"
            )));
        }
    }
    if used.is_empty() {
        return Err(Error::Adapter(
            "no tensor belongs to a projection of this model; it was made for another base"
                .to_owned(),
        ));
    }
    if let Some(name) = reading.tensors.names().find(|name| !used.contains(*name)) {
        return Err(Error::Adapter(format!(
            "tensor `{name}` belongs to nothing that `adapter_config.json` and this model have; it was made for another base"
        )));
    }
    let adapter = if plain.is_empty() { None } else { Some(reading.adapter(&plain)?) };
    Ok((decoder, adapter))
}

/// What PEFT calls a module: as it is called in files, or in memory, which for GPT-NeoX's head is another name
/// since Transformers 5.
fn called(family: Family, module: &str) -> Vec<&str> {
    let other = (family == Family::GptNeox && module == "embed_out").then_some("lm_head");
    iter::once(module).chain(other).collect()
}

/// An adapter of low-rank updates of layers alone, without its base's weights; fails for one that changes
/// these.
pub(super) fn low_rank<R: Read + Seek>(
    fields: &Fields,
    tensors: Safetensors<R>,
    base: &DecoderConfig,
) -> Result<Adapter> {
    let mut reading = Reading::new(fields, tensors, base)?;
    let mut updates = Vec::new();
    for layer in 0..base.layers {
        let own = reading.layer(layer)?;
        updates.extend(own.into_iter().map(|(projection, update)| (layer, projection, update)));
    }
    let used = &reading.used;
    let other = reading.tensors.names().find(|name| !used.contains(*name));
    let magnitude = updates.iter().any(|(_, _, update)| update.magnitude.is_some());
    if magnitude || other.is_some() || updates.is_empty() {
        let what = other.unwrap_or(if magnitude { "use_dora" } else { "no update of a layer" });
        return Err(Error::Adapter(format!(
            "it is more than low-rank updates of this model's layers (`{what}`); merge it into its base, or check that this is its base"
        )));
    }
    reading.adapter(&updates)
}

impl<'a, R: Read + Seek> Reading<'a, R> {
    fn new(fields: &'a Fields, tensors: Safetensors<R>, base: &'a DecoderConfig) -> Result<Self> {
        refuse(fields)?;
        let config = AdapterConfig {
            rank: fields.size("r")?,
            alpha: fields.number("lora_alpha")?.unwrap_or(8.0),
            rank_stabilized: fields.flag("use_rslora", false)?,
            targets: Vec::new(),
        };
        let (used, automata) = (BTreeSet::new(), RefCell::default());
        Ok(Self { fields, tensors, base, config, used, automata })
    }

    /// The numbers of a tensor, if it is there and of this shape.
    fn take(&mut self, name: &str, expected: &[usize]) -> Result<Option<Vec<f32>>> {
        let Some(found) = self.tensors.shape(name) else { return Ok(None) };
        if found != expected {
            return Err(misfit(name, &format!("has shape {found:?}"), expected));
        }
        self.used.insert(name.to_owned());
        let values = self.tensors.read(name)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::Adapter(format!("`{name}` has numbers that are not finite")));
        }
        Ok(Some(values))
    }

    /// The update of a module, whose name begins with that of the model.
    fn update(&mut self, module: &str, outputs: usize, inputs: usize) -> Result<Option<Update>> {
        let full = format!("{ROOT}{module}");
        let embeds = self.tensors.shape(&format!("{full}.lora_embedding_A")).is_some();
        let [name_a, name_b] = ["A", "B"].map(|part| {
            if embeds {
                format!("{full}.lora_embedding_{part}")
            } else {
                format!("{full}.lora_{part}.weight")
            }
        });
        if self.tensors.shape(&name_a).is_none() && self.tensors.shape(&name_b).is_none() {
            return Ok(None);
        }
        if !self.is_target(module)? {
            return Err(Error::Adapter(format!(
                "tensor `{name_a}` is there, but `adapter_config.json` does not name its module, so PEFT would leave it out"
            )));
        }
        let rank =
            self.pattern("rank_pattern", module)?.map_or(self.config.rank, |rank| rank as usize);
        let alpha = self.pattern("alpha_pattern", module)?.unwrap_or(self.config.alpha);
        let scale = AdapterConfig { rank, alpha, ..self.config.clone() }.scale();
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::Adapter(format!("alpha {alpha} must be positive")));
        }
        let mut read = |name: &str, shape: [usize; 2]| {
            self.take(name, &shape)?.ok_or_else(|| misfit(name, "is missing", &shape))
        };
        let (a, b) = (read(&name_a, [rank, inputs])?, read(&name_b, [outputs, rank])?);
        let mut magnitude = None;
        if self.fields.flag("use_dora", false)? {
            if embeds {
                return Err(Error::Adapter(format!(
                    "`{module}` is an embedding with DoRA, which is not supported"
                )));
            }
            for name in [
                format!("{full}.lora_magnitude_vector"),
                format!("{full}.lora_magnitude_vector.weight"),
            ] {
                magnitude = magnitude.or(self.take(&name, &[outputs])?);
            }
            if magnitude.is_none() {
                return Err(misfit(
                    &format!("{full}.lora_magnitude_vector"),
                    "is missing",
                    &[outputs],
                ));
            }
        }
        Ok(Some(Update { rank, scale, a, b, magnitude }))
    }

    /// The updates of a layer's projections.
    fn layer(&mut self, layer: usize) -> Result<Vec<(Projection, Update)>> {
        let base = self.base;
        let mut updates = Vec::new();
        for projection in Projection::ALL {
            let Some((outputs, inputs)) = projection.shape(base) else { continue };
            let module = layer_module(base, projection.name()).0;
            let module = format!("{}.{layer}.{module}", layer_prefix(base.family));
            if !is_fused(base, projection) {
                updates.extend(
                    self.update(&module, outputs, inputs)?.map(|update| (projection, update)),
                );
            } else if projection == Projection::Q
                && let Some(update) = self.update(&module, base.qkv_width(), inputs)?
            {
                updates.extend(split(base, &self.config, &update, inputs));
            }
        }
        Ok(updates)
    }

    /// Weights that the adapter has whole: biases, and what `modules_to_save` names.
    fn replace(&mut self, decoder: &mut Cow<'_, Decoder>) -> Result<()> {
        let biases = self.fields.text("bias")?.unwrap_or("none").to_owned();
        if !["none", "all", "lora_only"].contains(&biases.as_str()) {
            return Err(self
                .fields
                .bad(format!("`bias` is `{biases}`, expected none, all or lora_only")));
        }
        let base = self.base;
        let layout = Decoder::layout(base);
        let old = base
            .tied
            .then(|| decoder.parameters.tensor("embed.weight").map(<[f32]>::to_vec))
            .flatten();
        // Fused modules lie in three canonical ones.
        let mut last: (String, Option<Vec<f32>>) = (String::new(), None);
        for span in layout.spans() {
            let place = huggingface(base, &span.name);
            let (module, field) = place.name.rsplit_once('.').unwrap_or(("", &place.name));
            let is_end = !span.name.starts_with("layers.") && span.shape.len() == 2;
            let called = called(base.family, module);
            let is_allowed = field == "bias" && biases != "none" || is_end || self.is_saved(module);
            if !is_allowed {
                continue;
            }
            if last.0 != place.name {
                let shape = place.part.stored_shape(&span.shape);
                let mut found = None;
                for module in called {
                    for name in [
                        format!("{ROOT}{module}.base_layer.{field}"),
                        format!("{ROOT}{module}.{field}"),
                    ] {
                        found = found.or(self.take(&name, &shape)?);
                    }
                }
                last = (place.name.clone(), found);
            }
            if let Some(stored) = &last.1 {
                let values = place.part.take(stored, &span.shape);
                decoder.to_mut().parameters.data[span.range.clone()].copy_from_slice(&values);
            }
        }
        let Some(old) = old else { return Ok(()) };
        // A module that is saved whole is PEFT's own copy, which nothing is tied to any more.
        let [embed, head] =
            ["embed.weight", "head.weight"].map(|name| huggingface(base, name).name);
        let saved =
            |name: &str| name.rsplit_once('.').is_some_and(|(module, _)| self.is_saved(module));
        let (embed_is_own, head_is_own) = (saved(&embed), saved(&head));
        let shape = [base.vocabulary, base.width];
        let mut own = self.take(&format!("{ROOT}{head}"), &shape)?;
        if let Some(base_layer) =
            self.take(&format!("{ROOT}{}", head.replace(".weight", ".base_layer.weight")), &shape)?
        {
            own = own.or(Some(base_layer));
        }
        let now = decoder.parameters.tensor("embed.weight").unwrap_or_default();
        match own {
            Some(own) if head_is_own => untie(decoder, &own),
            Some(own) if own != now => Err(Error::Adapter(format!(
                "`{ROOT}{head}` differs from the embedding, which is this model's output head, and `modules_to_save` does not name it"
            ))),
            _ if embed_is_own && now != old => untie(decoder, &old),
            _ => Ok(()),
        }
    }

    /// Low-rank updates of the embedding and of the output head.
    fn update_ends(&mut self, decoder: &mut Cow<'_, Decoder>) -> Result<()> {
        let (vocabulary, width) = (self.base.vocabulary, self.base.width);
        let module = |canonical: &str| {
            let name = huggingface(self.base, canonical).name;
            name.strip_suffix(".weight").unwrap_or_default().to_owned()
        };
        let (embed, head) = (module("embed.weight"), module("head.weight"));
        let heads = called(self.base.family, &head);
        let embedding = self.update(&embed, width, vocabulary)?;
        let mut head = None;
        for name in heads {
            head = head.or(self.update(name, vocabulary, width)?);
        }
        if (embedding.is_some() || head.is_some()) && decoder.config.tied {
            let shared = decoder.parameters.tensor("embed.weight").unwrap_or_default().to_vec();
            untie(decoder, &shared)?;
        }
        if let Some(Update { rank, scale, a, b, .. }) = embedding {
            let transposed = |values: &[f32], rows: usize| -> Vec<f32> {
                let columns = values.len() / rows;
                (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
            };
            let (a, b) = (transposed(&b, width), transposed(&a, rank));
            let update = Update { rank, scale, a, b, magnitude: None };
            merge_into(decoder.to_mut(), "embed.weight", &update)?;
        }
        if let Some(update) = head {
            merge_into(decoder.to_mut(), "head.weight", &update)?;
        }
        Ok(())
    }

    /// Whether `modules_to_save` names a module or what it is in.
    fn is_saved(&self, module: &str) -> bool {
        let list = self.fields.value("modules_to_save").and_then(Value::as_array);
        let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
        let mut path = Some(module);
        while let Some(module) = path {
            if names.iter().any(|name| module.ends_with(name)) {
                return true;
            }
            path = module.rsplit_once('.').map(|(parent, _)| parent);
        }
        false
    }

    /// Whether PEFT puts an update on a module.
    fn is_target(&self, module: &str) -> Result<bool> {
        let is_in = |name: &str| -> Result<Option<bool>> {
            Ok(match self.fields.value(name) {
                None => None,
                Some(Value::Array(names)) => {
                    Some(names.iter().filter_map(Value::as_str).any(|name| {
                        module == name
                            || module.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
                    }))
                }
                Some(Value::String(all)) if all == "all-linear" => {
                    Some(module.starts_with(layer_prefix(self.base.family)))
                }
                Some(Value::String(pattern)) => Some(self.matches(pattern, module)?),
                Some(_) => {
                    return Err(self.fields.bad(format!("`{name}` is neither a list nor a text")));
                }
            })
        };
        let layer = module.strip_prefix(layer_prefix(self.base.family));
        let layer = layer.and_then(|rest| rest[1..].split_once('.')?.0.parse::<usize>().ok());
        let layers = self.fields.sizes("layers_to_transform")?;
        Ok(is_in("target_modules")?.unwrap_or(true)
            && !is_in("exclude_modules")?.unwrap_or(false)
            && (layers.is_empty() || layer.is_some_and(|layer| layers.contains(&layer))))
    }

    /// The number that the first fitting pattern has for a module.
    fn pattern(&self, name: &str, module: &str) -> Result<Option<f32>> {
        let Some(patterns) = self.fields.object(name)? else { return Ok(None) };
        for (pattern, _) in patterns.entries() {
            if self.matches(&format!(r"(?:.*\.)?(?:{pattern})"), module)? {
                return patterns.number(pattern);
            }
        }
        Ok(None)
    }

    /// Whether a pattern fits a whole name.
    fn matches(&self, pattern: &str, name: &str) -> Result<bool> {
        let bad = |error: &dyn std::fmt::Display| {
            self.fields.bad(format!("the pattern `{pattern}` cannot be used: {error}"))
        };
        let mut automata = self.automata.borrow_mut();
        let automaton = match automata.entry(pattern.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let limits = dense::Config::new()
                    .dfa_size_limit(Some(AUTOMATON))
                    .determinize_size_limit(Some(AUTOMATON));
                let builder =
                    dense::Builder::new().configure(limits).build(&format!(r"\A(?:{pattern})\z"));
                new.insert(builder.map_err(|error| bad(&error))?)
            }
        };
        let input = Input::new(name).anchored(Anchored::Yes);
        Ok(automaton.try_search_fwd(&input).map_err(|error| bad(&error))?.is_some())
    }

    /// One adapter of plain updates.
    fn adapter(&self, updates: &[(usize, Projection, Update)]) -> Result<Adapter> {
        let mut config = self.config.clone();
        let (rank, scale) = (config.rank, config.scale());
        let is_even =
            updates.iter().all(|(_, _, update)| update.rank == rank && update.scale == scale);
        if !is_even {
            config.rank = updates.iter().map(|(_, _, update)| update.rank).max().unwrap_or(rank);
            config.alpha = config.rank as f32;
            config.rank_stabilized = false;
        }
        let targets: BTreeSet<Projection> =
            updates.iter().map(|&(_, projection, _)| projection).collect();
        let all = Projection::ALL.into_iter().filter(|p| p.shape(self.base).is_some());
        if targets.len() < all.count() {
            config.targets = targets.into_iter().collect();
        }
        let mut parameters = Parameters::zeros(Adapter::layout(&config, self.base)?);
        let factor = |scale: f32| if is_even { 1.0 } else { scale };
        for (layer, projection, update) in updates {
            for (part, values) in [("a", &update.a), ("b", &update.b)] {
                let name = projection.tensor(*layer, part);
                let span = parameters.layout.get(&name).cloned();
                let span =
                    span.ok_or_else(|| Error::tensor(&name, "is not in the adapter's layout"))?;
                let out = &mut parameters.data[span.range];
                if part == "a" {
                    out[..values.len()].copy_from_slice(values);
                    continue;
                }
                for (out, row) in
                    out.chunks_exact_mut(config.rank).zip(values.chunks_exact(update.rank))
                {
                    for (out, value) in out.iter_mut().zip(row) {
                        *out = value * factor(update.scale);
                    }
                }
            }
        }
        Ok(Adapter { config, parameters })
    }
}

/// The updates of query, key and value out of that of their common matrix. One of three times the rank
/// may be three side by side, as this engine writes them.
fn split(
    base: &DecoderConfig,
    config: &AdapterConfig,
    fused: &Update,
    inputs: usize,
) -> Vec<(Projection, Update)> {
    let part = |projection: Projection| {
        let outputs = projection.shape(base).map_or(0, |shape| shape.0);
        let part = rows(base, projection);
        let magnitude = fused.magnitude.as_ref().map(|values| part.take(values, &[outputs]));
        (part.take(&fused.b, &[outputs, fused.rank]), magnitude)
    };
    let narrow = fused.rank / 3;
    let apart = FUSED.iter().enumerate().map(|(third, &projection)| {
        let (b, magnitude) = part(projection);
        let b = unstack(&b, fused.rank, third * narrow, narrow)?;
        let a = fused.a[third * narrow * inputs..][..narrow * inputs].to_vec();
        Some((projection, Update { rank: narrow, scale: fused.scale, a, b, magnitude }))
    });
    if fused.rank == 3 * config.rank
        && let Some(mut apart) = apart.collect::<Option<Vec<_>>>()
    {
        for (_, update) in &mut apart {
            // The scale of the wide one went through decimal notation.
            if (update.scale / config.scale() - 1.0).abs() < 1e-5 {
                update.scale = config.scale();
            }
        }
        return apart;
    }
    let whole = |&projection: &Projection| {
        let (b, magnitude) = part(projection);
        (
            projection,
            Update { rank: fused.rank, scale: fused.scale, a: fused.a.clone(), b, magnitude },
        )
    };
    FUSED.iter().map(whole).collect()
}

fn merge_into(decoder: &mut Decoder, name: &str, update: &Update) -> Result<()> {
    let span = decoder.parameters.layout.get(name).cloned();
    let span = span.ok_or_else(|| Error::tensor(name, "is missing"))?;
    let weight = &mut decoder.parameters.data[span.range];
    merge(
        weight,
        span.shape[1],
        (&update.a, &update.b, update.rank),
        update.scale,
        update.magnitude.as_deref(),
    );
    Ok(())
}

/// Gives a decoder whose output head is its embedding another head.
fn untie(decoder: &mut Cow<'_, Decoder>, head: &[f32]) -> Result<()> {
    let mut untied = Decoder::zeros(DecoderConfig { tied: false, ..decoder.config.clone() })?;
    untied.parameters.fill(|span| {
        let own = decoder.parameters.tensor(&span.name);
        Ok(own.unwrap_or(head).to_vec())
    })?;
    *decoder = Cow::Owned(untied);
    Ok(())
}

fn misfit(name: &str, found: &str, expected: &[usize]) -> Error {
    Error::Misfit(format!(
        "tensor `{name}` {found}, expected {expected:?}; was it made for another base?"
    ))
}

/// Fields of PEFT's settings that add to `A` and `B` or change how they are used.
const VARIANTS: [&str; 10] = [
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "megatron_config",
    "ensure_weight_tying",
];

/// Fails for what makes an adapter more than is read here.
fn refuse(fields: &Fields) -> Result<()> {
    if fields.text("peft_type")? != Some("LORA") {
        return Err(fields.bad("`peft_type` is not LORA, the only one supported"));
    }
    for flag in VARIANTS {
        if fields.value(flag).is_some_and(|value| *value != json!(false)) {
            return Err(fields.bad(format!("`{flag}` is set, which is not supported")));
        }
    }
    for list in ["target_parameters", "trainable_token_indices", "layer_replication"] {
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
