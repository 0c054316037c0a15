//! Where settings come from: built-in defaults, the user's file, the workspace's file, the recipe,
//! `--set`; each over the one before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use owlet_lab::AnyRecipe;
use owlet_lab::kind::Kind;
use owlet_lab::kind::registry::{self, KINDS};
use owlet_lab::model::{ModelSource, Places};
use owlet_lab::recipe::{Layer, Setting};
use toml::{Table, Value};

use crate::error::{CliError, Result};

/// The name of the user's and the workspace's file.
const FILE: &str = "config.toml";

/// Everything that was set, and by whom.
pub(crate) struct Layers {
    stack: Vec<Layer>,
    sets: Vec<Setting>,
    texts: Vec<String>,
}

impl Layers {
    /// The user's and the workspace's settings, `recipe`, and `sets`.
    pub(crate) fn new(workspace: &Path, recipe: Layer, sets: &[String]) -> Result<Self> {
        let mut layers = Vec::new();
        for path in [user_file(), Some(workspace.join(FILE))].into_iter().flatten() {
            if path.is_file() {
                layers.push(Layer::new(&fs::read_to_string(&path)?, &path.display().to_string())?);
            }
        }
        layers.push(recipe);
        Ok(Self { stack: layers, sets: parse(sets)?, texts: sets.to_vec() })
    }

    /// `recipe` and `sets` alone.
    pub(crate) fn bare(recipe: Layer, sets: &[String]) -> Result<Self> {
        Ok(Self { stack: vec![recipe], sets: parse(sets)?, texts: sets.to_vec() })
    }

    /// What it all comes to, with models in these places.
    pub(crate) fn recipe(&self, places: &Places) -> Result<AnyRecipe> {
        let is_grown = |base: &str| ModelSource::is_grown(base, places);
        AnyRecipe::resolve_with(&self.stack, &self.sets, &is_grown).map_err(|error| {
            let named = registry::named(&self.stack, &self.sets).map(Kind::name);
            let named = named.filter(|name| *name != KINDS[0].name());
            let kind = named.map(|name| format!(" --kind {name}")).unwrap_or_default();
            CliError::from(error)
                .hinted(format!("`owlet config show{kind}` lists all keys with their defaults"))
        })
    }

    /// Names of all layers, lowest first.
    pub(crate) fn origins(&self) -> Vec<String> {
        let layers = self.stack.iter().map(|layer| layer.origin().to_owned());
        layers.chain(self.texts.iter().map(|text| format!("--set {text}"))).collect()
    }

    /// Every value of `recipe` by its path, with the layer that decided it.
    pub(crate) fn values(&self, recipe: &AnyRecipe) -> Result<BTreeMap<String, (Value, String)>> {
        let read = |text: &str| {
            text.parse::<Table>().map_err(|error| CliError::usage(error.message().to_owned()))
        };
        let mut stack = vec![("default".to_owned(), paths(&read(recipe.kind().defaults())?))];
        for layer in &self.stack {
            stack.push((layer.origin().to_owned(), paths(&read(layer.text())?)));
        }
        for text in &self.texts {
            let path = text.split('=').next().unwrap_or_default().trim().to_owned();
            stack.push((format!("--set {path}"), vec![path]));
        }
        let mut values = BTreeMap::new();
        let mut leaves = Vec::new();
        flatten("", &Value::Table(read(&recipe.to_toml())?), &mut leaves);
        for (path, value) in leaves {
            let sets = |known: &String| {
                *known == path
                    || path.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            let origin = stack.iter().rev().find(|(_, paths)| paths.iter().any(sets));
            let origin = origin.map_or("default", |(origin, _)| origin).to_owned();
            values.insert(path, (value, origin));
        }
        Ok(values)
    }
}

fn parse(sets: &[String]) -> Result<Vec<Setting>> {
    Ok(sets.iter().map(|set| Setting::parse(set)).collect::<owlet_lab::Result<_>>()?)
}

fn paths(table: &Table) -> Vec<String> {
    let mut leaves = Vec::new();
    flatten("", &Value::Table(table.clone()), &mut leaves);
    leaves.into_iter().map(|(path, _)| path).collect()
}

fn flatten(path: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        other => into.push((path.to_owned(), other.clone())),
    }
}

/// The user's file, whether or not it is there.
fn user_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let configuration = folder("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| folder("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(configuration.join("owlet").join(FILE))
}
