//! Reports: views over a result, for people.
//!
//! [`terminal`] is the block at the end of a run, [`figures`] the figures as Vega-Lite data, [`html`]
//! one page that needs nothing but a browser, [`sections`] its parts for pages of other makers. All
//! are pure functions of their input: same input, same bytes, no numbers that the result does not
//! hold but for what steps took. Names and rows may come from a
//! model or a stranger: they are cleaned for terminals and escaped for pages, never trusted.

mod axis;
pub mod block;
mod chart;
#[cfg(test)]
mod checks;
mod draw;
mod figures;
pub mod html;
mod lineage;
pub mod number;
pub mod origin;
mod page;
pub mod screen;
mod section;
mod svg;
mod tables;
mod terminal;
#[cfg(test)]
mod tests;
pub mod vega;

pub use figures::figures;
pub use lineage::{DrawingSettings, Graph, GraphEdge, GraphNode, NodeLook, drawing};
pub use page::{ReportInput, STYLE, digest, figure_data, html, scripts};
pub use section::{Section, sections};
pub use terminal::{
    More, TerminalStyle, costs_block, difference_with_interval, more_block, outcome, terminal,
    with_interval,
};
