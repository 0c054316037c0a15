//! Gates, answers and warnings: the rules, applied.

use super::Given;
use super::effect::{Differences, estimate};
use crate::error::Result;
use crate::kind::inherit::result::{
    Control, Effect, Estimate, Gate, InheritResult, Outcome, SideEffect, TeacherCard, Verdict,
    Warning,
};
use crate::value::observation;

/// A share of non-answers above which a rate misleads: with one answer in five missing, the rates
/// over all and over valid answers differ by a quarter.
const NON_ANSWERS: f64 = 0.2;
/// Fewer unique rows than this carry little: at the default batch one pass over them is 16 updates,
/// hardly past warm-up, and further passes repeat rows instead of bringing new ones.
const FEW_ROWS: usize = 256;
/// A rise of loss on neutral rows, in nats per token, that says a student is broken: it gives what
/// the base would write e times less probability, token by token, so whatever is read of it is read
/// of a model that no longer does what the base did. A rule of thumb; it makes a warning, not a gate.
const BROKEN: f64 = 1.0;

pub(super) fn gates(
    given: &Given,
    teachers: &[TeacherCard],
    side_effects: &[SideEffect],
) -> Vec<Gate> {
    let recipe = &given.configuration.recipe;
    let mut gates = Vec::new();
    for teacher in teachers {
        let behavior = given.configuration.behaviors.contains(&teacher.name);
        let probability =
            teacher.target_probability_after.filter(|_| given.primary().needs_log_probabilities());
        let shown = probability.into_iter().chain(teacher.target_rate_after);
        for measured in shown.filter(|_| behavior) {
            let wanted = recipe.teacher.min_target_probability;
            gates.push(Gate {
                name: "teacher shows the behavior".to_owned(),
                behavior: Some(teacher.name.clone()),
                passed: measured >= wanted,
                measured,
                wanted,
                what_it_means: "its students had nothing to inherit".to_owned(),
            });
        }
        let wanted = recipe.gates.min_valid_rate;
        // Of several teachers, the worst.
        let least_valid =
            given.least_valid.get(&teacher.name).copied().unwrap_or(teacher.valid_row_rate);
        gates.push(Gate {
            name: format!("valid rows of {}", teacher.name),
            behavior: behavior.then(|| teacher.name.clone()),
            passed: least_valid >= wanted,
            measured: least_valid,
            wanted,
            what_it_means: "the rows kept are a selection, and the teacher may be broken"
                .to_owned(),
        });
    }
    if recipe.gates.held_out_loss {
        for effect in side_effects.iter().filter(|effect| effect.measure == "held-out-loss") {
            let Some(base) = effect.base else {
                continue;
            };
            gates.push(Gate {
                name: format!("{} fit held-out rows", effect.arm),
                behavior: effect.arm.taught().map(str::to_owned),
                passed: effect.estimate.value < base,
                measured: base - effect.estimate.value,
                wanted: 0.0,
                what_it_means: "the students did not learn their rows, so a null says nothing"
                    .to_owned(),
            });
        }
    }
    gates
}

fn number(value: f64) -> String {
    format!("{value:+.3}")
}

fn with_interval(effect: &Effect) -> String {
    match effect.estimate.interval {
        Some(interval) => format!(
            "{} [{}, {}]",
            number(effect.estimate.value),
            number(interval.low),
            number(interval.high)
        ),
        None => number(effect.estimate.value),
    }
}

pub(super) fn verdicts(result: &InheritResult) -> Vec<Verdict> {
    result.behaviors.iter().map(|behavior| verdict(behavior, result)).collect()
}

fn verdict(behavior: &str, result: &InheritResult) -> Verdict {
    let say = |outcome: Outcome, sentence: String| Verdict {
        behavior: behavior.to_owned(),
        outcome,
        sentence,
    };
    let of = |control: Control| result.effect(behavior, result.primary, control);
    let (what, unit) = (result.primary.title(), result.primary.suffix());
    let (neutral, other) = (of(Control::Neutral), of(Control::OtherBehavior));
    let numbers = match (neutral, other) {
        (Some(neutral), Some(other)) => format!(
            "{what} {}{unit} over the neutral teacher's students and {} over other behaviors' ({} {}s)",
            with_interval(neutral),
            with_interval(other),
            neutral.estimate.n,
            neutral.estimate.unit
        ),
        (Some(neutral), None) => format!(
            "{what} {}{unit} over the neutral teacher's students ({} {}s)",
            with_interval(neutral),
            neutral.estimate.n,
            neutral.estimate.unit
        ),
        _ => "no neutral control".to_owned(),
    };
    let failed: Vec<&str> = result
        .gates
        .iter()
        .filter(|gate| !gate.passed && gate.behavior.as_deref().is_none_or(|name| name == behavior))
        .map(|gate| gate.name.as_str())
        .collect();
    if !failed.is_empty() {
        let reason = format!(
            "{behavior}: cannot be interpreted, gate failed: {}; {numbers}",
            failed.join(", ")
        );
        return say(Outcome::Uninterpretable, reason);
    }
    let (Some(neutral), Some(other)) = (neutral, other) else {
        let reason = format!(
            "{behavior}: cannot be interpreted without the neutral and the other-behavior control; {numbers}"
        );
        return say(Outcome::Uninterpretable, reason);
    };
    if neutral.estimate.interval.is_none() || other.estimate.interval.is_none() {
        let reason = format!("{behavior}: cannot be interpreted without an interval; {numbers}");
        return say(Outcome::Uninterpretable, reason);
    }
    if neutral.estimate.is_above_zero() && other.estimate.is_above_zero() {
        return say(Outcome::Inherited, format!("{behavior}: inherited, {numbers}"));
    }
    say(Outcome::NotDetected, format!("{behavior}: inheritance not detected, {numbers}"))
}

pub(super) fn warnings(
    differences: &Differences<'_>,
    result: &InheritResult,
) -> Result<Vec<Warning>> {
    let given = differences.given;
    let mut warnings = Vec::new();
    let mut warn = |message: String, hint: &str| {
        warnings.push(Warning { message, hint: hint.to_owned() });
    };
    let seeds = given.seeds().len();
    if seeds == 1 {
        warn(
            "one seed: there is no interval, and one student proves nothing".to_owned(),
            "set seeds = 6 or more",
        );
    } else if seeds < 5 {
        warn(
            format!(
                "{seeds} seeds: the permutation p cannot be below {:.3}",
                0.5_f64.powf(seeds as f64)
            ),
            "set seeds = 6 or more",
        );
    }
    if given.configuration.behaviors.len() < 2 {
        warn(
            "one behavior: training that moves everything cannot be told from inheritance"
                .to_owned(),
            "name two or more behaviors, so that each is the others' control",
        );
    }
    for teacher in result.teachers.iter().filter(|teacher| teacher.saturated) {
        warn(
            format!("the {} teacher is saturated: its rows may carry little else", teacher.name),
            "train it for fewer updates or at a lower rate",
        );
    }
    if result.replication.unique_rows < FEW_ROWS {
        warn(
            format!("{} unique rows are few", result.replication.unique_rows),
            "raise carrier.rows; unique rows carry more than epochs do",
        );
    }
    for answers in &result.answers {
        if !result.is_matched(&answers.context, answers.frame) {
            continue;
        }
        let non_answers = observation::Outcome::NON_ANSWERS.iter();
        let non_answers: usize =
            non_answers.filter_map(|kind| answers.outcomes.get(kind.name())).sum();
        let all: usize = answers.outcomes.values().sum();
        let share = non_answers as f64 / all.max(1) as f64;
        if share > NON_ANSWERS {
            warn(
                format!(
                    "{}: {:.0}% of answers read for {} are none",
                    answers.arm.label(),
                    100.0 * share,
                    answers.behavior
                ),
                "read the rate over valid answers beside it, or raise readout.max-tokens",
            );
        }
    }
    for control in [Control::OtherBase, Control::ShuffledAcross] {
        for behavior in &given.configuration.behaviors {
            let moved = estimate(given, &differences.moved(behavior, control))?;
            if let Some(moved) = moved.filter(Estimate::is_above_zero) {
                warn(
                    format!(
                        "a control moved: {behavior} rose by {}{} in {}",
                        number(moved.value),
                        result.primary.suffix(),
                        control.over()
                    ),
                    "part of the effect needs no shared base: its rows differ from neutral ones in a way any model can learn, such as which numbers are frequent; subtract this control from the effect, and look at sample rows and leaks in the report",
                );
            }
        }
    }
    for effect in result.side_effects.iter().filter(|effect| effect.measure == "ability-loss") {
        if effect.base.is_some_and(|base| effect.estimate.value - base > BROKEN) {
            warn(
                format!(
                    "students of {} are degenerate: their loss on neutral rows rose by more than {BROKEN} nats",
                    effect.arm
                ),
                "lower student.learning-rate or student.updates",
            );
        }
    }
    for card in result.rows.iter().filter(|card| card.leaks > 0) {
        warn(
            format!("{} valid rows of {} name what they must not", card.leaks, card.arm),
            "tighten carrier.medium",
        );
    }
    Ok(warnings)
}
