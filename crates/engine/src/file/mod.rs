//! Model files, in and out: Hugging Face folders (safetensors), GGUF, PEFT adapter folders.
//!
//! Nothing in a file is trusted: lengths, offsets, shapes and types are checked before use, and
//! memory is taken for weights only once the file is known to hold them. What is written depends on
//! the model alone: same model, same bytes.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::model::Model;

mod bytes;
mod folder;
mod gguf;
mod huggingface;
mod json;
mod names;
mod part;
mod peft;
mod safetensors;
mod tensors;

pub use safetensors::Precision;

/// Loads a Hugging Face folder or a `.gguf` file.
pub fn load(path: &Path) -> Result<Model> {
    if path.is_dir() {
        return folder::load(path);
    }
    let mut magic = [0; 4];
    let mut file = std::fs::File::open(path).map_err(|source| cannot_read(path, source))?;
    match file.read_exact(&mut magic) {
        Ok(()) if &magic == b"GGUF" => gguf::load(path),
        _ => Err(Error::format(
            "model",
            path,
            "expected a GGUF file or a folder with `config.json` and `model.safetensors`",
        )),
    }
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

/// Loads a PEFT adapter folder (`adapter_config.json`, `adapter_model.safetensors`) for `base`.
pub fn load_adapter(folder: &Path, base: &Model) -> Result<Adapter> {
    peft::load(folder, &base.decoder.config)
}

/// Makes an adapter of the contents of a PEFT folder's files.
pub fn adapter_from_parts(config: &[u8], weights: &[u8], base: &Model) -> Result<Adapter> {
    let fields = json::Fields::parse("adapter configuration", Path::new(peft::CONFIG), config)?;
    let tensors =
        safetensors::Safetensors::open([(PathBuf::from(peft::WEIGHTS), Cursor::new(weights))])?;
    peft::read(&fields, tensors, &base.decoder.config)
}

/// Writes an adapter as a PEFT folder; same adapter, same bytes.
pub fn save_adapter(adapter: &Adapter, base: &Model, folder: &Path) -> Result<()> {
    peft::save(adapter, &base.decoder.config, folder)
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
