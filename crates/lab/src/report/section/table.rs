//! Tables: headings that say what a column is, numbers to the right, and room to scroll.

use maud::{Markup, html};

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Words, to the left.
    Words,
    /// Numbers, to the right.
    Number,
}

use Column::{Number, Words};

/// A heading and what stands under it; a leading `#` marks numbers.
pub(super) fn columns(titles: &[&'static str]) -> Vec<(&'static str, Column)> {
    titles
        .iter()
        .map(|title| title.strip_prefix('#').map_or((*title, Words), |title| (title, Number)))
        .collect()
}

/// A table whose first column names each row.
pub(super) fn table(caption: &str, titles: &[&'static str], rows: &[Vec<String>]) -> Markup {
    let columns = columns(titles);
    html! {
        div class="scroll" tabindex="0" {
            table {
                caption { (caption) }
                thead {
                    tr {
                        @for (title, column) in &columns {
                            th scope="col" class=[(*column == Number).then_some("number")] { (title) }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (index, (cell, (_, column))) in row.iter().zip(&columns).enumerate() {
                                @if index == 0 {
                                    th scope="row" { (cell) }
                                } @else {
                                    td class=[(*column == Number).then_some("number")] { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
