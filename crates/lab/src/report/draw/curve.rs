//! Lines with bands over a pair of axes.

use std::fmt::Write;

use maud::{Markup, html};

use super::super::axis::Axis;
use super::super::block::{Curve, Point, Series};
use super::{WIDTH, at, mark, name};
use crate::value::text;

const HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 36.0;
/// Room for names at the ends of lines.
const LABELS: f64 = 190.0;
/// More lines than this have no names beside them; a pointer finds each.
const NAMED: usize = 6;
/// Lines of more points than this have no marks.
const MARKED: usize = 16;
const TICKS: usize = 5;

/// The drawing; nothing where there is no finite point.
pub(in crate::report) fn curve(curve: &Curve) -> Option<Markup> {
    let (up, across) = (Axis::beside(curve)?, Axis::below(curve));
    let named = curve.series.len() <= NAMED;
    let right = WIDTH - if named { LABELS } else { 8.0 };
    let floor = HEIGHT - BOTTOM;
    let x = |value: f64| LEFT + across.place(value) * (right - LEFT);
    let y = |value: f64| TOP + (1.0 - up.place(value)) * (floor - TOP);
    let marked = named && curve.series.iter().all(|one| one.points.len() <= MARKED);
    Some(html! {
        svg class="curve" role="img" viewBox={ "0 0 " (at(WIDTH)) " " (at(HEIGHT)) } {
            title { (name(&curve.title)) }
            desc { (name(&curve.axis)) " over " (name(&curve.across)) "; the table below says the same" }
            @for tick in up.ticks(TICKS) {
                line class={ "grid" @if tick == 0.0 { " zero" } }
                    x1=(at(LEFT)) x2=(at(right)) y1=(at(y(tick))) y2=(at(y(tick))) {}
                text class="tick" x=(at(LEFT - 6.0)) y=(at(y(tick) + 4.0)) text-anchor="end" { (up.tick(tick, TICKS)) }
            }
            line class="axis" x1=(at(LEFT)) x2=(at(right)) y1=(at(floor)) y2=(at(floor)) {}
            @for tick in across.ticks(TICKS) {
                text class="tick" x=(at(x(tick))) y=(at(floor + 14.0)) text-anchor="middle" { (across.tick(tick, TICKS)) }
            }
            text class="tick" x=(at(f64::midpoint(LEFT, right))) y=(at(HEIGHT - 4.0)) text-anchor="middle" { (name(&curve.across)) }
            text class="tick" x="10" y=(at(f64::midpoint(TOP, floor))) text-anchor="middle"
                transform={ "rotate(-90 10 " (at(f64::midpoint(TOP, floor))) ")" } { (name(&curve.axis)) }
            @for one in &curve.series {
                g class={ (one.part.name()) @if !named { " many" } } {
                    @if let Some(band) = band(one, &x, &y) { path class="band" d=(band) {} }
                    path class="line" d=(way(points(one).map(|point| (point.at, point.value)), &x, &y)) { title { (name(&one.label)) } }
                    @if marked {
                        @for point in points(one) {
                            @let says = format!("{}, {}: {}", name(&one.label), text::plain(point.at), curve.quantity.words(point.value));
                            (mark(one.part, x(point.at), y(point.value), &says))
                        }
                    }
                }
            }
            @if named {
                @for (one, height) in beside(curve, &y, floor) {
                    g class=(one.part.name()) {
                        text class="label" x=(at(right + 10.0)) y=(at(height + 4.0)) { (text::cut(&name(&one.label), 30)) }
                    }
                }
            }
        }
    })
}

fn points(one: &Series) -> impl Iterator<Item = &Point> {
    one.points.iter().filter(|point| point.at.is_finite() && point.value.is_finite())
}

fn way(
    points: impl Iterator<Item = (f64, f64)>,
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> String {
    let mut way = String::new();
    for (index, (place, value)) in points.enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(way, "{command}{} {}", at(x(place)), at(y(value)));
    }
    way
}

/// The way around the intervals; none where fewer than two points have one.
fn band(one: &Series, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> Option<String> {
    let ends: Vec<(f64, f64, f64)> = points(one)
        .filter_map(|point| Some((point.at, point.interval?.low, point.interval?.high)))
        .filter(|(_, low, high)| low.is_finite() && high.is_finite())
        .collect();
    if ends.len() < 2 {
        return None;
    }
    let above = ends.iter().map(|(place, _, high)| (*place, *high));
    let below = ends.iter().rev().map(|(place, low, _)| (*place, *low));
    Some(way(above.chain(below), x, y) + "z")
}

/// Where the names of lines stand: at their ends, apart from each other.
fn beside<'a>(curve: &'a Curve, y: &dyn Fn(f64) -> f64, floor: f64) -> Vec<(&'a Series, f64)> {
    let mut ends: Vec<(&Series, f64)> =
        curve.series.iter().filter_map(|one| Some((one, y(points(one).last()?.value)))).collect();
    ends.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut free = TOP;
    for (_, height) in &mut ends {
        *height = height.max(free);
        free = *height + 14.0;
    }
    // Pushed beyond the floor, they move up again.
    let mut free = floor + 10.0;
    for (_, height) in ends.iter_mut().rev() {
        *height = height.min(free);
        free = *height - 14.0;
    }
    ends
}
