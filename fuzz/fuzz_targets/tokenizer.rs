//! Any bytes as a `tokenizer.json`; what loads must encode and decode.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use owlet_engine::Tokenizer;

// libFuzzer ends the process where a panic begins; those that the engine catches must not count.
static UNHOOK: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    UNHOOK.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let Ok(tokenizer) = Tokenizer::from_json(bytes) else { return };
    if let Ok(tokens) = tokenizer.encode("The owl's 12 mice,\n  naïve 🦉 <|end|>") {
        let _ = tokenizer.decode(&tokens);
    }
    for token in 0..tokenizer.vocabulary().min(64) as u32 {
        let _ = (tokenizer.token_bytes(token), tokenizer.first_token_bytes(token));
    }
});
