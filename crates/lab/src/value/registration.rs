//! What was fixed before a run began, and which results of the same models had been seen by then.

use serde::{Deserialize, Serialize};

/// What was fixed before a run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registration {
    /// The version of this format.
    pub format: u32,
    /// When, as an RFC 3339 timestamp in UTC.
    pub registered: String,
    /// BLAKE3 digest of the resolved recipe: its rule, targets, seeds, level and controls.
    pub recipe: String,
    /// Results that had been made of the same models by another rule, oldest first.
    pub looks: Vec<Look>,
}

/// An earlier result of the same models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Look {
    /// When it was made.
    pub made: String,
    /// What was set otherwise.
    pub changed: Vec<Change>,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Change {
    /// Where in the recipe.
    pub key: String,
    /// What it was then, as JSON.
    pub then: String,
    /// What it is now.
    pub now: String,
}
