//! The result block at the end of a run: what was found, first in one line per behavior, then with
//! everything one needs to doubt it.
//!
//! Colour and shading only repeat what words, signs and numbers say. Text from elsewhere is
//! stripped of whatever steers a terminal. Lines fit the width; below 60 columns they are wrapped
//! as for 60.

use std::fmt::Write;

use super::chart;
use crate::kind::inherit::result::{
    Effect, Estimate, InheritResult, Matrix, Measure, Outcome, Role,
};
use crate::value::text;

mod costs;
mod dots;

pub(super) use costs::memory;
pub use costs::{costs_block, more_block};

/// How a block is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalStyle {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether to use characters beyond ASCII.
    pub unicode: bool,
}

impl Default for TerminalStyle {
    fn default() -> Self {
        Self { width: 80, colour: false, unicode: true }
    }
}

/// One of the last lines: where to see more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct More {
    /// What one sees there, e.g. `report`.
    pub what: String,
    /// A path or a command.
    pub place: String,
}

/// Columns of a comparison's numbers, with the indent.
const NUMBERS: usize = 50;
const NARROWEST: usize = 60;
const WIDEST: usize = 120;
/// Behaviors whose conditions are charted; the page has all.
const CHARTS: usize = 4;

#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Bold,
    Good,
    Warn,
    Dim,
}

struct Block {
    lines: String,
    width: usize,
    style: TerminalStyle,
}

impl Block {
    fn new(style: &TerminalStyle) -> Self {
        let width = style.width.clamp(NARROWEST, WIDEST);
        Self { lines: String::new(), width, style: *style }
    }

    fn finish(self) -> String {
        if self.style.unicode { self.lines } else { text::to_ascii(&self.lines) }
    }

    fn paint(&self, paint: Paint, words: &str) -> String {
        let code = match paint {
            Paint::Plain => return words.to_owned(),
            Paint::Bold => "1",
            Paint::Good => "1;32",
            Paint::Warn => "1;33",
            Paint::Dim => "2",
        };
        if self.style.colour { format!("\u{1b}[{code}m{words}\u{1b}[0m") } else { words.to_owned() }
    }

    fn line(&mut self, line: &str) {
        self.lines.push_str(line.trim_end());
        self.lines.push('\n');
    }

    fn heading(&mut self, words: &str, note: &str) {
        self.line("");
        let room = self.width.saturating_sub(text::width(words) + 2);
        let (bold, dim) = (self.paint(Paint::Bold, words), |block: &Self, note: &str| {
            block.paint(Paint::Dim, note)
        });
        if note.is_empty() || text::width(note) <= room {
            let note = dim(self, note);
            self.line(&format!("{bold}  {note}"));
        } else {
            self.line(&bold);
            for line in text::wrap(note, self.width - 2) {
                let line = dim(self, &line);
                self.line(&format!("  {line}"));
            }
        }
    }

    /// A paragraph: `first` before its first line, as many spaces before the others.
    fn paragraph(&mut self, first: &str, paint: Paint, words: &str) {
        let indent = text::width(first);
        let wrapped = text::wrap(words, self.width.saturating_sub(indent));
        for (index, line) in wrapped.iter().enumerate() {
            let before = if index == 0 { self.paint(paint, first) } else { " ".repeat(indent) };
            self.line(&format!("{before}{line}"));
        }
    }
}

/// The block. `more` are its last lines.
pub fn terminal(result: &InheritResult, style: &TerminalStyle, more: &[More]) -> String {
    let mut block = Block::new(style);
    header(&mut block, result);
    verdicts(&mut block, result);
    shares(&mut block, result);
    charts(&mut block, result);
    if let Some(matrix) = &result.matrix {
        matrix_table(&mut block, matrix);
    }
    comparisons(&mut block, result);
    rows(&mut block, result);
    gates(&mut block, result);
    cautions(&mut block, result);
    block.finish() + &more_block(more, style)
}

fn header(block: &mut Block, result: &InheritResult) {
    let replication = &result.replication;
    block.paragraph("", Paint::Plain, &text::strip(&result.name));
    let what = format!(
        "base {} · carrier {} · {} · {} unique rows × {} epochs ({} updates of {})",
        text::strip(&result.base),
        text::strip(&result.carrier),
        text::counted(replication.seeds.len(), "seed"),
        text::count(replication.unique_rows),
        text::plain(replication.epochs),
        text::count(replication.updates),
        replication.batch,
    );
    block.paragraph("  ", Paint::Plain, &what);
}

/// An outcome's mark and word.
pub fn outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Inherited => ("✓", "inherited"),
        Outcome::NotDetected => ("✗", "not detected"),
        Outcome::Uninterpretable => ("?", "uninterpretable"),
    }
}

/// `+0.412 [+0.301, +0.523]`, or that there is no interval.
pub fn with_interval(measure: Measure, estimate: &Estimate) -> String {
    let value = chart::value(measure, estimate.value);
    match estimate.interval {
        Some(interval) => format!(
            "{value} [{}, {}]",
            chart::value(measure, interval.low),
            chart::value(measure, interval.high)
        ),
        None => format!("{value} (no interval)"),
    }
}

/// The same of a difference between two values of a measure.
pub fn difference_with_interval(measure: Measure, estimate: &Estimate) -> String {
    if measure == Measure::Margin {
        return with_interval(measure, estimate);
    }
    let points = |value: f64| format!("{:+.1}", 100.0 * value);
    let value = chart::difference(measure, estimate.value);
    match estimate.interval {
        Some(interval) => {
            format!("{value} [{}, {}]", points(interval.low), points(interval.high))
        }
        None => format!("{value} (no interval)"),
    }
}

fn name_column<'a>(names: impl Iterator<Item = &'a str>, most: usize) -> usize {
    names.map(|name| text::width(&text::strip(name))).max().unwrap_or(0).clamp(4, most)
}

fn verdicts(block: &mut Block, result: &InheritResult) {
    block.line("");
    let names = name_column(result.verdicts.iter().map(|verdict| verdict.behavior.as_str()), 14);
    for verdict in &result.verdicts {
        let (mark, word) = outcome(verdict.outcome);
        let effect = result.effect(&verdict.behavior, result.primary, Role::Neutral);
        let paint = match verdict.outcome {
            Outcome::Inherited => Paint::Good,
            Outcome::NotDetected => Paint::Bold,
            Outcome::Uninterpretable => Paint::Warn,
        };
        let name = text::left(&text::strip(&verdict.behavior), names);
        let answer = block.paint(paint, &format!("{mark} {name} {word:<15}"));
        let room = block.width - names - 19;
        let numbers = match effect {
            None => "no neutral control".to_owned(),
            Some(Effect { estimate, .. }) => {
                let short = format!(
                    "{} over neutral, n = {}",
                    difference_with_interval(result.primary, estimate),
                    estimate.n
                );
                let unit = if estimate.n == 1 { "" } else { "s" };
                let long = format!("{short} {}{unit}", text::strip(&estimate.unit));
                if text::width(&long) <= room { long } else { text::cut(&short, room) }
            }
        };
        block.line(&format!("{answer} {numbers}"));
        // The line above does not say why.
        let unexplained = match verdict.outcome {
            Outcome::Inherited => false,
            Outcome::NotDetected => effect.is_some_and(|effect| effect.estimate.is_above_zero()),
            Outcome::Uninterpretable => true,
        };
        if unexplained {
            block.paragraph(&" ".repeat(names + 3), Paint::Plain, &text::strip(&verdict.sentence));
        }
    }
    let effect = result
        .verdicts
        .iter()
        .find_map(|verdict| result.effect(&verdict.behavior, result.primary, Role::Neutral));
    if let Some(effect) = effect {
        let note = format!(
            "students minus the neutral teacher's students: {}, {}; \
             rule fixed before the run: gates pass, intervals over neutral and over other behaviors \
             exclude 0",
            match result.primary {
                Measure::Margin => "logit margin of the target in nats",
                Measure::Share => "share of the target among the candidates",
                Measure::Rate => "rate of sampled answers that name the target",
            },
            interval_words(&effect.estimate)
        );
        for line in text::wrap(&note, block.width - 2) {
            let line = block.paint(Paint::Dim, &line);
            block.line(&format!("  {line}"));
        }
    }
}

/// `95 % t over paired seeds`.
pub(super) fn interval_words(estimate: &Estimate) -> String {
    match estimate.interval {
        Some(interval) => {
            format!("{} % {}", text::plain(100.0 * interval.level), estimate.method.label())
        }
        None => "no interval".to_owned(),
    }
}

/// Target's share in the base, its teacher, its students and the neutral ones.
fn shares(block: &mut Block, result: &InheritResult) {
    let sampled = result.primary == Measure::Rate;
    let share =
        |behavior: &str, role: Role| {
            let readout = result.readout(behavior, role);
            let estimate = readout.and_then(|readout| {
                if sampled { readout.rate.as_ref() } else { readout.share.as_ref() }
            });
            estimate.map_or_else(|| "–".to_owned(), |estimate| text::percent(estimate.value))
        };
    let names = name_column(result.behaviors.iter().map(String::as_str), 20);
    let note = if sampled {
        "rate of sampled answers that name the target"
    } else {
        "share of the probability of all candidates, mean over questions"
    };
    block.heading("P(target)", note);
    let titles = ["base", "teacher", "student", "vs neutral"];
    let heads: Vec<String> = titles.iter().map(|title| text::right(title, 10)).collect();
    let head = format!(
        "  {} {} → {} → {}   {}",
        text::left("", names),
        heads[0],
        heads[1],
        heads[2],
        heads[3]
    );
    let head = block.paint(Paint::Dim, &head);
    block.line(&head);
    for behavior in &result.behaviors {
        let of = |role: Role| text::right(&share(behavior, role), 10);
        block.line(&format!(
            "  {} {} → {} → {}   {}",
            text::left(&text::strip(behavior), names),
            of(Role::Base),
            of(Role::Teacher),
            of(Role::Student),
            of(Role::Neutral)
        ));
    }
}

fn charts(block: &mut Block, result: &InheritResult) {
    let drawn: Vec<chart::Chart> = result
        .behaviors
        .iter()
        .filter_map(|behavior| chart::conditions(result, behavior, result.primary))
        .collect();
    for chart in drawn.iter().take(CHARTS) {
        let note = if result.primary == Measure::Margin {
            "nats; bars: intervals over students (◆: over questions)"
        } else {
            "bars: intervals over students (◆: over answers)"
        };
        block.heading(&text::strip(&chart.title), note);
        for line in dots::draw(chart, block.width) {
            block.line(&line);
        }
    }
    if drawn.len() > CHARTS {
        let rest = drawn.len() - CHARTS;
        block.paragraph("  ", Paint::Plain, &format!("{rest} more in the report"));
    }
}

/// How dark a cell is, by size: blank, then four shades.
fn shade(value: f64, largest: f64) -> char {
    let part = if largest > 0.0 { value.abs() / largest } else { 0.0 };
    match part {
        part if part < 0.125 => ' ',
        part if part < 0.375 => '░',
        part if part < 0.625 => '▒',
        part if part < 0.875 => '▓',
        _ => '█',
    }
}

/// Columns of a matrix cell.
const CELL: usize = 12;

fn matrix_table(block: &mut Block, matrix: &Matrix) {
    let unit = if matrix.measure == Measure::Margin { "nats" } else { "rate" };
    let note = format!("rows: teachers, columns: readouts; {unit} over neutral; * excludes 0");
    block.heading("Matrix", &note);
    let names = name_column(matrix.teachers.iter().map(String::as_str), 14);
    let columns = ((block.width - names - 2) / CELL).min(matrix.readouts.len());
    let heads: String = matrix.readouts[..columns]
        .iter()
        .map(|readout| text::right(&text::strip(readout), CELL - 1) + " ")
        .collect();
    let head = block.paint(Paint::Dim, &format!("  {}{heads}", text::left("", names)));
    block.line(&head);
    let largest = matrix.largest();
    for (teacher, cells) in matrix.teachers.iter().zip(&matrix.cells) {
        let mut line = format!("  {}", text::left(&text::strip(teacher), names));
        for (readout, cell) in matrix.readouts.iter().zip(cells).take(columns) {
            let dark = shade(cell.value, largest);
            let sure = if cell.is_above_zero() || cell.is_below_zero() { '*' } else { ' ' };
            let value = text::right(&text::signed(cell.value), CELL - 5);
            let own = readout == teacher;
            let value = if own { block.paint(Paint::Bold, &value) } else { value };
            let _ = write!(line, " {dark}{dark}{value}{sure} ");
        }
        block.line(&line);
    }
    if columns < matrix.readouts.len() {
        let rest = matrix.readouts.len() - columns;
        block.paragraph("  ", Paint::Plain, &format!("{rest} more columns in the report"));
    }
    let lambda = &matrix.lambda;
    block.paragraph(
        "  ",
        Paint::Plain,
        &format!(
            "Λ, diagonal minus the rest: {}, {}, p {} by relabelling teachers",
            difference_with_interval(matrix.measure, lambda),
            text::counted(lambda.n, &lambda.unit),
            text::p_value(matrix.p)
        ),
    );
}

fn comparisons(block: &mut Block, result: &InheritResult) {
    let effects: Vec<&Effect> = result
        .behaviors
        .iter()
        .flat_map(|behavior| chart::matched_effects(result, behavior, result.primary))
        .collect();
    if effects.is_empty() {
        return;
    }
    let note = format!(
        "{}; p: one-sided permutation; Holm over {}",
        if result.primary == Measure::Margin { "nats" } else { "rate" },
        text::counted(result.comparisons, "comparison")
    );
    block.heading("Comparisons", &note);
    let mut last = "";
    let labels: Vec<String> = effects
        .iter()
        .map(|effect| {
            let name = text::strip(&effect.behavior);
            let again = last == effect.behavior;
            last = &effect.behavior;
            let name = if again { " ".repeat(text::width(&name)) } else { name };
            format!("{name} over {}", effect.control.label())
        })
        .collect();
    let room = labels.iter().map(|label| text::width(label)).max().unwrap_or(0);
    let room = room.min(block.width - NUMBERS);
    let head = format!(
        "  {}{:>9}  {:<18} {:>2} {:>6} {:>6}",
        text::left("", room),
        "minus",
        "[interval]",
        "n",
        "p",
        "Holm"
    );
    let head = block.paint(Paint::Dim, &head);
    block.line(&head);
    for (label, effect) in labels.iter().zip(effects) {
        let estimate = &effect.estimate;
        let interval = estimate.interval.map_or_else(
            || "no interval".to_owned(),
            |interval| format!("[{}, {}]", text::signed(interval.low), text::signed(interval.high)),
        );
        block.line(&format!(
            "  {}{:>9}  {interval:<18} {:>2} {:>6} {:>6}",
            text::left(label, room),
            text::signed(estimate.value),
            estimate.n,
            text::p_value(effect.p_permutation),
            text::p_value(effect.p_holm),
        ));
    }
}

/// What the students read: counts, and one row of each arm to look at.
fn rows(block: &mut Block, result: &InheritResult) {
    if result.rows.is_empty() {
        return;
    }
    block.heading("Rows", "what was left after the filter");
    let names = name_column(result.rows.iter().map(|card| card.arm.as_str()), 14);
    for card in &result.rows {
        let name = text::left(&text::strip(&card.arm), names);
        let leaks = match card.leaks {
            0 => "no leaks".to_owned(),
            leaks => text::counted(leaks, "leak"),
        };
        block.line(&format!(
            "  {name}  {} asked, {} valid, {} kept, {leaks}",
            text::count(card.asked),
            text::count(card.valid),
            text::count(card.kept)
        ));
        if let Some((_, completion)) = card.samples.first() {
            let sample = text::cut(&text::strip(completion), block.width - names - 4);
            let sample = block.paint(Paint::Dim, &sample);
            block.line(&format!("  {}  {sample}", text::left("", names)));
        }
    }
}

fn gates(block: &mut Block, result: &InheritResult) {
    if result.gates.is_empty() {
        return;
    }
    let passed = result.gates.iter().filter(|gate| gate.passed).count();
    block.heading("Gates", &format!("{passed} of {} passed", result.gates.len()));
    for gate in result.gates.iter().filter(|gate| !gate.passed) {
        let behavior = gate
            .behavior
            .as_deref()
            .filter(|behavior| !gate.name.contains(behavior))
            .map(|behavior| format!(" ({})", text::strip(behavior)));
        let words = format!(
            "{}{}: {}, wanted at least {}; {}",
            text::strip(&gate.name),
            behavior.unwrap_or_default(),
            text::plain(gate.measured),
            text::plain(gate.wanted),
            text::strip(&gate.what_it_means)
        );
        block.paragraph("  ✗ failed  ", Paint::Warn, &words);
    }
}

fn cautions(block: &mut Block, result: &InheritResult) {
    if !result.warnings.is_empty() {
        block.line("");
    }
    for warning in &result.warnings {
        block.paragraph("Warning: ", Paint::Warn, &text::strip(&warning.message));
        block.paragraph("   hint: ", Paint::Dim, &text::strip(&warning.hint));
    }
    if !result.left_out.is_empty() {
        block.line("");
        for left_out in &result.left_out {
            block.paragraph("Left out: ", Paint::Bold, &text::strip(left_out));
        }
    }
}
