//! A recipe of any kind: which kind it is decides which keys it may have.

use super::{Compute, GROW_DEFAULTS, GrowRecipe, Kind, Layer, Recipe, Setting, layer};
use crate::error::Result;

/// A recipe of any kind, with every value decided.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyRecipe {
    /// What do students inherit?
    Inherit(Box<Recipe>),
    /// A model from nothing.
    Grow(Box<GrowRecipe>),
}

impl AnyRecipe {
    /// Reads one recipe over the defaults of its kind. `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        Self::resolve(&[Layer::new(text, origin)?], &[])
    }

    /// Lays `layers` (each over the one before, the recipe last) and then `sets` over the defaults of
    /// the recipe's kind, and checks the outcome.
    ///
    /// Layers below the recipe hold what a user wants of every run; of those, a kind takes what
    /// means something to it.
    pub fn resolve(layers: &[Layer], sets: &[Setting]) -> Result<Self> {
        match Self::named_kind(layers, sets) {
            Some("grow") => {
                let mut layers = layers.to_vec();
                if let Some((_, below)) = layers.split_last_mut() {
                    for general in below {
                        general.keep_keys_of(GROW_DEFAULTS);
                    }
                }
                GrowRecipe::resolve(&layers, sets).map(|recipe| Self::Grow(Box::new(recipe)))
            }
            _ => Recipe::resolve(layers, sets).map(|recipe| Self::Inherit(Box::new(recipe))),
        }
    }

    /// What the layers and overrides call their kind, whether or not there is such a kind.
    pub fn named_kind<'a>(layers: &'a [Layer], sets: &'a [Setting]) -> Option<&'a str> {
        layer::kind(layers, sets)
    }

    /// The kind of experiment.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Inherit(_) => Kind::Inherit,
            Self::Grow(_) => Kind::Grow,
        }
    }

    /// The short name.
    pub fn name(&self) -> &str {
        match self {
            Self::Inherit(recipe) => &recipe.name,
            Self::Grow(recipe) => &recipe.name,
        }
    }

    /// Which arithmetic the engine uses.
    pub fn compute(&self) -> Compute {
        match self {
            Self::Inherit(recipe) => recipe.engine.compute,
            Self::Grow(recipe) => recipe.engine.compute,
        }
    }

    /// The recipe as one about inheritance.
    pub fn inherit(&self) -> Option<&Recipe> {
        match self {
            Self::Inherit(recipe) => Some(recipe),
            Self::Grow(_) => None,
        }
    }

    /// The resolved recipe as TOML, to be kept beside the text as given.
    pub fn to_toml(&self) -> String {
        match self {
            Self::Inherit(recipe) => recipe.to_toml(),
            Self::Grow(recipe) => toml::to_string(recipe)
                .expect("a recipe is plain data because its maps are structs"),
        }
    }
}

impl From<&Recipe> for AnyRecipe {
    fn from(recipe: &Recipe) -> Self {
        Self::Inherit(Box::new(recipe.clone()))
    }
}

impl From<&AnyRecipe> for AnyRecipe {
    fn from(recipe: &AnyRecipe) -> Self {
        recipe.clone()
    }
}
