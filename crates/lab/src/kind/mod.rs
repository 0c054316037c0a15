//! Kinds of runs, one folder each.

pub mod grow;
pub mod inherit;
