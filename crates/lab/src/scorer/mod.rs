//! Scorers: what an answer amounts to.

pub mod outcome;
