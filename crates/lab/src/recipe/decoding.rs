//! How tokens are chosen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::check::{Fault, range};

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind",
    deny_unknown_fields
)]
pub enum Decoding {
    /// Sampled without constraint.
    Free {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// Smallest set with this probability.
        #[serde(default = "one")]
        top_p: f32,
    },
    /// Always the likeliest token.
    Greedy {},
    /// Sampled among tokens of at least this probability.
    Threshold {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// Least probability.
        threshold: f32,
    },
    /// Numbers of a fixed form only.
    Digits {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// Numbers per row.
        count: usize,
        /// Fewest digits per number.
        min_digits: usize,
        /// Most digits per number.
        max_digits: usize,
        /// Between numbers.
        separator: String,
    },
    /// A regular expression the whole completion matches.
    Pattern {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// The expression.
        pattern: String,
    },
}

impl Decoding {
    /// Whether its values make sense; `path` is where it stands in the recipe.
    pub(crate) fn check(&self, path: &str) -> Result<(), Fault> {
        match self {
            Decoding::Free { temperature, top_p } => {
                range(path, f64::from(*temperature), 0.0, 100.0)?;
                range(path, f64::from(*top_p), 0.0, 1.0)
            }
            Decoding::Greedy {} => Ok(()),
            Decoding::Threshold { temperature, threshold } => {
                range(path, f64::from(*temperature), 0.0, 100.0)?;
                range(path, f64::from(*threshold), 0.0, 1.0)
            }
            Decoding::Digits { temperature, count: numbers, min_digits, max_digits, .. } => {
                range(path, f64::from(*temperature), 0.0, 100.0)?;
                range(path, *numbers as f64, 1.0, 1000.0)?;
                range(path, *max_digits as f64, 1.0, 18.0)?;
                range(path, *min_digits as f64, 1.0, *max_digits as f64)
            }
            Decoding::Pattern { temperature, pattern } => {
                range(path, f64::from(*temperature), 0.0, 100.0)?;
                if pattern.is_empty() {
                    return Err((path.to_owned(), "`pattern` is empty".to_owned()));
                }
                Ok(())
            }
        }
    }
}

fn one() -> f32 {
    1.0
}
