//! Experiments over models: recipes, plans, steps, statistics, reports.

pub mod behavior;
pub mod carrier;
mod placeholder;
pub mod random;
pub mod readout;
pub mod stats;
pub mod words;
pub mod world;
