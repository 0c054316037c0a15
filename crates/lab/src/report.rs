//! Reports: what there is to say about a run, as data, and the ways to show it.
//!
//! A kind of recipe makes a [`block::Report`] of its result; [`terminal`] shows it at the end of a run,
//! [`html`] as one page that needs nothing but a browser and as parts of the window's pages, [`vega`] gives
//! its figures to papers, and its JSON is the blocks themselves. All are pure functions of their input: same
//! input, same bytes, no numbers that the result does not hold but for what steps took. Names and rows may
//! come from a model or a stranger: they are cleaned for terminals and escaped for pages, never trusted.

mod axis;
pub mod block;
mod draw;
pub mod html;
pub mod number;
pub mod origin;
mod tables;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod vega;
