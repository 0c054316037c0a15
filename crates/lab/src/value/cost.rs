//! What steps cost.

use serde::Serialize;

/// What the steps of one kind took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KindCost {
    /// The kind.
    pub kind: String,
    /// How many there are.
    pub steps: usize,
    /// Seconds on the clock that they took, each times the threads it was given. No processor time: a thread
    /// that waits counts, and on a busy machine all of it grows.
    pub thread_seconds: f64,
    /// The most memory the process held during any of them, in bytes, where known.
    pub peak_memory: Option<u64>,
}
