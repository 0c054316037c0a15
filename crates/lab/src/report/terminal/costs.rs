//! The last lines of every block: where the time went, and where to see more.

use super::{Block, More, Paint, TerminalStyle};
use crate::value::cost::KindCost;
use crate::value::text;

/// Kinds of step that have a line of their own; the rest share one.
const KINDS: usize = 6;

/// Where the time went, by kind of step.
pub fn costs_block(costs: &[KindCost], style: &TerminalStyle) -> String {
    let mut block = Block::new(style);
    let total: f64 = costs.iter().map(|cost| cost.core_seconds).sum();
    if total <= 0.0 {
        return String::new();
    }
    let note = "core-seconds, reused steps too; peak memory of the process";
    block.heading("Where the time went", note);
    let mut line = |name: &str, steps: usize, seconds: f64, peak: Option<u64>| {
        let peak = peak.map(|bytes| format!("  {:>9}", memory(bytes))).unwrap_or_default();
        let share = text::percent(seconds / total);
        block.line(&format!(
            "  {}{:>6}  {:>9} s  {:>7}{peak}",
            text::left(name, 14),
            text::count(steps),
            decimals(seconds),
            share
        ));
    };
    for cost in costs.iter().take(KINDS) {
        line(&cost.kind, cost.steps, cost.core_seconds, cost.peak_memory);
    }
    let rest = &costs[costs.len().min(KINDS)..];
    if !rest.is_empty() {
        let seconds = rest.iter().map(|cost| cost.core_seconds).sum();
        let peak = rest.iter().filter_map(|cost| cost.peak_memory).max();
        line("other", rest.iter().map(|cost| cost.steps).sum(), seconds, peak);
    }
    let peak = costs.iter().filter_map(|cost| cost.peak_memory).max();
    line("all", costs.iter().map(|cost| cost.steps).sum(), total, peak);
    block.finish()
}

/// Where to see more.
pub fn more_block(more: &[More], style: &TerminalStyle) -> String {
    let mut block = Block::new(style);
    block.line("");
    let column = more.iter().map(|one| text::width(&one.what)).max().unwrap_or(0).min(16);
    for one in more {
        let what = text::left(&text::strip(&one.what), column);
        let what = block.paint(Paint::Bold, &what);
        block.line(&format!("{what}  {}", text::strip(&one.place)));
    }
    if more.is_empty() { String::new() } else { block.finish() }
}

fn decimals(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1}") } else { text::count(seconds.round() as usize) }
}

/// Bytes in mebibytes.
pub(in crate::report) fn memory(bytes: u64) -> String {
    format!("{} MiB", text::count((bytes >> 20) as usize))
}
