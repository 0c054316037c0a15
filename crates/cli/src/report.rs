//! What is printed and written about a result.

use std::io::Write;
use std::path::PathBuf;

use owlet_lab::RunResult;
use owlet_lab::kind::inherit::result::InheritResult;
use owlet_lab::report::{
    Graph, GraphEdge, GraphNode, More, ReportInput, TerminalStyle, costs_block, figures, html,
    more_block,
};
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
    };
    let id = run.id().nonce();
    let block = result.block(&style);
    let costs = costs_block(&execute::costs(store, run)?, &style);
    let mut more = vec![("run", run.id().to_string())];
    if result.of::<InheritResult>().is_some() {
        more.push(("report", run.path().join(FILE).display().to_string()));
    }
    more.push(("again", format!("owlet show {id}")));
    more.push(("lineage", format!("owlet lineage {id}")));
    let more: Vec<More> =
        more.into_iter().map(|(what, place)| More { what: what.to_owned(), place }).collect();
    write!(to.data(), "{block}{costs}{}", more_block(&more, &style))?;
    Ok(())
}

/// The path of the report, written if it is not there.
pub(crate) fn ensure(store: &Store, run: &RunDirectory, result: &InheritResult) -> Result<PathBuf> {
    let path = run.path().join(FILE);
    if !path.is_file() {
        let header = run.header()?;
        let text = |name: &str| -> Result<String> {
            Ok(String::from_utf8_lossy(&run.read_file(name)?).into_owned())
        };
        let page = html(&ReportInput {
            result,
            figures: &figures(result),
            recipe_text: &text(GIVEN)?,
            resolved_recipe: &text(execute::RECIPE)?,
            lineage: &lineage(run)?,
            costs: &execute::costs(store, run)?,
            reproduce_command: header.about[COMMAND].as_str().unwrap_or("owlet run"),
            version: &header.version,
        });
        run.write_file(FILE, page.as_bytes())?;
    }
    Ok(path)
}

/// What a run's plan says was made from what.
fn lineage(run: &RunDirectory) -> Result<Graph> {
    let plan: Value = serde_json::from_slice(&run.read_file(PLAN)?)?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut graph = Graph::default();
    for step in plan["steps"].as_array().into_iter().flatten() {
        let name = text(&step["name"]);
        for (role, from) in step["inputs"].as_object().into_iter().flatten() {
            graph.edges.push(GraphEdge {
                from: text(from),
                to: name.clone(),
                role: Some(role.clone()),
            });
        }
        graph.nodes.push(GraphNode { id: name.clone(), kind: text(&step["kind"]), label: name });
    }
    Ok(graph)
}
