//! A run's plan: a graph with states, and a line per step with what it took.

use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::Record;
use owlet_lab::report::block::{Leads, Line, Standing};
use owlet_lab::report::html::drawing;
use owlet_lab::run::progress::{Progress, StepState};
use owlet_lab::run::record::{PlanRecord, PlannedStep};
use owlet_lab::value::text;
use owlet_store::{ArtifactId, RunId, StepRecord};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::page::Page;
use super::parts::{
    self, Slice, bytes, cell, duration, facts, json_text, link, name, section, table,
};
use super::query::{Query, url};
use super::run::RunView;
use super::window::Window;

/// Steps on a page.
const SIZE: usize = 100;

pub(super) fn step_url(run: &RunId, step: &str) -> String {
    url(&format!("/run/{run}/step"), &[("name", step)])
}

impl Window {
    pub(super) fn plan(&self, run: &Record) -> Result<Arc<PlanRecord>> {
        self.plans.get(run.id(), || Ok(run.plan()?))
    }

    pub(super) fn plan_page(&self, id: &RunId, query: &Query) -> Result<Page> {
        let view = self.view(id)?;
        let kind = query.get("kind");
        let state = query.get("state");
        let words = query.get("q").unwrap_or_default();
        let path = format!("/run/{id}/plan");
        let steps: Vec<&PlannedStep> = view
            .plan
            .steps
            .iter()
            .filter(|step| kind.is_none_or(|kind| step.kind == kind))
            .filter(|step| state.is_none_or(|state| view.state(&step.name).0 == state))
            .filter(|step| step.name.contains(words))
            .collect();
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown = &steps[slice.start..slice.end];
        let rows: Vec<Vec<Line>> = shown.iter().map(|step| self.plan_row(&view, step)).collect();
        let mut kinds: Vec<&str> = view.plan.steps.iter().map(|step| step.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let graph = plan_graph(&view);
        let body = html! {
            section aria-label="Graph" {
                (graph)
                p class="note" {
                    "Boxes are steps, lines run from what is used to what is made from it. Many steps of one kind share a "
                    "box, which leads to their lines below."
                }
            }
            section id="steps" aria-labelledby="steps-title" {
                h2 id="steps-title" { "Steps" }
                form class="filters" method="get" action={ (path) "#steps" } role="search" {
                    label { "Name " input type="search" name="q" value=[query.get("q")]; }
                    label {
                        "Kind "
                        select name="kind" {
                            option value="" { "any" }
                            @for known in &kinds { option value=(known) selected[kind == Some(*known)] { (known) } }
                        }
                    }
                    label {
                        "State "
                        select name="state" {
                            option value="" { "any" }
                            @for known in ["done", "reused", "running", "waiting", "failed", "stopped"] {
                                option value=(known) selected[state == Some(known)] { (known) }
                            }
                        }
                    }
                    button type="submit" { "Show" }
                }
                (table(
                    "Steps in the order of the plan",
                    &["step", "kind", "state", "#time", "#most memory", "#made from", "made"],
                    rows,
                ))
                (slice.pager(&path, query, "step"))
            }
        };
        let data = json!({
            "run": view.line.id, "total": slice.total, "page": slice.page, "pages": slice.pages,
            "steps": shown.iter().map(|step| self.plan_data(&view, step)).collect::<Vec<_>>(),
        });
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
        let (state, class) = view.state(&step.name);
        vec![
            link(&step_url(&view.line.id, &step.name), name(&step.name)),
            cell(name(&step.kind)),
            parts::state(state, class),
            cell(seconds.map_or_else(|| "–".to_owned(), duration)),
            cell(memory.map_or_else(|| "–".to_owned(), bytes)),
            cell(text::counted(step.inputs.len(), "thing")),
            match view.artifact(&step.name) {
                Some(id) => link(&format!("/artifact/{id}"), id.short()),
                None => cell("–"),
            },
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
        let body = html! {
            (facts(known))
            @if let Some(message) = progress.and_then(|step| step.message.as_ref()) {
                p class="bad" { (name(message)) }
            }
            @if losses.len() > 1 {
                (section("curve", "Loss along training", &parts::losses(&step.name, &losses)))
            }
            (made_from(&view, step))
            (used_by(&view, step))
            (section("settings", "Settings, as resolved", &html! {
                p class="note" { "Everything its key depends on beside its inputs. What the recipe said stands under "
                    a href={ "/run/" (id) "/settings" } { "Settings" } "." }
                pre tabindex="0" { code { (json_text(&step.configuration)) } }
            }))
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
    ) -> Vec<(&'static str, Line)> {
        let (seconds, memory) = self.cost(view, step);
        let (state, class) = view.state(&step.name);
        let mut known = vec![
            ("kind", cell(name(&step.kind))),
            ("state", parts::state(state, class)),
            ("time", cell(seconds.map_or_else(|| "–".to_owned(), duration))),
            ("time as planned", cell(duration(step.seconds))),
            (
                "most memory the process held",
                cell(memory.map_or_else(|| "not recorded".to_owned(), bytes)),
            ),
        ];
        if let Some(record) = record {
            known.push(("threads", cell(record.about.threads.to_string())));
            known.push(("made on", cell(name(&record.about.host))));
            known.push(("started, UTC", cell(parts::moment(&record.about.started))));
            known.push(("algorithm", cell(format!("version {}", record.algorithm))));
        }
        if let Some(key) = key {
            known.push(("step", link(&format!("/step/{key}"), &key[..key.len().min(12)])));
        }
        if let Some(artifact) = view.artifact(&step.name) {
            known.push(("made", link(&format!("/artifact/{artifact}"), artifact.short())));
        }
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
fn made_from(view: &RunView, step: &PlannedStep) -> Markup {
    let inputs: Vec<Vec<Line>> = step
        .inputs
        .iter()
        .map(|(role, from)| {
            let made = view.artifact(from);
            vec![
                cell(name(role)),
                match view.plan.step(from) {
                    Some(_) => link(&step_url(&view.line.id, from), name(from)),
                    None => cell(name(from)),
                },
                match made {
                    Some(made) => link(&format!("/artifact/{made}"), made.short()),
                    None => cell("–"),
                },
            ]
        })
        .collect();
    html! {
        @if !inputs.is_empty() {
            (section("inputs", "Made from", &table("What it is made from", &["as", "step", "artifact"], inputs)))
        }
    }
}

/// Which steps use what a step makes.
fn used_by(view: &RunView, step: &PlannedStep) -> Markup {
    let users: Vec<&PlannedStep> = view
        .plan
        .steps
        .iter()
        .filter(|other| other.inputs.values().any(|from| *from == step.name))
        .collect();
    html! {
        @if !users.is_empty() {
            (section("users", "Used by", &html! {
                ul class="columns" {
                    @for user in users.iter().take(200) { li { a href=(step_url(&view.line.id, &user.name)) { (name(&user.name)) } } }
                    @if users.len() > 200 { li { (text::count(users.len() - 200)) " more" } }
                }
            }))
        }
    }
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

/// The state a step is shown in, as a word and its looks: what was under way when its run stopped is
/// not running.
pub(super) fn shown_state(
    progress: &Progress,
    step: &str,
    alive: bool,
) -> (&'static str, Standing) {
    let state = progress.steps.get(step).map_or(StepState::Waiting, |step| step.state);
    let standing = match state {
        StepState::Running if !alive => return ("stopped", Standing::Waiting),
        StepState::Waiting => Standing::Waiting,
        StepState::Running => Standing::Running,
        StepState::Finished => Standing::Done,
        StepState::Reused => Standing::Reused,
        StepState::Failed => Standing::Failed,
    };
    (state.name(), standing)
}
