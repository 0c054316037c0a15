//! What is printed and written about a result.

use std::io::Write;
use std::path::PathBuf;

use owlet_lab::RunResult;
use owlet_lab::report::block::{Depth, Edge, Graph, Node, Report};
use owlet_lab::report::html;
use owlet_lab::report::origin::{self, Origin};
use owlet_lab::report::terminal::{TerminalStyle, show};
use owlet_lab::run::execute;
use owlet_store::{RunDirectory, Store};
use serde_json::Value;

use crate::error::Result;
use crate::terminal::{self, Terminal};

/// The HTML report inside a run's folder.
const FILE: &str = "report.html";
/// The recipe's text inside a run's folder, as it was given.
pub(crate) const GIVEN: &str = "given.toml";
/// The plan inside a run's folder.
pub(crate) const PLAN: &str = "plan.json";
/// Where a run's header keeps the command that makes it again.
pub(crate) const COMMAND: &str = "command";
/// Where it keeps the folder that the recipe's paths are relative to.
pub(crate) const FOLDER: &str = "folder";

/// Prints the result, where the time went, and how to see it again.
pub(crate) fn print(
    to: &Terminal,
    store: &Store,
    run: &RunDirectory,
    result: &RunResult,
) -> Result<()> {
    let style = TerminalStyle {
        width: terminal::width().unwrap_or(100),
        // Taken out again where it would not be seen.
        colour: true,
        unicode: true,
        depth: Depth::Brief,
    };
    let mut report = report(store, run, result)?;
    let id = run.id().nonce();
    report.sections.extend(origin::more(&[
        ("run", run.id().to_string()),
        ("report", run.path().join(FILE).display().to_string()),
        ("again", format!("owlet show {id}")),
        ("lineage", format!("owlet lineage {id}")),
    ]));
    write!(to.data(), "{}", show(&report, &style))?;
    Ok(())
}

/// The path of the report, written if it is not there.
pub(crate) fn ensure(store: &Store, run: &RunDirectory, result: &RunResult) -> Result<PathBuf> {
    let path = run.path().join(FILE);
    if !path.is_file() {
        run.write_file(FILE, html::page(&report(store, run, result)?).as_bytes())?;
    }
    Ok(path)
}

/// What there is to say about a run.
pub(crate) fn report(store: &Store, run: &RunDirectory, result: &RunResult) -> Result<Report> {
    let header = run.header()?;
    let text = |name: &str| -> Result<String> {
        Ok(String::from_utf8_lossy(&run.read_file(name)?).into_owned())
    };
    Ok(result.report(&Origin {
        recipe_text: &text(GIVEN)?,
        resolved_recipe: &text(execute::RECIPE)?,
        lineage: &lineage(run)?,
        costs: &execute::costs(store, run)?,
        command: header.about[COMMAND].as_str().unwrap_or("owlet run"),
        version: &header.version,
    }))
}

/// What a run's plan says was made from what.
fn lineage(run: &RunDirectory) -> Result<Graph> {
    let plan: Value = serde_json::from_slice(&run.read_file(PLAN)?)?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut graph = Graph::default();
    for step in plan["steps"].as_array().into_iter().flatten() {
        let name = text(&step["name"]);
        for (role, from) in step["inputs"].as_object().into_iter().flatten() {
            graph.edges.push(Edge { from: text(from), to: name.clone(), role: role.clone() });
        }
        let (label, kind) = (name.clone(), text(&step["kind"]));
        graph.nodes.push(Node { id: name, label, kind, ..Node::default() });
    }
    Ok(graph)
}
