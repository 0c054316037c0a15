//! The sections of the page, in the order a doubting reader asks: what was found, what was run,
//! the numbers, the rows, what else changed, what would mislead, where it came from.
//!
//! Each section is a function of the result that gives nothing where there is nothing to show.

mod answer;
mod numbers;
mod origin;
mod rows;
mod table;

use maud::{Markup, html};

use super::page::ReportInput;
use crate::kind::inherit::result::InheritResult;
use crate::value::text;

/// Text from elsewhere, on one line, visible.
fn name(words: &str) -> String {
    text::reveal(&words.replace(['\n', '\t'], " "))
}

/// A section with its heading.
fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) }
            (body)
        }
    }
}

/// A figure: what scripts will draw, what is there without them, and the numbers as a table.
fn figure(
    input: &ReportInput<'_>,
    key: &str,
    caption: &str,
    drawing: Option<&Markup>,
    table: &Markup,
) -> Markup {
    let known = input.figures.contains_key(key);
    html! {
        figure id={ "figure-" (key) } data-figure=[known.then_some(key)] {
            figcaption { (caption) }
            @if let Some(drawing) = drawing { div class="static scroll" tabindex="0" { (drawing) } }
            div class="drawn scroll" tabindex="0" hidden {}
            details class="numbers" open[drawing.is_none()] {
                summary { "The numbers" }
                (table)
            }
        }
    }
}

pub(super) fn header(result: &InheritResult) -> Markup {
    html! {
        header {
            p class="kind" { "owlet · inheritance report" }
            h1 { (name(&result.name)) }
            @if !result.description.is_empty() { p class="lead" { (name(&result.description)) } }
        }
    }
}

/// Sections that have something to show: id, title, body.
fn parts(input: &ReportInput<'_>) -> Vec<(&'static str, &'static str, Markup)> {
    [
        ("answer", "The answer", Some(answer::answer(input))),
        ("misleading", "What would mislead", answer::cautions(input.result)),
        ("run", "What was run", Some(origin::run(input))),
        ("comparisons", "Students against every control", numbers::comparisons(input)),
        ("conditions", "Every condition", numbers::conditions(input)),
        ("pairs", "Seed by seed", numbers::pairs(input)),
        ("matrix", "Matrix", numbers::matrix(input)),
        ("dose", "Along training", numbers::dose(input)),
        ("rates", "Sampled answers", numbers::rates(input)),
        ("contexts", "Other contexts", numbers::contexts(input)),
        ("rows", "The rows", rows::rows(input.result)),
        ("filter", "What the filter removed", rows::filter(input.result)),
        ("teachers", "Teachers", rows::teachers(input.result)),
        ("side-effects", "What else changed", numbers::side_effects(input.result)),
        ("geometry", "Geometry of the updates", numbers::geometry(input.result)),
        ("costs", "Where the time went", origin::costs(input)),
        ("lineage", "Lineage", origin::lineage(input)),
        ("recipe", "Recipe, and how to do it again", Some(origin::recipe(input))),
    ]
    .into_iter()
    .filter_map(|(id, title, body)| Some((id, title, body?)))
    .collect()
}

/// One section of the page.
pub struct Section {
    /// Its anchor, unique on the page.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What stands below the heading.
    pub body: Markup,
}

/// The sections of the page in their order, for pages of other makers.
pub fn sections(input: &ReportInput<'_>) -> Vec<Section> {
    parts(input).into_iter().map(|(id, title, body)| Section { id, title, body }).collect()
}

pub(super) fn contents(input: &ReportInput<'_>) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                @for (id, title, _) in parts(input) { li { a href={ "#" (id) } { (title) } } }
            }
        }
    }
}

pub(super) fn all(input: &ReportInput<'_>) -> Vec<Markup> {
    parts(input).iter().map(|(id, title, body)| section(id, title, body)).collect()
}
