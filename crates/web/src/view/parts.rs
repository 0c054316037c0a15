//! Small parts that pages share: names, numbers, tables, pages of lists.

use maud::{Markup, Render, html};
use owlet_lab::value::text;

use super::query::Query;

/// Text from elsewhere, on one line, with what cannot be seen made visible.
pub(super) fn name(words: &str) -> String {
    text::reveal(&words.replace(['\n', '\t'], " "))
}

/// A time span as people say it.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Bytes as people say them.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut size = count as f64;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if unit == 0 || size >= 99.95 {
        format!("{size:.0} {}", UNITS[unit])
    } else {
        format!("{size:.1} {}", UNITS[unit])
    }
}

/// `2026-11-22T02:12:46Z` as `2026-11-22 02:12`; anything else as it is.
pub(super) fn moment(started: &str) -> String {
    match (started.get(..10), started.get(11..16)) {
        (Some(day), Some(time)) => format!("{} {}", name(day), name(time)),
        _ => name(started),
    }
}

/// A table; the first column of each row names it. Titles that begin with `#` stand over numbers.
pub(super) fn table(caption: &str, titles: &[&str], rows: &[Vec<Markup>]) -> Markup {
    let number = |at: usize| titles.get(at).is_some_and(|title| title.starts_with('#'));
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead {
                    tr {
                        @for (at, title) in titles.iter().enumerate() {
                            th scope="col" class=[number(at).then_some("number")] {
                                (title.trim_start_matches('#'))
                            }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 {
                                    th scope="row" { (cell) }
                                } @else {
                                    td class=[number(at).then_some("number")] { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Plain words as a cell.
pub(super) fn cell(words: impl Render) -> Markup {
    html! { (words) }
}

/// A link as a cell.
pub(super) fn link(href: &str, words: impl Render) -> Markup {
    html! { a href=(href) { (words) } }
}

/// Terms with facts.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl class="facts" {
            @for (term, fact) in facts { div { dt { (term) } dd { (fact) } } }
        }
    }
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

    #[test]
    fn spans_and_sizes_read_well() {
        let spans: Vec<String> =
            [0.04, 9.7, 59.0, 61.0, 7300.0, f64::NAN].into_iter().map(duration).collect();
        assert_eq!(spans.join(", "), "0.0 s, 9.7 s, 59 s, 1 min 1 s, 2 h 1 min, –");
        let sizes: Vec<String> =
            [0, 999, 1000, 123_456, 5_000_000_000].into_iter().map(bytes).collect();
        assert_eq!(sizes.join(", "), "0 B, 999 B, 1.0 kB, 123 kB, 5.0 GB");
    }
}
