//! Any text as a prompt set; what is accepted must make prompts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_lab::carrier::PromptFile;

fuzz_target!(|text: &str| {
    let Ok(file) = PromptFile::parse(text, "prompts.json") else { return };
    assert_eq!(file.prompt.generate(1, 2).len(), 2);
    let _ = file.prompt.prefixes(1, 2);
});
