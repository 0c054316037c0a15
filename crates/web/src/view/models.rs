//! Models: bases, teachers, students, and what was read from them so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::report::text;
use owlet_store::{ArtifactId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::artifact::trained;
use super::curve;
use super::error::{Error, Result};
use super::page::Page;
use super::parts::{Slice, bytes, cell, link, moment, name, section, table};
use super::query::{Query, url};
use super::window::Window;

/// Models on a page.
const SIZE: usize = 50;
/// Kinds of steps that make models.
const KINDS: [&str; 3] = ["base", "teach", "train"];

/// What was read from one model, averaged over questions.
pub(super) type Readings = Vec<ModelReading>;

/// One behavior at one checkpoint in one context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ModelReading {
    pub(super) update: usize,
    pub(super) behavior: String,
    pub(super) context: String,
    pub(super) margin: f64,
    pub(super) share: f64,
    pub(super) questions: usize,
}

#[derive(Deserialize)]
struct File {
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
struct Checkpoint {
    update: usize,
    readings: Vec<Reading>,
}

#[derive(Deserialize)]
struct Reading {
    behavior: String,
    context: String,
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    margin: f64,
    share: f64,
}

impl Window {
    /// What a readout artifact holds.
    pub(super) fn read(&self, readout: &ArtifactId) -> Result<Arc<Readings>> {
        self.readings.get(readout, || {
            let artifact = self.store.artifact(readout)?;
            let file: File =
                serde_json::from_slice(&artifact.read("readout.json")?).map_err(|error| {
                    Error::Lab(owlet_lab::Error::Record {
                        path: artifact.folder().join("readout.json"),
                        reason: error.to_string(),
                    })
                })?;
            let mut readings = Vec::new();
            for checkpoint in file.checkpoints {
                for reading in checkpoint.readings {
                    let n = reading.questions.len();
                    let mean = |sum: f64| if n == 0 { f64::NAN } else { sum / n as f64 };
                    readings.push(ModelReading {
                        update: checkpoint.update,
                        behavior: reading.behavior,
                        context: reading.context,
                        margin: mean(
                            reading.questions.iter().map(|question| question.margin).sum(),
                        ),
                        share: mean(reading.questions.iter().map(|question| question.share).sum()),
                        questions: n,
                    });
                }
            }
            Ok(readings)
        })
    }

    /// All that was read from a model so far.
    pub(super) fn readings_of(&self, model: &ArtifactId) -> Readings {
        let readouts = self.index.users(model).into_iter().filter(|step| step.kind == "readout");
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
            KINDS.contains(&step.kind.as_str())
                && kind.is_none_or(|kind| step.kind == kind)
                && (words.is_empty()
                    || self.called(&step.output).contains(words)
                    || step.output.to_string().starts_with(words))
        });
        steps.sort_by(|one, other| other.started.cmp(&one.started).then(one.key.cmp(&other.key)));
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown: Vec<ArtifactId> =
            steps[slice.start..slice.end].iter().map(|step| step.output).collect();
        let started: BTreeMap<ArtifactId, String> = steps[slice.start..slice.end]
            .iter()
            .map(|step| (step.output, step.started.clone()))
            .collect();
        let rows: Vec<Vec<Markup>> = shown
            .iter()
            .map(|id| {
                let mut row = self.model_row(id);
                row.push(cell(moment(started.get(id).map_or("", String::as_str))));
                row
            })
            .collect();
        let body = html! {
            form class="filters" method="get" action="/models" role="search" {
                label { "Name or id " input type="search" name="q" value=[query.get("q")]; }
                label {
                    "Kind "
                    select name="kind" {
                        option value="" { "any" }
                        @for (value, words) in [("base", "base"), ("teach", "teacher"), ("train", "student")] {
                            option value=(value) selected[kind == Some(value)] { (words) }
                        }
                    }
                }
                button type="submit" { "Show" }
            }
            (table(
                "Models made or taken in here",
                &["model", "kind", "base", "#updates", "#size", "margins so far, nats", "made, UTC"],
                &rows,
            ))
            (slice.pager("/models", query, "model"))
        };
        let data = json!({
            "total": slice.total, "page": slice.page, "pages": slice.pages,
            "models": shown.iter().map(|id| self.model_data(id)).collect::<Vec<_>>(),
        });
        Ok(Page::new("workspace", "Models", body, data))
    }

    fn model_row(&self, id: &ArtifactId) -> Vec<Markup> {
        let header = self.store.artifact_header(id);
        let trained = header.as_ref().and_then(trained);
        let readings = self.readings_of(id);
        vec![
            link(&format!("/artifact/{id}"), self.called(id)),
            cell(header.as_ref().map_or_else(|| "missing".to_owned(), |header| name(&header.kind))),
            match &trained {
                Some(trained) => {
                    link(&format!("/artifact/{}", trained.base), self.called(&trained.base))
                }
                None => cell("–"),
            },
            cell(
                trained
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |trained| text::count(trained.updates)),
            ),
            cell(header.as_ref().map_or_else(|| "–".to_owned(), |header| bytes(header.size))),
            last_margins(&readings),
        ]
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
        let groups = [("base", "Bases"), ("teach", "Teachers"), ("train", "Students")];
        let made: Vec<(&str, BTreeMap<String, ArtifactId>)> =
            groups.iter().map(|(kind, title)| (*title, view.made_by(kind))).collect();
        let body = html! {
            (self.read_so_far(&view))
            p { a href=(url("/chat", &[("run", id.as_str())])) { "Chat with base, teacher and student side by side" } }
            @for (title, models) in &made {
                @if !models.is_empty() {
                    @let rows: Vec<Vec<Markup>> = models.iter().map(|(step, id)| {
                        let mut row = self.model_row(id);
                        row[0] = link(&format!("/artifact/{id}"), name(step));
                        row
                    }).collect();
                    (section(&title.to_lowercase(), title, &table(
                        title,
                        &["model", "kind", "base", "#updates", "#size", "margins so far, nats"],
                        &rows,
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

    /// Margins at the end of training of all models read so far, a dot each.
    pub(super) fn read_so_far(&self, view: &super::run::RunView) -> Markup {
        // Behavior, then group, then margins.
        let mut margins: BTreeMap<String, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
        // Behavior, then group, then margins along training.
        let mut along: BTreeMap<String, BTreeMap<String, Vec<(usize, f64)>>> = BTreeMap::new();
        let mut models = 0;
        for (step, readout) in view.made_by("readout") {
            let Ok(readings) = self.read(&readout) else { continue };
            models += 1;
            let group = step.strip_prefix("readout/").unwrap_or(&step);
            let group = group.split("/seed-").next().unwrap_or(group);
            let last = readings.iter().map(|reading| reading.update).max().unwrap_or(0);
            let mut seen = std::collections::BTreeSet::new();
            for reading in readings.iter() {
                // The matched context stands first.
                if !seen.insert((reading.update, &reading.behavior)) {
                    continue;
                }
                let groups = along.entry(reading.behavior.clone()).or_default();
                groups.entry(group.to_owned()).or_default().push((reading.update, reading.margin));
                if reading.update == last {
                    let groups = margins.entry(reading.behavior.clone()).or_default();
                    groups.entry(group.to_owned()).or_default().push(reading.margin);
                }
            }
        }
        html! {
            @if !margins.is_empty() {
                section id="readings" aria-labelledby="readings-title" {
                    h2 id="readings-title" { "Read so far" }
                    p class="note" {
                        "Margin in nats at the end of training, a dot per model, the mean on the right; below it the mean along training. From "
                        (text::counted(models, "readout")) ", without intervals: those stand in the result."
                    }
                    div class="many" {
                        @for (behavior, groups) in &margins {
                            @let rows: Vec<curve::Strip> = groups.iter().map(|(group, values)| curve::Strip {
                                label: group.clone(),
                                part: part(behavior, group),
                                values: values.clone(),
                            }).collect();
                            figure {
                                figcaption { (name(behavior)) }
                                (curve::strips(&format!("Margins of {behavior}"), &rows))
                                (along_training(behavior, along.get(behavior)))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The way to talk with a model.
pub(super) fn chat_link(model: &ArtifactId) -> Markup {
    html! {
        p { a href=(url("/chat", &[("student", &model.to_string())])) { "Chat with it, beside its base" } }
    }
}

/// Mean margin of each group of models at its checkpoints.
fn along_training(behavior: &str, groups: Option<&BTreeMap<String, Vec<(usize, f64)>>>) -> Markup {
    let mut series: Vec<curve::Series> = Vec::new();
    for (group, readings) in groups.into_iter().flatten() {
        let mut by_update: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (update, margin) in readings {
            by_update.entry(*update).or_default().push(*margin);
        }
        if by_update.len() > 1 {
            let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
            let points = by_update.iter().map(|(update, margins)| (*update as f64, mean(margins)));
            let strong = part(behavior, group) == "treatment";
            series.push(curve::Series { label: group.clone(), points: points.collect(), strong });
        }
    }
    series.sort_by_key(|one| one.strong);
    html! {
        @if !series.is_empty() {
            (curve::lines(&format!("Margin of {behavior} along training"), "updates", "mean margin, nats", &series))
            p class="note" { "Thick: students of the " (name(behavior)) " teacher. Thin: every other group." }
        }
    }
}

/// What part a group of models plays for a behavior, as in the report.
fn part(behavior: &str, group: &str) -> &'static str {
    match group.strip_prefix("student/") {
        Some(taught) if taught == behavior => "treatment",
        _ if group == "base" || group.starts_with("teacher/") => "reference",
        _ => "control",
    }
}

fn readings_table(readings: &[ModelReading]) -> Markup {
    let rows: Vec<Vec<Markup>> = readings
        .iter()
        .map(|reading| {
            vec![
                cell(name(&reading.behavior)),
                cell(text::count(reading.update)),
                cell(name(&reading.context)),
                cell(text::signed(reading.margin)),
                cell(text::percent(reading.share)),
                cell(reading.questions),
            ]
        })
        .collect();
    table(
        "Mean over questions of one model",
        &["behavior", "#after updates", "context", "#margin, nats", "#share", "#questions"],
        &rows,
    )
}

/// The margins at the end of training in a few words.
fn last_margins(readings: &[ModelReading]) -> Markup {
    let last = readings.iter().map(|reading| reading.update).max().unwrap_or(0);
    let mut seen = std::collections::BTreeSet::new();
    let shown: Vec<&ModelReading> = readings
        .iter()
        .filter(|reading| reading.update == last && seen.insert(reading.behavior.as_str()))
        .take(4)
        .collect();
    html! {
        @if shown.is_empty() { "–" }
        @for (at, reading) in shown.iter().enumerate() {
            @if at > 0 { ", " }
            (name(&reading.behavior)) " " (text::signed(reading.margin))
        }
    }
}
