//! Where meaning lives: recipes, plans, steps and what they found. Prints nothing.
//!
//! [`recipe::AnyRecipe`] is what the user wrote, [`plan::Plan`] what will be done,
//! [`execute::execute`] does it over a store, and [`grown::RunResult`] is what was found.

pub mod answer;
pub mod behavior;
pub mod carrier;
pub mod chat;
pub mod error;
pub mod estimate;
pub mod event;
pub mod execute;
pub mod grown;
pub mod inspect;
pub mod keeping;
pub mod model_source;
mod place;
mod placeholder;
pub mod plan;
pub mod random;
pub mod readout;
pub mod recipe;
pub mod remote;
pub mod report;
pub mod result;
pub mod rows;
pub mod single;
pub mod stats;
pub mod step;
pub mod words;
pub mod world;

pub use error::{Error, Result};
pub use event::Event;
pub use execute::{ExecuteSettings, RunOutcome, execute, load_result};
pub use grown::RunResult;
pub use plan::{Plan, PlanContext};
pub use recipe::{AnyRecipe, Recipe};
pub use step::Interrupt;
