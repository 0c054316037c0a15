use std::io::Write;
use std::path::Path;

use clap::Args;
use owlet_store::ProblemKind;

use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::terminal::{BAD, GOOD, Terminal, WARN, bytes, count, one_line};
use crate::workspace;

/// Hash everything in the workspace again and name what is damaged
///
/// Nothing is changed. A damaged artifact is never used: the next run that needs it makes it again.
/// Exits with 1 if something is damaged or missing; files that merely do not belong are named only.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {}

pub(crate) fn run(_: &VerifyArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let mut progress = Progress::new(terminal);
    let mut report = store.verify(&mut |done, total| progress.count("verify", done, total))?;
    drop(progress);
    report.problems.extend(owlet_web::serve::verify(&store)?);
    report.problems.sort();
    if terminal.json {
        terminal.json(&report)?;
    } else {
        let mut out = terminal.data();
        for problem in &report.problems {
            let (style, word) = match problem.kind {
                ProblemKind::Damaged => (BAD, "damaged"),
                ProblemKind::Missing => (BAD, "missing"),
                ProblemKind::Foreign => (WARN, "foreign"),
                ProblemKind::Newer => (WARN, "newer"),
                ProblemKind::Unreadable => (BAD, "unreadable"),
                ProblemKind::OutputGone => (WARN, "output gone"),
            };
            writeln!(out, "{style}{word}{style:#}  {}", one_line(&problem.to_string(), 300))?;
        }
        if report.is_clean() {
            writeln!(
                out,
                "{GOOD}sound{GOOD:#}: {} ({}), {}, {}",
                count(report.artifacts, "artifact"),
                bytes(report.bytes),
                count(report.steps, "step"),
                count(report.runs, "run"),
            )?;
        }
        if report.set_aside > 0 {
            terminal.say(format_args!(
                "{} set aside earlier in `{}`; they may be deleted",
                count(report.set_aside, "damaged thing"),
                store.root().join("damaged").display(),
            ));
        }
    }
    if report.is_sound() {
        return Ok(());
    }
    Err(CliError::check(format!(
        "{} in `{}`",
        count(report.problems.len(), "problem"),
        store.root().display()
    ))
    .hinted(if report.problems.iter().all(|problem| problem.path.starts_with(".serve/")) {
        "upload again to the server what was changed; what cannot be read is never used"
    } else {
        "run the recipes again: what is damaged is set aside and made anew"
    }))
}
