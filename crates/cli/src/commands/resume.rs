use std::path::{Path, PathBuf};

use clap::Args;
use owlet_lab::kind::RESULT;
use owlet_lab::recipe::Layer;
use owlet_lab::run::execute;
use owlet_store::Entity;

use crate::error::{CliError, Result};
use crate::experiment::Experiment;
use crate::layers::Layers;
use crate::report;
use crate::terminal::Terminal;
use crate::workspace;

/// Go on with a run that was stopped
///
/// Runs its recipe again as it was resolved then, as a new run that reuses all that is finished, and
/// ends with the result the first would have had.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Any unique beginning of a run's id, or `last` for the newest run
    id: String,

    /// Cores to use, all by default; results do not depend on it
    #[arg(long, value_name = "N")]
    cores: Option<usize>,
}

pub(crate) fn run(args: &ResumeArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let store = workspace::existing(path)?;
    let Entity::Run(id) = workspace::resolve(&store, &args.id)? else {
        return Err(CliError::usage(format!("`{}` is not a run; only runs can go on", args.id)));
    };
    let before = store.open_run(&id)?;
    if before.is_claimed()? {
        return Err(CliError::usage(format!("run {id} is still running")));
    }
    if before.path().join(RESULT).is_file() {
        return Err(CliError::usage(format!("run {id} is finished"))
            .hinted(format!("owlet show {}", id.nonce())));
    }
    let header = before.header()?;
    let read = |name: &str| -> Result<String> {
        let bytes = before.read_file(name).map_err(|error| {
            CliError::from(error)
                .hinted("it stopped before its recipe was written down; run its command again")
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read(report::GIVEN)?;
    let resolved = read(execute::RECIPE)?;
    Experiment {
        text: &text,
        command: header.about[report::COMMAND].as_str().unwrap_or("owlet run").to_owned(),
        layers: Layers::bare(Layer::new(&resolved, &format!("recipe of run {id}"))?, &[])?,
        folder: PathBuf::from(header.about[report::FOLDER].as_str().unwrap_or_default()),
        cores: args.cores,
        plan_only: false,
        narrator: None,
    }
    .conduct(terminal, path)
}
