//! Rows that somebody gave: whatever they are, as long as they say something and do not name what they must not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Rules};

/// Rows that somebody gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Given {}

impl Rules for Given {
    fn name(&self) -> &'static str {
        "rows that were given"
    }

    /// Those of teachers that were not asked stand with the recipe.
    fn defaults(&self) -> &'static str {
        ""
    }

    fn prompts(&self) -> &'static [&'static str] {
        &[]
    }

    fn faults(&self, _asked: Asked<'_>, completion: &str) -> Vec<String> {
        completion.trim().is_empty().then(|| "says nothing".to_owned()).into_iter().collect()
    }

    fn has_words(&self) -> bool {
        true
    }
}
