//! Experiments over models: recipes, plans, steps, statistics, reports.

pub mod carrier;
mod placeholder;
pub mod random;
pub mod words;
