//! Hugging Face model folders: `config.json`, weights in one or several safetensors files,
//! `tokenizer.json` and the small files around it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::json::{self, Fields};
use super::part::Part;
use super::safetensors::{self, Precision, Safetensors, Written};
use super::{cannot_read, cannot_write, huggingface, names, tensors};
use crate::adapter::{Adapter, Projection};
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::template::Template;
use crate::tokenizer::Tokenizer;

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION: &str = "generation_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The contents of a folder's text files.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) config: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
    pub(super) tokenizer_config: Option<Vec<u8>>,
    pub(super) generation: Option<Vec<u8>>,
    pub(super) template: Option<Vec<u8>>,
}

pub(super) fn load(folder: &Path) -> Result<Model> {
    let required = |name: &str, hint: &str| {
        let path = folder.join(name);
        let missing =
            || Error::format("model folder", folder, format!("`{name}` is missing{hint}"));
        optional(&path)?.ok_or_else(missing)
    };
    let adapter = folder.join(super::peft::CONFIG).exists();
    let texts = Texts {
        config: required(
            CONFIG,
            if adapter { "; this is an adapter, load the model it is for first" } else { "" },
        )?,
        tokenizer: required(TOKENIZER, "; save the tokenizer with Transformers to make one")?,
        tokenizer_config: optional(&folder.join(TOKENIZER_CONFIG))?,
        generation: optional(&folder.join(GENERATION))?,
        template: optional(&folder.join(CHAT_TEMPLATE))?,
    };
    let mut files = Vec::new();
    for path in weight_files(folder)? {
        let file = fs::File::open(&path).map_err(|source| cannot_read(&path, source))?;
        files.push((path, file));
    }
    assemble(folder, &texts, Safetensors::open(files)?)
}

/// A file's contents, if there is such a file.
pub(super) fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_read(path, error)),
    }
}

/// The files that hold the weights: one, or those that an index names.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
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

/// Builds a model from a folder's texts and tensors; `folder` is for messages.
pub(super) fn assemble<R: Read + Seek>(
    folder: &Path,
    texts: &Texts,
    mut tensors: Safetensors<R>,
) -> Result<Model> {
    let fields = |format: &'static str, name: &str, bytes: &[u8]| {
        Fields::parse(format, &folder.join(name), bytes)
    };
    let config = fields("model configuration", CONFIG, &texts.config)?;
    let mut end: BTreeSet<usize> = config.sizes("eos_token_id")?.into_iter().collect();
    if let Some(bytes) = &texts.generation {
        end.extend(fields("generation configuration", GENERATION, bytes)?.sizes("eos_token_id")?);
    }
    let mut tokenizer = Tokenizer::from_json(&texts.tokenizer)?;
    let (mut begin_text, mut end_text, mut source) = (String::new(), String::new(), None);
    if let Some(bytes) = &texts.tokenizer_config {
        let fields = fields("tokenizer configuration", TOKENIZER_CONFIG, bytes)?;
        fields.token("bos_token")?.unwrap_or_default().clone_into(&mut begin_text);
        fields.token("eos_token")?.unwrap_or_default().clone_into(&mut end_text);
        end.extend(tokenizer.token(&end_text).map(|id| id as usize));
        source = chat_template(&fields)?;
    }
    if let Some(bytes) = &texts.template {
        source = Some(String::from_utf8_lossy(bytes).into_owned());
    }
    // Configurations keep their class's default ids, which small vocabularies do not reach.
    let known = end.into_iter().filter(|&id| id < tokenizer.vocabulary());
    let end: Vec<_> = known.map(|id| id as crate::Token).collect();
    if !end.is_empty() {
        tokenizer = tokenizer.with_end_tokens(end)?;
    }
    let config = huggingface::parse(&config)?;
    if tokenizer.vocabulary() > config.vocabulary {
        let reason = format!(
            "is {}, but the tokenizer has {} ids; is it this model's tokenizer?",
            config.vocabulary,
            tokenizer.vocabulary()
        );
        return Err(Error::config("vocab_size", reason));
    }
    let plain_names = !tensors.names().any(|name| name.starts_with("transformer."));
    let decoder = tensors::decoder(config, &mut tensors, |config, canonical| {
        let mut stored = names::huggingface(config, canonical);
        // The first GPT-2 files were saved from inside the language model.
        if plain_names && let Some(name) = stored.name.strip_prefix("transformer.") {
            stored.name = name.to_owned();
        }
        stored
    })?;
    let template = match source {
        Some(source) => Template::new(&source)?,
        None => Template::fallback(&tokenizer)?,
    };
    Ok(Model::new(decoder, tokenizer, template.with_tokens(&begin_text, &end_text)))
}

/// The template in a `tokenizer_config.json`: a text, or the one called `default` of several.
fn chat_template(fields: &Fields) -> Result<Option<String>> {
    match fields.value("chat_template") {
        None => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(several)) => {
            let default = several.iter().find(|template| template["name"] == "default");
            let source = default.or(several.first()).and_then(|one| one["template"].as_str());
            source.map(|source| Some(source.to_owned())).ok_or_else(|| {
                fields.bad("`chat_template` is a list without a usable template in it")
            })
        }
        Some(_) => Err(fields.bad("`chat_template` is neither a text nor a list of them")),
    }
}

/// Everything but the weights, by file name.
fn texts(model: &Model) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let (tokenizer, template) = (&model.tokenizer, &model.template);
    let id = |text: &str| (!text.is_empty()).then(|| tokenizer.token(text)).flatten();
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
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
    let tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": or_null(template.begin()),
        "eos_token": or_null(template.end()),
        "chat_template": template.source(),
        "clean_up_tokenization_spaces": false,
        "model_max_length": model.decoder.config.context,
    });
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

pub(super) fn save(model: &Model, folder: &Path) -> Result<()> {
    let texts = texts(model)?;
    let decoder = merged(model)?;
    fs::create_dir_all(folder).map_err(|source| cannot_write(folder, source))?;
    for (name, bytes) in texts {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| cannot_write(&path, source))?;
    }
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
fn merged(model: &Model) -> Result<Cow<'_, Decoder>> {
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

/// `W += scale · B·A` for one projection, in f64 so that merging loses no more than the last bit.
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
    let scale = f64::from(adapter.config.scale());
    let mut sums = vec![0.0_f64; inputs];
    let weight = &mut decoder.parameters.data[range];
    for (row, factors) in weight.chunks_mut(inputs).zip(b.chunks(adapter.config.rank)) {
        sums.fill(0.0);
        for (factor, a) in factors.iter().zip(a.chunks(inputs)) {
            for (sum, a) in sums.iter_mut().zip(a) {
                *sum += f64::from(*factor) * f64::from(*a);
            }
        }
        for (weight, sum) in row.iter_mut().zip(&sums) {
            *weight = (f64::from(*weight) + scale * sum) as f32;
        }
    }
    Ok(())
}
