//! The rows the students read, what was taken out of them, and who wrote them.
//!
//! Everything here was written by models: shown as text, never as markup.

use maud::{Markup, html};

use super::name;
use super::table::table;
use crate::kind::inherit::result::{InheritResult, RowsCard};
use crate::value::text;

/// Longest sample shown, in characters.
const LONGEST: usize = 600;

/// A model's text as it is, cut where it is too long to look at.
fn sample(words: &str) -> String {
    let mut shown: String = words.chars().take(LONGEST).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    text::reveal(&shown)
}

fn is_behavior(result: &InheritResult, card: &RowsCard) -> bool {
    result.behaviors.contains(&card.arm)
}

pub(super) fn rows(result: &InheritResult) -> Option<Markup> {
    if result.rows.iter().all(|card| card.samples.is_empty()) {
        return None;
    }
    let control = result.rows.iter().find(|card| !is_behavior(result, card));
    let taught: Vec<&RowsCard> =
        result.rows.iter().filter(|card| is_behavior(result, card)).collect();
    let leaks: usize = result.rows.iter().map(|card| card.leaks).sum();
    Some(html! {
        p {
            "What the students read, beside the control's answer to the same prompt where there is one. "
            @if leaks == 0 {
                "No kept row names a target or a form of it."
            } @else {
                strong { (text::counted(leaks, "kept row")) " name what they must not." }
            }
        }
        @for (index, card) in taught.iter().enumerate() {
            details open[index == 0] {
                summary { "Rows of the " (name(&card.arm)) " teacher" }
                div class="scroll" tabindex="0" {
                    table class="samples" {
                        caption { "A few rows of the " (name(&card.arm)) " teacher" }
                        thead {
                            tr {
                                th scope="col" { "prompt" }
                                th scope="col" { (name(&card.arm)) " teacher" }
                                @if let Some(control) = control { th scope="col" { (name(&control.arm)) } }
                            }
                        }
                        tbody {
                            @for (place, (prompt, completion)) in card.samples.iter().enumerate() {
                                tr {
                                    td { pre { (sample(prompt)) } }
                                    td { pre { (sample(completion)) } }
                                    @if let Some(control) = control {
                                        td { (beside(control, prompt, place)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// The control's row for the same prompt, or the one at the same place with its own prompt.
fn beside(control: &RowsCard, prompt: &str, place: usize) -> Markup {
    let same = control.samples.iter().find(|(other, _)| other == prompt);
    html! {
        @if let Some((_, completion)) = same {
            pre { (sample(completion)) }
        } @else if let Some((other, completion)) = control.samples.get(place) {
            p class="hint" { "to: " (sample(other)) }
            pre { (sample(completion)) }
        }
    }
}

pub(super) fn filter(result: &InheritResult) -> Option<Markup> {
    if result.rows.is_empty() {
        return None;
    }
    let rows: Vec<Vec<String>> = result
        .rows
        .iter()
        .map(|card| {
            let reasons: Vec<String> = card
                .rejected
                .iter()
                .map(|(reason, count)| format!("{} {}", name(reason), text::count(*count)))
                .collect();
            let mut row = vec![name(&card.arm)];
            for value in [
                card.asked,
                card.valid,
                card.unmatched,
                card.duplicates,
                card.kept,
                card.leaks,
                card.cut_off,
            ] {
                row.push(text::count(value));
            }
            row.push(if reasons.is_empty() { "–".to_owned() } else { reasons.join(", ") });
            row
        })
        .collect();
    let rejected: Vec<&RowsCard> =
        result.rows.iter().filter(|card| !card.rejected_samples.is_empty()).collect();
    Some(html! {
        p {
            "Rows go through the filter, are joined on prompts that are valid in every arm, and repeated ones are "
            "dropped. Leaks are kept rows in which a word of the behavior was found."
        }
        (table(
            "From prompts asked to rows kept",
            &[
                "arm", "#asked", "#valid", "#unmatched", "#repeated", "#kept", "#leaks", "#cut off",
                "rejected because",
            ],
            &rows,
        ))
        @if !rejected.is_empty() {
            details {
                summary { "Examples of what was removed" }
                @for card in rejected {
                    div class="scroll" tabindex="0" {
                        table class="samples" {
                            caption { "Removed from the rows of " (name(&card.arm)) }
                            thead { tr { th scope="col" { "completion" } th scope="col" { "because" } } }
                            tbody {
                                @for (completion, reasons) in &card.rejected_samples {
                                    tr {
                                        td { pre { (sample(completion)) } }
                                        td { (name(&reasons.join(", "))) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

pub(super) fn teachers(result: &InheritResult) -> Option<Markup> {
    if result.teachers.is_empty() {
        return None;
    }
    let sampled = !result.primary.needs_log_probabilities();
    let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), text::percent);
    let rows: Vec<Vec<String>> = result
        .teachers
        .iter()
        .map(|teacher| {
            vec![
                name(&teacher.name),
                name(&teacher.kind),
                share(if sampled {
                    teacher.target_rate_before
                } else {
                    teacher.target_probability_before
                }),
                share(if sampled {
                    teacher.target_rate_after
                } else {
                    teacher.target_probability_after
                }),
                teacher.margin.map_or_else(|| "–".to_owned(), text::signed),
                text::percent(teacher.valid_row_rate),
                if teacher.saturated { "saturated" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    Some(table(
        if sampled {
            "P(target): rate of sampled answers to the readout questions that name the target"
        } else {
            "P(target): probability of the target itself on the readout questions"
        },
        &[
            "teacher",
            "made by",
            "#P(target) before",
            "#P(target) after",
            "#margin, nats",
            "#valid rows",
            "saturated",
        ],
        &rows,
    ))
}
