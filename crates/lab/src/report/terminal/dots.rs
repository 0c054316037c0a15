//! A chart of dots with intervals, drawn in characters.
//!
//! One row per condition, one axis under all of them. What lies beyond the axis is an arrow at its
//! edge; the number at the right is always there.

use super::super::chart::{Chart, ChartRow};
use crate::kind::inherit::result::Part;
use crate::value::text;

/// Columns of the number at the right.
const VALUE: usize = 9;

fn column(chart: &Chart, value: f64, columns: usize) -> Option<usize> {
    let place = chart.place(value);
    (0.0..=1.0).contains(&place).then(|| (place * (columns - 1) as f64).round() as usize)
}

fn row(chart: &Chart, row: &ChartRow, columns: usize) -> String {
    let mut cells = vec![' '; columns];
    if let Some(zero) = column(chart, 0.0, columns) {
        cells[zero] = '┊';
    }
    let edge = |value: f64| {
        let place = chart.place(value).clamp(0.0, 1.0);
        (place * (columns - 1) as f64).round() as usize
    };
    if let Some(interval) = row.estimate.interval {
        let (from, to) = (edge(interval.low), edge(interval.high));
        for cell in &mut cells[from..=to.max(from)] {
            *cell = '─';
        }
        if from < to {
            cells[from] = if chart.place(interval.low) < 0.0 { '◀' } else { '├' };
            cells[to] = if chart.place(interval.high) > 1.0 { '▶' } else { '┤' };
        }
    }
    let dot = match row.part {
        Part::Treatment => '●',
        Part::Control => '○',
        Part::Reference => '◆',
    };
    match column(chart, row.estimate.value, columns) {
        Some(place) => cells[place] = dot,
        None if row.estimate.value > chart.high => cells[columns - 1] = '▶',
        None => cells[0] = '◀',
    }
    cells.into_iter().collect()
}

/// The lines of a chart at a width of at least 40 columns.
pub(super) fn draw(chart: &Chart, width: usize) -> Vec<String> {
    let most = if width >= 100 { 44 } else { 31 };
    let labels =
        chart.rows.iter().map(|row| text::width(&text::strip(&row.label))).max().unwrap_or(0);
    let labels = labels.min(most);
    let columns = width.saturating_sub(2 + labels + 1 + 1 + VALUE).max(10);
    let mut lines: Vec<String> = chart
        .rows
        .iter()
        .map(|one| {
            format!(
                "  {} {} {}",
                text::left(&text::strip(&one.label), labels),
                row(chart, one, columns),
                text::right(&chart.measure.value(one.estimate.value), VALUE)
            )
        })
        .collect();
    lines.extend(axis(chart, columns).map(|line| format!("  {} {line}", text::left("", labels))));
    lines
}

fn axis(chart: &Chart, columns: usize) -> impl Iterator<Item = String> {
    let most = (columns / 7).clamp(2, 8);
    let mut line = vec!['─'; columns];
    let mut labels = vec![' '; columns + VALUE];
    let mut free = 0;
    for tick in chart.ticks(most) {
        let Some(place) = column(chart, tick, columns) else {
            continue;
        };
        line[place] = '┴';
        let label = chart.tick(tick, most);
        let start = place.saturating_sub(label.len() / 2).max(free);
        if start + label.len() <= labels.len() {
            for (offset, character) in label.chars().enumerate() {
                labels[start + offset] = character;
            }
            free = start + label.len() + 1;
        }
    }
    [line.into_iter().collect(), labels.into_iter().collect()].into_iter()
}
