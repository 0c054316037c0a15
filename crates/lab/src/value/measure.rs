//! Measures: in what a reading or a difference is told.

use serde::{Deserialize, Serialize};

/// What an effect is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Nats of logit margin.
    Margin,
    /// Share of candidate probability.
    Share,
    /// Sampled rate.
    Rate,
}
