//! Experiments over models: recipes, plans, steps, statistics, reports.

pub mod random;
