//! Two runs, or two conditions, side by side.
//!
//! Each side keeps its own intervals. A difference between conditions gets an interval only where
//! it can be paired by seed within one run; elsewhere no difference is computed.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use owlet_lab::execute;
use owlet_lab::report::{self, text};
use owlet_lab::result::{Condition, Estimate, InheritResult, Measure, Role};
use owlet_lab::stats;
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
    result: Option<std::sync::Arc<InheritResult>>,
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
        let (Some(first), Some(second)) = (&a.result, &b.result) else {
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
            "effects": effects.iter().map(|(label, a, b)| json!({ "comparison": label, "a": a, "b": b })).collect::<Vec<_>>(),
            "conditions": condition_data(conditions, same),
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

/// Margins by seed, of models that have one.
fn by_seed(condition: &Condition, behavior: &str) -> BTreeMap<u64, f64> {
    let readout = condition.readouts.get(behavior);
    let seeds = readout.into_iter().flat_map(|readout| &readout.per_seed);
    seeds.filter_map(|read| Some((read.seed?, read.margin?))).collect()
}

/// A minus B, paired by seed, where both have the same seeds.
fn paired(a: &Condition, b: &Condition, behavior: &str) -> Option<stats::Estimate> {
    let (a, b) = (by_seed(a, behavior), by_seed(b, behavior));
    if a.len() < 2 || a.is_empty() {
        return None;
    }
    let names = stats::Names { unit: "seed pair", reference: "B" };
    stats::Estimate::paired(&a, &b, 0.95, stats::Sides::Both, names).ok()
}

fn shown(estimate: Option<&Estimate>) -> Markup {
    html! {
        @match estimate {
            Some(estimate) => {
                (report::with_interval(Measure::Margin, estimate))
                small { " n = " (estimate.n) " " (name(&estimate.unit)) @if estimate.n != 1 { "s" } }
            },
            None => "–",
        }
    }
}

fn condition_body(
    query: &Query,
    first: &InheritResult,
    second: &InheritResult,
    (a, b): (&Condition, &Condition),
    same: bool,
) -> Markup {
    let behaviors: BTreeSet<&String> = a.readouts.keys().chain(b.readouts.keys()).collect();
    let rows: Vec<Vec<Markup>> = behaviors
        .iter()
        .map(|behavior| {
            let margin = |condition: &Condition| {
                condition.readouts.get(*behavior).and_then(|readout| readout.margin.clone())
            };
            let difference = if same { paired(a, b, behavior) } else { None };
            vec![
                cell(name(behavior)),
                shown(margin(a).as_ref()),
                shown(margin(b).as_ref()),
                match difference {
                    Some(difference) => html! {
                        (text::signed(difference.value))
                        @if let Some(interval) = difference.interval {
                            " [" (text::signed(interval.low)) ", " (text::signed(interval.high)) "]"
                        } @else { " (no interval)" }
                        small { " n = " (difference.n) " seed pairs" }
                    },
                    None => cell("–"),
                },
            ]
        })
        .collect();
    let dots: Vec<curve::Pair> = behaviors
        .iter()
        .map(|behavior| curve::Pair {
            label: (*behavior).clone(),
            a: a.readouts.get(*behavior).and_then(|readout| readout.margin.clone()),
            b: b.readouts.get(*behavior).and_then(|readout| readout.margin.clone()),
        })
        .collect();
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
        (curve::pairs("Margins of the two conditions", "margin, nats", &dots))
        (table(
            "Margin in nats at the end of training, in the matched context",
            &["behavior", "#A", "#B", "#A minus B"],
            &rows,
        ))
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

fn condition_data((a, b): (&Condition, &Condition), same: bool) -> Value {
    let behaviors: BTreeSet<&String> = a.readouts.keys().chain(b.readouts.keys()).collect();
    json!({
        "a": a, "b": b,
        "differences": behaviors.iter().filter(|_| same).filter_map(|behavior| {
            let paired = paired(a, b, behavior)?;
            Some(json!({
                "behavior": behavior, "value": paired.value, "n": paired.n,
                "low": paired.interval.map(|interval| interval.low), "high": paired.interval.map(|interval| interval.high),
            }))
        }).collect::<Vec<_>>(),
    })
}

/// Every comparison either run made, in margin.
fn effects(
    a: &InheritResult,
    b: &InheritResult,
) -> Vec<(String, Option<Estimate>, Option<Estimate>)> {
    let mut all: BTreeMap<(String, Role), [Option<Estimate>; 2]> = BTreeMap::new();
    for (at, result) in [a, b].into_iter().enumerate() {
        for effect in result.effects.iter().filter(|effect| effect.measure == Measure::Margin) {
            let entry = all.entry((effect.behavior.clone(), effect.control)).or_default();
            // The matched context stands first.
            if entry[at].is_none() {
                entry[at] = Some(effect.estimate.clone());
            }
        }
    }
    all.into_iter()
        .map(|((behavior, control), [a, b])| {
            (format!("{} over {}", behavior, control.label()), a, b)
        })
        .collect()
}

fn effects_body(effects: &[(String, Option<Estimate>, Option<Estimate>)]) -> Markup {
    let rows: Vec<Vec<Markup>> = effects
        .iter()
        .map(|(label, a, b)| vec![cell(name(label)), shown(a.as_ref()), shown(b.as_ref())])
        .collect();
    let dots: Vec<curve::Pair> = effects
        .iter()
        .map(|(label, a, b)| curve::Pair { label: label.clone(), a: a.clone(), b: b.clone() })
        .collect();
    html! {
        (curve::pairs("Students over each control in both runs", "difference in margin, nats", &dots))
        (table("Differences in margin, nats", &["comparison", "#A", "#B"], &rows))
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
