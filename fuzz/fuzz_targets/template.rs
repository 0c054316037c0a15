//! Any text as a chat template: it ends, in bounded output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_engine::{Message, Template};

fuzz_target!(|source: &str| {
    let Ok(template) = Template::new(source) else { return };
    let message = |role: &str| Message { role: role.to_owned(), content: "Hi, owl".to_owned() };
    let messages = ["system", "user", "assistant"].map(message);
    if let Ok(text) = template.with_tokens("<s>", "</s>").render(&messages, true) {
        assert!(text.len() < 2 << 20);
    }
});
