//! Hugging Face model folders: `config.json`, weights in one or several safetensors files,
//! `tokenizer.json` and the small files around it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::json::{self, Fields};
use super::language::{
    self, ADDED_TOKENS, CHAT_TEMPLATE, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG,
};
use super::names::Stored;
use super::opened::{check_written, open, optional};
use super::part::Part;
use super::safetensors::{self, Precision, Safetensors, Written};
use super::tensors::Tensors;
use super::{cannot_write, huggingface, names, tensors};
use crate::adapter::{Adapter, Projection};
use crate::config::DecoderConfig;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokenizer::Tokenizer;

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const GENERATION: &str = "generation_config.json";

/// The contents of a folder's text files.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) config: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
    pub(super) tokenizer_config: Option<Vec<u8>>,
    pub(super) generation: Option<Vec<u8>>,
    pub(super) special_tokens: Option<Vec<u8>>,
    pub(super) added_tokens: Option<Vec<u8>>,
    pub(super) template: Option<Vec<u8>>,
}

impl Texts {
    /// All of a folder's.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let required = |name: &str, hint: &str| {
            let path = folder.join(name);
            let missing =
                || Error::format("model folder", folder, format!("`{name}` is missing{hint}"));
            optional(&path)?.ok_or_else(missing)
        };
        let adapter = folder.join(super::peft::CONFIG).exists();
        Ok(Self {
            config: required(
                CONFIG,
                if adapter { "; this is an adapter, load the model it is for first" } else { "" },
            )?,
            tokenizer: required(TOKENIZER, "; save the tokenizer with Transformers to make one")?,
            generation: optional(&folder.join(GENERATION))?,
            ..Self::around(folder)?
        })
    }

    /// What stands beside a `tokenizer.json`.
    pub(super) fn around(folder: &Path) -> Result<Self> {
        Ok(Self {
            tokenizer_config: optional(&folder.join(TOKENIZER_CONFIG))?,
            special_tokens: optional(&folder.join(SPECIAL_TOKENS))?,
            added_tokens: optional(&folder.join(ADDED_TOKENS))?,
            template: optional(&folder.join(CHAT_TEMPLATE))?,
            ..Self::default()
        })
    }
}

pub(super) fn load(folder: &Path) -> Result<Model> {
    let texts = Texts::of(folder)?;
    let mut files = Vec::new();
    for path in weight_files(folder)? {
        let file = open(&path)?;
        check_written(&path)?;
        files.push((path, file));
    }
    assemble(folder, &texts, Safetensors::open(files)?)
}

/// The files that hold the weights: one, or those that an index names.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join(WEIGHTS);
    if single.exists() {
        return Ok(vec![single]);
    }
    let path = folder.join(INDEX);
    let Some(bytes) = optional(&path)? else {
        let reason = format!(
            "neither `{WEIGHTS}` nor `{INDEX}` is there; other weight formats are not read"
        );
        return Err(Error::format("model folder", folder, reason));
    };
    let index = Fields::parse("safetensors index", &path, &bytes)?;
    let mut files = BTreeSet::new();
    for (tensor, file) in index.map("weight_map")? {
        let name = file.as_str().unwrap_or_default();
        // A name with a separator could lead out of the folder.
        if name.is_empty() || name.contains(['/', '\\']) || name == ".." {
            return Err(index.bad(format!(
                "`weight_map` puts `{tensor}` in {file}, expected a file in the same folder"
            )));
        }
        files.insert(folder.join(name));
    }
    Ok(files.into_iter().collect())
}

/// What the tensors of a checkpoint are called.
#[derive(Clone, Copy)]
pub(super) struct Names {
    /// The first GPT-2 files were saved from inside the language model.
    plain: bool,
}

impl Names {
    /// Those of a file's tensors.
    pub(super) fn of<R: Read + Seek>(tensors: &Safetensors<R>) -> Self {
        Self { plain: !tensors.names().any(|name| name.starts_with("transformer.")) }
    }

    /// Where a canonical tensor is.
    pub(super) fn stored(self, config: &DecoderConfig, canonical: &str) -> Stored {
        let mut stored = names::huggingface(config, canonical);
        if self.plain
            && let Some(name) = stored.name.strip_prefix("transformer.")
        {
            stored.name = name.to_owned();
        }
        stored
    }
}

fn fields(folder: &Path, format: &'static str, name: &str, bytes: &[u8]) -> Result<Fields> {
    Fields::parse(format, &folder.join(name), bytes)
}

/// The shape that a folder's configuration describes.
pub(super) fn config(folder: &Path, texts: &Texts) -> Result<DecoderConfig> {
    huggingface::parse(&fields(folder, "model configuration", CONFIG, &texts.config)?)
}

/// The ids that a folder's configurations say end a turn.
fn ends(folder: &Path, texts: &Texts) -> Result<BTreeSet<usize>> {
    let config = fields(folder, "model configuration", CONFIG, &texts.config)?;
    let mut end: BTreeSet<usize> = config.sizes("eos_token_id")?.into_iter().collect();
    if let Some(bytes) = &texts.generation {
        let generation = fields(folder, "generation configuration", GENERATION, bytes)?;
        end.extend(generation.sizes("eos_token_id")?);
    }
    Ok(end)
}

/// A folder's tokenizer alone.
pub(super) fn tokenizer(folder: &Path, texts: &Texts, config: &DecoderConfig) -> Result<Tokenizer> {
    Ok(language::read(folder, texts, ends(folder, texts)?, config.vocabulary)?.0)
}

/// Fails for a tensor that is no part of a model of this shape.
pub(super) fn check_used<R: Read + Seek>(
    config: &DecoderConfig,
    names: Names,
    tensors: &Safetensors<R>,
) -> Result<()> {
    let used = tensors::names(config, |config, canonical| names.stored(config, canonical));
    let unread =
        |name: &&str| !used.contains(*name) && !is_buffer(name) && !is_tied_head(config, name);
    match tensors.names().find(unread) {
        None => Ok(()),
        Some(name) => Err(Error::tensor(
            name,
            "belongs to no part of this model as `config.json` describes it; without it the model would be another",
        )),
    }
}

/// Builds a model from a folder's texts and tensors; `folder` is for messages.
pub(super) fn assemble<R: Read + Seek>(
    folder: &Path,
    texts: &Texts,
    mut tensors: Safetensors<R>,
) -> Result<Model> {
    let end = ends(folder, texts)?;
    let mut config = config(folder, texts)?;
    let (tokenizer, template) = language::read(folder, texts, end, config.vocabulary)?;
    if tokenizer.vocabulary() > config.vocabulary {
        let reason = format!(
            "is {}, but the tokenizer has {} ids; is it this model's tokenizer?",
            config.vocabulary,
            tokenizer.vocabulary()
        );
        return Err(Error::config("vocab_size", reason));
    }
    let names = Names::of(&tensors);
    if config.tied {
        let [head, embed] =
            ["head.weight", "embed.weight"].map(|name| names.stored(&config, name).name);
        // As Transformers has it since version 5: a head of its own is one, whatever the configuration says.
        let shapes = [&head, &embed].map(|name| tensors.shape(name));
        config.tied = shapes[0].is_none()
            || shapes[0] == shapes[1] && tensors.read(&head)? == tensors.read(&embed)?;
    }
    check_used(&config, names, &tensors)?;
    let stored = |config: &DecoderConfig, canonical: &str| names.stored(config, canonical);
    let decoder = tensors::decoder(config, &mut tensors, stored)?;
    Ok(Model::new(decoder, tokenizer, template))
}

/// Whether a tensor follows from the configuration: masks and rotary frequencies, which older versions
/// of Transformers saved.
fn is_buffer(name: &str) -> bool {
    [
        ".attn.bias",
        ".attn.masked_bias",
        ".attention.bias",
        ".attention.masked_bias",
        "rotary_emb.inv_freq",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

fn is_tied_head(config: &DecoderConfig, name: &str) -> bool {
    config.tied && names::huggingface(config, "head.weight").name == name
}

/// Everything but the weights, by file name.
fn texts(model: &Model) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let (tokenizer, template) = (&model.tokenizer, &model.template);
    let id = |text: &str| (!text.is_empty()).then(|| tokenizer.token(text)).flatten();
    let end = match tokenizer.end_tokens() {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    let begin = id(template.begin());
    let mut config = huggingface::write(&model.decoder.config)?;
    config["bos_token_id"] = json!(begin);
    config["eos_token_id"] = end.clone();
    let generation = json!({ "bos_token_id": begin, "eos_token_id": end });
    let mut tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": null,
        "eos_token": null,
        "chat_template": template.source(),
        "clean_up_tokenization_spaces": false,
        "model_max_length": model.decoder.config.context,
    });
    for (name, text) in template.tokens() {
        tokenizer_config[name] = json!(text);
    }
    Ok(BTreeMap::from([
        (CONFIG, json::pretty(config)),
        (GENERATION, json::pretty(generation)),
        (TOKENIZER, tokenizer.json().to_vec()),
        (TOKENIZER_CONFIG, json::pretty(tokenizer_config)),
    ]))
}

pub(super) fn parts(
    model: &Model,
    precision: Precision,
) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let mut parts = texts(model)?;
    let decoder = merged(model)?;
    parts.insert(WEIGHTS, safetensors::to_bytes(written(&decoder, precision))?);
    Ok(parts)
}

fn write_texts(
    texts: impl IntoIterator<Item = (&'static str, Vec<u8>)>,
    folder: &Path,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| cannot_write(folder, source))?;
    for (name, bytes) in texts {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| cannot_write(&path, source))?;
    }
    Ok(())
}

pub(super) fn save_language(model: &Model, folder: &Path) -> Result<()> {
    let small = |name: &str| [TOKENIZER, TOKENIZER_CONFIG].contains(&name);
    write_texts(texts(model)?.into_iter().filter(|(name, _)| small(name)), folder)
}

pub(super) fn save(model: &Model, folder: &Path) -> Result<()> {
    let texts = texts(model)?;
    let decoder = merged(model)?;
    write_texts(texts, folder)?;
    safetensors::write(&folder.join(WEIGHTS), written(&decoder, Precision::F32))
}

/// The stored tensors of a decoder, put together from their parts when they are written.
fn written(decoder: &Decoder, precision: Precision) -> BTreeMap<String, Written<'_>> {
    let mut stored: BTreeMap<String, (Vec<usize>, Vec<_>)> = BTreeMap::new();
    for span in decoder.parameters.layout.spans() {
        let place = names::huggingface(&decoder.config, &span.name);
        let shape = place.part.stored_shape(&span.shape);
        let parts = &mut stored.entry(place.name).or_insert((shape, Vec::new())).1;
        parts.push((place.part, span));
    }
    let data = &decoder.parameters.data;
    let written = stored.into_iter().map(|(name, (shape, parts))| {
        let size = shape.iter().product();
        let values = move || {
            if let [(Part::WHOLE, span)] = parts[..] {
                return Cow::Borrowed(&data[span.range.clone()]);
            }
            let mut whole = vec![0.0; size];
            for (part, span) in &parts {
                part.put(&data[span.range.clone()], &span.shape, &mut whole);
            }
            Cow::Owned(whole)
        };
        (name, Written { shape, precision, values: Box::new(values) })
    });
    written.collect()
}

/// The weights with the adapter, if there is one, added in.
pub(super) fn merged(model: &Model) -> Result<Cow<'_, Decoder>> {
    let Some(adapter) = &model.adapter else {
        return Ok(Cow::Borrowed(&model.decoder));
    };
    adapter.check(&model.decoder.config)?;
    let mut decoder = (*model.decoder).clone();
    for layer in 0..decoder.config.layers {
        for (projection, _) in adapter.config.projections(&decoder.config) {
            add(&mut decoder, adapter, layer, projection)?;
        }
    }
    Ok(Cow::Owned(decoder))
}

fn add(
    decoder: &mut Decoder,
    adapter: &Adapter,
    layer: usize,
    projection: Projection,
) -> Result<()> {
    let (a, b) = adapter.pair(layer, projection)?;
    let name = projection.tensor(layer, "weight");
    let span = decoder.parameters.layout.get(&name);
    let span = span.ok_or_else(|| Error::tensor(&name, "is missing"))?;
    let (inputs, range) = (span.shape[1], span.range.clone());
    let weight = &mut decoder.parameters.data[range];
    merge(weight, inputs, (a, b, adapter.config.rank), adapter.config.scale(), None);
    Ok(())
}

/// `W += scale · B·A`, in f64 so that merging loses no more than the last bit; with magnitudes `[outputs]`
/// each row is then scaled to its own (DoRA: Liu et al. 2024, arXiv 2402.09353, section 4.1).
pub(super) fn merge(
    weight: &mut [f32],
    inputs: usize,
    (a, b, rank): (&[f32], &[f32], usize),
    scale: f32,
    magnitude: Option<&[f32]>,
) {
    let mut sums = vec![0.0_f64; inputs];
    let rows = weight.chunks_mut(inputs).zip(b.chunks(rank));
    for (output, (row, factors)) in rows.enumerate() {
        sums.fill(0.0);
        for (factor, a) in factors.iter().zip(a.chunks(inputs)) {
            for (sum, a) in sums.iter_mut().zip(a) {
                *sum += f64::from(*factor) * f64::from(*a);
            }
        }
        for (weight, sum) in row.iter().zip(&mut sums) {
            *sum = f64::from(*weight) + f64::from(scale) * *sum;
        }
        let norm = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        let factor =
            magnitude.map_or(1.0, |own| f64::from(own[output]) / norm.max(f64::MIN_POSITIVE));
        for (weight, sum) in row.iter_mut().zip(&sums) {
            *weight = (factor * sum) as f32;
        }
    }
}
