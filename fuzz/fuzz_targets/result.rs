//! Any bytes as a run's result; what is accepted must read back as itself and be reported.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use owlet_lab::RunResult;
use owlet_lab::kind::inherit::result::InheritResult;
use owlet_lab::report::{self, TerminalStyle};

fuzz_target!(|bytes: &[u8]| {
    let Ok(result) = RunResult::parse(bytes, Path::new("result.json")) else { return };
    let _ = result.block(&TerminalStyle::default());
    let _ = result.brief();
    if let Some(result) = result.of::<InheritResult>() {
        let _ = report::figures(result);
    }
    let again = RunResult::parse(&result.to_bytes(), Path::new("again"));
    assert_eq!(again.expect("a result reads back"), result);
});
