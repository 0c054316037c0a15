//! Scorers: what an answer amounts to.

pub mod degenerate;
pub mod instruction;
pub mod judge;
pub mod outcome;
