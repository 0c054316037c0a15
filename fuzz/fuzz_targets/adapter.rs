//! Any bytes as an adapter's `adapter_config.json` or `adapter_model.safetensors`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use owlet_engine::{Model, file};

const CONFIG: &[u8] =
    include_bytes!("../../crates/engine/tests/golden/gpt2/fused/adapter_config.json");
const WEIGHTS: &[u8] =
    include_bytes!("../../crates/engine/tests/golden/gpt2/fused/adapter_model.safetensors");

static BASE: LazyLock<Model> = LazyLock::new(|| {
    file::from_gguf(include_bytes!("../../crates/engine/tests/golden/gguf/gpt2.gguf"))
        .expect("the golden file is whole")
});

fuzz_target!(|bytes: &[u8]| {
    let _ = match bytes.split_first() {
        Some((0, config)) => file::adapter_from_parts(config, WEIGHTS, &BASE),
        _ => file::adapter_from_parts(CONFIG, bytes, &BASE),
    };
});
