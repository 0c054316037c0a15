//! Two runs, or two conditions, side by side.
//!
//! Each side keeps its own intervals. A difference between conditions gets an interval only where
//! it can be paired by seed within one run; elsewhere no difference is computed.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use owlet_lab::RunResult;
use owlet_lab::kind::inherit::result::{
    Arm, Control, Estimate, InheritResult, Interval, Measure, Method, Reading,
};
use owlet_lab::report::block::{Block, Dot, DotRow, Dots, Line, Part, Span, estimate};
use owlet_lab::report::html as report;
use owlet_lab::report::number::Quantity;
use owlet_lab::stats;
use owlet_lab::value::text;
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::index::RunState;
use super::page::Page;
use super::parts::{cell, code, name, section, table};
use super::query::Query;
use super::run::RunView;
use super::runs::verdicts;
use super::settings::values;
use super::window::Window;

/// Runs offered for choice.
const OFFERED: usize = 50;

/// One side.
struct Side {
    view: RunView,
    result: Option<RunResult>,
}

impl Side {
    fn result(&self) -> Option<&InheritResult> {
        self.result.as_ref()?.of()
    }
}

impl Window {
    fn side(&self, id: &str) -> Result<Side> {
        let view = self.view(&self.run_id(id)?)?;
        let result = self.result(&view.run)?;
        Ok(Side { view, result })
    }

    pub(super) fn compare_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let (Some(a), Some(b)) = (query.get("a"), query.get("b")) else {
            let missing = query.get("a").is_some() || query.get("b").is_some();
            let body = html! {
                @if missing { p { "Two runs are needed, one for each side." } }
                (self.choice(query))
            };
            return Ok(Page::new("workspace", "Compare", body, json!({ "a": null, "b": null })));
        };
        let (a, b) = (self.side(a)?, self.side(b)?);
        // `last` by its name.
        let query = &query.with(&[("a", a.view.line.id.as_str()), ("b", b.view.line.id.as_str())]);
        let same = a.view.line.id == b.view.line.id;
        let (Some(first), Some(second)) = (a.result(), b.result()) else {
            let body = html! {
                p { "Only runs with a result can be compared." }
                (self.choice(query))
            };
            return Ok(Page::new(
                "workspace",
                "Compare",
                body,
                json!({ "a": *a.view.line, "b": *b.view.line }),
            ));
        };
        let conditions = conditions(query, first, second)?;
        let differing = differing(&a.view, &b.view);
        let effects = effects(first, second);
        let body = html! {
            (self.choice(query))
            div class="sides" {
                @for (letter, side) in [("A", &a), ("B", &b)] {
                    div class="side" {
                        h2 { (letter) ": " a href={ "/run/" (side.view.line.id) } { (name(&side.view.line.name)) } }
                        p class="note" { (side.view.line.id.as_str()) ", " (text::counted(side.view.line.seeds, "seed")) ", base " (name(&side.view.line.base)) }
                        (verdicts(&side.view.line.verdicts))
                    }
                }
            }
            (section("conditions", "Two conditions", &condition_body(query, first, second, conditions, same)))
            @if !same {
                (section("effects", "Students over each control", &effects_body(&effects)))
                (section("settings", "Settings that differ", &differing_body(&differing)))
            }
        };
        let data = json!({
            "a": *a.view.line, "b": *b.view.line,
            "settings": differing.iter().map(|(path, a, b)| json!({ "path": path, "a": a, "b": b })).collect::<Vec<_>>(),
            "effects": effects.iter().map(|effect| json!({
                "comparison": effect.label, "measure": effect.measure, "a": effect.a, "b": effect.b,
            })).collect::<Vec<_>>(),
            "conditions": condition_data(conditions, first.primary, same),
        });
        Ok(Page::new("workspace", "Compare", body, data))
    }

    fn choice(&self, query: &Query) -> Markup {
        let (lines, _) = self.index.runs();
        let finished: Vec<_> = lines
            .iter()
            .rev()
            .filter(|line| line.state == RunState::Finished)
            .take(OFFERED)
            .collect();
        html! {
            form class="filters" method="get" action="/compare" {
                @for (side, words) in [("a", "Run A "), ("b", "Run B ")] {
                    @let chosen = query.get(side);
                    label {
                        (words)
                        select name=(side) {
                            // One that is older than those offered.
                            @if let Some(chosen) = chosen {
                                @if !finished.iter().any(|line| line.id.as_str() == chosen) {
                                    option value=(chosen) selected { (name(chosen)) }
                                }
                            }
                            @for line in &finished {
                                option value=(line.id) selected[chosen == Some(line.id.as_str())] {
                                    (name(&line.name)) " " (line.id.nonce())
                                }
                            }
                        }
                    }
                }
                button type="submit" { "Compare" }
            }
        }
    }
}

/// An arm of a run.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    result: &'a InheritResult,
    arm: &'a Arm,
}

impl<'a> Chosen<'a> {
    fn reading(&self, behavior: &'a str, measure: Measure) -> Option<&'a Reading> {
        self.result.reading(self.arm, behavior, measure)
    }

    /// Values by seed, of models that have one.
    fn by_seed(&self, behavior: &'a str, measure: Measure) -> BTreeMap<u64, f64> {
        self.reading(behavior, measure).map(Reading::by_seed).unwrap_or_default()
    }

    fn data(&self) -> Value {
        let readings: Vec<&Reading> =
            self.result.readings.iter().filter(|reading| reading.arm == *self.arm).collect();
        json!({ "arm": self.arm, "label": self.arm.label(), "readings": readings })
    }
}

/// The arms asked for, by default the students of the first behavior, and their control.
fn conditions<'a>(
    query: &Query,
    a: &'a InheritResult,
    b: &'a InheritResult,
) -> Result<(Chosen<'a>, Chosen<'a>)> {
    let find = |key: &'static str, result: &'a InheritResult, default: usize| {
        let arm = if let Some(id) = query.get(key) {
            let known = result.arms.iter().find(|arm| arm.to_string() == id);
            known.ok_or_else(|| Error::query(key, id, "a condition of the run"))?
        } else {
            let mut students = result.arms.iter().filter(|arm| matches!(arm, Arm::Student(_)));
            let found = students.nth(default).or_else(|| result.arms.first());
            found.ok_or_else(|| Error::query(key, "", "a run with conditions"))?
        };
        Ok::<_, Error>(Chosen { result, arm })
    };
    let second = usize::from(std::ptr::eq(a, b));
    Ok((find("ac", a, 0)?, find("bc", b, second)?))
}

/// Behaviors that either side reads, by name.
fn behaviors<'a>(a: Chosen<'a>, b: Chosen<'a>) -> BTreeSet<&'a String> {
    let all = |side: Chosen<'a>| side.result.behaviors.iter().chain(&side.result.read_also);
    all(a).chain(all(b)).collect()
}

/// What the sides' verdicts rest on: usually one measure, two where the sides differ.
fn measures(a: &InheritResult, b: &InheritResult) -> BTreeSet<Measure> {
    BTreeSet::from([a.primary, b.primary])
}

/// A minus B, paired by seed, where both have the same seeds.
fn paired<'a>(
    a: Chosen<'a>,
    b: Chosen<'a>,
    behavior: &'a str,
    measure: Measure,
) -> Option<stats::Estimate> {
    let (a, b) = (a.by_seed(behavior, measure), b.by_seed(behavior, measure));
    if a.len() < 2 {
        return None;
    }
    let names = stats::Names { unit: "seed pair", reference: "B" };
    stats::Estimate::paired(&a, &b, 0.95, stats::Sides::Both, names).ok()
}

/// An estimate with how many of what it is over.
fn shown(quantity: Quantity, one: Option<&Estimate>) -> Line {
    cell(one.map(|one| {
        let over = Span::Quiet(format!(" n = {}", text::counted(one.n, &one.unit)));
        Line::from(estimate(quantity, one)).and(over)
    }))
}

/// Estimates of both sides, a row each.
fn sides(
    id: &str,
    title: String,
    axis: String,
    quantity: Quantity,
    rows: &[(String, [Option<Estimate>; 2])],
) -> Markup {
    let dot =
        |part, estimate: &Option<Estimate>| estimate.clone().map(|estimate| Dot { part, estimate });
    let rows = rows.iter().map(|(label, [a, b])| DotRow {
        label: label.clone(),
        dots: [dot(Part::Treatment, a), dot(Part::Control, b)].into_iter().flatten().collect(),
        stretches: true,
        number: None,
    });
    report::block(&Block::Dots(Dots {
        id: id.to_owned(),
        title,
        axis,
        quantity,
        zero: true,
        joined: false,
        legend: vec![(Part::Treatment, "A".to_owned()), (Part::Control, "B".to_owned())],
        rows: rows.collect(),
    }))
}

fn condition_body(
    query: &Query,
    first: &InheritResult,
    second: &InheritResult,
    (a, b): (Chosen<'_>, Chosen<'_>),
    same: bool,
) -> Markup {
    html! {
        form class="filters" method="get" action="/compare" {
            @for key in ["a", "b"] { input type="hidden" name=(key) value=[query.get(key)]; }
            @for (key, words, result, chosen) in [("ac", "A ", first, a), ("bc", "B ", second, b)] {
                label {
                    (words)
                    select name=(key) {
                        @for arm in &result.arms {
                            option value=(arm) selected[arm == chosen.arm] { (name(&arm.label())) " (" (name(&arm.to_string())) ")" }
                        }
                    }
                }
            }
            button type="submit" { "Show" }
        }
        @for measure in measures(first, second) { (condition_table(measure, a, b, same)) }
        p class="note" {
            @if same {
                "A minus B is paired by seed where both conditions have the same seeds: mean of differences, 95 % t interval. "
                "It is one of many that could be looked at, and is corrected for none of them."
            } @else {
                "The sides are two runs, whose seeds do not pair: each keeps its own interval and no difference is computed."
            }
        }
    }
}

/// Both conditions in one measure.
fn condition_table(measure: Measure, a: Chosen<'_>, b: Chosen<'_>, same: bool) -> Markup {
    let quantity = Quantity::Value(measure);
    let mut rows = Vec::new();
    let mut drawn = Vec::new();
    for behavior in behaviors(a, b) {
        let both = [a, b].map(|side| Some(&side.reading(behavior, measure)?.estimate));
        if both.iter().all(Option::is_none) {
            continue;
        }
        let paired = if same { paired(a, b, behavior, measure) } else { None };
        let paired = paired.map(|paired| Estimate {
            value: paired.value,
            interval: paired.interval.map(|interval| Interval {
                low: interval.low,
                high: interval.high,
                level: 0.95,
            }),
            method: Method::PairedT,
            unit: "seed pair".to_owned(),
            n: paired.n,
        });
        rows.push(vec![
            cell(behavior),
            shown(quantity, both[0]),
            shown(quantity, both[1]),
            shown(Quantity::Difference(measure), paired.as_ref()),
        ]);
        drawn.push((behavior.clone(), both.map(Option::<&Estimate>::cloned)));
    }
    let what = measure.axis();
    html! {
        (sides("conditions", format!("The two conditions: {what}"), what.to_owned(), quantity, &drawn))
        (table(
            &format!("At the end of training, in the matched context: {what}"),
            &["behavior", "#A", "#B", "#A minus B"],
            rows,
        ))
    }
}

fn condition_data((a, b): (Chosen<'_>, Chosen<'_>), measure: Measure, same: bool) -> Value {
    json!({
        "a": a.data(), "b": b.data(),
        "differences": behaviors(a, b).into_iter().filter(|_| same).filter_map(|behavior| {
            let paired = paired(a, b, behavior, measure)?;
            Some(json!({
                "behavior": behavior, "measure": measure, "value": paired.value, "n": paired.n,
                "low": paired.interval.map(|interval| interval.low), "high": paired.interval.map(|interval| interval.high),
            }))
        }).collect::<Vec<_>>(),
    })
}

/// A comparison that either run made.
struct Compared {
    label: String,
    measure: Measure,
    a: Option<Estimate>,
    b: Option<Estimate>,
}

/// Every comparison either run made, in what their verdicts rest on.
fn effects(a: &InheritResult, b: &InheritResult) -> Vec<Compared> {
    let wanted = measures(a, b);
    let mut all: BTreeMap<(Measure, String, Control), [Option<Estimate>; 2]> = BTreeMap::new();
    for (at, result) in [a, b].into_iter().enumerate() {
        for effect in result.effects.iter().filter(|effect| wanted.contains(&effect.measure)) {
            let key = (effect.measure, effect.behavior.clone(), effect.control);
            let entry = all.entry(key).or_default();
            // The matched context stands first.
            if entry[at].is_none() {
                entry[at] = Some(effect.estimate.clone());
            }
        }
    }
    all.into_iter()
        .map(|((measure, behavior, control), [a, b])| {
            let label = format!("{} over {}", behavior, control.label());
            Compared { label, measure, a, b }
        })
        .collect()
}

fn effects_body(effects: &[Compared]) -> Markup {
    let measures: BTreeSet<Measure> = effects.iter().map(|effect| effect.measure).collect();
    html! {
        @for measure in measures {
            @let rows: Vec<(String, [Option<Estimate>; 2])> = effects
                .iter()
                .filter(|effect| effect.measure == measure)
                .map(|effect| (effect.label.clone(), [effect.a.clone(), effect.b.clone()]))
                .collect();
            @let axis = format!("difference in {}", measure.axis());
            @let title = "Students over each control in both runs".to_owned();
            (sides("effects", title, axis, Quantity::Difference(measure), &rows))
        }
    }
}

fn differing(a: &RunView, b: &RunView) -> Vec<(String, String, String)> {
    let resolved = |side: &RunView| values(&side.run.resolved().unwrap_or_default());
    let (a, b) = (resolved(a), resolved(b));
    let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let none = String::from("–");
    paths
        .into_iter()
        .filter(|path| a.get(*path) != b.get(*path))
        .map(|path| {
            let side =
                |values: &BTreeMap<String, String>| values.get(path).unwrap_or(&none).clone();
            (path.clone(), side(&a), side(&b))
        })
        .collect()
}

fn differing_body(differing: &[(String, String, String)]) -> Markup {
    let rows = differing.iter().map(|(path, a, b)| vec![code(path), code(a), code(b)]);
    html! {
        @if differing.is_empty() {
            p { "None: both runs are of one recipe. " a href="/steps" { "Steps" } " that they share were made once." }
        } @else {
            (table("As resolved", &["setting", "A", "B"], rows))
        }
    }
}
