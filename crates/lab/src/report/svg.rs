//! The figures that must be there without JavaScript, drawn here: dots with intervals.
//!
//! Colours come from the page's style sheet through classes; shapes tell the parts apart without
//! them.

use maud::{Markup, html};

use super::chart::Chart;
use crate::kind::inherit::result::Part;
use crate::value::text;

const WIDTH: f64 = 720.0;
const LABELS: f64 = 230.0;
const NUMBERS: f64 = 70.0;
const ROW: f64 = 22.0;
const TICKS: usize = 6;

/// A position as SVG wants it, the same on every machine.
pub(super) fn at(position: f64) -> String {
    format!("{position:.1}")
}

/// A chart as an SVG figure.
pub(super) fn dots(chart: &Chart) -> Markup {
    let axis = ROW * chart.rows.len() as f64 + 6.0;
    let x = |value: f64| LABELS + chart.place(value).clamp(0.0, 1.0) * (WIDTH - LABELS - NUMBERS);
    let right = WIDTH - NUMBERS;
    html! {
        svg class="dots" role="img" aria-label=(text::reveal(&chart.title))
            viewBox={ "0 0 " (at(WIDTH)) " " (at(axis + 40.0)) }
        {
            @for tick in chart.ticks(TICKS) {
                line class={ "grid" @if tick == 0.0 { " zero" } }
                    x1=(at(x(tick))) x2=(at(x(tick))) y1="0" y2=(at(axis)) {}
                text class="tick" x=(at(x(tick))) y=(at(axis + 14.0)) text-anchor="middle" {
                    (chart.tick(tick, TICKS))
                }
            }
            line class="axis" x1=(at(LABELS)) x2=(at(right)) y1=(at(axis)) y2=(at(axis)) {}
            text class="tick" x=(at(f64::midpoint(LABELS, right))) y=(at(axis + 32.0))
                text-anchor="middle" { (chart.measure.axis()) }
            @for (index, row) in chart.rows.iter().enumerate() {
                @let y = ROW * (index as f64 + 0.5) + 2.0;
                @let value = row.estimate.value;
                @let place = chart.place(value);
                g class=(row.part.name()) {
                    text class="label" x=(at(LABELS - 8.0)) y=(at(y + 4.0)) text-anchor="end" {
                        (text::cut(&text::reveal(&row.label), 34))
                    }
                    @if let Some(interval) = row.estimate.interval {
                        line class="interval" x1=(at(x(interval.low))) x2=(at(x(interval.high)))
                            y1=(at(y)) y2=(at(y)) {}
                    }
                    @if (0.0..=1.0).contains(&place) {
                        (mark(row.part, x(value), y))
                    } @else if place > 1.0 {
                        text class="beyond" x=(at(right)) y=(at(y + 4.0)) text-anchor="end" { "▶" }
                    } @else {
                        text class="beyond" x=(at(LABELS)) y=(at(y + 4.0)) { "◀" }
                    }
                    text class="number" x=(at(WIDTH)) y=(at(y + 4.0)) text-anchor="end" {
                        (chart.measure.value(value))
                    }
                }
            }
        }
    }
}

fn mark(part: Part, x: f64, y: f64) -> Markup {
    html! {
        @match part {
            Part::Treatment => circle class="dot" cx=(at(x)) cy=(at(y)) r="5" {},
            Part::Control => rect class="dot" x=(at(x - 4.0)) y=(at(y - 4.0)) width="8" height="8" {},
            Part::Reference => path class="dot"
                d={ "M" (at(x)) " " (at(y - 5.5)) "l5.5 5.5-5.5 5.5-5.5-5.5z" } {},
        }
    }
}
