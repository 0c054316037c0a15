//! Any bytes as a run's result; what is accepted must read back as itself and be reported.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use owlet_lab::RunResult;
use owlet_lab::report::origin::Origin;
use owlet_lab::report::terminal::{TerminalStyle, show};

fuzz_target!(|bytes: &[u8]| {
    let Ok(result) = RunResult::parse(bytes, Path::new("result.json")) else { return };
    let _ = show(&result.report(&Origin::UNKNOWN), &TerminalStyle::default());
    let _ = result.brief();
    let again = RunResult::parse(&result.to_bytes(), Path::new("again"));
    assert_eq!(again.expect("a result reads back"), result);
});
