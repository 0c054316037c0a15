//! Where meaning lives: recipes, plans, steps and what they found. Prints nothing.

pub mod error;
pub mod recipe;
pub mod result;

pub use error::{Error, Result};
