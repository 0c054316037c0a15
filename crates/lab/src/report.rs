//! Reports: views over a result, for people.
//!
//! [`terminal`] is the block at the end of a run. It is
//! pure functions of their input: same input,
//! same bytes, no times, no numbers that the result does not hold. Names and rows may come from a
//! model or a stranger: they are cleaned for terminals and escaped for pages, never trusted.

mod chart;
mod lineage;
mod terminal;
#[cfg(test)]
mod tests;
mod text;

pub use lineage::{Graph, GraphEdge, GraphNode};
pub use terminal::{More, TerminalStyle, terminal};
