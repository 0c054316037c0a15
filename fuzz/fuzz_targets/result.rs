//! Any bytes as a run's result; what is accepted must read back as itself and be reported.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use owlet_lab::RunResult;
use owlet_lab::report::{self, TerminalStyle};

fuzz_target!(|bytes: &[u8]| {
    let Ok(result) = RunResult::parse(bytes, Path::new("result.json")) else { return };
    let style = TerminalStyle::default();
    let written = match &result {
        RunResult::Inherit(result) => {
            let _ = report::terminal(result, &style, &[]);
            let _ = report::figures(result);
            result.to_bytes()
        }
        RunResult::Grow(result) => {
            let _ = report::grown_block(result, &style);
            result.to_bytes()
        }
    };
    let again = RunResult::parse(&written, Path::new("again")).expect("a result reads back");
    assert_eq!(again, result);
});
