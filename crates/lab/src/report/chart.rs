//! What is drawn, apart from how: rows of dots with intervals over one axis.
//!
//! The terminal, the page's static drawing and the Vega-Lite figure show the same [`Chart`].
//! Teachers may lie far outside what their students reach; they never stretch the axis and are
//! drawn at its edge with their number.

use crate::kind::inherit::result::{Condition, Effect, Estimate, InheritResult, Measure, Role};
use crate::value::text;

/// What a row is in the experiment: decides its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The students of the behavior's own teacher.
    Treatment,
    /// A control.
    Control,
    /// The untouched base or a teacher: where things started.
    Reference,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::Control => "control",
            Self::Reference => "reference",
        }
    }
}

/// One dot with its interval.
#[derive(Clone, Debug)]
pub(super) struct ChartRow {
    pub(super) label: String,
    pub(super) part: Part,
    pub(super) stretches: bool,
    pub(super) estimate: Estimate,
}

/// Dots with intervals over one axis.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) behavior: String,
    pub(super) title: String,
    pub(super) measure: Measure,
    pub(super) rows: Vec<ChartRow>,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A measure as an axis names it.
pub(super) fn axis_title(measure: Measure) -> &'static str {
    match measure {
        Measure::Margin => "margin, nats",
        Measure::Share => "share among candidates",
        Measure::Rate => "rate of sampled answers",
    }
}

/// A value in its measure's form.
pub(super) fn value(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Margin => text::signed(value),
        Measure::Share | Measure::Rate => text::percent(value),
    }
}

/// A difference between two values of a measure.
pub(super) fn difference(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Margin => text::signed(value),
        Measure::Share | Measure::Rate => format!("{:+.1} points", 100.0 * value),
    }
}

impl Chart {
    fn new(
        behavior: &str,
        title: String,
        measure: Measure,
        rows: Vec<ChartRow>,
        zero: bool,
    ) -> Option<Self> {
        let rows: Vec<ChartRow> =
            rows.into_iter().filter(|row| row.estimate.value.is_finite()).collect();
        let ends = |all: bool| -> Vec<f64> {
            rows.iter()
                .filter(|row| all || row.stretches)
                .flat_map(|row| {
                    // Over questions of one model, not over students: wide, and not compared.
                    let interval =
                        row.estimate.interval.filter(|_| all || row.part != Part::Reference);
                    [
                        Some(row.estimate.value),
                        interval.map(|interval| interval.low),
                        interval.map(|interval| interval.high),
                    ]
                })
                .flatten()
                .filter(|end| end.is_finite())
                .chain(zero.then_some(0.0))
                .collect()
        };
        let mut used = ends(false);
        if used.is_empty() {
            used = ends(true);
        }
        let low = used.iter().copied().reduce(f64::min)?;
        let high = used.iter().copied().reduce(f64::max)?;
        if rows.is_empty() {
            return None;
        }
        let pad = if high > low { 0.04 * (high - low) } else { 0.5 * high.abs().max(0.1) };
        let (mut low, mut high) = (low - pad, high + pad);
        if measure != Measure::Margin && !zero {
            low = low.max(0.0);
            high = high.min(1.0).max(low + 1e-6);
        }
        Some(Self { behavior: behavior.to_owned(), title, measure, rows, low, high })
    }

    /// Position of a value along the axis, 0 to 1 inside it.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Round numbers along the axis, at most `most` of them.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let span = self.high - self.low;
        if !span.is_finite() || span <= 0.0 || most == 0 {
            return Vec::new();
        }
        let mut step = 10f64.powf((span / most as f64).log10().floor());
        for factor in [1.0, 2.0, 5.0, 10.0, 20.0] {
            if span / (step * factor) <= most as f64 {
                step *= factor;
                break;
            }
        }
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    /// A tick with just the decimals its neighbours need.
    pub(super) fn tick(&self, tick: f64, most: usize) -> String {
        let ticks = self.ticks(most);
        let step = match ticks.as_slice() {
            [first, second, ..] => second - first,
            _ => self.high - self.low,
        };
        let scale = if self.measure == Measure::Margin { 1.0 } else { 100.0 };
        let decimals = (-(step * scale).log10().floor()).clamp(0.0, 6.0) as usize;
        let number = tick * scale;
        let number = if number.abs() < 1e-12 { 0.0 } else { number };
        let unit = if self.measure == Measure::Margin { "" } else { "%" };
        format!("{number:.decimals$}{unit}")
    }
}

/// The effects the verdict looks at first: matched context, one measure.
pub(super) fn matched_effects<'a>(
    result: &'a InheritResult,
    behavior: &'a str,
    measure: Measure,
) -> impl Iterator<Item = &'a Effect> {
    let context = matched_context(result);
    result.effects.iter().filter(move |effect| {
        effect.behavior == behavior
            && effect.measure == measure
            && context.is_none_or(|context| effect.context == context)
    })
}

/// The chat context that rows and readouts share.
pub(super) fn matched_context(result: &InheritResult) -> Option<&str> {
    let students = result.conditions.iter().filter(|condition| condition.role == Role::Student);
    students
        .chain(&result.conditions)
        .find_map(|condition| condition.readouts.values().next())
        .map(|readout| readout.context.as_str())
}

/// Conditions that say something about a behavior, in the result's order.
pub(super) fn conditions_of<'a>(
    result: &'a InheritResult,
    behavior: &'a str,
) -> impl Iterator<Item = &'a Condition> {
    result.conditions.iter().filter(move |condition| {
        condition.readouts.contains_key(behavior)
            && match condition.role {
                Role::Student => true,
                _ => condition.taught.as_deref().is_none_or(|taught| taught == behavior),
            }
    })
}

/// The part a condition plays for a behavior.
pub(super) fn part(condition: &Condition, behavior: &str) -> Part {
    match condition.role {
        Role::Student if condition.taught.as_deref() == Some(behavior) => Part::Treatment,
        Role::Base | Role::Teacher => Part::Reference,
        _ => Part::Control,
    }
}

/// Every condition of a behavior in one measure.
pub(super) fn conditions(
    result: &InheritResult,
    behavior: &str,
    measure: Measure,
) -> Option<Chart> {
    let rows = conditions_of(result, behavior)
        .filter_map(|condition| {
            let estimate = condition.readouts.get(behavior)?.estimate(measure)?.clone();
            Some(ChartRow {
                label: condition.label.clone(),
                part: part(condition, behavior),
                stretches: condition.role != Role::Teacher,
                estimate,
            })
        })
        .collect();
    let title = match measure {
        Measure::Margin => format!("{behavior}: margin per condition"),
        Measure::Share => format!("{behavior}: share per condition"),
        Measure::Rate => format!("{behavior}: sampled rate per condition"),
    };
    Chart::new(behavior, title, measure, rows, false)
}

/// Students of a behavior minus each control.
pub(super) fn effects(result: &InheritResult, behavior: &str) -> Option<Chart> {
    let rows = matched_effects(result, behavior, result.primary)
        .map(|effect| ChartRow {
            label: format!("over {}", effect.control.label()),
            part: if matches!(effect.control, Role::Neutral | Role::OtherBehavior) {
                Part::Treatment
            } else {
                Part::Control
            },
            stretches: true,
            estimate: effect.estimate.clone(),
        })
        .collect();
    let title = format!("{behavior}: students minus each control");
    Chart::new(behavior, title, result.primary, rows, true)
}
