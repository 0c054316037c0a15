//! Words and numbers of a block: lines of spans.

use serde::Serialize;

use super::Standing;
use crate::report::number::{NONE, Quantity};
use crate::value::estimate::{Estimate, Interval};
use crate::value::text;

/// Something in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// A number.
    Number {
        /// The number; none where it is not finite.
        value: f64,
        /// What it measures.
        quantity: Quantity,
    },
    /// A number with its interval, n and unit of replication.
    Estimate {
        /// The number.
        estimate: Estimate,
        /// What it measures.
        quantity: Quantity,
    },
    /// The interval of one alone.
    Interval {
        /// The interval, where there is one.
        interval: Option<Interval>,
        /// What it measures.
        quantity: Quantity,
    },
    /// Words of weight.
    Strong(String),
    /// A name of the recipe, a file or a program.
    Code(String),
    /// A way to somewhere else.
    Link {
        /// What one reads.
        words: String,
        /// Where it leads.
        href: String,
    },
    /// The state of something: the word that stands in it is its class too.
    State {
        /// What one reads.
        words: String,
        /// What decides its looks.
        state: Standing,
    },
    /// How far something is.
    Progress {
        /// What is done.
        done: usize,
        /// Of how many.
        total: usize,
        /// What is counted.
        unit: String,
    },
    /// Words of less weight.
    Quiet(String),
    /// Text as it is, line feeds included.
    Verbatim(String),
    /// Words.
    #[serde(untagged)]
    Words(String),
}

impl Span {
    /// What a person reads, on one line, as it came.
    pub fn plain(&self) -> String {
        match self {
            Self::Number { value, quantity } => quantity.words(*value),
            Self::Estimate { estimate, quantity } => quantity.with_interval(estimate),
            Self::Interval { interval, quantity } => quantity.interval(*interval),
            Self::Progress { done, total, unit } => {
                format!("{} of {} {unit}", text::count(*done), text::count(*total))
            }
            Self::Strong(words)
            | Self::Code(words)
            | Self::Link { words, .. }
            | Self::State { words, .. }
            | Self::Quiet(words)
            | Self::Verbatim(words)
            | Self::Words(words) => words.clone(),
        }
    }
}

/// Words, with numbers, names and links among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Line(pub Vec<Span>);

impl Line {
    /// What a person reads, as it came.
    pub fn plain(&self) -> String {
        self.0.iter().map(Span::plain).collect()
    }

    /// Whether it holds text as it is.
    pub fn is_verbatim(&self) -> bool {
        self.0.iter().any(|span| matches!(span, Span::Verbatim(_)))
    }

    /// The same with something behind it.
    #[must_use]
    pub fn and(mut self, more: impl Into<Line>) -> Self {
        self.0.extend(more.into().0);
        self
    }
}

impl From<Span> for Line {
    fn from(span: Span) -> Self {
        Self(vec![span])
    }
}

impl From<String> for Line {
    fn from(words: String) -> Self {
        Span::Words(words).into()
    }
}

impl From<&str> for Line {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<&String> for Line {
    fn from(words: &String) -> Self {
        words.clone().into()
    }
}

impl<T: Into<Line>> From<Option<T>> for Line {
    fn from(words: Option<T>) -> Self {
        words.map_or_else(|| NONE.into(), Into::into)
    }
}

impl<const N: usize> From<[Span; N]> for Line {
    fn from(spans: [Span; N]) -> Self {
        Self(spans.into())
    }
}

/// A number in a line.
pub fn number(quantity: Quantity, value: f64) -> Span {
    Span::Number { value, quantity }
}

/// A count in a line.
pub fn count(value: usize) -> Span {
    number(Quantity::Count, value as f64)
}

/// A number with its interval in a line.
pub fn estimate(quantity: Quantity, estimate: &Estimate) -> Span {
    Span::Estimate { estimate: estimate.clone(), quantity }
}

/// Value, interval, n and unit of an estimate, as four cells.
pub fn estimate_cells(quantity: Quantity, estimate: &Estimate) -> [Line; 4] {
    [
        number(quantity, estimate.value).into(),
        Span::Interval { interval: estimate.interval, quantity }.into(),
        count(estimate.n).into(),
        (&estimate.unit).into(),
    ]
}

/// A link in a line.
pub fn link(words: impl Into<String>, href: impl Into<String>) -> Span {
    Span::Link { words: words.into(), href: href.into() }
}

/// A name in a line.
pub fn code(words: impl Into<String>) -> Span {
    Span::Code(words.into())
}

/// Words in a line with others.
pub fn words(words: impl Into<String>) -> Span {
    Span::Words(words.into())
}

/// The cells of a table's row, each of anything that makes a [`Line`].
#[macro_export]
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$($crate::report::block::Line::from($cell)),*] };
}
