//! A run's plan: a graph with states, and a line per step with what it took.

use std::collections::BTreeSet;
use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::report::block::{Block, Leads, Line, Section, Table, link, words};
use owlet_lab::report::html::drawing;
use owlet_lab::run::record::{PlanRecord, PlannedStep};
use owlet_lab::value::text;
use owlet_lab::{Record, cells};
use owlet_store::{ArtifactId, RunId, StepRecord};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Window;
use super::error::{Error, Result};
use super::page::Page;
use super::parts::{
    self, Slice, artifact_link, bytes, duration, fact, facts, form, json_text, moment, name,
    narrow, search, section, sections, table,
};
use super::query::{Query, url};
use super::run::RunView;

/// Steps on a page.
const SIZE: usize = 100;
/// Users of a step that are listed.
const USERS: usize = 200;
/// States that steps may be shown in.
const STATES: [&str; 6] = ["done", "reused", "running", "waiting", "failed", "stopped"];

pub(super) fn step_url(run: &RunId, step: &str) -> String {
    url(&format!("/run/{run}/step"), &[("name", step)])
}

impl Window {
    pub(super) fn plan(&self, run: &Record) -> Result<Arc<PlanRecord>> {
        self.plans.get(run.id(), || Ok(run.plan()?))
    }

    pub(super) fn plan_page(&self, id: &RunId, query: &Query) -> Result<Page> {
        let view = self.view(id)?;
        let words = query.get("q").unwrap_or_default();
        let path = format!("/run/{id}/plan");
        let mut steps: Vec<&PlannedStep> = view.plan.steps.iter().collect();
        let kinds: BTreeSet<&str> = steps.iter().map(|step| step.kind.as_str()).collect();
        steps.retain(|step| {
            query.get("kind").is_none_or(|kind| step.kind == kind)
                && query.get("state").is_none_or(|state| view.state(&step.name).0 == state)
                && step.name.contains(words)
        });
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown = &steps[slice.range()];
        let rows = shown.iter().map(|step| self.plan_row(&view, step));
        let titles = ["step", "kind", "state", "#time", "#most memory", "#made from", "made"];
        let note = "Boxes are steps, lines run from what is used to what is made from it. Many steps of one kind \
                    share a box, which leads to their lines below.";
        let body = html! {
            section aria-label="Graph" { (plan_graph(&view)) p class="note" { (note) } }
            (section("steps", "Steps", &html! {
                (form(&format!("{path}#steps"), "Show", &[
                    search("Name", query, ""),
                    narrow("Kind", "kind", query, kinds),
                    narrow("State", "state", query, STATES),
                ]))
                (table("Steps in the order of the plan", &titles, rows))
                (slice.pager(&path, query, "step"))
            }))
        };
        let mut data = slice.data("steps", shown.iter().map(|step| self.plan_data(&view, step)));
        data["run"] = json!(id);
        Ok(view.page("Plan", &path, body, data))
    }

    /// What a step took: seconds and most memory, from its record where there is one.
    fn cost(&self, view: &RunView, step: &PlannedStep) -> (Option<f64>, Option<u64>) {
        let heard = view.progress.steps.get(&step.name).and_then(|step| step.seconds);
        let record = view.artifact(&step.name).and_then(|artifact| {
            self.index.makers(&artifact).into_iter().find(|line| line.kind == step.kind)
        });
        let seconds = heard.or(record.as_ref().map(|record| record.seconds));
        (seconds, record.and_then(|record| record.peak_memory_bytes))
    }

    fn plan_row(&self, view: &RunView, step: &PlannedStep) -> Vec<Line> {
        let (seconds, memory) = self.cost(view, step);
        cells![
            link(&step.name, step_url(&view.line.id, &step.name)),
            &step.kind,
            view.state_span(&step.name),
            seconds.map(duration),
            memory.map(bytes),
            text::counted(step.inputs.len(), "thing"),
            view.artifact(&step.name).map(|id| artifact_link(&id))
        ]
    }

    fn plan_data(&self, view: &RunView, step: &PlannedStep) -> Value {
        let (seconds, memory) = self.cost(view, step);
        json!({
            "name": step.name, "kind": step.kind, "state": view.state(&step.name).0, "seconds": seconds,
            "peak-memory-bytes": memory, "inputs": step.inputs, "artifact": view.artifact(&step.name),
        })
    }

    /// One step as its run sees it.
    pub(super) fn planned_step_page(&self, id: &RunId, query: &Query) -> Result<Page> {
        let view = self.view(id)?;
        let wanted = query.need("name", "the name of a step, such as train/student/owl/seed-1")?;
        let step = view.plan.step(wanted).ok_or_else(|| Error::missing("step", wanted))?;
        let progress = view.progress.steps.get(&step.name);
        let artifact = view.artifact(&step.name);
        let key = progress.and_then(|step| step.key.clone()).or_else(|| {
            let makers = self.index.makers(&artifact?);
            makers.iter().find(|line| line.kind == step.kind).map(|line| line.key.to_string())
        });
        let record = key
            .as_ref()
            .and_then(|key| key.parse().ok())
            .and_then(|key| self.store.step_record(&key).ok().flatten());
        let known = self.step_facts(&view, step, key.as_deref(), record.as_ref());
        let kept = artifact.as_ref().map(|artifact| self.losses(artifact)).unwrap_or_default();
        let heard = progress.map(|step| step.losses.clone()).unwrap_or_default();
        // What is trained behind an endpoint keeps none here.
        let losses = if kept.is_empty() { heard } else { kept };
        let settings = Line::from(
            "Everything its key depends on beside its inputs. What the recipe said stands under ",
        )
        .and(link("Settings", format!("/run/{id}/settings")))
        .and(words("."));
        let settings = vec![Block::Note(settings), Block::Text(json_text(&step.configuration))];
        let body = html! {
            (facts(known))
            @if let Some(message) = progress.and_then(|step| step.message.as_ref()) {
                p class="bad" { (name(message)) }
            }
            (sections([
                parts::losses(&step.name, &losses),
                made_from(&view, step),
                used_by(&view, step),
                Section::of("settings", "Settings, as resolved", settings),
            ]))
        };
        let data = json!({
            "run": id, "step": self.plan_data(&view, step), "key": key, "record": record,
            "configuration": step.configuration, "losses": losses,
        });
        let mut page = Page::new("step", &step.name, body, data);
        page.trail = view.trail();
        page.trail.push(("Plan".to_owned(), format!("/run/{id}/plan")));
        Ok(page)
    }

    /// What is known of a step, in words.
    fn step_facts(
        &self,
        view: &RunView,
        step: &PlannedStep,
        key: Option<&str>,
        record: Option<&StepRecord>,
    ) -> Vec<(String, Line)> {
        let (seconds, memory) = self.cost(view, step);
        let mut known = vec![
            fact("kind", &step.kind),
            fact("state", view.state_span(&step.name)),
            fact("time", seconds.map(duration)),
            fact("time as planned", duration(step.seconds)),
            fact(
                "most memory the process held",
                memory.map_or_else(|| "not recorded".to_owned(), bytes),
            ),
        ];
        if let Some(record) = record {
            known.push(fact("threads", record.about.threads.to_string()));
            known.push(fact("made on", &record.about.host));
            known.push(fact("started, UTC", moment(&record.about.started)));
            known.push(fact("algorithm", format!("version {}", record.algorithm)));
        }
        if let Some(key) = key {
            known.push(fact("step", link(&key[..key.len().min(12)], format!("/step/{key}"))));
        }
        known.extend(view.artifact(&step.name).map(|made| fact("made", artifact_link(&made))));
        known
    }

    /// Losses along the training that made an artifact; none where there was none.
    pub(super) fn losses(&self, artifact: &ArtifactId) -> Vec<(f64, f64)> {
        #[derive(Deserialize)]
        struct Update {
            update: f64,
            loss: f64,
        }
        let read = || -> Result<Vec<(f64, f64)>> {
            let artifact = self.store.artifact(artifact)?;
            if !artifact.files.iter().any(|file| file.path == "updates.jsonl") {
                return Ok(Vec::new());
            }
            let bytes = artifact.read("updates.jsonl")?;
            let all: Vec<(f64, f64)> = bytes
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice::<Update>(line).ok())
                .map(|update| (update.update, update.loss))
                .collect();
            let step = all.len().div_ceil(400).max(1);
            let last = all.len().saturating_sub(1);
            let thinned = all.into_iter().enumerate();
            Ok(thinned
                .filter(|(at, _)| at % step == 0 || *at == last)
                .map(|(_, point)| point)
                .collect())
        };
        self.curves.get(artifact, read).map(|curve| curve.to_vec()).unwrap_or_default()
    }
}

/// What a step is made from.
fn made_from(view: &RunView, step: &PlannedStep) -> Option<Section> {
    let inputs = step.inputs.iter().map(|(role, from)| {
        let planned = match view.plan.step(from) {
            Some(_) => link(from, step_url(&view.line.id, from)),
            None => words(from),
        };
        cells![role, planned, view.artifact(from).map(|made| artifact_link(&made))]
    });
    let table = Table::new("What it is made from", &["as", "step", "artifact"]).with(inputs);
    Section::of("inputs", "Made from", table.block().into_iter().collect())
}

/// Which steps use what a step makes.
fn used_by(view: &RunView, step: &PlannedStep) -> Option<Section> {
    let steps = view.plan.steps.iter();
    let users = steps.filter(|other| other.inputs.values().any(|from| *from == step.name));
    let mut users: Vec<Line> =
        users.map(|user| link(&user.name, step_url(&view.line.id, &user.name)).into()).collect();
    if users.len() > USERS {
        let more = text::count(users.len() - USERS);
        users.truncate(USERS);
        users.push(format!("{more} more").into());
    }
    let used = !users.is_empty();
    let list = used.then_some(Block::List(users));
    Section::of("users", "Used by", list.into_iter().collect())
}

/// The plan as a drawing whose boxes say where things stand and lead there.
pub(super) fn plan_graph(view: &RunView) -> Markup {
    let id = &view.line.id;
    let mut graph = view.plan.graph();
    for node in &mut graph.nodes {
        node.state = Some(view.state(&node.id).1);
        let step = step_url(id, &node.id);
        let kind = url(&format!("/run/{id}/plan"), &[("kind", &node.kind)]) + "#steps";
        node.leads = Leads { node: Some(step.clone()), edges: Some(step), group: Some(kind) };
    }
    drawing(&graph)
}
