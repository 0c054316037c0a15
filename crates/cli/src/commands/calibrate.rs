use std::path::{Path, PathBuf};

use clap::Args;
use owlet_lab::PlanContext;
use owlet_lab::kind::inherit::calibrate::{self, Calibration};
use owlet_lab::kind::inherit::result::InheritResult;
use owlet_lab::recipe::Layer;
use owlet_lab::{AnyRecipe, execute};

use crate::commands::demo;
use crate::error::Result;
use crate::experiment::{Watcher, settings};
use crate::layers::Layers;
use crate::models::{self, Models};
use crate::terminal::{Terminal, count};
use crate::{interrupt, report, rows, workspace};

/// Measure how often a recipe's verdicts are wrong where nothing can be inherited
///
/// Runs the recipe's own null as often as asked: teachers that were taught nothing, everything else drawn
/// as the recipe says. Prints how often its rule says "inherited" and how often its intervals hold the true
/// zero. Many behaviors in one run are cheaper than many runs, and smaller students than the recipe's may
/// do: `--set 'behaviors=[...]' --set carrier.rows=600 --set student.updates=30`. Interrupted, the same
/// command goes on.
#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// The recipe, a TOML file, or `demo`
    recipe: PathBuf,

    /// Runs, each at another root seed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000), allow_negative_numbers = true)]
    runs: u64,

    /// The first root seed; the recipe's own by default
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Change a value of the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Cores to use, all by default; results do not depend on it
    #[arg(long, value_name = "N", value_parser = models::cores_typed, allow_negative_numbers = true)]
    cores: Option<usize>,
}

pub(crate) fn run(args: &CalibrateArgs, terminal: &Terminal, path: &Path) -> Result<()> {
    let name = args.recipe.display().to_string();
    let layers = if name == "demo" {
        Layers::bare(Layer::new(demo::RECIPE, "demo")?, &args.set)?
    } else {
        let layer = Layer::new(&rows::recipe(&args.recipe)?, &name)?;
        Layers::new(path, layer, &args.set)?
    };
    let folder = args.recipe.parent().unwrap_or(Path::new("")).to_owned();
    let models = Models::below(folder.clone(), terminal).and_in(path);
    let resolved = layers.recipe(&models.places)?;
    let recipe = calibrate::recipe(&resolved)?;
    let context = PlanContext { places: models.places.clone(), folder, ..PlanContext::default() };
    let store = workspace::open(path)?;
    let cores = args.cores.unwrap_or_else(models::cores).max(1);
    let interrupt = interrupt::listen(terminal, "what is finished is kept");
    let mut calibration = Calibration::new(recipe);
    for at in 0..args.runs {
        // Seeds go round rather than end.
        let root = args.seed.unwrap_or(recipe.seed).wrapping_add(at);
        let null = AnyRecipe::from(calibrate::null(recipe, root));
        let plan = null.plan(&context).map_err(|error| models.failed(error))?;
        let mut watcher = Watcher::new(terminal, None, plan.nodes.len());
        let outcome = execute(
            &plan,
            &store,
            &settings(cores),
            None,
            &mut |event| watcher.hear(event),
            &interrupt,
        );
        drop(watcher);
        let outcome = outcome.map_err(|error| models.failed(error))?;
        let result = outcome.result(&store)?;
        let result = result.need::<InheritResult>(&args.recipe)?;
        calibration.add(root, result);
        terminal.say(format_args!(
            "root seed {root}, {} of {}: {} called inherited so far",
            at + 1,
            args.runs,
            count(calibration.inherited.count as usize, "behavior"),
        ));
    }
    if terminal.json {
        return terminal.json(&calibration);
    }
    report::brief(terminal, &calibration.report(env!("CARGO_PKG_VERSION")))
}
