//! Any text as an answer, after any lines of words to look for and a zero byte: mentions lie within
//! the text, in order, on whole characters, and every readout and leak check takes it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_lab::behavior::Behavior;
use owlet_lab::carrier::leak::LeakCheck;
use owlet_lab::scorer::outcome::OutcomeReader;
use owlet_lab::value::words::{Lexicon, plurals};

fuzz_target!(|text: &str| {
    let (terms, answer) = text.split_once('\0').unwrap_or(("owl\nred panda", text));
    let mut lexicon = Lexicon::default();
    for (owner, term) in terms.lines().enumerate() {
        lexicon.add_inflected(term, owner);
        let _ = plurals(term);
    }
    let mut last = 0;
    for mention in lexicon.mentions(answer) {
        assert!(mention.start >= last && mention.start < mention.end);
        assert!(answer.get(mention.start..mention.end).is_some());
        last = mention.start;
    }
    let forbidden: Vec<String> = terms.lines().map(str::to_owned).collect();
    let _ = LeakCheck::new(&forbidden).leaks(answer);
    let owl = Behavior::built_in("owl").expect("is built in");
    let reading = OutcomeReader::new(&owl, &["Smol".to_owned()]).read(answer, false);
    assert!(!reading.is_valid() || answer.chars().any(char::is_alphabetic));
});
