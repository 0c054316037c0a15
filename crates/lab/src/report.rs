//! Reports: views over a result, for people.
//!
//! [`terminal`] is the block at the end of a run, [`figures`] the figures as Vega-Lite data, [`html`]
//! one page that needs nothing but a browser. All are pure functions of their input: same input,
//! same bytes, no numbers that the result does not hold but for what steps took. Names and rows may come from a
//! model or a stranger: they are cleaned for terminals and escaped for pages, never trusted.

mod chart;
mod figures;
mod lineage;
mod page;
mod section;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;
mod text;

pub use figures::figures;
pub use lineage::{Graph, GraphEdge, GraphNode};
pub use page::{ReportInput, html};
pub use terminal::{More, TerminalStyle, costs_block, grown_block, more_block, terminal};
