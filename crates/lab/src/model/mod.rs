//! Models: where they come from, how they are loaded, and how a conversation becomes their tokens.

pub mod answer;
pub mod chat;
pub mod keeping;
mod source;
pub mod world;

pub use source::*;
