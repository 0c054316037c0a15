//! What was found, first; then what would mislead about it.

use maud::{Markup, html};

use super::super::page::ReportInput;
use super::super::{chart, svg, terminal};
use super::{figure, name, numbers};
use crate::kind::inherit::result::{InheritResult, Measure, Outcome, Role};
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
                    @for (control, reference) in [
                        (Role::Neutral, "the neutral teacher's students"),
                        (Role::OtherBehavior, "other behaviors' students"),
                    ] {
                        @if let Some(effect) = result.effect(&verdict.behavior, result.primary, control) {
                            p {
                                strong { (terminal::difference_with_interval(result.primary, &effect.estimate)) }
                                (if result.primary == Measure::Margin { " nats" } else { "" }) " over " (reference) ", "
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
                if result.primary == Measure::Margin {
                    "Students minus each control, per behavior: margin in nats, mean and interval over \
                     seed pairs. The line marks zero: no difference."
                } else {
                    "Students minus each control, per behavior: rate of sampled answers, mean and interval \
                     over seed pairs. The line marks zero: no difference."
                },
                Some(&drawing),
                &numbers::effects_table(result),
            ))
        }
        (shares(result))
    }
}

/// Target's share along the way.
fn shares(result: &InheritResult) -> Markup {
    let share = |behavior: &str, role: Role| {
        let readout = result.readout(behavior, role);
        let estimate = readout.and_then(|readout| match result.primary {
            Measure::Rate => readout.rate.as_ref(),
            _ => readout.share.as_ref(),
        });
        let shown = |estimate| terminal::with_interval(Measure::Share, estimate);
        estimate.map_or_else(|| "–".to_owned(), shown)
    };
    let rows: Vec<Vec<String>> = result
        .behaviors
        .iter()
        .map(|behavior| {
            let mut row = vec![name(behavior)];
            for role in [Role::Base, Role::Teacher, Role::Student, Role::Neutral] {
                row.push(share(behavior, role));
            }
            row
        })
        .collect();
    super::table::table(
        if result.primary == Measure::Rate {
            "Rate of sampled answers that name the target, mean over questions"
        } else {
            "The target's share of the probability of all candidate answers, mean over questions"
        },
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
