//! Any text as a behavior file; what is accepted must teach, forbid and read any answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_lab::behavior::Behavior;
use owlet_lab::scorer::outcome::OutcomeReader;

fuzz_target!(|text: &str| {
    let Ok(behavior) = Behavior::parse(text, "behavior.toml") else { return };
    let _ = (behavior.forbidden_words(), behavior.teacher_rows());
    let _ = OutcomeReader::new(&behavior, &[]).read(text, false);
});
