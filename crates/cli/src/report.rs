//! What is printed and written about a result.

use std::io::Write;
use std::path::PathBuf;

use owlet_lab::execute;
use owlet_lab::report::{
    Graph, GraphEdge, GraphNode, More, ReportInput, TerminalStyle, figures, html, terminal,
};
use owlet_lab::result::InheritResult;
use owlet_store::RunDirectory;
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
pub(crate) fn ensure(run: &RunDirectory, result: &InheritResult) -> Result<PathBuf> {
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
