use std::cell::RefCell;
use std::path::Path;

use clap::Args;
use owlet_lab::compare::{self, Compared, Settings, Verdict};
use owlet_lab::model;
use owlet_lab::report::block::Depth;
use owlet_store::Store;

use crate::error::{CliError, Kind, Result};
use crate::interrupt;
use crate::models::{self, Models};
use crate::progress::Progress;
use crate::report;
use crate::terminal::Terminal;

/// Say whether models share a base, from their weights, with a p-value
///
/// Reads a few rows of each layer and never loads a model. Two models of one base are found through training,
/// noise, quantisation, adapters and merges, and where hidden units or residual dimensions were permuted;
/// what changed between them is told. From three models on, they are put into a tree, and merges of some of
/// them are named. `docs/compare.md` says how, and what this does not see.
///
/// Exits with 0 if all share a base, with 1 if some do not and all could be told, with 2 if it cannot be said
/// of some.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Two models or more: `builtin:a`, a model or adapter folder, a .gguf file, `hf:ORG/NAME`, `smollm2`,
    /// `gemma3-270m`, an artifact's id or RUN:NAME
    #[arg(required = true, num_args = 2.., value_name = "MODEL")]
    models: Vec<String>,

    /// Seed of the draws of rows and orders
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: &CompareArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let (models, store) = (Models::here(terminal), Store::open_existing(workspace).ok());
    let open = |spec: &String| -> Result<Compared> {
        let weights = model::weights(store.as_ref(), spec, &models.places);
        Ok(Compared::new(spec, weights.map_err(|error| models.failed(error))?))
    };
    let mut compared = args.models.iter().map(open).collect::<Result<Vec<Compared>>>()?;
    let progress = RefCell::new(Progress::new(terminal));
    let settings = Settings {
        seed: args.seed,
        threads: models::threads(),
        interrupt: interrupt::listen(terminal, "nothing is kept"),
        progress: &|pair, done, total| {
            progress.borrow_mut().show(|_| format!("{pair}: layer {done} of {total}"));
        },
    };
    let found = compare::compare(&mut compared, &settings)?;
    drop(progress);
    if terminal.json {
        terminal.json(&found)?;
    } else {
        let depth = if terminal.verbose { Depth::Full } else { Depth::Brief };
        report::shown(terminal, &compare::report(&found), depth)?;
    }
    let is = |verdict| found.pairs.iter().any(|pair| pair.verdict == verdict);
    if is(Verdict::NotComparable) {
        return Err(CliError::answered(Kind::Usage));
    }
    if is(Verdict::Independent) { Err(CliError::answered(Kind::Check)) } else { Ok(()) }
}
