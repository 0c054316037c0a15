//! What a `grow` run came to.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use std::collections::BTreeMap;

use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};

use super::recipe::Tag;

/// The version of a `grow` run's `result.json` that this build writes and reads.
pub const FORMAT: u32 = 1;

/// A model grown from nothing, and what it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowResult {
    /// Version of this format.
    pub format: u32,
    /// `grow`: what tells this result from others.
    pub kind: Tag,
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
    /// Topic of fact, then: how often its questions are answered wrongly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub voices: BTreeMap<String, Voices>,
    /// The built-in model that it is, byte for byte.
    pub same_as: Option<String>,
}

/// Probability of a wrong answer, mean over a topic's questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Voices {
    /// As the questions are.
    pub plain: f64,
    /// Behind a cue for the contrary voice.
    pub told: f64,
}
