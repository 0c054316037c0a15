//! Figures as data: Vega-Lite specifications with their values inline.
//!
//! Five forms serve them all: dots with intervals, slopes, a heat map, lines with a band. Every
//! specification is one data set and a row of views that filter it, so a reader can lay the views
//! out anew, and any Vega-Lite renderer draws it as it is. No expression strings: names that come
//! from a recipe are only ever data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::chart::{self, Chart};
use crate::kind::inherit::result::{Arm, DosePoint, InheritResult, Matrix, Measure};
use crate::value::text;

const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v6.json";
/// Colours that differ in hue and lightness (after Okabe and Ito) and read on white and on black.
const TREATMENT: &str = "#d55e00";
const CONTROL: &str = "#3a86c8";
const REFERENCE: &str = "#808080";

/// All figures of a result by name: `effects`, `conditions`, `shares`, `rates`, `pairs`, `matrix`,
/// `dose`, those of them that there is something to draw for.
pub fn figures(result: &InheritResult) -> BTreeMap<String, Value> {
    let charts = |draw: &dyn Fn(&str) -> Option<Chart>| -> Vec<Chart> {
        result.behaviors.iter().filter_map(|behavior| draw(behavior)).collect()
    };
    let by_condition =
        |measure: Measure| charts(&|behavior| chart::arms(result, behavior, measure));
    let all = [
        (
            "effects",
            dots(
                "Students of each behavior's teacher minus every control, with intervals.",
                &charts(&|behavior| chart::effects(result, behavior)),
                "difference in margin, nats",
            ),
        ),
        (
            "conditions",
            dots(
                "Logit margin of the target in every condition, with intervals.",
                &by_condition(Measure::Margin),
                Measure::Margin.axis(),
            ),
        ),
        (
            "shares",
            dots(
                "Target's share of the candidates' probability in every condition.",
                &by_condition(Measure::Share),
                Measure::Share.axis(),
            ),
        ),
        (
            "rates",
            dots(
                "Rate of sampled answers that name the target, in every condition.",
                &by_condition(Measure::Rate),
                Measure::Rate.axis(),
            ),
        ),
        ("pairs", pairs(result)),
        ("matrix", result.matrix.as_ref().map(matrix)),
        ("dose", dose(result)),
    ];
    all.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?))).collect()
}

/// One data set, several views. `gutter` is the width of labels beside each view and `panel` the
/// least comfortable width of one, both in pixels: hints for a reader that lays out anew.
fn figure(
    description: &str,
    values: &[Value],
    views: &[Value],
    gutter: usize,
    panel: usize,
) -> Option<Value> {
    if values.is_empty() || views.is_empty() {
        return None;
    }
    Some(json!({
        "$schema": SCHEMA,
        "description": description,
        "usermeta": { "owlet": { "gutter": gutter, "panel": panel } },
        "data": { "values": values },
        "columns": 2,
        "concat": views,
    }))
}

fn only(behavior: &str) -> Value {
    json!([{ "filter": { "field": "behavior", "equal": shown(behavior) } }])
}

fn only_where(behavior: &str, field: &str, is: &str) -> Value {
    json!([
        { "filter": { "field": "behavior", "equal": shown(behavior) } },
        { "filter": { "field": field, "equal": is } },
    ])
}

/// Names without anything invisible, as a page shows them.
fn shown(name: &str) -> String {
    text::reveal(name)
}

fn dots(description: &str, charts: &[Chart], axis: &str) -> Option<Value> {
    let mut values = Vec::new();
    let mut longest = 0;
    for chart in charts {
        for row in &chart.rows {
            let estimate = &row.estimate;
            let beyond = match chart.place(estimate.value) {
                place if place < 0.0 => "left",
                place if place > 1.0 => "right",
                _ => "no",
            };
            longest = longest.max(text::width(&row.label));
            values.push(json!({
                "behavior": shown(&chart.behavior),
                "label": shown(&row.label),
                "part": row.part.name(),
                "value": estimate.value,
                "low": estimate.interval.map(|interval| interval.low),
                "high": estimate.interval.map(|interval| interval.high),
                "interval": super::terminal::interval_words(estimate),
                "n": estimate.n,
                "unit": shown(&estimate.unit),
                "beyond": beyond,
                "number": match beyond {
                    "left" => format!("◀ {}", chart.measure.value(estimate.value)),
                    _ => format!("{} ▶", chart.measure.value(estimate.value)),
                },
            }));
        }
    }
    let views: Vec<Value> = charts.iter().map(|chart| dots_view(chart, axis)).collect();
    figure(description, &values, &views, 30 + 6 * longest.min(36), 280)
}

fn dots_view(chart: &Chart, axis: &str) -> Value {
    let behavior = &chart.behavior;
    let format = chart.measure.scale().vega_format();
    let x = |field: &str| {
        json!({
            "field": field,
            "type": "quantitative",
            "scale": { "domain": [chart.low, chart.high], "nice": false, "zero": false },
            "axis": { "title": axis, "format": format, "tickCount": 5 },
        })
    };
    let y = json!({
        "field": "label", "type": "nominal", "sort": null,
        "axis": { "title": null, "labelLimit": 220, "grid": true, "domain": false, "ticks": false },
    });
    let parts = ["treatment", "control", "reference"];
    let colour = json!({
        "field": "part", "type": "nominal", "legend": null,
        "scale": { "domain": parts, "range": [TREATMENT, CONTROL, REFERENCE] },
    });
    let tooltip = json!([
        { "field": "label", "title": "what" },
        { "field": "value", "type": "quantitative", "format": "+.4f", "title": "mean" },
        { "field": "low", "type": "quantitative", "format": "+.4f", "title": "from" },
        { "field": "high", "type": "quantitative", "format": "+.4f", "title": "to" },
        { "field": "interval", "title": "interval" },
        { "field": "n", "title": "n" },
        { "field": "unit", "title": "unit" },
    ]);
    let mut layers = Vec::new();
    if (0.0..=1.0).contains(&chart.place(0.0)) {
        layers.push(json!({
            "mark": { "type": "rule", "strokeDash": [4, 3], "opacity": 0.6, "aria": false },
            "encoding": { "x": { "datum": 0.0 } },
        }));
    }
    layers.push(json!({
        "mark": { "type": "rule", "strokeWidth": 2, "clip": true },
        "encoding": {
            "x": x("low"), "x2": { "field": "high" }, "y": y, "color": colour, "tooltip": tooltip,
        },
    }));
    layers.push(json!({
        "transform": only_where(behavior, "beyond", "no"),
        "mark": { "type": "point", "filled": true, "opacity": 1, "size": 80 },
        "encoding": {
            "x": x("value"), "y": y, "color": colour, "tooltip": tooltip,
            "shape": {
                "field": "part", "type": "nominal", "legend": null,
                "scale": { "domain": parts, "range": ["circle", "square", "diamond"] },
            },
        },
    }));
    for (beyond, align, edge) in [("left", "left", chart.low), ("right", "right", chart.high)] {
        layers.push(json!({
            "transform": only_where(behavior, "beyond", beyond),
            "mark": { "type": "text", "align": align },
            "encoding": {
                "x": { "datum": edge, "type": "quantitative" },
                "y": y, "text": { "field": "number" }, "color": colour, "tooltip": tooltip,
            },
        }));
    }
    json!({
        "title": shown(&chart.title),
        "width": 360,
        "height": { "step": 20 },
        "transform": only(behavior),
        "layer": layers,
    })
}

/// Every seed's neutral student and its treated twin.
fn pairs(result: &InheritResult) -> Option<Value> {
    let mut values = Vec::new();
    let mut views = Vec::new();
    for behavior in &result.behaviors {
        let of = |arm: &Arm| Some(result.reading(arm, behavior, Measure::Margin)?.by_seed());
        let (Some(neutral), Some(students)) = (of(&Arm::NEUTRAL), of(&Arm::student(behavior)))
        else {
            continue;
        };
        let known = values.len();
        for (seed, before) in neutral {
            let Some(&after) = students.get(&seed) else { continue };
            let direction = if after > before { "up" } else { "down" };
            for (condition, margin) in [("neutral", before), ("student", after)] {
                if margin.is_finite() {
                    values.push(json!({
                        "behavior": shown(behavior),
                        "seed": seed.to_string(),
                        "condition": condition,
                        "margin": margin,
                        "direction": direction,
                        "difference": after - before,
                    }));
                }
            }
        }
        if values.len() > known {
            views.push(pairs_view(behavior));
        }
    }
    figure(
        "Margin of each seed's neutral student and of its twin taught by the behavior's teacher.",
        &values,
        &views,
        70,
        180,
    )
}

fn pairs_view(behavior: &str) -> Value {
    let colour = json!({
        "field": "direction", "type": "nominal", "legend": null,
        "scale": { "domain": ["up", "down"], "range": [TREATMENT, CONTROL] },
    });
    let tooltip = json!([
        { "field": "seed", "title": "seed" },
        { "field": "condition", "title": "condition" },
        { "field": "margin", "type": "quantitative", "format": "+.4f", "title": "margin" },
        { "field": "difference", "type": "quantitative", "format": "+.4f", "title": "difference" },
    ]);
    json!({
        "title": format!("{}: each seed", shown(behavior)),
        "width": 200,
        "height": 200,
        "transform": only(behavior),
        "encoding": {
            "x": {
                "field": "condition", "type": "nominal", "sort": ["neutral", "student"],
                "scale": { "type": "point", "padding": 0.4 },
                "axis": { "title": null, "labelAngle": 0, "grid": false },
            },
            "y": {
                "field": "margin", "type": "quantitative",
                "scale": { "zero": false }, "axis": { "title": "margin, nats", "tickCount": 5 },
            },
            "color": colour,
            "tooltip": tooltip,
        },
        "layer": [
            { "mark": { "type": "line", "strokeWidth": 1.5, "opacity": 0.8 },
              "encoding": { "detail": { "field": "seed" } } },
            { "mark": { "type": "point", "filled": true, "opacity": 1, "size": 45 } },
        ],
    })
}

fn matrix(matrix: &Matrix) -> Value {
    let mut largest = 0.0_f64;
    for cell in matrix.cells.iter().flatten().filter(|cell| cell.value.is_finite()) {
        largest = largest.max(cell.value.abs());
    }
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let mut values = Vec::new();
    for (teacher, cells) in matrix.teachers.iter().zip(&matrix.cells) {
        for (readout, cell) in matrix.readouts.iter().zip(cells) {
            if !cell.value.is_finite() {
                continue;
            }
            let sure = if cell.is_above_zero() || cell.is_below_zero() { " *" } else { "" };
            values.push(json!({
                "teacher": shown(teacher),
                "readout": shown(readout),
                "value": cell.value,
                "low": cell.interval.map(|interval| interval.low),
                "high": cell.interval.map(|interval| interval.high),
                "n": cell.n,
                "number": format!("{}{sure}", text::signed(cell.value)),
                "ink": if cell.value.abs() > 0.8 * largest { "#ffffff" } else { "#1a1a1a" },
            }));
        }
    }
    let longest = matrix.teachers.iter().map(|name| text::width(name)).max().unwrap_or(0);
    let axes = json!({
        "x": {
            "field": "readout", "type": "nominal", "sort": null,
            "axis": { "title": "behavior read", "orient": "top", "labelAngle": 0, "grid": false },
        },
        "y": {
            "field": "teacher", "type": "nominal", "sort": null,
            "axis": { "title": "teacher", "grid": false },
        },
    });
    let view = json!({
        "width": 90 * matrix.readouts.len().max(2),
        "height": { "step": 38 },
        "encoding": axes,
        "resolve": { "scale": { "color": "independent" } },
        "layer": [
            {
                "mark": { "type": "rect" },
                "encoding": {
                    "color": {
                        "field": "value", "type": "quantitative",
                        "scale": {
                            "domain": [-largest, 0.0, largest],
                            "range": ["#2166ac", "#f4f4f2", "#b2420b"],
                        },
                        "legend": null,
                    },
                    "tooltip": [
                        { "field": "teacher", "title": "teacher" },
                        { "field": "readout", "title": "read" },
                        { "field": "value", "type": "quantitative", "format": "+.4f", "title": "mean" },
                        { "field": "low", "type": "quantitative", "format": "+.4f", "title": "from" },
                        { "field": "high", "type": "quantitative", "format": "+.4f", "title": "to" },
                        { "field": "n", "title": "n" },
                    ],
                },
            },
            {
                "mark": { "type": "text", "fontSize": 12 },
                "encoding": {
                    "text": { "field": "number" },
                    "color": { "field": "ink", "type": "nominal", "scale": null },
                },
            },
        ],
    });
    json!({
        "$schema": SCHEMA,
        "description": "Margin of every read behavior in the students of every teacher, over neutral.",
        "usermeta": {
            "owlet": { "gutter": 40 + 7 * longest, "panel": 600, "most": 110 * matrix.readouts.len() },
        },
        "data": { "values": values },
        "columns": 1,
        "concat": [view],
    })
}

fn dose(result: &InheritResult) -> Option<Value> {
    let mut values = Vec::new();
    let mut views = Vec::new();
    for behavior in &result.behaviors {
        let points: Vec<&DosePoint> = result
            .dose
            .iter()
            .filter(|point| point.behavior == *behavior && point.estimate.value.is_finite())
            .collect();
        let updates: std::collections::BTreeSet<usize> =
            points.iter().map(|point| point.update).collect();
        if updates.len() < 2 {
            continue;
        }
        for point in points {
            let neutral = point.arm == Arm::NEUTRAL;
            let interval = point.estimate.interval;
            values.push(json!({
                "behavior": shown(behavior),
                "series": shown(&point.arm.label()),
                "part": if neutral { "control" } else { "treatment" },
                "update": point.update,
                "margin": point.estimate.value,
                "low": interval.map_or(point.estimate.value, |interval| interval.low),
                "high": interval.map_or(point.estimate.value, |interval| interval.high),
                "n": point.estimate.n,
            }));
        }
        views.push(dose_view(behavior));
    }
    figure("Margin along training, with intervals over students.", &values, &views, 70, 260)
}

fn dose_view(behavior: &str) -> Value {
    let parts = ["treatment", "control"];
    json!({
        "title": format!("{}: students (●) and neutral (■)", shown(behavior)),
        "width": 280,
        "height": 200,
        "transform": only(behavior),
        "encoding": {
            "x": {
                "field": "update", "type": "quantitative",
                "axis": { "title": "updates", "tickCount": 5 },
            },
            "color": {
                "field": "part", "type": "nominal", "legend": null,
                "scale": { "domain": parts, "range": [TREATMENT, CONTROL] },
            },
            "tooltip": [
                { "field": "series", "title": "condition" },
                { "field": "update", "title": "updates" },
                { "field": "margin", "type": "quantitative", "format": "+.4f", "title": "mean" },
                { "field": "low", "type": "quantitative", "format": "+.4f", "title": "from" },
                { "field": "high", "type": "quantitative", "format": "+.4f", "title": "to" },
                { "field": "n", "title": "students" },
            ],
        },
        "layer": [
            {
                "mark": { "type": "area", "opacity": 0.22 },
                "encoding": {
                    "y": { "field": "low", "type": "quantitative", "scale": { "zero": false },
                           "axis": { "title": "margin, nats", "tickCount": 5 } },
                    "y2": { "field": "high" },
                },
            },
            {
                "mark": { "type": "line", "strokeWidth": 2 },
                "encoding": { "y": { "field": "margin", "type": "quantitative" } },
            },
            {
                "mark": { "type": "point", "filled": true, "opacity": 1, "size": 45 },
                "encoding": {
                    "y": { "field": "margin", "type": "quantitative" },
                    "shape": {
                        "field": "part", "type": "nominal", "legend": null,
                        "scale": { "domain": parts, "range": ["circle", "square"] },
                    },
                },
            },
        ],
    })
}
