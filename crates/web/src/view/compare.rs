//! Two runs, or two conditions, side by side.
//!
//! Each side keeps its own intervals. A difference between conditions gets an interval only where
//! it can be paired by seed within one run; elsewhere no difference is computed.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use owlet_lab::kind::inherit::result::{
    Arm, Control, Estimate, InheritResult, Interval, Measure, Method, Reading,
};
use owlet_lab::report::block::{Block, Dot, DotRow, Dots, Line, Part, Span, Table, code, estimate};
use owlet_lab::report::html as report;
use owlet_lab::report::number::Quantity;
use owlet_lab::stats;
use owlet_lab::value::text;
use owlet_lab::{RunResult, cells};
use serde_json::{Value, json};

use super::Window;
use super::error::{Error, Result};
use super::index::RunState;
use super::overlay::{self, Laid};
use super::page::Page;
use super::parts::{choice, form, kept, name, section, sections};
use super::query::Query;
use super::run::RunView;
use super::runs::{RUNS, verdicts};
use super::settings::values;

/// Most runs compared at once.
const MOST: usize = 12;
/// Runs offered for choice.
const OFFERED: usize = 50;

impl Window {
    fn side(&self, id: &str) -> Result<(RunView, Option<RunResult>)> {
        let view = self.view(&self.run_id(id)?)?;
        let result = self.result(&view.run)?;
        Ok((view, result))
    }

    pub(super) fn compare_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let page = |body: Markup, data: Value| Ok(Page::new("workspace", "Compare", body, data));
        let several: Vec<&str> =
            query.get(RUNS).into_iter().flat_map(|runs| runs.split(',')).collect();
        let query = match several[..] {
            [a, b] => &query.with(&[(RUNS, ""), ("a", a), ("b", b)]),
            [only] => &query.with(&[(RUNS, ""), ("a", only)]),
            [] => query,
            _ => return self.compare_many(&several, query),
        };
        let (Some(a), Some(b)) = (query.get("a"), query.get("b")) else {
            let missing = query.get("a").is_some() || query.get("b").is_some();
            let body = html! {
                @if missing { p { "Two runs are needed, one for each side." } }
                (self.choice(query))
            };
            return page(body, json!({ "a": null, "b": null }));
        };
        let ((a, first), (b, second)) = (self.side(a)?, self.side(b)?);
        // `last` by its name.
        let query = &query.with(&[("a", a.line.id.as_str()), ("b", b.line.id.as_str())]);
        let found = [&first, &second].map(|result| result.as_ref().and_then(RunResult::of));
        let [Some(first), Some(second)] = found else {
            let body = html! {
                p { "Only runs with a result can be compared." }
                (self.choice(query))
            };
            return page(body, json!({ "a": *a.line, "b": *b.line }));
        };
        let same = a.line.id == b.line.id;
        let chosen = chosen(query, first, second)?;
        let conditions = conditions(&chosen, same);
        let effects = effects(first, second);
        let differing = differing(&a, &b);
        let laid = [Laid { view: &a, result: first }, Laid { view: &b, result: second }];
        let body = html! {
            (self.choice(query))
            div class="sides" {
                @for (letter, side) in [("A", &a), ("B", &b)] {
                    div class="side" {
                        h2 { (letter) ": " a href={ "/run/" (side.line.id) } { (name(&side.line.name)) } }
                        p class="note" { (side.line.id.as_str()) ", " (text::counted(side.line.seeds, "seed")) ", base " (name(&side.line.base)) }
                        (verdicts(&side.line.verdicts))
                    }
                }
            }
            (section("conditions", "Two conditions", &html! {
                (form("/compare", "Show", &[
                    kept("a", query), kept("b", query), arms("A", "ac", &chosen[0]), arms("B", "bc", &chosen[1]),
                ]))
                (report::blocks(&condition_blocks(&conditions, same)))
            }))
            @if !same {
                (section("effects", "Students over each control", &report::blocks(&effect_blocks(&effects))))
                (sections([self.overlaid(&laid)]))
                (section("settings", "Settings that differ", &differing_body(&differing)))
            }
        };
        let settings =
            differing.iter().map(|(path, [a, b])| json!({ "path": path, "a": a, "b": b }));
        let differences = conditions.iter().filter(|one| one.measure == first.primary);
        let data = json!({
            "a": *a.line, "b": *b.line,
            "settings": settings.collect::<Value>(),
            "effects": effects.iter().map(Compared::data).collect::<Value>(),
            "conditions": {
                "a": chosen[0].data(), "b": chosen[1].data(),
                "differences": differences.filter_map(Compared::difference_data).collect::<Value>(),
            },
        });
        page(body, data)
    }

    /// More than two runs: what each found, and their curves over one another.
    fn compare_many(&self, runs: &[&str], query: &Query) -> Result<Page> {
        if runs.len() > MOST {
            let expected = format!("at most {MOST} runs");
            return Err(Error::query("runs", &text::counted(runs.len(), "run"), expected));
        }
        let sides = runs.iter().map(|id| self.side(id)).collect::<Result<Vec<_>>>()?;
        let laid: Vec<Laid<'_>> = sides
            .iter()
            .filter_map(|(view, result)| Some(Laid { view, result: result.as_ref()?.of()? }))
            .collect();
        let left_out = runs.len() - laid.len();
        let body = html! {
            (self.choice(query))
            @if left_out > 0 {
                p class="note" { (text::counted(left_out, "run")) " without a result, or of another kind, left out." }
            }
            (sections([overlay::found(&laid), self.overlaid(&laid), overlay::differing(&laid)]))
        };
        let found =
            laid.iter().map(|one| json!({ "run": *one.view.line, "effects": one.result.effects }));
        let data = json!({ "runs": found.collect::<Value>() });
        Ok(Page::new("workspace", "Compare", body, data))
    }

    /// Which runs stand on the sides.
    fn choice(&self, query: &Query) -> Markup {
        let (lines, _) = self.index.runs();
        let finished = lines.iter().rev().filter(|line| line.state == RunState::Finished);
        let words = |name: &str, nonce: &str| format!("{name} {nonce}");
        let offered: Vec<(&str, String)> = finished
            .take(OFFERED)
            .map(|line| (line.id.as_str(), words(&name(&line.name), line.id.nonce())))
            .collect();
        let side = |key: &str, label: &str| {
            let chosen = query.get(key).unwrap_or_default();
            // One that is older than those offered.
            let is_offered = chosen.is_empty() || offered.iter().any(|(id, _)| *id == chosen);
            let other = (!is_offered).then(|| (chosen, name(chosen)));
            choice(label, key, chosen, other.into_iter().chain(offered.iter().cloned()))
        };
        form("/compare", "Compare", &[side("a", "Run A"), side("b", "Run B")])
    }
}

/// An arm of a run.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    result: &'a InheritResult,
    arm: &'a Arm,
}

impl<'a> Chosen<'a> {
    fn reading(&self, behavior: &str, measure: Measure) -> Option<&'a Reading> {
        self.result.reading(self.arm, behavior, measure)
    }

    fn data(&self) -> Value {
        let readings: Vec<&Reading> =
            self.result.readings.iter().filter(|reading| reading.arm == *self.arm).collect();
        json!({ "arm": self.arm, "label": self.arm.label(), "readings": readings })
    }
}

/// The arms asked for, by default the students of the first behavior, and their control.
fn chosen<'a>(
    query: &Query,
    a: &'a InheritResult,
    b: &'a InheritResult,
) -> Result<[Chosen<'a>; 2]> {
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
    Ok([find("ac", a, 0)?, find("bc", b, second)?])
}

/// A choice among the arms of a side.
fn arms(label: &str, key: &str, side: &Chosen<'_>) -> Markup {
    let arms = side.result.arms.iter().map(|arm| {
        let id = arm.to_string();
        let words = format!("{} ({})", name(&arm.label()), name(&id));
        (id, words)
    });
    choice(label, key, &side.arm.to_string(), arms)
}

/// What both sides say of one thing.
struct Compared {
    label: String,
    measure: Measure,
    /// A and B.
    sides: [Option<Estimate>; 2],
    /// A minus B, where that can be said.
    difference: Option<Estimate>,
}

impl Compared {
    fn data(&self) -> Value {
        let [a, b] = &self.sides;
        json!({ "comparison": self.label, "measure": self.measure, "a": a, "b": b })
    }

    fn difference_data(&self) -> Option<Value> {
        let Estimate { value, interval, n, .. } = self.difference.as_ref()?;
        Some(json!({
            "behavior": self.label, "measure": self.measure, "value": value, "n": n,
            "low": interval.map(|interval| interval.low), "high": interval.map(|interval| interval.high),
        }))
    }
}

/// What the sides' verdicts rest on: usually one measure, two where the sides differ.
fn measures(a: &InheritResult, b: &InheritResult) -> BTreeSet<Measure> {
    BTreeSet::from([a.primary, b.primary])
}

/// Every behavior that either side reads, in what their verdicts rest on.
fn conditions(chosen: &[Chosen<'_>; 2], same: bool) -> Vec<Compared> {
    let results = chosen.map(|side| side.result);
    let read = |result: &&'_ InheritResult| [&result.behaviors[..], &result.read_also[..]].concat();
    let behaviors: BTreeSet<String> = results.iter().flat_map(read).collect();
    let mut all = Vec::new();
    for measure in measures(results[0], results[1]) {
        for behavior in &behaviors {
            let readings = chosen.map(|side| side.reading(behavior, measure));
            if readings.iter().all(Option::is_none) {
                continue;
            }
            all.push(Compared {
                label: behavior.clone(),
                measure,
                sides: readings.map(|reading| Some(reading?.estimate.clone())),
                difference: if same { paired(readings) } else { None },
            });
        }
    }
    all
}

/// A minus B, paired by seed, where both have the same seeds.
fn paired(readings: [Option<&Reading>; 2]) -> Option<Estimate> {
    let [a, b] = readings.map(|reading| reading.map(Reading::by_seed).unwrap_or_default());
    if a.len() < 2 {
        return None;
    }
    let differences: Vec<f64> = stats::pairs_by_seed(&a, &b).ok()?.into_values().collect();
    let interval = stats::t_interval(&differences, 0.95).ok()?;
    // Pairs that do not differ at all say nothing about further ones.
    let interval = (!stats::do_not_differ(&differences)).then_some(Interval {
        low: interval.low,
        high: interval.high,
        level: interval.level,
    });
    Some(Estimate {
        value: stats::mean(&differences).ok()?,
        method: if interval.is_some() { Method::PairedT } else { Method::None },
        interval,
        unit: "seed pair".to_owned(),
        n: differences.len(),
    })
}

/// Every comparison either run made, in what their verdicts rest on.
fn effects(a: &InheritResult, b: &InheritResult) -> Vec<Compared> {
    let wanted = measures(a, b);
    let mut all: BTreeMap<(Measure, &str, Control), [Option<Estimate>; 2]> = BTreeMap::new();
    for (at, result) in [a, b].into_iter().enumerate() {
        for effect in result.effects.iter().filter(|effect| wanted.contains(&effect.measure)) {
            let key = (effect.measure, effect.behavior.as_str(), effect.control);
            // The matched context stands first.
            all.entry(key).or_default()[at].get_or_insert_with(|| effect.estimate.clone());
        }
    }
    let compared = |((measure, behavior, control), sides): ((_, &str, Control), _)| {
        let label = format!("{behavior} over {}", control.label());
        Compared { label, measure, sides, difference: None }
    };
    all.into_iter().map(compared).collect()
}

/// What is compared in each measure, a drawing each.
fn drawn<'a>(
    all: &'a [Compared],
    id: &str,
    title: &str,
    quantity: fn(Measure) -> Quantity,
) -> Vec<(Measure, Vec<&'a Compared>, Block)> {
    let measures: BTreeSet<Measure> = all.iter().map(|one| one.measure).collect();
    let one = |measure: Measure| {
        let rows: Vec<&Compared> = all.iter().filter(|one| one.measure == measure).collect();
        let parts = [Part::Treatment, Part::Control];
        let dots = |sides: &[Option<Estimate>; 2]| {
            let both = parts.into_iter().zip(sides.clone());
            both.filter_map(|(part, estimate)| Some(Dot { part, estimate: estimate? })).collect()
        };
        let what = measure.axis();
        let is_difference = matches!(quantity(measure), Quantity::Difference(_));
        let drawing = Dots {
            id: id.to_owned(),
            title: format!("{title}: {what}"),
            axis: if is_difference { format!("difference in {what}") } else { what.to_owned() },
            quantity: quantity(measure),
            zero: true,
            joined: false,
            legend: parts.into_iter().zip(["A".to_owned(), "B".to_owned()]).collect(),
            rows: rows
                .iter()
                .map(|row| DotRow {
                    label: row.label.clone(),
                    dots: dots(&row.sides),
                    stretches: true,
                    number: None,
                })
                .collect(),
        };
        (measure, rows, Block::Dots(drawing))
    };
    measures.into_iter().map(one).collect()
}

fn effect_blocks(effects: &[Compared]) -> Vec<Block> {
    let title = "Students over each control in both runs";
    drawn(effects, "effects", title, Quantity::Difference)
        .into_iter()
        .map(|(_, _, dots)| dots)
        .collect()
}

fn condition_blocks(conditions: &[Compared], same: bool) -> Vec<Block> {
    // An estimate with how many of what it is over.
    let shown = |quantity: Quantity, one: &Option<Estimate>| {
        Line::from(one.as_ref().map(|one| {
            let over = Span::Quiet(format!(" n = {}", text::counted(one.n, &one.unit)));
            Line::from(estimate(quantity, one)).and(over)
        }))
    };
    let mut blocks = Vec::new();
    for (measure, rows, dots) in
        drawn(conditions, "conditions", "The two conditions", Quantity::Value)
    {
        let (value, difference) = (Quantity::Value(measure), Quantity::Difference(measure));
        let rows = rows.into_iter().map(|one| {
            let [a, b] = &one.sides;
            cells![&one.label, shown(value, a), shown(value, b), shown(difference, &one.difference)]
        });
        let caption = format!("At the end of training, in the matched context: {}", measure.axis());
        let table = Table::new(caption, &["behavior", "#A", "#B", "#A minus B"]).with(rows);
        blocks.extend([dots, Block::Table(table)]);
    }
    blocks.push(Block::note(if same {
        "A minus B is paired by seed where both conditions have the same seeds: mean of differences, 95 % t \
         interval. It is one of many that could be looked at, and is corrected for none of them."
    } else {
        "The sides are two runs, whose seeds do not pair: each keeps its own interval and no difference is computed."
    }));
    blocks
}

/// Settings that are not the same, as A and B have them.
fn differing(a: &RunView, b: &RunView) -> Vec<(String, [String; 2])> {
    let sides = [a, b].map(|side| values(&side.run.resolved().unwrap_or_default()));
    let paths: BTreeSet<&String> = sides.iter().flat_map(BTreeMap::keys).collect();
    let said = |path: &String| {
        sides.each_ref().map(|side| side.get(path).cloned().unwrap_or_else(|| "–".to_owned()))
    };
    let all = paths.into_iter().map(|path| (path.clone(), said(path)));
    all.filter(|(_, [a, b])| a != b).collect()
}

fn differing_body(differing: &[(String, [String; 2])]) -> Markup {
    let rows = differing.iter().map(|(path, [a, b])| cells![code(path), code(a), code(b)]);
    let table = Table::new("As resolved", &["setting", "A", "B"]).with(rows).block();
    html! {
        @if let Some(table) = table { (report::block(&table)) } @else {
            p { "None: both runs are of one recipe. " a href="/steps" { "Steps" } " that they share were made once." }
        }
    }
}
