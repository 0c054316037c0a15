//! Small parts that pages share: names, numbers, tables, pages of lists.

use maud::{Markup, html};
use owlet_lab::report::block::{
    self, Block, Curve, Line, Part, Point, Series, Span, Standing, Table,
};
use owlet_lab::report::html as report;
use owlet_lab::report::number::Quantity;
use owlet_lab::value::text;
pub(super) use owlet_lab::value::text::{bytes, duration};

use super::query::Query;

/// Text from elsewhere, on one line, with what cannot be seen made visible.
pub(super) fn name(words: &str) -> String {
    text::reveal(&words.replace(['\n', '\t'], " "))
}

/// `2026-11-22T02:12:46Z` as `2026-11-22 02:12`; anything else as it is.
pub(super) fn moment(started: &str) -> String {
    match (started.get(..10), started.get(11..16)) {
        (Some(day), Some(time)) => format!("{} {}", name(day), name(time)),
        _ => name(started),
    }
}

/// A table; titles that begin with `#` stand over numbers.
pub(super) fn table(
    caption: &str,
    titles: &[&str],
    rows: impl IntoIterator<Item = Vec<Line>>,
) -> Markup {
    report::table(&Table::new(caption, titles).with(rows))
}

/// Words, or what else may stand in a line, as a cell.
pub(super) fn cell(words: impl Into<Line>) -> Line {
    words.into()
}

/// A link as a cell.
pub(super) fn link(href: &str, words: impl Into<String>) -> Line {
    block::link(words, href).into()
}

/// A name of a file, a recipe or a program as a cell.
pub(super) fn code(words: impl Into<String>) -> Line {
    block::code(words).into()
}

/// A state as a cell.
pub(super) fn state(words: &str, state: Standing) -> Line {
    Span::State { words: words.to_owned(), state }.into()
}

/// Terms with facts.
pub(super) fn facts(facts: Vec<(&str, Line)>) -> Markup {
    let facts = facts.into_iter().map(|(term, fact)| (term.to_owned(), fact)).collect();
    report::block(&Block::Facts(facts))
}

/// The losses of one training, with the last one in words.
pub(super) fn losses(label: &str, points: &[(f64, f64)]) -> Markup {
    let series =
        vec![Series { label: label.to_owned(), part: Part::Treatment, points: way(points) }];
    let curve = loss_curve(&format!("Loss of {label}"), series);
    let note = points.first().zip(points.last()).map(|(first, last)| {
        Block::note(format!(
            "From {} after {} to {} after {}, nats per token.",
            text::plain(first.1),
            text::counted(first.0 as usize, "update"),
            text::plain(last.1),
            text::counted(last.0 as usize, "update")
        ))
    });
    report::blocks(&[curve].into_iter().chain(note).collect::<Vec<_>>())
}

/// Losses along training, a line each.
pub(super) fn loss_curve(title: &str, series: Vec<Series>) -> Block {
    Block::Curve(Curve {
        id: "losses".to_owned(),
        title: title.to_owned(),
        across: "updates".to_owned(),
        axis: "loss, nats per token".to_owned(),
        quantity: Quantity::Plain,
        series,
    })
}

/// Points of a line without intervals.
pub(super) fn way(points: &[(f64, f64)]) -> Vec<Point> {
    points.iter().map(|(at, value)| Point { at: *at, value: *value, interval: None }).collect()
}

/// A section with its heading.
pub(super) fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) }
            (body)
        }
    }
}

/// JSON as text to read.
pub(super) fn json_text(value: &serde_json::Value) -> String {
    text::reveal(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// A part of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) page: usize,
    pub(super) pages: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) total: usize,
}

impl Slice {
    /// Page `page` (from 1) of `total` things, `size` on a page; the last one where it is beyond.
    pub(super) fn new(total: usize, size: usize, page: usize) -> Self {
        let pages = total.div_ceil(size).max(1);
        let page = page.clamp(1, pages);
        let start = (page - 1) * size;
        Self { page, pages, start, end: (start + size).min(total), total }
    }

    /// Ways to the other pages.
    pub(super) fn pager(&self, path: &str, query: &Query, noun: &str) -> Markup {
        let to = |page: usize| query.with(&[("page", &page.to_string())]).at(path);
        html! {
            nav class="pager" aria-label="Pages of the list" {
                span {
                    @if self.total == 0 { "No " (noun) "s" } @else {
                        (text::count(self.start + 1)) "–" (text::count(self.end)) " of "
                        (text::counted(self.total, noun))
                    }
                }
                @if self.page > 1 {
                    a href=(to(1)) { "first" }
                    a href=(to(self.page - 1)) rel="prev" { "previous" }
                }
                @if self.page < self.pages {
                    a href=(to(self.page + 1)) rel="next" { "next" }
                    a href=(to(self.pages)) { "last" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_into_pages() {
        let slice = |total, page| {
            let slice = Slice::new(total, 50, page);
            (slice.page, slice.pages, slice.start, slice.end)
        };
        assert_eq!(slice(0, 1), (1, 1, 0, 0));
        assert_eq!(slice(50, 2), (1, 1, 0, 50));
        assert_eq!(slice(51, 2), (2, 2, 50, 51));
        assert_eq!(slice(1000, usize::MAX), (20, 20, 950, 1000));
    }
}
