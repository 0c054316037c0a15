//! Dots with intervals, and lines, drawn in characters.
//!
//! One row per condition, one axis under all of them. What lies beyond the axis is an arrow at its
//! edge; the number at the right is always there.

use super::super::axis::Axis;
use super::super::block::{Curve, DotRow, Dots};
use super::Screen;
use crate::value::text;

/// Columns of the number at the right.
const VALUE: usize = 9;

impl Screen {
    pub(super) fn dots(&mut self, dots: &Dots) {
        let Some(axis) = Axis::of_dots(dots) else { return };
        self.heading(&dots.title, &dots.axis);
        let most = if self.width >= 100 { 44 } else { 31 };
        let labels: Vec<String> = dots.rows.iter().map(|row| text::strip(&row.label)).collect();
        let room = labels.iter().map(|label| text::width(label)).max().unwrap_or(0).min(most);
        let columns = self.width.saturating_sub(2 + room + 1 + 1 + VALUE).max(10);
        for (row, label) in dots.rows.iter().zip(&labels) {
            let number = row.number.map(|number| dots.quantity.words(number)).unwrap_or_default();
            let drawn = drawn(row, &axis, columns, dots.joined);
            let label = text::left(label, room);
            self.line(&format!("  {label} {drawn} {}", text::right(&number, VALUE)));
        }
        for line in under(&axis, columns) {
            self.line(&format!("  {} {line}", text::left("", room)));
        }
        if !dots.legend.is_empty() {
            let signs: Vec<String> = dots
                .legend
                .iter()
                .map(|(part, words)| format!("{} {}", part.sign(), text::strip(words)))
                .collect();
            self.dim(&signs.join(", "));
        }
    }

    /// First and last of each line, with its way between.
    pub(super) fn curve(&mut self, curve: &Curve) {
        const STEPS: usize = 24;
        let Some(axis) = Axis::beside(curve) else { return };
        self.heading(&curve.title, &format!("{} over {}", curve.axis, curve.across));
        let labels: Vec<String> = curve.series.iter().map(|one| text::strip(&one.label)).collect();
        // The way, two numbers, an arrow and what is between them.
        let room = self.width.saturating_sub(2 + 1 + STEPS + 1 + VALUE + 3 + VALUE).min(31);
        let room = labels.iter().map(|label| text::width(label)).max().unwrap_or(0).min(room);
        for (one, label) in curve.series.iter().zip(&labels) {
            let points: Vec<f64> = one
                .points
                .iter()
                .map(|point| point.value)
                .filter(|value| value.is_finite())
                .collect();
            let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
            let steps = STEPS.min(points.len());
            let way: String = (0..steps)
                .map(|step| points[step * (points.len() - 1) / (steps.max(2) - 1)])
                .map(|value| {
                    let height = (axis.place(value) * 7.0).round().clamp(0.0, 7.0) as usize;
                    ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][height]
                })
                .collect();
            let (first, last) = (curve.quantity.words(*first), curve.quantity.words(*last));
            let label = text::left(label, room);
            self.line(&format!(
                "  {label} {} {} → {last}",
                text::left(&way, STEPS),
                text::right(&first, VALUE)
            ));
        }
    }
}

fn column(axis: &Axis, value: f64, columns: usize) -> Option<usize> {
    let place = axis.place(value);
    (0.0..=1.0).contains(&place).then(|| (place * (columns - 1) as f64).round() as usize)
}

fn drawn(row: &DotRow, axis: &Axis, columns: usize, joined: bool) -> String {
    let mut cells = vec![' '; columns];
    if let Some(zero) = column(axis, 0.0, columns) {
        cells[zero] = '┊';
    }
    let edge = |value: f64| {
        let place = axis.place(value).clamp(0.0, 1.0);
        (place * (columns - 1) as f64).round() as usize
    };
    if joined {
        let ends = row.finite().map(|dot| edge(dot.estimate.value));
        if let (Some(from), Some(to)) = (ends.clone().min(), ends.max()) {
            cells[from..=to].fill('─');
        }
    }
    for interval in row.finite().filter_map(|dot| dot.estimate.interval) {
        let (from, to) = (edge(interval.low), edge(interval.high));
        cells[from..=to.max(from)].fill('─');
        if from < to {
            cells[from] = if axis.place(interval.low) < 0.0 { '◀' } else { '├' };
            cells[to] = if axis.place(interval.high) > 1.0 { '▶' } else { '┤' };
        }
    }
    for dot in row.finite() {
        match column(axis, dot.estimate.value, columns) {
            Some(place) => cells[place] = dot.part.sign(),
            None if dot.estimate.value > axis.high => cells[columns - 1] = '▶',
            None => cells[0] = '◀',
        }
    }
    cells.into_iter().collect()
}

/// The axis and its numbers.
fn under(axis: &Axis, columns: usize) -> [String; 2] {
    let most = (columns / 7).clamp(2, 8);
    let mut line = vec!['─'; columns];
    let mut labels = vec![' '; columns + VALUE];
    let mut free = 0;
    for tick in axis.ticks(most) {
        let Some(place) = column(axis, tick, columns) else {
            continue;
        };
        line[place] = '┴';
        let label = axis.tick(tick, most);
        let start = place.saturating_sub(label.len() / 2).max(free);
        if start + label.len() <= labels.len() {
            for (offset, character) in label.chars().enumerate() {
                labels[start + offset] = character;
            }
            free = start + label.len() + 1;
        }
    }
    [line.into_iter().collect(), labels.into_iter().collect()]
}
