//! Blocks as markup, and a report as one HTML file: no network, no script, nothing to install.
//!
//! The content security policy allows the style of the file, by digest, and nothing else. All text goes
//! through the template's escaping, and what cannot be seen is made visible.

use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::block::{Answer, Block, Fold, Graph, Group, Line, Matrix, Report, Section, Span, Table};
use super::draw::{self, name};
use crate::value::text;

/// The style of the report, and of whatever shows its blocks.
pub const STYLE: &str = include_str!("../../assets/report.css");

/// Longest text shown in a cell, in characters.
const LONGEST: usize = 2000;

/// A text as it is, cut where it is too long to look at.
fn sample(words: &str) -> String {
    let mut shown: String = words.chars().take(LONGEST).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    text::reveal(&shown)
}

/// Inline text as a content security policy names it: its SHA-256 digest, quoted.
pub fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(digest))
}

/// What a file with nothing but this style inside may do.
pub fn policy(style: &str) -> String {
    format!(
        "default-src 'none'; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(style)
    )
}

/// The report as one file.
pub fn page(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(STYLE));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "owlet " (report.version) };
                meta name="description" content=(name(&report.lead));
                title { (name(&report.title)) " · owlet report" }
                // An empty icon: browsers ask for one otherwise.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                @if let Some(first) = report.sections.first() {
                    a class="skip" href={ "#" (first.id) } { "Skip to the answer" }
                }
                header {
                    p class="kind" { "owlet · " (report.kind) }
                    h1 { (name(&report.title)) }
                    (lead(report))
                }
                main { (sections(&report.sections)) }
                footer {
                    p {
                        "Made by owlet " (report.version) ". This file needs no network and runs no script. The same run "
                        "on the same arithmetic finds the same numbers, byte for byte; only times differ."
                    }
                }
            }
        }
    };
    page.into_string()
}

/// What stands under the title.
pub fn lead(report: &Report) -> Markup {
    html! {
        @if !report.lead.is_empty() { p class="lead" { (name(&report.lead)) } }
        @if !report.what.is_empty() { p class="note" { (name(&report.what)) } }
    }
}

/// Sections, the answer first and then the way to the others.
pub fn sections(sections: &[Section]) -> Markup {
    let answered = usize::from(sections.first().is_some_and(|first| first.id == "answer"));
    let (answer, others) = sections.split_at(answered);
    html! {
        @for one in answer { (section(one)) }
        (contents(others))
        @for one in others { (section(one)) }
    }
}

/// The way to each section.
fn contents(sections: &[Section]) -> Markup {
    html! {
        nav class="contents" aria-label="Contents" {
            ul { @for one in sections { li { a href={ "#" (one.id) } { (name(&one.title)) } } } }
        }
    }
}

/// A section with its heading.
pub fn section(section: &Section) -> Markup {
    html! {
        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
            h2 id={ (section.id) "-title" } { (name(&section.title)) }
            @if !section.note.is_empty() { p class="note" { (name(&section.note)) } }
            (blocks(&section.blocks))
        }
    }
}

/// Blocks, one below the other.
pub fn blocks(blocks: &[Block]) -> Markup {
    html! { @for one in blocks { (block(one)) } }
}

/// One block.
pub fn block(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Paragraph(words) => p { (line(words, true)) },
            Block::Note(words) => p class="note" { (line(words, true)) },
            Block::List(lines) => ul { @for one in lines { li { (line(one, true)) } } },
            Block::Facts(facts) => dl class="facts" {
                @for (term, fact) in facts { div { dt { (name(term)) } dd { (line(fact, false)) } } }
            },
            Block::Answers(answers) => ul class="verdicts" { @for one in answers { (answer(one)) } },
            Block::Warnings(warnings) => ul class="warnings" {
                @for (message, hint) in warnings {
                    li {
                        p { strong { "Warning: " } (name(message)) }
                        @if !hint.is_empty() { p class="hint" { "Hint: " (name(hint)) } }
                    }
                }
            },
            Block::Table(one) => (table(one)),
            Block::Dots(one) => (figure(&one.id, &one.title, draw::dots::dots(one), &one.table(), &one.legend)),
            Block::Curve(one) => (figure(&one.id, &one.title, draw::curve::curve(one), &one.table(), &[])),
            Block::Matrix(one) => (matrix(one)),
            Block::Graph(one) => {
                (drawing(one))
                details id="nodes" open[one.nodes.len() <= 12] {
                    summary { "Every node: " (text::count(one.nodes.len())) }
                    (table(&one.table()))
                }
            },
            Block::Text(words) => pre class=[(!words.contains('\n')).then_some("command")] tabindex="0" {
                code { (text::reveal(words)) }
            },
            Block::Group(one) => (group(one)),
        }
    }
}

/// A graph without the table behind it, for pages that have one of their own.
pub fn drawing(graph: &Graph) -> Markup {
    html! {
        @if let Some(drawing) = draw::graph::graph(graph) {
            div class="scroll" tabindex="0" role="region" aria-label="What was made from what" { (drawing) }
        }
    }
}

fn group(group: &Group) -> Markup {
    html! {
        @if group.fold == Fold::Never {
            @if !group.title.is_empty() { h3 { (name(&group.title)) } }
            (blocks(&group.blocks))
        } @else {
            details open[group.fold == Fold::Open] {
                summary { (name(&group.title)) }
                (blocks(&group.blocks))
            }
        }
    }
}

/// Words with what stands among them; in running text, numbers that were measured weigh more.
fn line(line: &Line, running: bool) -> Markup {
    html! {
        @for span in &line.0 {
            @match span {
                Span::Estimate { .. } if running => strong { (name(&span.plain())) },
                Span::Strong(words) => strong { (name(words)) },
                Span::Code(words) => code { (name(words)) },
                Span::Link { words, href } => a href=(href) { (name(words)) },
                Span::State { words, state } => span class={ "state " (state.class()) } { (name(words)) },
                Span::Progress { done, total, .. } => {
                    progress max=(total) value=(done) aria-label="how far it is" {} " " (name(&span.plain()))
                },
                Span::Quiet(words) => small { (name(words)) },
                Span::Verbatim(words) => pre { (sample(words)) },
                Span::Words(words) => (name(words)),
                Span::Number { .. } | Span::Estimate { .. } | Span::Interval { .. } => (name(&span.plain())),
            }
        }
    }
}

fn answer(answer: &Answer) -> Markup {
    html! {
        li class=(answer.mark.class()) {
            h3 {
                span class="behavior" { (name(&answer.name)) } " "
                span class="outcome" { span aria-hidden="true" { (answer.mark.sign()) " " } (name(&answer.word)) }
            }
            @for over in &answer.over {
                p {
                    strong { (over.quantity.with_interval(&over.estimate)) }
                    @if !over.quantity.unit().is_empty() { " " (over.quantity.unit()) }
                    " over " (name(&over.reference)) ", n = " (text::counted(over.estimate.n, &name(&over.estimate.unit)))
                }
            }
            @if !answer.why.is_empty() { p class="sentence" { (name(&answer.why)) } }
        }
    }
}

/// A table; the first cell of a row names it.
pub fn table(table: &Table) -> Markup {
    let samples = table.rows.iter().flatten().any(Line::is_verbatim);
    html! {
        div class="scroll" tabindex="0" role="region" aria-label=(name(&table.caption)) {
            table class=[samples.then_some("samples")] {
                caption { (name(&table.caption)) }
                thead {
                    tr {
                        @for column in &table.columns {
                            @let now = column.order.as_ref().and_then(|order| order.now);
                            th scope="col" class=[column.number.then_some("number")] aria-sort=[now] {
                                @if let Some(order) = &column.order {
                                    a href=(order.href) { (name(&column.title)) }
                                    @match now { Some("ascending") => " ↑", Some(_) => " ↓", None => "" }
                                } @else { (name(&column.title)) }
                            }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (index, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
                                @if index == 0 && !cell.is_verbatim() {
                                    th scope="row" class=[column.number.then_some("number")] { (line(cell, false)) }
                                } @else {
                                    td class=[column.number.then_some("number")] { (line(cell, false)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A drawing with its numbers as a table.
fn figure(
    id: &str,
    title: &str,
    drawing: Option<Markup>,
    numbers: &Table,
    legend: &[(super::block::Part, String)],
) -> Markup {
    html! {
        figure data-figure=(slug(id)) {
            figcaption { (name(title)) }
            @if let Some(drawing) = &drawing {
                div class="scroll" tabindex="0" role="region" aria-label=(name(title)) { (drawing) }
            }
            @if !legend.is_empty() {
                p class="legend" {
                    @for (part, words) in legend {
                        span class=(part.name()) { span class="sign" aria-hidden="true" { (part.sign()) } " " (name(words)) } " "
                    }
                }
            }
            details class="numbers" open[drawing.is_none()] {
                summary { "The numbers" }
                (table(numbers))
            }
        }
    }
}

/// A matrix, each cell with its number and shaded by its size.
fn matrix(matrix: &Matrix) -> Markup {
    html! {
        figure data-figure=(slug(&matrix.id)) {
            div class="scroll" tabindex="0" role="region" aria-label=(name(&matrix.title)) {
                table class="matrix" {
                    caption { (name(&matrix.title)) "; * the interval excludes zero" }
                    thead {
                        tr {
                            th scope="col" { (name(&matrix.sides.0)) " ╲ " (name(&matrix.sides.1)) }
                            @for column in &matrix.columns { th scope="col" class="number" { (name(column)) } }
                        }
                    }
                    tbody {
                        @for (row, cells) in matrix.rows.iter().zip(&matrix.cells) {
                            tr {
                                th scope="row" { (name(row)) }
                                @for cell in cells {
                                    td class={
                                        "number " (if cell.value < 0.0 { "below" } else { "above" })
                                        " shade-" (matrix.shade(cell.value))
                                    } {
                                        (matrix.quantity.words(cell.value))
                                        (Matrix::star(cell))
                                        @if cell.interval.is_some() { small { (matrix.quantity.interval(cell.interval)) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A name as part of an address or of a file's name: letters, digits and dashes.
pub(super) fn slug(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() { one.to_ascii_lowercase() } else { '-' })
        .collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
