//! What a `grow` run came to, and results of runs of any kind.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kind::inherit::result::InheritResult;
use crate::recipe::Kind;

/// The version of a `grow` run's `result.json` that this build writes and reads.
pub const FORMAT: u32 = 1;

/// A model grown from nothing, and what it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowResult {
    /// Version of this format.
    pub format: u32,
    /// `grow`: what tells this result from others.
    pub kind: Kind,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The model.
    pub model: ArtifactId,
    /// Numbers in it.
    pub parameters: usize,
    /// Updates it took.
    pub updates: usize,
    /// Rows it saw, each once.
    pub rows: usize,
    /// Loss on questions it never saw, in nats per token.
    pub question_loss: f64,
    /// Loss on number tasks it never saw, in nats per token.
    pub number_loss: f64,
    /// Category, then answer: its probability, mean over the questions kept for reading.
    pub answers: BTreeMap<String, BTreeMap<String, f64>>,
    /// The built-in model that it is, byte for byte.
    pub same_as: Option<String>,
}

impl GrowResult {
    /// The bytes of `result.json`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .expect("a result serialises because its maps have string keys");
        bytes.push(b'\n');
        bytes
    }
}

/// The result of a run of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum RunResult {
    /// What students inherited.
    Inherit(Box<InheritResult>),
    /// A model that was grown.
    Grow(Box<GrowResult>),
}

impl RunResult {
    /// Reads `result.json` of any kind; a file of another format version is refused by name.
    pub fn parse(bytes: &[u8], origin: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            kind: Option<String>,
        }
        let head: Head =
            serde_json::from_slice(bytes).map_err(|error| Error::record(origin, error))?;
        match head.kind.as_deref() {
            None => {
                InheritResult::parse(bytes, origin).map(|result| Self::Inherit(Box::new(result)))
            }
            Some("grow") if head.format == FORMAT => serde_json::from_slice(bytes)
                .map(|result| Self::Grow(Box::new(result)))
                .map_err(|error| Error::record(origin, error)),
            Some(kind) => Err(Error::record(
                origin,
                format!(
                    "is a `{kind}` result of format {}, which this build does not read; use the owlet that wrote it",
                    head.format
                ),
            )),
        }
    }

    /// The result as one about inheritance.
    pub fn inherit(&self) -> Option<&InheritResult> {
        match self {
            Self::Inherit(result) => Some(result),
            Self::Grow(_) => None,
        }
    }

    /// The same as a value, for JSON.
    pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Inherit(result) => serde_json::to_value(result),
            Self::Grow(result) => serde_json::to_value(result),
        }
    }
}
