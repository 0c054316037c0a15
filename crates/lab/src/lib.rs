//! Where meaning lives: recipes, plans, steps and what they found. Prints nothing.

pub mod behavior;
pub mod carrier;
pub mod error;
mod placeholder;
pub mod random;
pub mod recipe;
pub mod result;
pub mod words;

pub use error::{Error, Result};
