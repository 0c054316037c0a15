//! Two runs, or two conditions, side by side.
//!
//! Each side keeps its own intervals. A difference between conditions gets an interval only where
//! it can be paired by seed within one run; elsewhere no difference is computed.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use owlet_lab::RunResult;
use owlet_lab::kind::inherit::result::{
    Condition, Estimate, InheritResult, Interval, Measure, Method, Role, SeedReadout,
};
use owlet_lab::report;
use owlet_lab::run::execute;
use owlet_lab::stats;
use owlet_lab::value::text;
use serde_json::{Value, json};

use super::curve;
use super::error::{Error, Result};
use super::index::RunState;
use super::page::Page;
use super::parts::{cell, link, name, section, table};
use super::query::Query;
use super::run::RunView;
use super::runs::verdicts;
use super::settings::{file, values};
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

/// The conditions asked for, by default the students of the first behavior, and their control.
fn conditions<'a>(
    query: &Query,
    a: &'a InheritResult,
    b: &'a InheritResult,
) -> Result<(&'a Condition, &'a Condition)> {
    let find = |key: &'static str, result: &'a InheritResult, default: usize| {
        if let Some(id) = query.get(key) {
            let known = result.condition(id);
            return known.ok_or_else(|| Error::query(key, id, "a condition of the run"));
        }
        let mut students = result
            .conditions
            .iter()
            .filter(|condition| matches!(condition.role, Role::Student | Role::Neutral));
        let found = students.nth(default).or_else(|| result.conditions.first());
        found.ok_or_else(|| Error::query(key, "", "a run with conditions"))
    };
    let second = usize::from(std::ptr::eq(a, b));
    Ok((find("ac", a, 0)?, find("bc", b, second)?))
}

/// What the sides' verdicts rest on: usually one measure, two where the sides differ.
fn measures(a: &InheritResult, b: &InheritResult) -> BTreeSet<Measure> {
    BTreeSet::from([a.primary, b.primary])
}

/// Values by seed, of models that have one.
fn by_seed(condition: &Condition, behavior: &str, measure: Measure) -> BTreeMap<u64, f64> {
    let readout = condition.readouts.get(behavior);
    let seeds = readout.into_iter().flat_map(|readout| &readout.per_seed);
    let value = |read: &SeedReadout| match measure {
        Measure::Margin => read.margin,
        Measure::Share => read.share,
        Measure::Rate => read.rate,
    };
    seeds.filter_map(|read| Some((read.seed?, value(read)?))).collect()
}

/// A minus B, paired by seed, where both have the same seeds.
fn paired(
    a: &Condition,
    b: &Condition,
    behavior: &str,
    measure: Measure,
) -> Option<stats::Estimate> {
    let (a, b) = (by_seed(a, behavior, measure), by_seed(b, behavior, measure));
    if a.len() < 2 || a.is_empty() {
        return None;
    }
    let names = stats::Names { unit: "seed pair", reference: "B" };
    stats::Estimate::paired(&a, &b, 0.95, stats::Sides::Both, names).ok()
}

/// How many of what.
fn counted(estimate: &Estimate) -> Markup {
    html! { small { " n = " (estimate.n) " " (name(&estimate.unit)) @if estimate.n != 1 { "s" } } }
}

fn shown(measure: Measure, estimate: Option<&Estimate>) -> Markup {
    html! {
        @match estimate {
            Some(estimate) => { (report::with_interval(measure, estimate)) (counted(estimate)) },
            None => "–",
        }
    }
}

fn difference(measure: Measure, estimate: Option<&Estimate>) -> Markup {
    html! {
        @match estimate {
            Some(estimate) => { (report::difference_with_interval(measure, estimate)) (counted(estimate)) },
            None => "–",
        }
    }
}

/// In a table's words: what, in which unit.
fn title(measure: Measure) -> (&'static str, &'static str) {
    match measure {
        Measure::Margin => ("margin", "nats"),
        Measure::Share => ("share", "%"),
        Measure::Rate => ("rate of sampled answers", "%"),
    }
}

/// An estimate as it is drawn: rates in per cent.
fn drawn(measure: Measure, estimate: Option<&Estimate>) -> Option<Estimate> {
    let factor = if measure == Measure::Margin { 1.0 } else { 100.0 };
    let mut estimate = estimate?.clone();
    estimate.value *= factor;
    if let Some(interval) = &mut estimate.interval {
        (interval.low, interval.high) = (factor * interval.low, factor * interval.high);
    }
    Some(estimate)
}

fn condition_body(
    query: &Query,
    first: &InheritResult,
    second: &InheritResult,
    (a, b): (&Condition, &Condition),
    same: bool,
) -> Markup {
    html! {
        form class="filters" method="get" action="/compare" {
            @for key in ["a", "b"] { input type="hidden" name=(key) value=[query.get(key)]; }
            @for (key, words, result, chosen) in [("ac", "A ", first, a), ("bc", "B ", second, b)] {
                label {
                    (words)
                    select name=(key) {
                        @for condition in &result.conditions {
                            option value=(condition.id) selected[condition.id == chosen.id] { (name(&condition.label)) " (" (name(&condition.id)) ")" }
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
fn condition_table(measure: Measure, a: &Condition, b: &Condition, same: bool) -> Markup {
    let behaviors: BTreeSet<&String> = a.readouts.keys().chain(b.readouts.keys()).collect();
    let (what, unit) = title(measure);
    let mut rows = Vec::new();
    let mut dots = Vec::new();
    for behavior in behaviors {
        let sides = [a, b].map(|condition| condition.readouts.get(behavior)?.estimate(measure));
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
            cell(name(behavior)),
            shown(measure, sides[0]),
            shown(measure, sides[1]),
            difference(measure, paired.as_ref()),
        ]);
        let [a, b] = sides.map(|side| drawn(measure, side));
        dots.push(curve::Pair { label: behavior.clone(), a, b });
    }
    html! {
        (curve::pairs(&format!("The two conditions: {what}"), &format!("{what}, {unit}"), &dots))
        (table(
            &format!("At the end of training, in the matched context: {what}, {unit}"),
            &["behavior", "#A", "#B", "#A minus B"],
            &rows,
        ))
    }
}

fn condition_data((a, b): (&Condition, &Condition), measure: Measure, same: bool) -> Value {
    let behaviors: BTreeSet<&String> = a.readouts.keys().chain(b.readouts.keys()).collect();
    json!({
        "a": a, "b": b,
        "differences": behaviors.iter().filter(|_| same).filter_map(|behavior| {
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
    let mut all: BTreeMap<(Measure, String, Role), [Option<Estimate>; 2]> = BTreeMap::new();
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
            @let (what, unit) = title(measure);
            @let unit = if measure == Measure::Margin { unit } else { "points" };
            @let effects: Vec<&Compared> = effects.iter().filter(|effect| effect.measure == measure).collect();
            @let dots: Vec<curve::Pair> = effects
                .iter()
                .map(|effect| curve::Pair {
                    label: effect.label.clone(),
                    a: drawn(measure, effect.a.as_ref()),
                    b: drawn(measure, effect.b.as_ref()),
                })
                .collect();
            @let rows: Vec<Vec<Markup>> = effects
                .iter()
                .map(|effect| vec![
                    cell(name(&effect.label)),
                    difference(measure, effect.a.as_ref()),
                    difference(measure, effect.b.as_ref()),
                ])
                .collect();
            (curve::pairs("Students over each control in both runs", &format!("difference in {what}, {unit}"), &dots))
            (table(&format!("Differences in {what}, {unit}"), &["comparison", "#A", "#B"], &rows))
        }
    }
}

fn differing(a: &RunView, b: &RunView) -> Vec<(String, String, String)> {
    let (a, b) = (values(&file(&a.run, execute::RECIPE)), values(&file(&b.run, execute::RECIPE)));
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
    let rows: Vec<Vec<Markup>> = differing
        .iter()
        .map(|(path, a, b)| {
            [path, a, b].iter().map(|words| html! { code { (name(words)) } }).collect()
        })
        .collect();
    html! {
        @if rows.is_empty() {
            p { "None: both runs are of one recipe. " (link("/steps", "Steps")) " that they share were made once." }
        } @else {
            (table("As resolved", &["setting", "A", "B"], &rows))
        }
    }
}
