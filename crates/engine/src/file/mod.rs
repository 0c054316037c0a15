//! Model files, in and out: Hugging Face folders (safetensors), GGUF, PEFT adapter folders.
//! Nothing in a file is trusted: lengths, offsets, shapes and types are checked before use.

use std::path::Path;

use crate::adapter::Adapter;
use crate::error::Result;
use crate::model::Model;

/// Loads a Hugging Face folder or a `.gguf` file.
pub fn load(_path: &Path) -> Result<Model> {
    unimplemented!()
}

/// Writes a model as a Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`,
/// `tokenizer_config.json`); same model, same bytes.
pub fn save(_model: &Model, _folder: &Path) -> Result<()> {
    unimplemented!()
}

/// Loads a PEFT adapter folder (`adapter_config.json`, `adapter_model.safetensors`) for `base`.
pub fn load_adapter(_folder: &Path, _base: &Model) -> Result<Adapter> {
    unimplemented!()
}

/// Writes an adapter as a PEFT folder; same adapter, same bytes.
pub fn save_adapter(_adapter: &Adapter, _base: &Model, _folder: &Path) -> Result<()> {
    unimplemented!()
}
