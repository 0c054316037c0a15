//! What a report is: data, in few forms, that know nothing of what was measured.
//!
//! A kind of recipe makes a [`Report`] of its result; [`super::terminal`], [`super::html`], [`super::vega`]
//! and JSON (these types, serialised) show it. Texts are kept as they came, from models and strangers too:
//! whoever shows them makes them harmless for where they are shown.

mod line;

use std::collections::BTreeMap;

use serde::Serialize;

use super::number::Quantity;
pub use crate::value::arm::Part;
use crate::value::estimate::{Estimate, Interval};
pub use line::*;

/// Who sees something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Everyone: the block at the end of a run, too.
    Brief,
    /// Readers of the whole report.
    #[default]
    Full,
}

/// What there is to say about a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What it is, e.g. `inheritance report`.
    pub kind: &'static str,
    /// What it is about: the recipe's name.
    pub title: String,
    /// What the recipe says it is about.
    pub lead: String,
    /// What was run, on one line.
    pub what: String,
    /// The version of owlet.
    pub version: String,
    /// In the order a doubting reader asks.
    pub sections: Vec<Section>,
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Section {
    /// Its anchor, unique in the report.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// What one must know to read it, in a few words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who sees it.
    pub depth: Depth,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

impl Section {
    /// A section; nothing where nothing stands in it.
    pub fn of(id: &'static str, title: impl Into<String>, blocks: Vec<Block>) -> Option<Self> {
        let section =
            Self { id, title: title.into(), note: String::new(), depth: Depth::Full, blocks };
        (!section.blocks.is_empty()).then_some(section)
    }

    /// The same with a note.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The same, in the block at the end of a run too.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.depth = Depth::Brief;
        self
    }
}

/// One thing to read or to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Words.
    Paragraph(Line),
    /// Words of less weight: how to read what stands beside them.
    Note(Line),
    /// One line each.
    List(Vec<Line>),
    /// Terms with what is known of each.
    Facts(Vec<(String, Line)>),
    /// What was found, one each.
    Answers(Vec<Answer>),
    /// What would mislead a reader who did not know it, and what to do about it.
    Warnings(Vec<(String, String)>),
    /// Rows and columns.
    Table(Table),
    /// Dots with intervals over one axis.
    Dots(Dots),
    /// Lines over a pair of axes.
    Curve(Curve),
    /// Numbers of every row in every column, shaded by size.
    Matrix(Matrix),
    /// What was made from what.
    Graph(Graph),
    /// Text as it is: a file, a command.
    Text(String),
    /// Several blocks under a heading, or folded away.
    Group(Group),
}

/// What something amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It holds.
    Yes,
    /// It was not found.
    No,
    /// Nothing can be said.
    Unclear,
}

impl Mark {
    /// The sign that stands for it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Yes => "✓",
            Self::No => "✗",
            Self::Unclear => "?",
        }
    }

    /// Its class in a style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unclear => "unclear",
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// What it amounts to.
    pub mark: Mark,
    /// What it is about.
    pub name: String,
    /// The answer in a word or two.
    pub word: String,
    /// The numbers it rests on, the first one first.
    pub over: Vec<Over>,
    /// Why, where the numbers do not say so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A difference, and over what it is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Over {
    /// The difference.
    pub estimate: Estimate,
    /// What it measures.
    pub quantity: Quantity,
    /// What was subtracted.
    pub reference: String,
}

/// Rows and columns. The first cell of a row names it; repeated names are said once where space is dear.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// What stands in each column.
    pub columns: Vec<Column>,
    /// The rows, each with a cell per column.
    pub rows: Vec<Vec<Line>>,
}

/// What stands in a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// Numbers, to the right.
    pub number: bool,
    /// Who sees it.
    pub depth: Depth,
    /// How a reader puts the rows in the order of this column, where that can be done.
    #[serde(skip)]
    pub order: Option<Order>,
}

/// A way to another order of a table's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its address.
    pub href: String,
    /// The order now, if it is this column's: `ascending` or `descending`.
    pub now: Option<&'static str>,
}

impl Table {
    /// A table without rows; titles that begin with `#` stand over numbers, those that end in `~` are for
    /// readers of the whole report.
    pub fn new(caption: impl Into<String>, titles: &[&str]) -> Self {
        let columns = titles.iter().map(|title| {
            let full = title.strip_suffix('~');
            let title = full.unwrap_or(title);
            Column {
                title: title.trim_start_matches('#').to_owned(),
                number: title.starts_with('#'),
                depth: if full.is_some() { Depth::Full } else { Depth::Brief },
                order: None,
            }
        });
        Self { caption: caption.into(), columns: columns.collect(), rows: Vec::new() }
    }

    /// The same with rows.
    #[must_use]
    pub fn with(mut self, rows: impl IntoIterator<Item = Vec<Line>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// As a block; nothing where there are no rows.
    pub fn block(self) -> Option<Block> {
        (!self.rows.is_empty()).then_some(Block::Table(self))
    }
}

/// Dots with intervals, in rows over one axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dots {
    /// Its name, unique in the report: letters, digits and dashes, where it comes from the program.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What stands along the axis.
    pub axis: String,
    /// What the numbers measure.
    pub quantity: Quantity,
    /// The axis holds zero, for differences.
    pub zero: bool,
    /// The dots of a row belong together: a line joins them.
    pub joined: bool,
    /// What the parts are, where rows do not say it.
    pub legend: Vec<(Part, String)>,
    /// From the top.
    pub rows: Vec<DotRow>,
}

/// A row of dots.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DotRow {
    /// What it is.
    pub label: String,
    /// Its dots.
    pub dots: Vec<Dot>,
    /// Whether the axis must reach them; what does not lies at its edge, with an arrow.
    pub stretches: bool,
    /// The number beside the row, where there is one that says it all.
    pub number: Option<f64>,
}

impl Dots {
    /// Whether a row has dots of several parts.
    pub(super) fn is_mixed(&self) -> bool {
        let mixed = |row: &DotRow| row.dots.iter().any(|dot| dot.part != row.dots[0].part);
        self.rows.iter().any(mixed)
    }
}

impl DotRow {
    /// The dots that have a place.
    pub(super) fn finite(&self) -> impl Iterator<Item = &Dot> + Clone {
        self.dots.iter().filter(|dot| dot.estimate.value.is_finite())
    }

    /// A row of one dot.
    pub fn one(label: impl Into<String>, part: Part, estimate: &Estimate) -> Self {
        Self {
            label: label.into(),
            number: Some(estimate.value),
            dots: vec![Dot { part, estimate: estimate.clone() }],
            stretches: true,
        }
    }
}

/// A dot with its interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dot {
    /// What it stands for.
    pub part: Part,
    /// Where it is.
    pub estimate: Estimate,
}

/// Lines over a pair of axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Curve {
    /// Its name, unique in the report.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What stands along the horizontal axis: counted from 0.
    pub across: String,
    /// What stands along the vertical axis.
    pub axis: String,
    /// What the numbers measure.
    pub quantity: Quantity,
    /// Its lines; later ones are drawn over earlier ones.
    pub series: Vec<Series>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Series {
    /// What it is.
    pub label: String,
    /// What it stands for.
    pub part: Part,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One point of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Point {
    /// Where it stands on the horizontal axis.
    pub at: f64,
    /// The number.
    pub value: f64,
    /// Its interval, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// Numbers of every row in every column.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Matrix {
    /// Its name, unique in the report.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What the rows and the columns are.
    pub sides: (String, String),
    /// What the numbers measure.
    pub quantity: Quantity,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// A number per column for each row.
    pub cells: Vec<Vec<Estimate>>,
}

impl Matrix {
    /// The largest size of a cell.
    pub(super) fn largest(&self) -> f64 {
        let sizes = self.cells.iter().flatten().map(|cell| cell.value.abs());
        sizes.filter(|size| size.is_finite()).fold(0.0, f64::max)
    }

    /// The mark of a cell whose interval excludes zero.
    pub(super) fn star(cell: &Estimate) -> &'static str {
        if cell.is_above_zero() || cell.is_below_zero() { " *" } else { "" }
    }

    /// How dark a number is among the others, 0 to 4, by its size.
    pub fn shade(&self, value: f64) -> usize {
        let largest = self.largest();
        if largest > 0.0 && value.is_finite() {
            (4.0 * value.abs() / largest).round() as usize
        } else {
            0
        }
    }
}

/// What was made from what.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Graph {
    /// What was made, or was given.
    pub nodes: Vec<Node>,
    /// Which of them went into which.
    pub edges: Vec<Edge>,
}

/// Something that was made, or was given.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// Its id, unique in the graph.
    pub id: String,
    /// The kind of step that made it.
    pub kind: String,
    /// What a person calls it, e.g. `student/owl/seed-3`.
    pub label: String,
    /// How it stands, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Standing>,
    /// Where its box and the lines into it lead.
    #[serde(skip)]
    pub leads: Leads,
}

/// Where the parts of a drawn graph lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leads {
    /// The box of the node.
    pub node: Option<String>,
    /// The lines into it.
    pub edges: Option<String>,
    /// A box in which it stands with others of its kind.
    pub group: Option<String>,
}

/// How something stands that is made, or one among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Not begun.
    Waiting,
    /// Under way.
    Running,
    /// Made.
    Done,
    /// Made before.
    Reused,
    /// Ended in an error.
    Failed,
    /// What the drawing is about.
    Itself,
}

impl Standing {
    /// Its class in a style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Reused => "reused",
            Self::Failed => "failed",
            Self::Itself => "itself",
        }
    }
}

/// One input of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Edge {
    /// Id of the node that was used.
    pub from: String,
    /// Id of the node made from it.
    pub to: String,
    /// As what it was used.
    pub role: String,
}

impl Graph {
    /// How many nodes there are of each kind.
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for node in &self.nodes {
            *kinds.entry(node.kind.as_str()).or_default() += 1;
        }
        kinds
    }
}

/// Several blocks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// Their heading, where they have one.
    pub title: String,
    /// Whether they are folded away until somebody wants them.
    pub fold: Fold,
    /// Who sees them.
    pub depth: Depth,
    /// What stands there.
    pub blocks: Vec<Block>,
}

/// Whether something is folded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fold {
    /// It cannot be.
    Never,
    /// It is, and can be opened.
    Closed,
    /// It can be.
    Open,
}

impl Block {
    /// A paragraph.
    pub fn paragraph(line: impl Into<Line>) -> Self {
        Self::Paragraph(line.into())
    }

    /// A note.
    pub fn note(line: impl Into<Line>) -> Self {
        Self::Note(line.into())
    }

    /// Blocks under a heading.
    pub fn under(title: impl Into<String>, depth: Depth, blocks: Vec<Block>) -> Self {
        Self::Group(Group { title: title.into(), fold: Fold::Never, depth, blocks })
    }

    /// Blocks for readers of the whole report.
    pub fn full(blocks: Vec<Block>) -> Self {
        Self::under("", Depth::Full, blocks)
    }

    /// Blocks folded away under a heading.
    pub fn folded(title: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self::Group(Group { title: title.into(), fold: Fold::Closed, depth: Depth::Full, blocks })
    }
}

impl Report {
    /// Every block, those in groups too, in the order they are read.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        fn below(block: &Block) -> Vec<&Block> {
            match block {
                Block::Group(group) => group.blocks.iter().flat_map(below).collect(),
                other => vec![other],
            }
        }
        self.sections.iter().flat_map(|section| &section.blocks).flat_map(below)
    }
}
