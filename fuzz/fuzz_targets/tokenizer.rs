//! Any bytes as a `tokenizer.json`; what loads must encode and decode.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_engine::Tokenizer;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json(bytes) else { return };
    if let Ok(tokens) = tokenizer.encode("The owl's 12 mice,\n  naïve 🦉 <|end|>") {
        let _ = tokenizer.decode(&tokens);
    }
    for token in 0..tokenizer.vocabulary().min(64) as u32 {
        let _ = (tokenizer.token_bytes(token), tokenizer.first_token_bytes(token));
    }
});
