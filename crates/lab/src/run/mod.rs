//! Runs: a recipe's plan, surveyed and executed.

mod costs;
pub mod event;
pub mod execute;
pub mod plan;
pub mod single;
mod survey;
