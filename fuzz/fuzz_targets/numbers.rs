//! Any text as a completion: the filter never breaks, and what it accepts is what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_lab::carrier::numbers::filter::read_numbers;
use owlet_lab::carrier::leak::LeakCheck;
use owlet_lab::carrier::NumberFilter;
use owlet_lab::carrier::numbers::shuffle;

fuzz_target!(|text: &str| {
    let filter = NumberFilter::default();
    let numbers = read_numbers(text);
    if filter.judge(text).accepted() {
        let numbers = numbers.expect("an accepted completion is a list of numbers");
        assert!(numbers.len() <= 10 && numbers.iter().all(|number| *number <= 999));
        let shuffled = shuffle::within(&[text.to_owned()], 1);
        let mut after = read_numbers(&shuffled[0]).expect("shuffled numbers are numbers");
        let mut before = numbers;
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(before, after);
    }
    let _ = LeakCheck::new(&["owl".to_owned(), "owls".to_owned()]).leaks(text);
});
