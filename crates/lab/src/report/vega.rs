//! Figures for papers: every drawing of a report as a Vega-Lite specification with its numbers inside.
//!
//! Made from the same blocks as the page's drawings. No expression strings: names that come from a recipe
//! are only ever data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::axis::Axis;
use super::block::{Block, Curve, Dots, Matrix, Part, Report};
use super::html::slug;
use super::number::{Quantity, method};
use crate::value::text;

const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v6.json";
/// Colours that differ in hue and lightness (after Okabe and Ito) and read on white and on black.
const COLOURS: [&str; 3] = ["#d55e00", "#3a86c8", "#808080"];
const SHAPES: [&str; 3] = ["circle", "square", "diamond"];

/// The figures of a report by name: dots, curves and matrices that there is something to draw for.
pub fn figures(report: &Report) -> BTreeMap<String, Value> {
    let mut figures = BTreeMap::new();
    for block in report.blocks() {
        let (id, figure) = match block {
            Block::Dots(one) => (&one.id, dots(one)),
            Block::Curve(one) => (&one.id, curve(one)),
            Block::Matrix(one) => (&one.id, matrix(one)),
            _ => continue,
        };
        let Some(figure) = figure else { continue };
        let slug = slug(id);
        // Names that differ in what a file's name cannot hold.
        let mut name = slug.clone();
        let mut copy = 2;
        while figures.contains_key(&name) {
            name = format!("{slug}-{copy}");
            copy += 1;
        }
        figures.insert(name, figure);
    }
    figures
}

/// Names without anything invisible.
fn shown(name: &str) -> String {
    text::reveal(name)
}

fn figure(title: &str, values: &[Value], mut view: Value) -> Option<Value> {
    if values.is_empty() {
        return None;
    }
    view["$schema"] = json!(SCHEMA);
    view["description"] = json!(shown(title));
    view["title"] = json!({ "text": shown(title), "anchor": "start" });
    view["data"] = json!({ "values": values });
    Some(view)
}

/// Colour and shape of parts.
fn part(kind: &str) -> Value {
    let range = if kind == "shape" { SHAPES } else { COLOURS };
    let domain: Vec<&str> = Part::ALL.iter().map(|part| part.name()).collect();
    json!({ "field": "part", "type": "nominal", "legend": null, "scale": { "domain": domain, "range": range } })
}

fn format(quantity: Quantity) -> &'static str {
    if quantity.at_axis().0 == 1.0 { "~g" } else { "~%" }
}

/// What a pointer is told.
fn tooltip(fields: &[&str]) -> Value {
    let tip = |field: &&str| match *field {
        "value" | "low" | "high" => {
            json!({ "field": field, "type": "quantitative", "format": "+.4f" })
        }
        other => json!({ "field": other }),
    };
    json!(fields.iter().map(tip).collect::<Vec<Value>>())
}

fn dots(dots: &Dots) -> Option<Value> {
    let axis = Axis::of_dots(dots)?;
    let mut values = Vec::new();
    for row in &dots.rows {
        for dot in row.finite() {
            let estimate = &dot.estimate;
            let legend = dots.legend.iter().find(|(part, _)| *part == dot.part);
            let beyond = match axis.place(estimate.value) {
                place if place < 0.0 => "left",
                place if place > 1.0 => "right",
                _ => "no",
            };
            let number = dots.quantity.words(estimate.value);
            values.push(json!({
                "label": shown(&row.label),
                "part": dot.part.name(),
                "of": legend.map(|(_, words)| shown(words)),
                "value": estimate.value,
                "low": estimate.interval.map(|interval| interval.low),
                "high": estimate.interval.map(|interval| interval.high),
                "interval": method(estimate),
                "n": estimate.n,
                "unit": shown(&estimate.unit),
                "beyond": beyond,
                "number": if beyond == "left" { format!("◀ {number}") } else { format!("{number} ▶") },
            }));
        }
    }
    let x = |field: &str| {
        json!({
            "field": field,
            "type": "quantitative",
            "scale": { "domain": [axis.low, axis.high], "nice": false, "zero": false },
            "axis": { "title": shown(&dots.axis), "format": format(dots.quantity), "tickCount": 5 },
        })
    };
    let mut layers = Vec::new();
    if (0.0..=1.0).contains(&axis.place(0.0)) {
        layers.push(json!({
            "mark": { "type": "rule", "strokeDash": [4, 3], "opacity": 0.6, "aria": false },
            "encoding": { "x": { "datum": 0.0, "type": "quantitative" } },
        }));
    }
    let y = json!({
        "field": "label", "type": "nominal", "sort": null,
        "axis": { "title": null, "labelLimit": 260, "grid": true, "domain": false, "ticks": false },
    });
    if dots.joined {
        layers.push(json!({
            "mark": { "type": "line", "strokeWidth": 1, "color": COLOURS[2] },
            "encoding": { "x": x("value"), "y": y, "detail": { "field": "label", "type": "nominal" } },
        }));
    }
    let tooltip = tooltip(&["label", "of", "value", "low", "high", "interval", "n", "unit"]);
    // Parts of one row stand one above the other.
    let offset = json!({ "field": "part", "type": "nominal", "scale": { "paddingOuter": 0.5 } });
    let mixed = !dots.joined && dots.is_mixed();
    let encoding = |mut own: Value| {
        own["y"] = y.clone();
        own["color"] = part("color");
        own["tooltip"] = tooltip.clone();
        if mixed {
            own["yOffset"] = offset.clone();
        }
        own
    };
    layers.push(json!({
        "mark": { "type": "rule", "strokeWidth": 2, "clip": true },
        "encoding": encoding(json!({ "x": x("low"), "x2": { "field": "high" } })),
    }));
    layers.push(json!({
        "transform": [{ "filter": { "field": "beyond", "equal": "no" } }],
        "mark": { "type": "point", "filled": true, "opacity": 1, "size": 80 },
        "encoding": encoding(json!({ "x": x("value"), "shape": part("shape") })),
    }));
    for (beyond, edge) in [("left", axis.low), ("right", axis.high)] {
        layers.push(json!({
            "transform": [{ "filter": { "field": "beyond", "equal": beyond } }],
            "mark": { "type": "text", "align": beyond },
            "encoding": encoding(json!({
                "x": { "datum": edge, "type": "quantitative" }, "text": { "field": "number" },
            })),
        }));
    }
    let step = if mixed { 30 } else { 20 };
    let view = json!({ "width": 400, "height": { "step": step }, "layer": layers });
    figure(&dots.title, &values, view)
}

fn curve(curve: &Curve) -> Option<Value> {
    let mut values = Vec::new();
    for one in &curve.series {
        for point in &one.points {
            if !point.value.is_finite() || !point.at.is_finite() {
                continue;
            }
            values.push(json!({
                "series": shown(&one.label),
                "part": one.part.name(),
                "at": point.at,
                "value": point.value,
                "low": point.interval.map(|interval| interval.low),
                "high": point.interval.map(|interval| interval.high),
            }));
        }
    }
    let y = |field: &str| {
        json!({
            "field": field, "type": "quantitative", "scale": { "zero": false },
            "axis": { "title": shown(&curve.axis), "format": format(curve.quantity), "tickCount": 5 },
        })
    };
    let encoding = json!({
        "x": {
            "field": "at", "type": "quantitative",
            "axis": { "title": shown(&curve.across), "tickCount": 5 },
        },
        "color": part("color"),
        "detail": { "field": "series", "type": "nominal" },
        "tooltip": tooltip(&["series", "at", "value", "low", "high"]),
    });
    let names: BTreeSet<&str> = curve.series.iter().map(|one| one.label.as_str()).collect();
    let weight = if names.len() > 6 { 1 } else { 2 };
    let layers = json!([
        {
            "transform": [{ "filter": { "field": "low", "valid": true } }],
            "mark": { "type": "area", "opacity": 0.22 },
            "encoding": { "y": y("low"), "y2": { "field": "high" } },
        },
        {
            "mark": { "type": "line", "strokeWidth": weight },
            "encoding": { "y": y("value") },
        },
        {
            "mark": { "type": "point", "filled": true, "opacity": 1, "size": 20 * weight },
            "encoding": { "y": y("value"), "shape": part("shape") },
        },
    ]);
    let view = json!({ "width": 400, "height": 220, "encoding": encoding, "layer": layers });
    figure(&curve.title, &values, view)
}

fn matrix(matrix: &Matrix) -> Option<Value> {
    let largest = if matrix.largest() > 0.0 { matrix.largest() } else { 1.0 };
    let mut values = Vec::new();
    for (row, cells) in matrix.rows.iter().zip(&matrix.cells) {
        for (column, cell) in matrix.columns.iter().zip(cells) {
            if !cell.value.is_finite() {
                continue;
            }
            let sure = Matrix::star(cell);
            values.push(json!({
                "row": shown(row),
                "column": shown(column),
                "value": cell.value,
                "low": cell.interval.map(|interval| interval.low),
                "high": cell.interval.map(|interval| interval.high),
                "n": cell.n,
                "number": format!("{}{sure}", matrix.quantity.words(cell.value)),
                "ink": if cell.value.abs() > 0.8 * largest { "#ffffff" } else { "#1a1a1a" },
            }));
        }
    }
    let side = |field: &str, title: &str, orient: &str| {
        json!({
            "field": field, "type": "nominal", "sort": null,
            "axis": { "title": shown(title), "orient": orient, "labelAngle": 0, "grid": false },
        })
    };
    let layers = json!([
        {
            "mark": { "type": "rect" },
            "encoding": {
                "color": {
                    "field": "value", "type": "quantitative", "legend": null,
                    "scale": { "domain": [-largest, 0.0, largest], "range": ["#2166ac", "#f4f4f2", "#b2420b"] },
                },
                "tooltip": tooltip(&["row", "column", "value", "low", "high", "n"]),
            },
        },
        {
            "mark": { "type": "text", "fontSize": 12 },
            "encoding": {
                "text": { "field": "number" },
                "color": { "field": "ink", "type": "nominal", "scale": null },
            },
        },
    ]);
    figure(
        &matrix.title,
        &values,
        json!({
            "width": { "step": 90 },
            "height": { "step": 38 },
            "encoding": {
                "x": side("column", &matrix.sides.1, "top"),
                "y": side("row", &matrix.sides.0, "left"),
            },
            "resolve": { "scale": { "color": "independent" } },
            "layer": layers,
        }),
    )
}
