//! Small drawings that need no script: curves, and strips of dots.

use std::fmt::Write;

use maud::{Markup, html};
use owlet_lab::kind::inherit::result::Estimate;
use owlet_lab::value::text;

use super::parts::name;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 8.0;

/// One line of a drawing.
pub(super) struct Series {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Under way.
    pub(super) strong: bool,
}

fn at(position: f64) -> String {
    format!("{position:.1}")
}

/// Lowest and highest of finite numbers, apart.
fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    let room = if high > low { 0.04 * (high - low) } else { 0.5 };
    Some((low - room, high + room))
}

/// Lines over one pair of axes.
pub(super) fn lines(title: &str, x_title: &str, y_title: &str, series: &[Series]) -> Markup {
    let xs = series.iter().flat_map(|one| one.points.iter().map(|point| point.0));
    let ys = series.iter().flat_map(|one| one.points.iter().map(|point| point.1));
    let (Some((_, right)), Some((low, high))) = (span(xs), span(ys)) else { return html! {} };
    let right = right.max(1.0);
    let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - 8.0);
    let y = |value: f64| TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
    html! {
        svg class="curve" role="img" aria-label=(name(title)) viewBox={ "0 0 " (at(WIDTH)) " " (at(HEIGHT)) } {
            @for tick in ticks(low, high) {
                line class="grid" x1=(at(LEFT)) x2=(at(WIDTH - 8.0)) y1=(at(y(tick))) y2=(at(y(tick))) {}
                text class="tick" x=(at(LEFT - 6.0)) y=(at(y(tick) + 4.0)) text-anchor="end" { (text::plain(tick)) }
            }
            line class="axis" x1=(at(LEFT)) x2=(at(WIDTH - 8.0)) y1=(at(HEIGHT - BOTTOM)) y2=(at(HEIGHT - BOTTOM)) {}
            @for value in ticks(0.0, right).into_iter().filter(|value| value.fract() == 0.0) {
                text class="tick" x=(at(x(value))) y=(at(HEIGHT - BOTTOM + 14.0)) text-anchor="middle" { (text::count(value as usize)) }
            }
            text class="tick" x=(at(f64::midpoint(LEFT, WIDTH))) y=(at(HEIGHT - 4.0)) text-anchor="middle" { (x_title) }
            text class="tick" x="10" y=(at(HEIGHT / 2.0)) text-anchor="middle"
                transform={ "rotate(-90 10 " (at(HEIGHT / 2.0)) ")" } { (y_title) }
            @for one in series {
                path class={ "line" @if one.strong { " strong" } } d=(way(&one.points, &x, &y)) {
                    title { (name(&one.label)) }
                }
            }
        }
    }
}

/// Round numbers between two ends: 1, 2 or 5 times a power of ten apart.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil();
    // Ends that floating point cannot tell apart have no round numbers between them.
    if step <= 0.0 || first.is_nan() || first.abs() > 1e15 {
        return Vec::new();
    }
    let first = first as i64;
    (first..).map(|times| times as f64 * step).take_while(|tick| *tick <= high).take(12).collect()
}

fn way(points: &[(f64, f64)], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let mut way = String::new();
    for (index, (left, up)) in points.iter().filter(|(_, up)| up.is_finite()).enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(way, "{command}{} {}", at(x(*left)), at(y(*up)));
    }
    way
}

/// The losses of one training, with the last one in words.
pub(super) fn losses(label: &str, points: &[(f64, f64)]) -> Markup {
    let series = [Series { label: label.to_owned(), points: points.to_vec(), strong: true }];
    let ends = (points.first(), points.last());
    html! {
        (lines(&format!("Loss of {label}"), "updates", "loss, nats per token", &series))
        @if let (Some(first), Some(last)) = ends {
            p class="note" {
                "From " (text::plain(first.1)) " after " (text::counted(first.0 as usize, "update"))
                " to " (text::plain(last.1)) " after " (text::counted(last.0 as usize, "update")) ", nats per token."
            }
        }
    }
}

/// Dots of one group.
pub(super) struct Strip {
    pub(super) label: String,
    /// `treatment`, `control` or `reference`, as in the report.
    pub(super) part: &'static str,
    pub(super) values: Vec<f64>,
}

/// Dots of several models over one axis, one row per group.
pub(super) fn strips(title: &str, rows: &[Strip], shown: fn(f64) -> String) -> Markup {
    const ROW: f64 = 22.0;
    const LABELS: f64 = 200.0;
    let Some((low, high)) = span(rows.iter().flat_map(|row| row.values.iter().copied())) else {
        return html! {};
    };
    let height = ROW * rows.len() as f64 + 26.0;
    let x = |value: f64| LABELS + (value - low) / (high - low) * (WIDTH - LABELS - 70.0);
    html! {
        svg class="dots strips" role="img" aria-label=(name(title)) viewBox={ "0 0 " (at(WIDTH)) " " (at(height)) } {
            @if low < 0.0 && high > 0.0 {
                line class="grid zero" x1=(at(x(0.0))) x2=(at(x(0.0))) y1="0" y2=(at(height - 22.0)) {}
            }
            line class="axis" x1=(at(LABELS)) x2=(at(WIDTH - 70.0)) y1=(at(height - 22.0)) y2=(at(height - 22.0)) {}
            @for tick in ticks(low, high) {
                text class="tick" x=(at(x(tick))) y=(at(height - 8.0)) text-anchor="middle" { (text::plain(tick)) }
            }
            @for (index, Strip { label, part, values }) in rows.iter().enumerate() {
                @let y = ROW * (index as f64 + 0.5);
                text class="label" x=(at(LABELS - 8.0)) y=(at(y + 4.0)) text-anchor="end" { (text::cut(&name(label), 30)) }
                g class=(part) {
                    @for value in values { circle class="dot" cx=(at(x(*value))) cy=(at(y)) r="4" {} }
                }
                @if !values.is_empty() {
                    text class="number" x=(at(WIDTH)) y=(at(y + 4.0)) text-anchor="end" {
                        (shown(values.iter().sum::<f64>() / values.len() as f64))
                    }
                }
            }
        }
    }
}

/// A number of each side, with its interval.
pub(super) struct Pair {
    pub(super) label: String,
    pub(super) a: Option<Estimate>,
    pub(super) b: Option<Estimate>,
}

/// Dots with intervals of two sides over one axis: circles are A, squares B.
pub(super) fn pairs(title: &str, axis: &str, rows: &[Pair]) -> Markup {
    const ROW: f64 = 30.0;
    const LABELS: f64 = 210.0;
    let all = rows.iter().flat_map(|row| [&row.a, &row.b]).flatten();
    let ends = all.flat_map(|estimate| {
        let interval = estimate.interval;
        [Some(estimate.value), interval.map(|i| i.low), interval.map(|i| i.high)]
    });
    let Some((low, high)) = span(ends.flatten().chain([0.0])) else { return html! {} };
    let bottom = ROW * rows.len() as f64;
    let x = |value: f64| LABELS + (value - low) / (high - low) * (WIDTH - LABELS - 20.0);
    html! {
        svg class="dots pairs" role="img" aria-label=(name(title)) viewBox={ "0 0 " (at(WIDTH)) " " (at(bottom + 38.0)) } {
            line class="grid zero" x1=(at(x(0.0))) x2=(at(x(0.0))) y1="0" y2=(at(bottom)) {}
            line class="axis" x1=(at(LABELS)) x2=(at(WIDTH - 20.0)) y1=(at(bottom)) y2=(at(bottom)) {}
            @for tick in ticks(low, high) {
                text class="tick" x=(at(x(tick))) y=(at(bottom + 14.0)) text-anchor="middle" { (text::plain(tick)) }
            }
            text class="tick" x=(at(f64::midpoint(LABELS, WIDTH))) y=(at(bottom + 30.0)) text-anchor="middle" { (axis) ": circles A, squares B" }
            @for (index, row) in rows.iter().enumerate() {
                @let middle = ROW * (index as f64 + 0.5);
                text class="label" x=(at(LABELS - 8.0)) y=(at(middle + 4.0)) text-anchor="end" { (text::cut(&name(&row.label), 32)) }
                @for (side, estimate, y) in [("treatment", &row.a, middle - 6.0), ("control", &row.b, middle + 6.0)] {
                    @if let Some(estimate) = estimate {
                        g class=(side) {
                            @if let Some(interval) = estimate.interval {
                                line class="interval" x1=(at(x(interval.low))) x2=(at(x(interval.high))) y1=(at(y)) y2=(at(y)) {}
                            }
                            @if side == "treatment" {
                                circle class="dot" cx=(at(x(estimate.value))) cy=(at(y)) r="4.5" {}
                            } @else {
                                rect class="dot" x=(at(x(estimate.value) - 4.0)) y=(at(y - 4.0)) width="8" height="8" {}
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_between_the_ends() {
        let written =
            |low, high| ticks(low, high).into_iter().map(text::plain).collect::<Vec<_>>().join(" ");
        assert_eq!(written(-0.13, 3.43), "0 1 2 3");
        assert_eq!(written(4.9, 8.4), "5 6 7 8");
        assert_eq!(written(-0.021, 0.019), "-0.02 -0.01 0 0.01");
    }
}
