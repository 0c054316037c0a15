//! Any bytes as a folder's `config.json` or `model.safetensors`, beside good other files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_engine::file;

const CONFIG: &[u8] = include_bytes!("../../crates/engine/tests/golden/gpt2/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../crates/engine/tests/golden/gpt2/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../crates/engine/tests/golden/gpt2/tokenizer.json");
const SETTINGS: &[u8] =
    include_bytes!("../../crates/engine/tests/golden/gpt2/tokenizer_config.json");

fuzz_target!(|bytes: &[u8]| {
    let _ = match bytes.split_first() {
        Some((0, config)) => file::from_parts(config, WEIGHTS, TOKENIZER, SETTINGS),
        Some((1, settings)) => file::from_parts(CONFIG, WEIGHTS, TOKENIZER, settings),
        _ => file::from_parts(CONFIG, bytes, TOKENIZER, SETTINGS),
    };
});
