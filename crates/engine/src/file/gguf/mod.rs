//! GGUF, the file format of llama.cpp (versions 2 and 3, little-endian): header, tensors, weights
//! in blocks of few bits, and what its metadata says about shape, tokenizer and template.

mod blocks;
mod header;
mod model;
mod tokenizer;
mod write;

pub(super) use header::Gguf;
pub(super) use model::{general, load, open, parts, read, shape, stored};
pub(super) use tokenizer::read as tokenizer;
pub use write::Storage;
pub(super) use write::save;
