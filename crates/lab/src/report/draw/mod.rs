//! The one drawing system: static SVG, the same on every machine, for pages of the report and of the
//! window.
//!
//! A drawing needs no script, names itself to readers of screens, and tells parts apart by shape, not by
//! colour alone; colours come from the page's style sheet through classes.

pub(super) mod curve;
pub(super) mod dots;
pub(super) mod graph;

use maud::{Markup, html};

use super::block::Part;
use crate::value::text;

/// Width of drawings with an axis.
const WIDTH: f64 = 720.0;

/// A position as SVG wants it, the same on every machine.
fn at(position: f64) -> String {
    format!("{position:.1}")
}

/// Text from elsewhere, on one line, visible.
pub(super) fn name(words: &str) -> String {
    text::reveal(&words.replace(['\n', '\t'], " "))
}

/// The mark of a part; `says` is told where a pointer rests on it.
fn mark(part: Part, x: f64, y: f64, says: &str) -> Markup {
    let title = html! { @if !says.is_empty() { title { (says) } } };
    html! {
        @match part {
            Part::Treatment => circle class="dot" cx=(at(x)) cy=(at(y)) r="5" { (title) },
            Part::Control => rect class="dot" x=(at(x - 4.0)) y=(at(y - 4.0)) width="8" height="8" { (title) },
            Part::Reference => path class="dot"
                d={ "M" (at(x)) " " (at(y - 5.5)) "l5.5 5.5-5.5 5.5-5.5-5.5z" } { (title) },
        }
    }
}
