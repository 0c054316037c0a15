//! The tiny models of `tests/golden`, one per family.

use std::fs;
use std::path::PathBuf;

use owlet_engine::{Model, file};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

pub(crate) const FAMILIES: [&str; 7] =
    ["llama", "qwen2", "qwen3", "gpt_neox", "gpt2", "gemma", "gemma3_text"];

/// A file or folder among the golden references.
pub(crate) fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(relative)
}

pub(crate) fn bytes(relative: &str) -> Vec<u8> {
    fs::read(path(relative)).unwrap()
}

pub(crate) fn model(family: &str) -> Model {
    file::load(&path(family)).unwrap()
}

/// A family's model with other numbers in the place of its weights, under the same names.
pub(crate) fn with_weights(family: &str, weights: &str) -> Model {
    let [config, tokenizer, tokenizer_config] =
        ["config.json", "tokenizer.json", "tokenizer_config.json"]
            .map(|name| bytes(&format!("{family}/{name}")));
    let weights = bytes(&format!("{family}/{weights}"));
    file::from_parts(&config, &weights, &tokenizer, &tokenizer_config).unwrap()
}

/// The tensors of a safetensors file.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn read(relative: &str) -> Self {
        Self(bytes(relative))
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        tensor.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I32, "{name}");
        tensor.data().as_chunks().0.iter().map(|&four| u32::from_le_bytes(four)).collect()
    }

    pub(crate) fn flags(&self, name: &str) -> Vec<bool> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        tensors.tensor(name).unwrap().data().iter().map(|&byte| byte != 0).collect()
    }
}
