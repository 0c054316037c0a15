//! Dots with intervals over one axis.

use maud::{Markup, html};

use super::super::axis::Axis;
use super::super::block::{Dot, DotRow, Dots, Part};
use super::super::number::method;
use super::{WIDTH, at, mark, name};
use crate::value::text;

const LABELS: f64 = 230.0;
const NUMBERS: f64 = 70.0;
const ROW: f64 = 22.0;
/// Between dots of one row that stand one above the other.
const LANE: f64 = 12.0;
const TICKS: usize = 6;

/// The drawing; nothing where no dot has a place.
pub(in crate::report) fn dots(dots: &Dots) -> Option<Markup> {
    let axis = Axis::of_dots(dots)?;
    let lanes = lanes(dots);
    let row = ROW + LANE * (lanes.len().max(1) - 1) as f64;
    let bottom = row * dots.rows.len() as f64 + 6.0;
    let right = WIDTH - NUMBERS;
    let x = |value: f64| LABELS + axis.place(value).clamp(0.0, 1.0) * (right - LABELS);
    Some(html! {
        svg class="dots" role="img" viewBox={ "0 0 " (at(WIDTH)) " " (at(bottom + 40.0)) } {
            title { (name(&dots.title)) }
            desc { (name(&dots.axis)) "; the table below says the same" }
            @for tick in axis.ticks(TICKS) {
                line class={ "grid" @if tick == 0.0 { " zero" } }
                    x1=(at(x(tick))) x2=(at(x(tick))) y1="0" y2=(at(bottom)) {}
                text class="tick" x=(at(x(tick))) y=(at(bottom + 14.0)) text-anchor="middle" {
                    (axis.tick(tick, TICKS))
                }
            }
            line class="axis" x1=(at(LABELS)) x2=(at(right)) y1=(at(bottom)) y2=(at(bottom)) {}
            text class="tick" x=(at(f64::midpoint(LABELS, right))) y=(at(bottom + 32.0)) text-anchor="middle" { (name(&dots.axis)) }
            @for (index, one) in dots.rows.iter().enumerate() {
                @let middle = row * (index as f64 + 0.5) + 2.0;
                g class=[one.dots.first().map(|dot| dot.part.name())] {
                    text class="label" x=(at(LABELS - 8.0)) y=(at(middle + 4.0)) text-anchor="end" {
                        (text::cut(&name(&one.label), 34))
                    }
                }
                @if dots.joined {
                    @let values = || one.finite().map(|dot| dot.estimate.value);
                    @if let (Some(low), Some(high)) = (values().reduce(f64::min), values().reduce(f64::max)) {
                        line class="join" x1=(at(x(low))) x2=(at(x(high))) y1=(at(middle)) y2=(at(middle)) {}
                    }
                }
                @for dot in one.finite() {
                    @let lane = lanes.iter().position(|part| *part == dot.part).unwrap_or(0);
                    @let y = middle + LANE * (lane as f64 - (lanes.len().max(1) - 1) as f64 / 2.0);
                    g class=(dot.part.name()) { (one_dot(dots, one, dot, &axis, &x, y)) }
                }
                @if let Some(number) = one.number {
                    text class="number" x=(at(WIDTH)) y=(at(middle + 4.0)) text-anchor="end" {
                        (dots.quantity.words(number))
                    }
                }
            }
        }
    })
}

/// Parts that stand one above the other in each row; none where each row has a single line.
fn lanes(dots: &Dots) -> Vec<Part> {
    let parts: std::collections::BTreeSet<Part> =
        dots.rows.iter().flat_map(|row| row.dots.iter().map(|dot| dot.part)).collect();
    if !dots.joined && dots.is_mixed() { parts.into_iter().collect() } else { Vec::new() }
}

fn one_dot(
    dots: &Dots,
    row: &DotRow,
    dot: &Dot,
    axis: &Axis,
    x: &dyn Fn(f64) -> f64,
    y: f64,
) -> Markup {
    let estimate = &dot.estimate;
    let place = axis.place(estimate.value);
    let says = format!(
        "{}: {}, {}, {}",
        name(&row.label),
        dots.quantity.with_interval(estimate),
        text::counted(estimate.n, &name(&estimate.unit)),
        method(estimate)
    );
    let finite = |end: f64, edge: f64| if end.is_nan() { edge } else { end };
    html! {
        @if let Some(interval) = estimate.interval {
            line class="interval" x1=(at(x(finite(interval.low, axis.low)))) x2=(at(x(finite(interval.high, axis.high))))
                y1=(at(y)) y2=(at(y)) {}
        }
        @if (0.0..=1.0).contains(&place) {
            (mark(dot.part, x(estimate.value), y, &says))
        } @else if place > 1.0 {
            text class="beyond" x=(at(x(axis.high))) y=(at(y + 4.0)) text-anchor="end" { "▶" title { (says) } }
        } @else {
            text class="beyond" x=(at(x(axis.low))) y=(at(y + 4.0)) { "◀" title { (says) } }
        }
    }
}
