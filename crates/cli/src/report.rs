//! What is printed and written about a result.

use std::io::Write;
use std::path::PathBuf;

use owlet_lab::kind::inherit::result::InheritResult;
use owlet_lab::report::{
    Graph, GraphEdge, GraphNode, More, ReportInput, TerminalStyle, costs_block, figures, html,
    more_block,
};
use owlet_lab::run::costs;
use owlet_lab::{Record, RunResult};
use owlet_store::Store;

use crate::error::Result;
use crate::terminal::{self, Terminal};

/// The HTML report inside a run's folder.
const FILE: &str = "report.html";

/// Prints the result, where the time went, and how to see it again.
pub(crate) fn print(to: &Terminal, store: &Store, run: &Record, result: &RunResult) -> Result<()> {
    let style = TerminalStyle {
        width: terminal::width().unwrap_or(100),
        // Taken out again where it would not be seen.
        colour: true,
        unicode: true,
    };
    let id = run.id().nonce();
    let block = result.block(&style);
    let costs = costs_block(&costs(store, run)?, &style);
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
pub(crate) fn ensure(store: &Store, run: &Record, result: &InheritResult) -> Result<PathBuf> {
    let path = run.path().join(FILE);
    if !path.is_file() {
        let page = html(&ReportInput {
            result,
            figures: &figures(result),
            recipe_text: &run.given()?,
            resolved_recipe: &run.resolved()?,
            lineage: &lineage(run)?,
            costs: &costs(store, run)?,
            reproduce_command: &run.about()?.command,
            version: &run.header()?.version,
        });
        run.write_file(FILE, page.as_bytes())?;
    }
    Ok(path)
}

/// What a run's plan says was made from what.
fn lineage(run: &Record) -> Result<Graph> {
    let mut graph = Graph::default();
    for step in run.plan()?.steps {
        for (role, from) in step.inputs {
            graph.edges.push(GraphEdge { from, to: step.name.clone(), role: Some(role) });
        }
        let (id, label) = (step.name.clone(), step.name);
        graph.nodes.push(GraphNode { id, kind: step.kind, label });
    }
    Ok(graph)
}
