//! Models: where they come from, how they are loaded, and how a conversation becomes their tokens.

pub mod about;
pub mod answer;
pub mod chat;
pub mod keeping;
pub(crate) mod source;
pub mod spec;
mod weights;
pub mod world;

pub use about::{EndpointModel, ModelAbout, ScriptModel, Steered, TrainedModel, VECTOR, Weights};
pub use source::*;
pub use weights::weights;
