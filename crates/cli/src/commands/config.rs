use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use owlet_lab::kind::Kind;
use owlet_lab::kind::registry::{self, KINDS};
use owlet_lab::recipe::Layer;
use serde_json::{Map, json};

use crate::error::Result;
use crate::layers::Layers;
use crate::models::Models;
use crate::rows;
use crate::terminal::{FAINT, Terminal};

/// Look at settings
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Show(ShowArgs),
    /// Print the JSON Schema of recipes, by which editors complete and explain them
    ///
    /// It is also in the repository, as `docs/recipe.schema.json`; a first line `#:schema PATH` names it
    /// to editors that know TOML.
    Schema,
}

/// Print every setting of a recipe, resolved
///
/// Without a recipe, the built-in defaults with their explanations. Layers, each over the one
/// before: built-in defaults, the user's `owlet/config.toml`, the workspace's `config.toml`, the
/// recipe, `--set`.
#[derive(Debug, Args)]
struct ShowArgs {
    /// A recipe
    recipe: Option<PathBuf>,

    /// Without a recipe: the kind whose defaults are printed
    #[arg(long, value_parser = kinds(), default_value = KINDS[0].name(), conflicts_with = "recipe")]
    kind: &'static dyn Kind,

    /// Change a value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Say where each value comes from
    #[arg(long)]
    origin: bool,
}

/// Reads the name of a kind.
fn kinds() -> impl TypedValueParser<Value = &'static dyn Kind> {
    let names = KINDS.iter().map(|kind| PossibleValue::new(kind.name()).help(kind.summary()));
    PossibleValuesParser::new(names).map(|name| registry::find(&name).unwrap_or(KINDS[0]))
}

pub(crate) fn run(args: &ConfigArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let args = match &args.command {
        ConfigCommand::Show(args) => args,
        ConfigCommand::Schema => return terminal.json(&registry::schema()),
    };
    if args.recipe.is_none() && args.set.is_empty() && !args.origin && !terminal.json {
        write!(terminal.data(), "{}", args.kind.defaults())?;
        return Ok(());
    }
    let layer = match &args.recipe {
        Some(path) => Layer::new(&rows::recipe(path)?, &path.display().to_string())?,
        None => Layer::new(args.kind.example(), "example")?,
    };
    let layers = Layers::new(workspace, layer, &args.set)?;
    let folder = args.recipe.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let models = Models::below(folder.to_owned(), terminal).and_in(workspace);
    let recipe = layers.recipe(&models.places)?;
    let mut out = terminal.data();
    if !args.origin && !terminal.json {
        write!(out, "{}", recipe.to_toml())?;
        return Ok(());
    }
    let values = layers.values(&recipe)?;
    if terminal.json {
        let object: Map<_, _> = values
            .iter()
            .map(|(path, (value, origin))| {
                (path.clone(), json!({ "value": value, "origin": origin }))
            })
            .collect();
        drop(out);
        return terminal.json(&object);
    }
    for (path, (value, origin)) in &values {
        writeln!(out, "{path} = {value}  {FAINT}# {origin}{FAINT:#}")?;
    }
    Ok(())
}
