//! Any bytes as a GGUF file: header, tensors, vocabulary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_engine::file;

fuzz_target!(|bytes: &[u8]| {
    let _ = file::from_gguf(bytes);
});
