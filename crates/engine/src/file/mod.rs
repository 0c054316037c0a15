//! Model files, in and out: Hugging Face folders (safetensors), GGUF, PEFT adapter folders.
//!
//! Nothing in a file is trusted: lengths, offsets, shapes and types are checked before use, and
//! memory is taken for weights only once the file is known to hold them. What is written depends on
//! the model alone: same model, same bytes.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::model::Model;

mod adapted;
mod bytes;
mod folder;
mod gguf;
mod huggingface;
mod json;
mod language;
mod names;
mod opened;
mod part;
mod peft;
pub(crate) mod plain;
mod safetensors;
mod tensors;
mod weights;

use safetensors::Safetensors;
use tensors::Tensors;

pub use gguf::Storage;
pub use opened::open;
pub use safetensors::Precision;
pub use weights::Weights;

/// The one tensor of a file that is a vector.
const VECTOR: &str = "vector";

/// Loads a Hugging Face folder or a `.gguf` file.
pub fn load(path: &Path) -> Result<Model> {
    if path.is_dir() {
        return folder::load(path);
    }
    let mut magic = [0; 4];
    let mut file = open(path)?;
    match file.read_exact(&mut magic) {
        Ok(()) if &magic == b"GGUF" => gguf::load(path),
        _ => Err(Error::format(
            "model",
            path,
            "expected a GGUF file or a folder with `config.json` and `model.safetensors`",
        )),
    }
}

/// The files of the GGUF model that `path` is one of: all its parts where it was split, by their names.
pub fn gguf_parts(path: &Path) -> Vec<PathBuf> {
    gguf::parts(path)
}

/// What a `.gguf` file says of itself and of where it comes from: texts, whole numbers and lists of texts (one
/// line each) among its `general.` metadata, by key without that beginning.
pub fn gguf_general(path: &Path) -> Result<BTreeMap<String, String>> {
    gguf::general(path)
}

/// Makes a model of the contents of a Hugging Face folder's files, for one that is shipped inside a
/// program.
pub fn from_parts(
    config: &[u8],
    weights: &[u8],
    tokenizer: &[u8],
    tokenizer_config: &[u8],
) -> Result<Model> {
    let texts = folder::Texts {
        config: config.to_vec(),
        tokenizer: tokenizer.to_vec(),
        tokenizer_config: Some(tokenizer_config.to_vec()),
        ..folder::Texts::default()
    };
    let path = PathBuf::from(folder::WEIGHTS);
    let tensors = safetensors::Safetensors::open([(path, Cursor::new(weights))])?;
    folder::assemble(Path::new(""), &texts, tensors)
}

/// The files of [`save`] by name, with weights in a precision of choice.
///
/// An adapter is merged into the weights.
pub fn parts(model: &Model, precision: Precision) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    folder::parts(model, precision)
}

/// Writes a model as a Hugging Face folder (`config.json`, `generation_config.json`,
/// `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`); same model, same bytes.
///
/// An adapter is merged into the weights; [`save_adapter`] keeps it apart.
pub fn save(model: &Model, folder: &Path) -> Result<()> {
    folder::save(model, folder)
}

/// The model that a PEFT adapter folder (`adapter_config.json`, `adapter_model.safetensors`) makes of
/// `base`, which has no adapter.
///
/// Low-rank updates of layers stay an adapter; anything else changes the weights. A tokenizer and a chat
/// template beside them are the model's.
pub fn load_adapted(folder: &Path, base: &Model) -> Result<Model> {
    peft::load(folder, base)
}

/// Writes a vector as a safetensors file with one tensor, `vector` `[width]`.
pub fn save_vector(vector: &[f32], path: &Path) -> Result<()> {
    let written = safetensors::Written {
        shape: vec![vector.len()],
        precision: Precision::F32,
        values: Box::new(|| vector.into()),
    };
    safetensors::write(path, BTreeMap::from([(VECTOR.to_owned(), written)]))
}

/// Reads what [`save_vector`] wrote.
pub fn load_vector(path: &Path) -> Result<Vec<f32>> {
    Safetensors::open([(path.to_owned(), open(path)?)])?.read(VECTOR)
}

/// Whether an adapter folder leaves its base's weights as they are, so that an adapter trained further
/// from it is one of the same base.
pub fn leaves_base(folder: &Path) -> Result<bool> {
    peft::leaves_base(folder)
}

/// Loads a PEFT adapter folder for `base`; fails for one that changes more than an adapter can hold.
pub fn load_adapter(folder: &Path, base: &Model) -> Result<Adapter> {
    apart(&peft::load(folder, base)?, base)
}

/// Makes an adapter of the contents of a PEFT folder's files.
pub fn adapter_from_parts(config: &[u8], weights: &[u8], base: &Model) -> Result<Adapter> {
    apart(&adapted_from_parts(config, weights, base)?, base)
}

/// Makes a model of the contents of a PEFT folder's files and its base.
pub fn adapted_from_parts(config: &[u8], weights: &[u8], base: &Model) -> Result<Model> {
    let fields = json::Fields::parse("adapter configuration", Path::new(peft::CONFIG), config)?;
    let tensors =
        safetensors::Safetensors::open([(PathBuf::from(peft::WEIGHTS), Cursor::new(weights))])?;
    peft::read(&fields, tensors, base)
}

/// The adapter of a model whose weights are those of `base`.
fn apart(model: &Model, base: &Model) -> Result<Adapter> {
    let only = "it changes its base's weights (DoRA, embedding, head, biases or modules saved whole), which an adapter in memory cannot hold";
    match &model.adapter {
        Some(adapter) if Arc::ptr_eq(&model.decoder, &base.decoder) => Ok((**adapter).clone()),
        _ => Err(Error::Adapter(only.to_owned())),
    }
}

/// Writes an adapter as a PEFT folder; same adapter, same bytes.
pub fn save_adapter(adapter: &Adapter, base: &Model, folder: &Path) -> Result<()> {
    peft::save(adapter, &base.decoder.config, folder)
}

/// Writes a model's tokenizer and chat template (`tokenizer.json`, `tokenizer_config.json`) into a
/// folder, as an adapter that goes to others needs them.
pub fn save_language(model: &Model, folder: &Path) -> Result<()> {
    folder::save_language(model, folder)
}

/// Writes a model as a GGUF file; same model, same bytes. An adapter is merged into the weights.
///
/// Fails for what the format has no words for, such as a tokenizer of whole words.
pub fn save_gguf(model: &Model, path: &Path, storage: Storage) -> Result<()> {
    gguf::save(model, path, storage)
}

/// Makes a model of the bytes of a GGUF file.
pub fn from_gguf(bytes: &[u8]) -> Result<Model> {
    gguf::read(Path::new("model.gguf"), Cursor::new(bytes))
}

fn cannot_read(path: &Path, source: std::io::Error) -> Error {
    Error::Io { action: "read", path: path.to_owned(), source }
}

fn cannot_write(path: &Path, source: std::io::Error) -> Error {
    Error::Io { action: "write", path: path.to_owned(), source }
}
