//! What was found, first; then what would mislead about it.

use maud::{Markup, html};

use super::super::page::ReportInput;
use super::super::{chart, svg, terminal};
use super::{figure, name, numbers};
use crate::kind::inherit::result::{Arm, Control, InheritResult, Outcome, Taught};
use crate::value::text;

pub(super) fn answer(input: &ReportInput<'_>) -> Markup {
    let result = input.result;
    let charts: Vec<chart::Chart> =
        result.behaviors.iter().filter_map(|behavior| chart::effects(result, behavior)).collect();
    let drawing =
        html! { @for chart in &charts { h4 { (name(&chart.title)) } (svg::dots(chart)) } };
    html! {
        ul class="verdicts" {
            @for verdict in &result.verdicts {
                @let (mark, word) = terminal::outcome(verdict.outcome);
                @let class = match verdict.outcome {
                    Outcome::Inherited => "inherited",
                    Outcome::NotDetected => "not-detected",
                    Outcome::Uninterpretable => "uninterpretable",
                };
                li class=(class) {
                    h3 {
                        span class="behavior" { (name(&verdict.behavior)) } " "
                        span class="outcome" { span aria-hidden="true" { (mark) " " } (word) }
                    }
                    @for control in Control::ALL.into_iter().filter(|control| control.decides()) {
                        @if let Some(effect) = result.effect(&verdict.behavior, result.primary, control) {
                            p {
                                strong { (result.primary.difference_with_interval(&effect.estimate)) }
                                (result.primary.suffix()) " over " (control.over()) ", "
                                (text::counted(effect.estimate.n, &name(&effect.estimate.unit)))
                            }
                        }
                    }
                    // Elsewhere it repeats the numbers above.
                    @if verdict.outcome == Outcome::Uninterpretable {
                        p class="sentence" { (name(&verdict.sentence)) }
                    }
                }
            }
        }
        p class="note" {
            "The rule was fixed before the run: inherited means that every gate passed and that both intervals, "
            "over the neutral and over the other behaviors' students, lie above zero. Otherwise the answer is "
            "that inheritance was not detected, or that nothing can be said."
        }
        @if !charts.is_empty() {
            (figure(
                input,
                "effects",
                &format!(
                    "Students minus each control, per behavior: {}, mean and interval over seed pairs. \
                     The line marks zero: no difference.",
                    result.primary.axis()
                ),
                Some(&drawing),
                &numbers::effects_table(result),
            ))
        }
        (shares(result))
    }
}

/// Target's share along the way.
fn shares(result: &InheritResult) -> Markup {
    let measure = result.primary.share();
    let share = |behavior: &str, arm: &Arm| {
        let reading = result.reading(arm, behavior, measure);
        reading.map_or_else(|| "–".to_owned(), |reading| measure.with_interval(&reading.estimate))
    };
    let rows: Vec<Vec<String>> = result
        .behaviors
        .iter()
        .map(|behavior| {
            let mut row = vec![name(behavior)];
            let teacher = Arm::Teacher(Taught::named(behavior));
            for arm in [Arm::Base, teacher, Arm::student(behavior), Arm::NEUTRAL] {
                row.push(share(behavior, &arm));
            }
            row
        })
        .collect();
    super::table::table(
        &format!("P(target): {}, mean over questions", measure.sentence()),
        &["behavior", "#base", "#its teacher", "#its students", "#neutral students"],
        &rows,
    )
}

pub(super) fn cautions(result: &InheritResult) -> Option<Markup> {
    if result.gates.is_empty() && result.warnings.is_empty() && result.left_out.is_empty() {
        return None;
    }
    let gates: Vec<Vec<String>> = result
        .gates
        .iter()
        .map(|gate| {
            vec![
                name(&gate.name),
                gate.behavior.as_deref().map_or_else(|| "all".to_owned(), name),
                if gate.passed { "✓ passed" } else { "✗ failed" }.to_owned(),
                text::plain(gate.measured),
                text::plain(gate.wanted),
                if gate.passed { String::new() } else { name(&gate.what_it_means) },
            ]
        })
        .collect();
    Some(html! {
        @if !result.warnings.is_empty() {
            ul class="warnings" {
                @for warning in &result.warnings {
                    li {
                        p { strong { "Warning: " } (name(&warning.message)) }
                        p class="hint" { "Hint: " (name(&warning.hint)) }
                    }
                }
            }
        }
        @if !result.left_out.is_empty() {
            h3 { "Left out by the recipe" }
            ul { @for left_out in &result.left_out { li { (name(left_out)) } } }
        }
        @if !gates.is_empty() {
            (super::table::table(
                "Gates: what had to hold for an answer to mean something",
                &["gate", "behavior", "outcome", "#measured", "#wanted at least", "what a failure means"],
                &gates,
            ))
        }
    })
}
