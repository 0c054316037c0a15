//! Carriers: the innocuous media through which a behavior may pass.
//!
//! A medium is a value: what makes a text one of its rows, how rows are shuffled, what a recipe is by
//! default. All of that is the medium's own file, which implements [`Rules`]; a new one is such a file and a
//! variant of [`Medium`]. Prompts are drawn, and rows searched for leaks, the same way for every medium.

pub mod leak;
pub mod numbers;
pub mod programs;
pub mod prompts;
pub mod reasoning;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::recipe::check::Fault;

pub use numbers::{NumberFilter, Reason, Verdict};
pub use programs::Programs;
pub use prompts::{PromptFile, PromptSet, PromptSetError, Prompts};
pub use reasoning::Reasoning;

/// A medium, with what decides which texts are rows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Medium {
    /// Sequences of numbers.
    Numbers(NumberFilter),
    /// Programs in a language of the built-in world.
    Programs(Programs),
    /// Sums, step by step, in words of the built-in world.
    Reasoning(Reasoning),
}

/// How far the content of rows moves when they are shuffled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Reach {
    /// Inside their row.
    Within,
    /// Among all rows.
    Across,
}

impl Reach {
    /// How it is spelled in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Completions with their content moved, each in its own shape.
pub type Shuffle = fn(&[String]) -> Vec<String>;

/// Who speaks the words of the world `voice`.
const VOICE: &str = "`builtin:c`, `builtin:d` or a model grown in the world `voice`";

/// What a medium must answer for.
pub(crate) trait Rules {
    /// Its name, as in recipes and results.
    fn name(&self) -> &'static str;

    /// Where a recipe of it has other defaults, as TOML; its own keys in `carrier.medium` among them.
    fn defaults(&self) -> &'static str;

    /// Whether its values make sense; `at` is where it stands in the recipe.
    fn check(&self, _at: &str) -> Result<(), Fault> {
        Ok(())
    }

    /// The built-in prompt sets that ask for it.
    fn prompts(&self) -> &'static [&'static str];

    /// The world that its rows are in the words of, where it is not for every model.
    fn world(&self) -> Option<&'static str> {
        None
    }

    /// Why a completion is no row of it in answer to `prompt`; nothing if it is one.
    fn faults(&self, prompt: &str, completion: &str) -> Vec<String>;

    /// How its rows are shuffled so far; none where they cannot be.
    fn shuffle(&self, _reach: Reach) -> Option<Shuffle> {
        None
    }
}

impl Medium {
    /// What it must answer for.
    pub(crate) fn rules(&self) -> &dyn Rules {
        match self {
            Self::Numbers(filter) => filter,
            Self::Programs(programs) => programs,
            Self::Reasoning(reasoning) => reasoning,
        }
    }
}
