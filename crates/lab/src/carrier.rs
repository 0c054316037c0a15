//! Carriers: the innocuous media through which a behavior may pass.
//!
//! A carrier is a prompt generator, a filter and a set of shuffles: pure, seeded and independent
//! of any model. Decoding constraints need a tokenizer and live with generation. The numbers
//! carrier follows Cloud et al. (arXiv 2507.14805 and Nature 652, 2026) bit for bit.

pub mod filter;
pub mod leak;
pub mod numbers;
pub mod prompts;
pub mod shuffle;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use filter::{NumberFilter, Reason, Verdict};
pub use leak::{Leak, leaks};
pub use prompts::{PromptFile, PromptSet, PromptSetError};

/// The media. What one must answer for stands in the methods below, each of which matches all of them,
/// so that the compiler names every place for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// Sequences of numbers.
    #[default]
    Numbers,
}

/// How far the content of rows moves when they are shuffled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Inside their row.
    Within,
    /// Among all rows.
    Across,
}

impl Medium {
    /// Its name, as in recipes and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
        }
    }

    /// Why a completion is none of this medium; nothing if it is one.
    pub fn faults(self, filter: &NumberFilter, completion: &str) -> Vec<String> {
        match self {
            Self::Numbers => {
                filter.check(completion).reasons.iter().map(ToString::to_string).collect()
            }
        }
    }

    /// Completions with their content moved, each in its own shape.
    pub fn shuffled(self, completions: &[String], reach: Reach) -> Vec<String> {
        match (self, reach) {
            (Self::Numbers, Reach::Within) => shuffle::within(completions, shuffle::SHUFFLE_SEED),
            (Self::Numbers, Reach::Across) => shuffle::across(completions, shuffle::SHUFFLE_SEED),
        }
    }

    /// Whether it is the one that steps of former versions meant, and do not name.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
