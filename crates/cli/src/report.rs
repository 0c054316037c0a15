//! What is printed and written about a result.

use std::fmt::Write;
use std::path::PathBuf;

use owlet_lab::result::InheritResult;
use owlet_store::{RunDirectory, Store};

use crate::error::Result;
use crate::terminal::{FAINT, STRONG, Terminal, plain};

/// The HTML report inside a run's folder.
const FILE: &str = "report.html";

/// The result as text for a terminal.
pub(crate) fn block(result: &InheritResult, _: &Terminal) -> String {
    let mut text = String::new();
    for verdict in &result.verdicts {
        let _ = writeln!(text, "  {STRONG}{}{STRONG:#}  {}", verdict.behavior, verdict.sentence);
    }
    for warning in &result.warnings {
        let _ = writeln!(text, "  Warning: {}; {}", warning.message, warning.hint);
    }
    plain(&text)
}

/// The path of the report, written if it is not there.
pub(crate) fn ensure(_: &Store, run: &RunDirectory, _: &InheritResult) -> Result<PathBuf> {
    Ok(run.path().join(FILE))
}

/// How to see it again.
pub(crate) fn record(terminal: &Terminal, run: &RunDirectory) -> Result<()> {
    let id = run.id().nonce();
    terminal.say(format_args!(
        "  {FAINT}Record{FAINT:#}   run {} → owlet show {id} · owlet lineage {id}",
        run.id()
    ));
    terminal.say(format_args!("  {FAINT}Report{FAINT:#}   {}", run.path().join(FILE).display()));
    Ok(())
}
