//! A report in a terminal: what was found first, then what one needs to doubt it.
//!
//! Colour and shading only repeat what words, signs and numbers say. Text from elsewhere is stripped of
//! whatever steers a terminal. Lines fit the width; below 60 columns they are wrapped as for 60.

mod drawing;
mod table;

use std::fmt::Write;

use super::block::{Answer, Block, Depth, Group, Line, Mark, Matrix, Report, Section};
use crate::value::text;

/// How a report is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalStyle {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether to use characters beyond ASCII.
    pub unicode: bool,
    /// How much of the report is wanted.
    pub depth: Depth,
}

impl Default for TerminalStyle {
    fn default() -> Self {
        Self { width: 80, colour: false, unicode: true, depth: Depth::Brief }
    }
}

const NARROWEST: usize = 60;
const WIDEST: usize = 120;
/// Drawings of one section that are shown where space is dear; the page has all.
const DRAWINGS: usize = 4;
/// Lines of a text shown where space is dear.
const LINES: usize = 40;

#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Bold,
    Good,
    Warn,
    Dim,
}

/// Lines as they are made.
struct Screen {
    lines: String,
    width: usize,
    style: TerminalStyle,
}

/// The report as lines.
pub fn show(report: &Report, style: &TerminalStyle) -> String {
    let width = style.width.clamp(NARROWEST, WIDEST);
    let mut screen = Screen { lines: String::new(), width, style: *style };
    screen.paragraph("", Paint::Plain, &text::strip(&report.title));
    screen.paragraph("  ", Paint::Plain, &text::strip(&report.what));
    let wanted = |section: &&Section| section.depth <= style.depth;
    for (index, section) in report.sections.iter().filter(wanted).enumerate() {
        // The first one stands right under the title.
        if index == 0 {
            screen.line("");
        } else {
            screen.heading(&section.title, &section.note);
        }
        screen.blocks(&section.blocks);
    }
    if style.unicode { screen.lines } else { text::to_ascii(&screen.lines) }
}

/// What a terminal may show of a line.
fn plain(line: &Line) -> String {
    text::strip(&line.plain())
}

impl Screen {
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

    /// A heading with a note beside it, or below it where it does not fit.
    fn heading(&mut self, words: &str, note: &str) {
        let (words, note) = (text::strip(words), text::strip(note));
        self.line("");
        let head = self.paint(Paint::Bold, &words);
        if text::width(&words) + 2 + text::width(&note) <= self.width {
            let note = self.paint(Paint::Dim, &note);
            self.line(&format!("{head}  {note}"));
        } else {
            self.paragraph("", Paint::Bold, &words);
            self.dim(&note);
        }
    }

    /// Quiet words.
    fn dim(&mut self, words: &str) {
        for line in text::wrap(words, self.width - 2) {
            let line = self.paint(Paint::Dim, &line);
            self.line(&format!("  {line}"));
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

    fn blocks(&mut self, blocks: &[Block]) {
        let mut drawings = 0;
        for block in blocks {
            if matches!(block, Block::Dots(_) | Block::Curve(_)) {
                drawings += 1;
                if drawings > DRAWINGS && self.style.depth == Depth::Brief {
                    continue;
                }
            }
            self.block(block);
        }
        if drawings > DRAWINGS && self.style.depth == Depth::Brief {
            let rest = drawings - DRAWINGS;
            self.paragraph("  ", Paint::Plain, &format!("{rest} more in the report"));
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Paragraph(line) => self.paragraph("  ", Paint::Plain, &plain(line)),
            Block::Note(line) => self.dim(&plain(line)),
            Block::List(lines) => {
                for line in lines {
                    self.paragraph("  · ", Paint::Plain, &plain(line));
                }
            }
            Block::Facts(facts) => self.facts(facts),
            Block::Answers(answers) => self.answers(answers),
            Block::Warnings(warnings) => {
                for (message, hint) in warnings {
                    self.paragraph("  Warning: ", Paint::Warn, &text::strip(message));
                    self.paragraph("     hint: ", Paint::Dim, &text::strip(hint));
                }
            }
            Block::Table(table) => self.table(table),
            Block::Dots(dots) => self.dots(dots),
            Block::Curve(curve) => self.curve(curve),
            Block::Matrix(matrix) => self.matrix(matrix),
            Block::Graph(graph) => {
                for (kind, count) in graph.kinds() {
                    let words = format!("{} {}", text::count(count), text::strip(kind));
                    self.paragraph("  · ", Paint::Plain, &words);
                }
            }
            Block::Text(words) => self.text(words),
            Block::Group(Group { title, depth, blocks, .. }) if *depth <= self.style.depth => {
                if !title.is_empty() {
                    self.heading(title, "");
                }
                self.blocks(blocks);
            }
            Block::Group(_) => {}
        }
    }

    fn facts(&mut self, facts: &[(String, Line)]) {
        let terms = facts.iter().map(|(term, _)| text::width(&text::strip(term))).max();
        let terms = terms.unwrap_or(0).min(self.width / 3);
        for (term, fact) in facts {
            let term = format!("  {}  ", text::left(&text::strip(term), terms));
            self.paragraph(&term, Paint::Bold, &plain(fact));
        }
    }

    fn answers(&mut self, answers: &[Answer]) {
        let column = |of: fn(&Answer) -> &str, most: usize| {
            let widths = answers.iter().map(|answer| text::width(&text::strip(of(answer))));
            widths.max().unwrap_or(0).min(most)
        };
        let (names, words) = (column(|answer| &answer.name, 14), column(|answer| &answer.word, 38));
        for answer in answers {
            let paint = match answer.mark {
                Mark::Yes => Paint::Good,
                Mark::No => Paint::Bold,
                Mark::Unclear => Paint::Warn,
            };
            let name = text::left(&text::strip(&answer.name), names);
            let word = text::left(&text::strip(&answer.word), words);
            let head = self.paint(paint, &format!("{} {name} {word}", answer.mark.sign()));
            let room = self.width.saturating_sub(names + words + 4);
            let numbers = answer.over.first().map(|over| {
                let short = format!(
                    "{} over {}, n = {}",
                    over.quantity.with_interval(&over.estimate),
                    text::strip(&over.reference),
                    over.estimate.n
                );
                let unit = text::strip(&over.estimate.unit);
                let long = format!("{short} {}", text::plural(over.estimate.n, &unit));
                if text::width(&long) <= room { long } else { text::cut(&short, room) }
            });
            self.line(&format!("{head} {}", numbers.unwrap_or_default()));
            self.paragraph(&" ".repeat(names + 3), Paint::Plain, &text::strip(&answer.why));
        }
    }

    fn matrix(&mut self, matrix: &Matrix) {
        /// Columns of a cell.
        const CELL: usize = 12;
        self.dim(&format!(
            "rows: {}, columns: {}; * excludes 0",
            text::strip(&matrix.sides.0),
            text::strip(&matrix.sides.1)
        ));
        let names = matrix.rows.iter().map(|name| text::width(&text::strip(name)));
        let names = names.max().unwrap_or(0).clamp(4, 14);
        let columns = ((self.width - names - 2) / CELL).min(matrix.columns.len());
        let heads: String = matrix.columns[..columns]
            .iter()
            .map(|name| text::right(&text::strip(name), CELL - 1) + " ")
            .collect();
        let head = self.paint(Paint::Dim, &format!("  {}{heads}", text::left("", names)));
        self.line(&head);
        for (row, cells) in matrix.rows.iter().zip(&matrix.cells) {
            let mut line = format!("  {}", text::left(&text::strip(row), names));
            for (column, cell) in matrix.columns.iter().zip(cells).take(columns) {
                let dark = [' ', '░', '▒', '▓', '█'][matrix.shade(cell.value).min(4)];
                let sure = if Matrix::star(cell).is_empty() { ' ' } else { '*' };
                let value = text::right(&matrix.quantity.words(cell.value), CELL - 5);
                let own = row == column;
                let value = if own { self.paint(Paint::Bold, &value) } else { value };
                let _ = write!(line, " {dark}{dark}{value}{sure} ");
            }
            self.line(&line);
        }
        if columns < matrix.columns.len() {
            let rest = matrix.columns.len() - columns;
            self.paragraph("  ", Paint::Plain, &format!("{rest} more columns in the report"));
        }
    }

    fn text(&mut self, words: &str) {
        let most = if self.style.depth == Depth::Brief { LINES } else { usize::MAX };
        for line in words.lines().take(most) {
            let line = text::cut(&text::strip_line(line), self.width - 2);
            self.line(&format!("  {line}"));
        }
        let rest = words.lines().count().saturating_sub(most);
        if rest > 0 {
            let rest = text::counted(rest, "more line");
            self.paragraph("  ", Paint::Plain, &format!("{rest} in the report"));
        }
    }
}
