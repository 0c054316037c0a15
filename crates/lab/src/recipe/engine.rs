//! How the engine computes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which arithmetic the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compute {
    /// The fastest on this machine.
    Auto,
    /// 32-bit arithmetic; the same bytes wherever the processor has the same vector units.
    F32,
}

/// How the engine computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Engine {
    /// Arithmetic.
    pub compute: Compute,
}
