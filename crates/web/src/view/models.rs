//! Models: bases, teachers, students, and what was read from them so far.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::kind::table::{self as readout, Cell};
use owlet_lab::model::{GROW, ModelAbout};
use owlet_lab::report::block::{
    Block, Curve, Dot, DotRow, Dots, Line, Part, Series, Table, count, number,
};
use owlet_lab::report::html as report;
use owlet_lab::report::number::Quantity;
use owlet_lab::step::Step;
use owlet_lab::step::base::Base;
use owlet_lab::step::fine_tune::FineTune;
use owlet_lab::step::readout::Readout;
use owlet_lab::step::teach::Teach;
use owlet_lab::step::train::Train;
use owlet_lab::value::estimate::{Estimate, Method};
use owlet_lab::value::measure::Measure;
use owlet_lab::value::observation::Frame;
use owlet_lab::value::text;
use owlet_store::{ArtifactId, RunId};
use serde::Serialize;
use serde_json::json;

use super::Window;
use super::artifact::trained;
use super::error::{Error, Result};
use super::index::StepLine;
use super::page::Page;
use super::parts::{
    Slice, bytes, cell, choice, form, kept, link, moment, name, no_order, not_here, orderly,
    search, section, table, way,
};
use super::query::{Query, url};

/// Models on a page.
const SIZE: usize = 50;
/// Models by the kind of step that makes them: the word in the address, and a heading.
const GROUPS: [(&str, &str, &str); 3] = [
    (Base::KIND, "base", "Bases"),
    (Teach::KIND, "teacher", "Teachers"),
    (Train::KIND, "student", "Students"),
];

/// What each column of the list is sorted by.
const ORDERS: [&str; 8] = ["name", "run", "kind", "", "updates", "size", "", "made"];

/// Which of [`GROUPS`] a step of this kind adds to.
pub(super) fn group(kind: &str) -> Option<&'static str> {
    match kind {
        Base::KIND | GROW => Some(Base::KIND),
        Teach::KIND => Some(Teach::KIND),
        Train::KIND | FineTune::KIND => Some(Train::KIND),
        _ => None,
    }
}

/// What was read from one model, averaged over questions.
pub(super) type Readings = Vec<ModelReading>;

/// One behavior at one checkpoint in one context.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ModelReading {
    /// `None` for a model that was trained elsewhere.
    pub(super) update: Option<usize>,
    pub(super) behavior: String,
    pub(super) context: String,
    /// How questions were put.
    pub(super) frame: Frame,
    /// In nats; `None` where it could not be read.
    pub(super) margin: Option<f64>,
    pub(super) share: Option<f64>,
    /// Of sampled answers that name the target; `None` where none were sampled.
    pub(super) rate: Option<f64>,
    pub(super) answers: u64,
    pub(super) questions: usize,
}

impl ModelReading {
    /// Means over questions.
    fn of(cell: Cell, trained_here: bool) -> Self {
        Self {
            update: trained_here.then_some(cell.update),
            margin: cell.value(Measure::Margin),
            share: cell.value(Measure::Share),
            rate: cell.value(Measure::Rate),
            answers: cell.counts(Measure::Rate).1,
            frame: cell.frame,
            questions: cell.asked(),
            behavior: cell.behavior,
            context: cell.context,
        }
    }
}

impl Window {
    /// What a readout artifact holds.
    pub(super) fn read(&self, readout: &ArtifactId) -> Result<Arc<Readings>> {
        self.readings.get(readout, || {
            let artifact = self.store.artifact(readout)?;
            let makers = self.index.makers(readout);
            let inputs = makers.first().map(|step| step.inputs.clone()).unwrap_or_default();
            let asked = readout::asked(&self.store, &inputs).map_err(Error::Lab)?;
            let observations = readout::observations(&artifact).map_err(Error::Lab)?;
            // Who was asked behind an endpoint says so.
            let trained_here = artifact.about.get("answered-by").is_none();
            let cells = readout::cells(&observations, &asked).into_iter();
            Ok(cells.map(|cell| ModelReading::of(cell, trained_here)).collect())
        })
    }

    /// All that was read from a model so far.
    pub(super) fn readings_of(&self, model: &ArtifactId) -> Readings {
        let users = self.index.users(model);
        let readouts = users.into_iter().filter(|step| step.kind == Readout::KIND);
        readouts
            .filter_map(|step| self.read(&step.output).ok())
            .flat_map(|readings| readings.to_vec())
            .collect()
    }

    pub(super) fn readings_section(&self, model: &ArtifactId) -> Markup {
        let readings = self.readings_of(model);
        html! {
            @if !readings.is_empty() { (section("readouts", "Readouts so far", &readings_table(&readings))) }
        }
    }

    pub(super) fn own_readings(&self, readout: &ArtifactId) -> Markup {
        let readings = self.read(readout).map(|readings| readings.to_vec()).unwrap_or_default();
        html! {
            @if !readings.is_empty() { (section("readouts", "What was read", &readings_table(&readings))) }
        }
    }

    pub(super) fn models_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let kind = query.get("kind");
        let words = query.get("q").unwrap_or_default();
        let mut steps = self.index.steps();
        steps.retain(|step| {
            let group = group(&step.kind);
            group.is_some()
                && kind.is_none_or(|kind| group == Some(kind))
                && (words.is_empty()
                    || self.called(&step.output).contains(words)
                    || step.output.to_string().starts_with(words))
        });
        let sort = query.get("sort").unwrap_or("-made");
        self.sort_models(&mut steps, sort)?;
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown: Vec<&Arc<StepLine>> = steps[slice.range()].iter().collect();
        let rows = shown.iter().map(|step| {
            let mut row = self.model_row(&step.output);
            row.insert(1, cell(self.run_link(&step.output)));
            row.push(cell(moment(&step.started)));
            row
        });
        let titles =
            ["model", "run", "kind", "base", "#updates", "#size", "read so far", "made, UTC"];
        let table = Table::new("Models made or taken in here", &titles).with(rows);
        let kinds = GROUPS.map(|(value, words, _)| (value, words));
        let body = html! {
            (form("/models", "Show", &[
                search("Name or id", query, ""),
                choice("Kind", "kind", kind.unwrap_or_default(), std::iter::once(("", "any")).chain(kinds)),
                kept("sort", query),
            ]))
            (orderly(table, &ORDERS, sort, ("/models", query)))
            (slice.pager("/models", query, "model"))
        };
        let data = json!({
            "total": slice.total, "page": slice.page, "pages": slice.pages,
            "models": shown.iter().map(|step| self.model_data(&step.output)).collect::<Vec<_>>(),
        });
        Ok(Page::new("workspace", "Models", body, data))
    }

    /// Puts models in order: by a column's name, `-` before it to turn it round.
    fn sort_models(&self, steps: &mut [Arc<StepLine>], sort: &str) -> Result<()> {
        let header = |step: &StepLine| self.store.artifact_header(&step.output);
        let updates = |step: &StepLine| Some(trained(&header(step)?)?.updates);
        steps.sort_by(|one, other| one.started.cmp(&other.started).then(one.key.cmp(&other.key)));
        match sort.trim_start_matches('-') {
            "made" => {}
            "name" => steps.sort_by_cached_key(|step| self.called(&step.output)),
            "run" => steps.sort_by_cached_key(|step| self.index.name(&step.output)),
            "kind" => steps.sort_by_key(|step| group(&step.kind)),
            "updates" => steps.sort_by_cached_key(|step| updates(step)),
            "size" => steps.sort_by_cached_key(|step| header(step).map(|header| header.size)),
            _ => return Err(no_order(sort)),
        }
        if sort.starts_with('-') {
            steps.reverse();
        }
        Ok(())
    }

    fn model_row(&self, id: &ArtifactId) -> Vec<Line> {
        let header = self.store.artifact_header(id);
        let trained = header.as_ref().and_then(trained);
        let readings = self.readings_of(id);
        let about = header.as_ref().and_then(|header| ModelAbout::of(&header.kind, &header.about));
        let remote = about.as_ref().is_some_and(|about| about.endpoint().is_some());
        let base = match &trained {
            Some(trained) => Some(trained.base),
            None => self.base_of(id),
        };
        vec![
            link(&format!("/artifact/{id}"), self.called(id)),
            cell(header.as_ref().map_or_else(|| "missing".to_owned(), |header| name(&header.kind))),
            match &base {
                Some(base) => link(&format!("/artifact/{base}"), self.called(base)),
                None => cell("–"),
            },
            cell(
                trained
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |trained| text::count(trained.updates)),
            ),
            cell(match &header {
                Some(_) if remote => "not here".to_owned(),
                Some(header) => bytes(header.size),
                None => "–".to_owned(),
            }),
            last_read(&readings),
        ]
    }

    /// The model that one behind an endpoint was made from, by the record of its step.
    pub(super) fn base_of(&self, model: &ArtifactId) -> Option<ArtifactId> {
        self.index.makers(model).iter().find_map(|step| step.inputs.get("base").copied())
    }

    fn model_data(&self, id: &ArtifactId) -> serde_json::Value {
        let header = self.store.artifact_header(id);
        json!({
            "id": id, "name": self.called(id),
            "kind": header.as_ref().map(|header| &header.kind),
            "about": header.as_ref().map(|header| &header.about),
            "readings": self.readings_of(id),
        })
    }

    /// The models of one run, and what was read from them.
    pub(super) fn run_models_page(&self, id: &RunId) -> Result<Page> {
        self.refresh()?;
        let view = self.view(id)?;
        let path = format!("/run/{id}/models");
        let made: Vec<(&str, BTreeMap<String, ArtifactId>)> = GROUPS
            .iter()
            .map(|(wanted, _, title)| (*title, view.made(|kind| group(kind) == Some(*wanted))))
            .collect();
        let body = html! {
            (self.read_so_far(&view))
            @if let Some(endpoint) = view.endpoint() {
                (not_here(endpoint, "Chat with base, teacher and student"))
            } @else {
                p { a href=(url("/chat", &[("run", id.as_str())])) { "Chat with base, teacher and student side by side" } }
            }
            @for (title, models) in &made {
                @if !models.is_empty() {
                    @let rows: Vec<Vec<Line>> = models.iter().map(|(step, id)| {
                        let mut row = self.model_row(id);
                        row[0] = link(&format!("/artifact/{id}"), name(step));
                        row
                    }).collect();
                    (section(&title.to_lowercase(), title, &table(
                        title,
                        &["model", "kind", "base", "#updates", "#size", "read so far"],
                        rows,
                    )))
                }
            }
            @if made.iter().all(|(_, models)| models.is_empty()) { p { "No model is made yet." } }
        };
        let data = json!({
            "run": id,
            "models": made.iter().flat_map(|(_, models)| models.iter())
                .map(|(step, id)| { let mut data = self.model_data(id); data["step"] = json!(step); data })
                .collect::<Vec<_>>(),
        });
        Ok(view.page("Models", &path, body, data))
    }

    /// What was read from all models of a run at the end of training, a dot each: margins, and where
    /// verdicts rest on answers, rates.
    pub(super) fn read_so_far(&self, view: &super::run::RunView) -> Markup {
        let sampled = view.endpoint().is_some();
        // Behavior, then group, then values.
        let mut values: BTreeMap<String, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
        // Behavior, then group, then margins along training.
        let mut along: BTreeMap<String, BTreeMap<String, Vec<(usize, f64)>>> = BTreeMap::new();
        let mut models = 0;
        for (step, readout) in view.made_by(Readout::KIND) {
            let Ok(readings) = self.read(&readout) else { continue };
            models += 1;
            let group = step.strip_prefix("readout/").unwrap_or(&step);
            let group = group.split("/seed-").next().unwrap_or(group);
            let last = readings.iter().filter_map(|reading| reading.update).max();
            let mut seen = BTreeSet::new();
            // What verdicts rest on stands first.
            let frame = readings.first().map(|reading| reading.frame);
            for reading in readings.iter().filter(|reading| Some(reading.frame) == frame) {
                // The matched context stands first.
                if !seen.insert((reading.update, &reading.behavior)) {
                    continue;
                }
                if let (Some(update), Some(margin)) = (reading.update, reading.margin) {
                    let groups = along.entry(reading.behavior.clone()).or_default();
                    groups.entry(group.to_owned()).or_default().push((update, margin));
                }
                let value = if sampled { reading.rate } else { reading.margin };
                if let Some(value) = value.filter(|_| reading.update == last) {
                    let groups = values.entry(reading.behavior.clone()).or_default();
                    groups.entry(group.to_owned()).or_default().push(value);
                }
            }
        }
        let measure = if sampled { Measure::Rate } else { Measure::Margin };
        html! {
            @if !values.is_empty() {
                section id="readings" aria-labelledby="readings-title" {
                    h2 id="readings-title" { "Read so far" }
                    p class="note" {
                        "A dot per model at the end of training, the mean on the right; below it the mean along training. From "
                        (text::counted(models, "readout")) ", without intervals: those stand in the result."
                    }
                    div class="many" {
                        @for (behavior, groups) in &values {
                            div {
                                (report::block(&Block::Dots(strips(behavior, groups, measure))))
                                @if let Some(curve) = along_training(behavior, along.get(behavior)) {
                                    (report::block(&Block::Curve(curve)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What was read of a behavior, a row per group of models.
fn strips(behavior: &str, groups: &BTreeMap<String, Vec<f64>>, measure: Measure) -> Dots {
    let rows = groups.iter().map(|(group, values)| {
        let dot = |value: &f64| Dot {
            part: part(behavior, group),
            estimate: Estimate {
                value: *value,
                interval: None,
                method: Method::None,
                unit: "model".to_owned(),
                n: 1,
            },
        };
        DotRow {
            label: group.clone(),
            dots: values.iter().map(dot).collect(),
            stretches: true,
            number: Some(values.iter().sum::<f64>() / values.len() as f64),
        }
    });
    Dots {
        id: format!("read-{behavior}"),
        title: behavior.to_owned(),
        axis: measure.axis().to_owned(),
        quantity: Quantity::Value(measure),
        zero: false,
        joined: false,
        legend: Vec::new(),
        rows: rows.collect(),
    }
}

/// The way to talk with a model.
pub(super) fn chat_link(model: &ArtifactId) -> Markup {
    html! {
        p { a href=(url("/chat", &[("student", &model.to_string())])) { "Chat with it, beside its base" } }
    }
}

/// Mean margin of each group of models at its checkpoints.
fn along_training(
    behavior: &str,
    groups: Option<&BTreeMap<String, Vec<(usize, f64)>>>,
) -> Option<Curve> {
    let mut series: Vec<Series> = Vec::new();
    for (group, readings) in groups.into_iter().flatten() {
        let mut by_update: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (update, margin) in readings {
            by_update.entry(*update).or_default().push(*margin);
        }
        if by_update.len() > 1 {
            let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
            let points = by_update.iter().map(|(update, margins)| (*update as f64, mean(margins)));
            let points = way(&points.collect::<Vec<_>>());
            series.push(Series { label: group.clone(), part: part(behavior, group), points });
        }
    }
    // What is looked at is drawn over the others.
    series.sort_by_key(|one| Reverse(one.part));
    (!series.is_empty()).then(|| Curve {
        id: format!("along-{behavior}"),
        title: format!("{behavior} along training"),
        across: "updates".to_owned(),
        axis: format!("mean {}", Measure::Margin.axis()),
        quantity: Quantity::Value(Measure::Margin),
        series,
    })
}

/// What part a group of models plays for a behavior, as in the report.
fn part(behavior: &str, group: &str) -> Part {
    match group.strip_prefix("student/") {
        Some(taught) if taught == behavior => Part::Treatment,
        _ if group == "base" || group.starts_with("teacher/") => Part::Reference,
        _ => Part::Control,
    }
}

fn readings_table(readings: &[ModelReading]) -> Markup {
    let value = |measure: Measure, value: Option<f64>| {
        cell(value.map(|value| number(Quantity::Value(measure), value)))
    };
    let rows = readings.iter().map(|reading| {
        vec![
            cell(&reading.behavior),
            cell(reading.update.map(count)),
            cell(&reading.context),
            cell(reading.frame.label().unwrap_or("–")),
            value(Measure::Margin, reading.margin),
            value(Measure::Share, reading.share),
            value(Measure::Rate, reading.rate),
            cell(count(reading.answers as usize)),
            cell(count(reading.questions)),
        ]
    });
    table(
        "Mean over questions of one model; rates are of sampled answers that name the target",
        &[
            "behavior",
            "#after updates",
            "context",
            "put",
            "#margin, nats",
            "#share",
            "#rate",
            "#answers",
            "#questions",
        ],
        rows,
    )
}

/// What was read at the end of training in a few words: margins, or rates where there are none.
fn last_read(readings: &[ModelReading]) -> Line {
    let last = readings.iter().filter_map(|reading| reading.update).max();
    let frame = readings.first().map(|reading| reading.frame);
    let mut seen = BTreeSet::new();
    let shown: Vec<String> = readings
        .iter()
        .filter(|reading| reading.update == last && Some(reading.frame) == frame)
        .filter(|reading| seen.insert(reading.behavior.as_str()))
        .filter_map(|reading| {
            let rate = || reading.rate.map(text::percent);
            let margin = || reading.margin.map(|margin| format!("{} nats", text::signed(margin)));
            let first = if reading.update.is_none() {
                rate().or_else(margin)
            } else {
                margin().or_else(rate)
            };
            Some(format!("{} {}", reading.behavior, first?))
        })
        .take(4)
        .collect();
    cell((!shown.is_empty()).then(|| shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use owlet_lab::kind::table::{QuestionCell, Told};
    use owlet_lab::value::observation::Outcome;

    use super::*;

    fn lines(cells: Vec<Cell>, trained_here: bool) -> String {
        let line = |cell: Cell| {
            let reading = ModelReading::of(cell, trained_here);
            format!(
                "{:?} {} {} {} margin {:?} rate {:?} of {}",
                reading.update,
                reading.behavior,
                reading.context,
                reading.frame.name(),
                reading.margin,
                reading.rate,
                reading.answers
            )
        };
        cells.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// A cell of two questions, each with these answers.
    fn cell(update: usize, frame: Frame, told: &Told, answers: [(usize, usize); 2]) -> Cell {
        let question = |(target, cat): (usize, usize)| {
            let cat = vec![Outcome::Other("cat".to_owned()); cat];
            let outcomes = [vec![Outcome::Target; target], cat].concat();
            QuestionCell { told: told.clone(), outcomes }
        };
        let questions = answers.map(question).to_vec();
        let (context, behavior) = ("none".to_owned(), "owl".to_owned());
        Cell { update, context, frame, draw: None, behavior, questions }
    }

    #[test]
    fn rates_stand_beside_the_last_margins_and_alone_where_there_are_none() {
        let told = Told::All(vec![vec![-1.0, -3.0]]);
        let cells = vec![
            cell(1, Frame::Plain, &told, [(0, 0); 2]),
            cell(2, Frame::Plain, &told, [(1, 1), (3, 1)]),
            cell(2, Frame::AfterNumbers, &Told::Nothing, [(0, 4), (0, 0)]),
        ];
        insta::assert_snapshot!(lines(cells, true), @r"
        Some(1) owl none plain margin Some(2.0) rate None of 0
        Some(2) owl none plain margin Some(2.0) rate Some(0.625) of 6
        Some(2) owl none after-numbers margin None rate Some(0.0) of 4
        ");
        // Behind an endpoint, with rows in context: a reading for each draw, and nothing said of updates.
        let draw = |draw: usize, target: usize| Cell {
            draw: Some(draw),
            ..cell(0, Frame::Plain, &Told::Nothing, [(target, 1), (0, 0)])
        };
        insta::assert_snapshot!(lines(vec![draw(0, 1), draw(1, 3)], false), @r"
        None owl none plain margin None rate Some(0.5) of 2
        None owl none plain margin None rate Some(0.75) of 4
        ");
    }
}
