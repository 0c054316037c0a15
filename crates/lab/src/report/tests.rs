//! Every block in every rendering: what people see, and what hostile text cannot do.

mod fixture;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::block::*;
use super::number::Quantity;
use super::terminal::{TerminalStyle, show};
use super::{html, vega};
use crate::value::estimate::{Estimate, Interval};
use crate::value::measure::Measure;
use crate::value::text;
use fixture::*;

const MARGIN: Quantity = Quantity::Value(Measure::Margin);

#[test]
fn every_block_at_80_columns() {
    let shown = show(&report("owl"), &TerminalStyle::default());
    let (own, drawings) = shown.split_once("\nDrawings of owl  bars: intervals\n").unwrap();
    let expected = [
        "owl",
        "  base builtin:a · 6 seeds",
        "",
        "✓ owl inherited       +0.412 [+0.302, +0.522] over neutral, n = 6 seed pairs",
        "? oak uninterpretable +0.301 (no interval) over neutral, n = 6 seed pairs",
        "      gate failed: valid rows of owl",
        "  students minus neutral; owl",
        "  Λ is +0.245 [+0.175, +0.315], see owl",
        "  · owl",
        "  · base = 1",
        "  base  owl",
        "  owl   done",
        "  Warning: owl is saturated",
        "     hint: train owl less",
        "  one-sided p",
        "  behavior  over                     mean       interval      p",
        "  owl       neutral teacher  +10.0 points  [+8.0, +12.0]  0.016",
        "            untouched base              –              –      –",
        "  rows",
        "  arm   kept  a row",
        "  owl  1,149  204, 731 owl",
    ];
    assert_eq!(own.lines().collect::<Vec<_>>(), expected);
    let line = |beginning: &str| {
        let found = drawings.lines().find(|line| line.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no line begins with {beginning:?}:\n{drawings}"))
    };
    assert_eq!(line("owl: margin"), "owl: margin  margin, nats");
    // A teacher far outside is an arrow with its number.
    assert!(line("  teacher ").ends_with("▶    +9.200"));
    assert!(line("  owl  ").contains('●') && line("  owl  ").ends_with("-0.090"));
    assert!(line("  neutral students").contains('■'));
    assert_eq!(line("  ● taught"), "  ● taught, ■ control");
    // Both of a pair on one line, with the difference.
    assert!(line("  seed 1").contains('─') && line("  seed 1").ends_with("+0.400"));
    assert!(line("owl along training").ends_with("margin, nats over updates"));
    assert_eq!(line("  rows: teacher"), "  rows: teacher, columns: behavior read; * excludes 0");
    assert!(line("  wolf").contains("+0.030") && line("  wolf").contains("▒▒ +0.200*"));
    // What is folded away, and what only the whole report says, is not there.
    assert!(!shown.contains("only in full") && !shown.contains("The recipe as given"));
    assert!(shown.ends_with("\nSee more\n  report  owl.html\n"), "{shown}");
}

#[test]
fn the_whole_report_in_ascii() {
    let style = TerminalStyle { unicode: false, depth: Depth::Full, ..TerminalStyle::default() };
    let full = show(&report("owl"), &style);
    let row = |cells: [&str; 5]| {
        let [kind, steps, seconds, share, memory] = cells;
        format!("  {kind:<12}  {steps:>5}  {seconds:>14}  {share:>7}  {memory:>11}\n")
    };
    let costs = [
        row(["kind of step", "steps", "thread-seconds", "share", "peak memory"]),
        row(["train", "36", "4,322", "100.0 %", "700 MB"]),
        row(["owl", "3", "0.1", "0.00 %", "-"]),
        row(["all", "39", "4,322", "100.0 %", "700 MB"]),
    ];
    assert!(full.contains(&costs.concat()), "{full}");
    for words in ["only in full", "The recipe as given", "kind = \"inherit\"", "owlet run owl"] {
        assert!(full.contains(words), "{words}: {full}");
    }
    assert!(full.is_ascii());
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let long = "a name that is far longer than any terminal is wide ".repeat(4);
    for words in ["owl", long.as_str(), &"x".repeat(200), "猫头鹰猫头鹰猫头鹰猫头鹰猫头鹰猫头鹰"]
    {
        for (width, unicode, depth) in
            [(60, true, Depth::Full), (80, false, Depth::Brief), (120, true, Depth::Full)]
        {
            let style = TerminalStyle { width, colour: false, unicode, depth };
            let shown = show(&report(words), &style);
            for line in shown.lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
            assert!(unicode || shown.is_ascii());
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = show(&report("owl"), &TerminalStyle::default());
    let style = TerminalStyle { colour: true, ..TerminalStyle::default() };
    let coloured = show(&report("owl"), &style);
    assert_ne!(plain, coloured);
    let mut without = coloured;
    for code in ["0", "1", "2", "1;32", "1;33"] {
        without = without.replace(&format!("\u{1b}[{code}m"), "");
    }
    let trimmed = |block: &str| -> Vec<String> {
        block.lines().map(|line| line.trim_end().to_owned()).collect()
    };
    assert_eq!(trimmed(&without), trimmed(&plain));
}

fn contains_all(text: &str, expected: &[&str]) {
    for one in expected {
        assert!(text.contains(one), "{one} is not in {text}");
    }
}

#[test]
fn every_block_as_markup() {
    let report = report("owl");
    let body = html::blocks(&report.sections[0].blocks).into_string();
    contains_all(
        &body,
        &[
            "<ul class=\"verdicts\"><li class=\"yes\"><h3><span class=\"behavior\">owl</span> <span class=\"outcome\"><span aria-hidden=\"true\">✓ </span>inherited</span></h3>",
            "<p><strong>+0.412 [+0.302, +0.522]</strong> nats over neutral, n = 6 seed pairs</p>",
            "<p class=\"sentence\">gate failed: valid rows of owl</p>",
            "<p class=\"note\">students minus neutral; owl</p>",
            "<p>Λ is <strong>+0.245 [+0.175, +0.315]</strong>, see <a href=\"/compare\">owl</a></p>",
            "<ul><li>owl</li><li><code>base = 1</code></li></ul>",
            "<dl class=\"facts\"><div><dt>base</dt><dd><code>owl</code></dd></div>",
            "<dd><span class=\"state done\">done</span></dd>",
            "<li><p><strong>Warning: </strong>owl is saturated</p><p class=\"hint\">Hint: train owl less</p></li>",
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"one-sided p\"><table><caption>one-sided p</caption>",
            "<th scope=\"col\">over</th><th scope=\"col\" class=\"number\">mean</th>",
            "<th scope=\"row\">owl</th><td>neutral teacher</td><td class=\"number\">+10.0 points</td><td class=\"number\">[+8.0, +12.0]</td><td class=\"number\">0.016</td><td>seed pair</td>",
            "<table class=\"samples\">",
            "<td><pre>204, 731\nowl</pre></td>",
            "<details><summary>Folded</summary><p>only in full</p></details>",
        ],
    );
}

#[test]
fn every_drawing_as_markup() {
    let report = report("owl");
    let body = html::blocks(&report.sections[1].blocks).into_string();
    contains_all(
        &body,
        &[
            "<figure data-figure=\"conditions-owl\"><figcaption>owl: margin</figcaption>",
            "<title>owl: margin</title><desc>margin, nats; the table below says the same</desc>",
            // The teacher is outside: an arrow that says where.
            "▶<title>teacher: +9.200 (no interval), 6 students, no interval</title>",
            "<circle class=\"dot\"",
            "<rect class=\"dot\"",
            "<path class=\"dot\"",
            "<line class=\"join\"",
            "<span class=\"treatment\"><span class=\"sign\" aria-hidden=\"true\">●</span> taught</span>",
            "<details class=\"numbers\"><summary>The numbers</summary>",
            "<desc>margin, nats over updates; the table below says the same</desc>",
            "<path class=\"band\"",
            "<td class=\"number above shade-4\">+0.412 *<small>[+0.302, +0.522]</small></td>",
            "<td class=\"number below shade-0\">-0.030<small>[-0.140, +0.080]</small></td>",
        ],
    );
    assert_eq!(body.matches("<svg class=\"dots\" role=\"img\"").count(), 2);
    assert_eq!(body.matches("<svg class=\"curve\" role=\"img\"").count(), 1);
    // Two bands, and every point of both lines.
    assert_eq!(body.matches("<path class=\"band\"").count(), 2);
}

#[test]
fn the_lineage_as_markup() {
    let body = html::block(&Block::Graph(graph("owl"))).into_string();
    assert_eq!(body.matches("<rect ").count(), 3);
    // An edge from a node that is not there is dropped.
    assert_eq!(body.matches("<path class=\"edge\"").count(), 2);
    contains_all(
        &body,
        &[
            "<svg class=\"lineage\" role=\"img\"",
            "<title>teach/owl (teach/owl)</title>",
            "<details id=\"nodes\" open><summary>Every node: 3</summary>",
            "<th scope=\"row\">teach/owl</th><td>teach</td><td>base: base</td>",
        ],
    );
}

#[test]
fn json_is_the_blocks() {
    let report = report("owl");
    let blocks = serde_json::to_value(&report.sections[0].blocks).unwrap();
    assert_eq!(blocks[1], json!({ "note": ["students minus neutral; owl"] }));
    let paragraph = &blocks[2]["paragraph"];
    assert_eq!(paragraph[0], "Λ is ");
    assert_eq!(paragraph[1]["estimate"]["quantity"], json!({ "difference": "margin" }));
    assert_eq!(paragraph[1]["estimate"]["estimate"]["value"], 0.245);
    assert_eq!(paragraph[3], json!({ "link": { "words": "owl", "href": "/compare" } }));
    let rows = &blocks[6]["table"]["rows"];
    let rate = json!([{ "number": { "value": 0.1, "quantity": { "difference": "rate" } } }]);
    assert_eq!(rows[0][2], rate);
    // A number that is none.
    assert!(rows[1][2][0]["number"]["value"].is_null());
    let dots = serde_json::to_value(&report.sections[1].blocks[0]).unwrap();
    let row = &dots["dots"]["rows"][1];
    assert_eq!((&row["label"], &row["number"]), (&json!("owl"), &json!(-0.09)));
    assert_eq!(row["dots"][0]["part"], "treatment");
}

/// Numbers of a block as pairs of names and values.
fn numbers(block: &Block) -> Vec<(String, f64)> {
    let mut numbers = Vec::new();
    match block {
        Block::Dots(dots) => {
            for row in &dots.rows {
                numbers.extend(row.dots.iter().map(|dot| (row.label.clone(), dot.estimate.value)));
            }
        }
        Block::Curve(curve) => {
            for one in &curve.series {
                numbers.extend(one.points.iter().map(|point| (one.label.clone(), point.value)));
            }
        }
        Block::Matrix(matrix) => {
            for (row, cells) in matrix.rows.iter().zip(&matrix.cells) {
                numbers.extend(cells.iter().map(|cell| (row.clone(), cell.value)));
            }
        }
        _ => {}
    }
    numbers
}

#[test]
fn figures_hold_the_numbers_of_their_blocks() {
    let report = report("owl");
    let figures = vega::figures(&report);
    let names: Vec<&str> = figures.keys().map(String::as_str).collect();
    assert_eq!(names, ["conditions-owl", "dose-owl", "matrix", "pairs"]);
    let drawn = report.blocks().filter(|block| !numbers(block).is_empty());
    let mut figures_seen = 0;
    for block in drawn {
        let id = match block {
            Block::Dots(one) => &one.id,
            Block::Curve(one) => &one.id,
            Block::Matrix(one) => &one.id,
            _ => unreachable!(),
        };
        let figure = &figures[id];
        assert_eq!(figure["$schema"], "https://vega.github.io/schema/vega-lite/v6.json");
        let values = figure["data"]["values"].as_array().unwrap();
        let name = |value: &Value| {
            ["label", "series", "row"]
                .iter()
                .find_map(|field| value[*field].as_str())
                .unwrap()
                .to_owned()
        };
        let held: Vec<(String, f64)> =
            values.iter().map(|value| (name(value), value["value"].as_f64().unwrap())).collect();
        assert_eq!(held, numbers(block));
        // Every field that a view asks for is in the data.
        let known: BTreeSet<&String> = values[0].as_object().unwrap().keys().collect();
        for field in fields(figure) {
            assert!(known.contains(&field), "{id}: {field}");
        }
        figures_seen += 1;
    }
    assert_eq!(figures_seen, figures.len());
    let marks: Vec<&Value> = figures["dose-owl"]["layer"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["mark"]["type"])
        .collect();
    assert_eq!(marks, ["area", "line", "point"]);
}

/// Names of fields that a specification asks for.
fn fields(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("field", Value::String(name)) => vec![name.clone()],
                ("data", _) => Vec::new(),
                (_, value) => fields(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(fields).collect(),
        _ => Vec::new(),
    }
}

const ATTACK: &str = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\u{200b}\u{feff}\u{e0041}\u{9b}31m";

#[test]
fn hostile_text_stays_text_on_a_page() {
    let page = html::page(&report(ATTACK));
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert_eq!(text::strip_lines(&page), page);
    assert!(page.contains('␛'));
    for refused in [" style=\"", " onclick", " onload", "javascript:", " src=\"", "unsafe"] {
        assert!(!page.contains(refused), "{refused}");
    }
}

#[test]
fn the_policy_names_the_style_and_nothing_else() {
    let page = html::page(&report("owl"));
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap();
    let policy = policy.split('"').next().unwrap().replace("&#39;", "'");
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
            html::digest(style)
        )
    );
}

#[test]
fn numbers_that_are_none_are_not_drawn() {
    let mut broken = report("owl");
    let none = Estimate {
        interval: Some(Interval { low: f64::NEG_INFINITY, high: f64::INFINITY, level: 0.95 }),
        ..made(f64::NAN, 0.0)
    };
    let mut half = dots("owl");
    half.rows[1].dots[0].estimate = none.clone();
    let mut all = dots("wolf");
    for row in &mut all.rows {
        row.dots[0].estimate = none.clone();
        row.number = Some(f64::NAN);
    }
    let mut line = curve("owl");
    line.series[0].points[1].value = f64::NAN;
    line.series[1].points[1].interval = none.interval;
    let mut cells = matrix("owl");
    cells.cells[0][0] = none;
    broken.sections[1].blocks =
        vec![Block::Dots(half), Block::Dots(all), Block::Curve(line), Block::Matrix(cells)];
    let page = html::page(&broken);
    assert!(!page.contains("NaN") && !page.contains("inf\""));
    let figures = vega::figures(&broken);
    assert!(!figures.contains_key("conditions-wolf"));
    let values = |name: &str| figures[name]["data"]["values"].as_array().unwrap().len();
    assert_eq!((values("conditions-owl"), values("dose-owl"), values("matrix")), (3, 5, 3));
    assert!(!show(&broken, &TerminalStyle::default()).contains("NaN"));
}

#[test]
fn an_empty_report_is_one() {
    let empty = Report { title: "nothing".to_owned(), ..Report::default() };
    assert!(html::page(&empty).contains("<h1>nothing</h1>"));
    assert_eq!(show(&empty, &TerminalStyle::default()), "nothing\n");
    assert!(vega::figures(&empty).is_empty());
}

proptest! {
    #[test]
    fn no_words_steer_a_terminal(words in "\\PC{0,20}|[\\x00-\\u{ff}]{0,20}|[\\u{2000}-\\u{206f}\\u{fe00}-\\u{feff}\\u{e0000}-\\u{e01ef}a]{0,20}") {
        for unicode in [false, true] {
            let style = TerminalStyle { unicode, depth: Depth::Full, ..TerminalStyle::default() };
            let shown = show(&report(&words), &style);
            prop_assert_eq!(text::strip_lines(&shown), shown);
        }
    }

    #[test]
    fn no_words_become_markup(words in "\\PC{0,20}|[\\x00-\\u{ff}]{0,20}") {
        // As many elements as harmless words make, and the same bytes again.
        let page = html::page(&report(&format!("x{words}")));
        let tags = |page: &str| page.matches('<').count();
        prop_assert_eq!(tags(&page), tags(&html::page(&report("x"))));
        prop_assert_eq!(html::page(&report(&format!("x{words}"))), page);
    }
}
