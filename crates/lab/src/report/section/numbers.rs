//! The measurements: figures, each with its numbers as a table.

use maud::{Markup, html};

use super::super::page::ReportInput;
use super::super::{chart, svg};
use super::table::table;
use super::{figure, name};
use crate::kind::inherit::result::{Control, Estimate, InheritResult, Measure, Reading};
use crate::value::text;

/// Value, interval, n and unit, as four cells.
fn estimate(
    shown: fn(Measure, f64) -> String,
    measure: Measure,
    estimate: &Estimate,
) -> Vec<String> {
    let interval = estimate.interval.map_or_else(
        || "none".to_owned(),
        |interval| format!("[{}, {}]", shown(measure, interval.low), shown(measure, interval.high)),
    );
    vec![shown(measure, estimate.value), interval, estimate.n.to_string(), name(&estimate.unit)]
}

pub(super) fn effects_table(result: &InheritResult) -> Markup {
    effects_of(result, &[result.primary])
}

fn effects_of(result: &InheritResult, measures: &[Measure]) -> Markup {
    let mut rows = Vec::new();
    for measure in measures {
        for behavior in &result.behaviors {
            for effect in result.matched_effects(behavior, *measure) {
                let mut label =
                    format!("{} over {}", name(&effect.behavior), effect.control.label());
                if measures.len() > 1 {
                    label = format!("{label}, {}", measure.axis());
                }
                let mut row = vec![label];
                row.extend(estimate(Measure::difference, *measure, &effect.estimate));
                row.push(text::p_value(effect.p_permutation));
                row.push(text::p_value(effect.p_holm));
                rows.push(row);
            }
        }
    }
    let unit = match measures {
        [only] => format!("Differences in {}", only.axis()),
        _ => "Differences".to_owned(),
    };
    let caption = format!(
        "{unit}. p: one-sided permutation of signs; Holm: corrected over the {} the verdicts rest on",
        text::counted(result.comparisons, "comparison")
    );
    let titles = ["comparison", "#difference", "#interval", "#n", "unit", "#p", "#Holm p"];
    table(&caption, &titles, &rows)
}

pub(super) fn comparisons(input: &ReportInput<'_>) -> Option<Markup> {
    let result = input.result;
    if result.effects.is_empty() {
        return None;
    }
    let used = |control: Control| result.effects.iter().any(|effect| effect.control == control);
    Some(html! {
        p { "What each control answers for:" }
        dl class="terms" {
            @for control in Control::ALL.into_iter().filter(|control| used(*control)) {
                div { dt { (control.label()) } dd { (control.rules_out()) } }
            }
        }
        (effects_of(result, &[result.primary]))
        @let others: Vec<Measure> = Measure::COMPARED
            .into_iter()
            .filter(|measure| *measure != result.primary)
            .collect();
        @if result.effects.iter().any(|effect| effect.measure != result.primary) {
            details {
                summary { "The same in other measures" }
                (effects_of(result, &others))
            }
        }
    })
}

fn conditions_table(result: &InheritResult, measure: Measure) -> Markup {
    let mut rows = Vec::new();
    for behavior in &result.behaviors {
        for reading in result.concerning(behavior, measure) {
            let mut row = vec![name(&reading.arm.label()), name(behavior)];
            row.extend(estimate(Measure::value, measure, &reading.estimate));
            let rank = result.beside(reading, Measure::Rank);
            let shown = |rank: &Reading| Measure::Rank.value(rank.estimate.value);
            row.push(rank.map_or_else(|| "–".to_owned(), shown));
            rows.push(row);
        }
    }
    table(
        measure.axis(),
        &["condition", "read", "#mean", "#interval", "#n", "unit", "#rank of target"],
        &rows,
    )
}

fn drawings(result: &InheritResult, measure: Measure) -> Option<Markup> {
    let charts: Vec<chart::Chart> = result
        .behaviors
        .iter()
        .filter_map(|behavior| chart::arms(result, behavior, measure))
        .collect();
    (!charts.is_empty()).then(|| {
        html! { @for chart in &charts { h4 { (name(&chart.title)) } (svg::dots(chart)) } }
    })
}

pub(super) fn conditions(input: &ReportInput<'_>) -> Option<Markup> {
    let result = input.result;
    let margins = drawings(result, Measure::Margin)?;
    Some(html! {
        p class="note" {
            "Margin: log-probability of the target minus the mean over the other candidates, in nats, averaged "
            "over questions. Circles are the students of the behavior's own teacher, squares controls, diamonds "
            "the base and the teacher, whose intervals are over questions of one model; an arrow points to a "
            "value beyond the axis."
        }
        (figure(
            input,
            "conditions",
            "Margin of the target per condition, with intervals.",
            Some(&margins),
            &conditions_table(result, Measure::Margin),
        ))
        (figure(
            input,
            "shares",
            "Target's share of the candidates' probability per condition, with intervals.",
            drawings(result, Measure::Share).as_ref(),
            &conditions_table(result, Measure::Share),
        ))
    })
}

pub(super) fn pairs(input: &ReportInput<'_>) -> Option<Markup> {
    if !input.figures.contains_key("pairs") {
        return None;
    }
    let result = input.result;
    let mut rows = Vec::new();
    for behavior in &result.behaviors {
        let Some(effect) = result.effect(behavior, result.primary, Control::Neutral) else {
            continue;
        };
        for (seed, difference) in result.replication.seeds.iter().zip(&effect.per_seed) {
            rows.push(vec![name(behavior), seed.to_string(), text::signed(*difference)]);
        }
    }
    let numbers = table(
        &format!("Student minus neutral student of the same seed: {}", result.primary.axis()),
        &["behavior", "#seed", "#difference"],
        &rows,
    );
    Some(figure(
        input,
        "pairs",
        "Each line is one seed: the neutral teacher's student and the student of the behavior's teacher with the \
         same adapter initialisation and row order.",
        None,
        &numbers,
    ))
}

pub(super) fn matrix(input: &ReportInput<'_>) -> Option<Markup> {
    let matrix = input.result.matrix.as_ref()?;
    let largest = matrix.largest();
    let shade = |value: f64| {
        let size = if largest > 0.0 { (4.0 * value.abs() / largest).round() as usize } else { 0 };
        let sign = if value < 0.0 { "below" } else { "above" };
        format!("number {sign} shade-{}", size.min(4))
    };
    let numbers = html! {
        div class="scroll" tabindex="0" {
            table class="matrix" {
                caption {
                    "Rows: teacher. Columns: behavior read. "
                    (matrix.measure.axis())
                    " over the neutral students; * the interval excludes zero"
                }
                thead {
                    tr {
                        th scope="col" { "teacher" }
                        @for readout in &matrix.readouts { th scope="col" class="number" { (name(readout)) } }
                    }
                }
                tbody {
                    @for (teacher, cells) in matrix.teachers.iter().zip(&matrix.cells) {
                        tr {
                            th scope="row" { (name(teacher)) }
                            @for cell in cells {
                                td class=(shade(cell.value)) {
                                    (text::signed(cell.value))
                                    @if cell.is_above_zero() || cell.is_below_zero() { " *" }
                                    @if let Some(interval) = cell.interval {
                                        small { "[" (text::signed(interval.low)) ", " (text::signed(interval.high)) "]" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    Some(html! {
        p {
            "Λ, the mean of the diagonal minus the mean of the rest over taught behaviors: "
            strong { (matrix.measure.difference_with_interval(&matrix.lambda)) }
            ", " (text::counted(matrix.lambda.n, &name(&matrix.lambda.unit)))
            "; p " (text::p_value(matrix.p)) " by relabelling teachers."
        }
        (figure(
            input,
            "matrix",
            &format!(
                "Every read behavior in the students of every teacher, over the neutral students: {}.",
                matrix.measure.axis()
            ),
            None,
            &numbers,
        ))
    })
}

pub(super) fn dose(input: &ReportInput<'_>) -> Option<Markup> {
    if !input.figures.contains_key("dose") {
        return None;
    }
    let result = input.result;
    let rows: Vec<Vec<String>> = result
        .dose
        .iter()
        .map(|point| {
            vec![
                name(&point.arm.label()),
                name(&point.behavior),
                text::count(point.update),
                point.measure.with_interval(&point.estimate),
                point.over_neutral.as_ref().map_or_else(
                    || "–".to_owned(),
                    |over| point.measure.difference_with_interval(over),
                ),
            ]
        })
        .collect();
    let numbers = table(
        "Margin at checkpoints, nats",
        &["condition", "read", "#updates", "#margin", "#over neutral"],
        &rows,
    );
    Some(figure(
        input,
        "dose",
        "Margin against updates: mean over students, band: interval.",
        None,
        &numbers,
    ))
}

pub(super) fn rates(input: &ReportInput<'_>) -> Option<Markup> {
    let result = input.result;
    let drawing = drawings(result, Measure::Rate)?;
    let mut rows = Vec::new();
    let mut students = Vec::new();
    for behavior in &result.behaviors {
        let read = result.readings.iter().filter(|reading| {
            reading.measure == Measure::Rate
                && reading.behavior == *behavior
                && reading.arm.concerns(behavior)
        });
        for reading in read {
            let label = if result.is_matched(&reading.context, reading.frame) {
                name(&reading.arm.label())
            } else {
                let place = result.place(&reading.context, reading.frame);
                format!("{}, {}", name(&reading.arm.label()), name(place))
            };
            rows.push(rate_row(label.clone(), result, reading));
            for one in reading.models.iter().filter(|_| reading.models.len() > 1) {
                let Some(interval) = one.interval else { continue };
                let [rate, low, high] = [one.value, interval.low, interval.high].map(text::percent);
                students.push(vec![
                    label.clone(),
                    name(behavior),
                    one.seed.map_or_else(|| "–".to_owned(), |seed| seed.to_string()),
                    rate,
                    format!("[{low}, {high}]"),
                ]);
            }
        }
    }
    let numbers = html! {
        (table(
            "Rate over all answers and over valid ones; answers by outcome",
            &["condition", "read", "#rate", "interval over", "#rate of valid answers", "answers"],
            &rows,
        ))
        @if !students.is_empty() {
            (table(
                "Each model alone: Wilson intervals over its answers, which hold the luck of sampling and nothing else",
                &["condition", "read", "#seed", "#rate", "#interval"],
                &students,
            ))
        }
    };
    let caption = "Rate of sampled answers that name the target, per condition, with intervals.";
    Some(figure(input, "rates", caption, Some(&drawing), &numbers))
}

fn rate_row(label: String, result: &InheritResult, reading: &Reading) -> Vec<String> {
    let rate = &reading.estimate;
    let of_valid = result
        .beside(reading, Measure::RateOfValid)
        .map_or_else(|| "–".to_owned(), |valid| valid.measure.with_interval(&valid.estimate));
    let outcomes: Vec<String> = result
        .outcomes(reading)
        .into_iter()
        .flatten()
        .map(|(outcome, count)| format!("{} {}", name(outcome), text::count(*count)))
        .collect();
    vec![
        label,
        name(&reading.behavior),
        reading.measure.with_interval(rate),
        format!("{}, {}", text::counted(rate.n, &name(&rate.unit)), rate.method.label()),
        of_valid,
        outcomes.join(", "),
    ]
}

/// Effects over neutral in chat contexts other than the rows' own.
pub(super) fn contexts(input: &ReportInput<'_>) -> Option<Markup> {
    let result = input.result;
    let rows: Vec<Vec<String>> = result
        .effects
        .iter()
        .filter(|effect| !result.is_matched(&effect.context, effect.frame))
        .map(|effect| {
            let mut row = vec![
                format!("{} over {}", name(&effect.behavior), effect.control.label()),
                name(result.place(&effect.context, effect.frame)),
                effect.measure.axis().to_owned(),
            ];
            row.extend(estimate(Measure::difference, effect.measure, &effect.estimate));
            row
        })
        .collect();
    (!rows.is_empty()).then(|| {
        html! {
            p {
                "Rows and readouts share one chat context (" code { (name(&result.context)) } "). Here the same students are "
                "read in others; " code { "after numbers" } " is that context with a number sentence before each question."
            }
            (table(
                "Differences in other contexts",
                &["comparison", "context", "measure", "#difference", "#interval", "#n", "unit"],
                &rows,
            ))
        }
    })
}

pub(super) fn side_effects(result: &InheritResult) -> Option<Markup> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for effect in &result.side_effects {
        let plain = |value: f64| text::plain(value);
        let interval = effect.estimate.interval.map_or_else(
            || "none".to_owned(),
            |interval| format!("[{}, {}]", plain(interval.low), plain(interval.high)),
        );
        rows.push(vec![
            name(&effect.arm.label()),
            name(&effect.label),
            plain(effect.estimate.value),
            interval,
            effect.estimate.n.to_string(),
            effect.base.map_or_else(|| "–".to_owned(), plain),
        ]);
    }
    (!rows.is_empty()).then(|| {
        table(
            "Side effects of training",
            &["condition", "measure", "#mean", "#interval", "#n", "#untouched base"],
            &rows,
        )
    })
}

pub(super) fn geometry(result: &InheritResult) -> Option<Markup> {
    let geometry = result.geometry.as_ref()?;
    let with_interval = |one: &Estimate| match one.interval {
        Some(interval) => {
            format!("{:+.4} [{:+.4}, {:+.4}]", one.value, interval.low, interval.high)
        }
        None => format!("{:+.4}", one.value),
    };
    let rows: Vec<Vec<String>> = geometry
        .cosines
        .iter()
        .map(|cosine| {
            let layers: Vec<String> =
                cosine.per_layer.iter().map(|layer| format!("{layer:+.3}")).collect();
            vec![
                name(&cosine.arm.label()),
                name(&cosine.teacher),
                with_interval(&cosine.total),
                with_interval(&cosine.permuted),
                layers.join(", "),
            ]
        })
        .collect();
    Some(html! {
        p {
            "Cosine between the students' updates and a teacher's update, over all weights and per layer. Under "
            "one initialisation it is expected above zero; against a teacher's update with its hidden units "
            "permuted, which shares no basis with the students, at zero."
        }
        (table(
            "Cosines of updates",
            &["students", "teacher", "#cosine", "#permuted", "per layer"],
            &rows,
        ))
    })
}
