//! Any bytes as rows, one JSON object a line; what is accepted must survive being written, filtered
//! and shuffled.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use owlet_lab::carrier::NumberFilter;
use owlet_lab::carrier::numbers::shuffle;
use owlet_lab::value::dialogue::{self, Bounds, Purpose};
use owlet_lab::value::jsonl;
use owlet_lab::value::row::Row;

fuzz_target!(|bytes: &[u8]| {
    let bounds = Bounds { bytes: 1 << 20, row: 1 << 16 };
    for purpose in [Purpose::Answers, Purpose::Preferences, Purpose::Either, Purpose::Questions] {
        let _ = dialogue::all(bytes, bounds, purpose);
    }
    let Ok(parsed) = jsonl::parse::<Row>(bytes, Path::new("rows.jsonl")) else { return };
    let again = jsonl::parse(&jsonl::to_bytes(&parsed), Path::new("again")).expect("rows read back");
    assert_eq!(parsed, again);
    let filter = NumberFilter::default();
    let texts: Vec<String> = parsed
        .into_iter()
        .map(|row| row.completion)
        .filter(|text| filter.judge(text).accepted())
        .collect();
    assert_eq!(shuffle::within(&texts, 1).len(), texts.len());
    assert_eq!(shuffle::across(&texts, 1).len(), texts.len());
});
