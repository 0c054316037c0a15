//! A run: what it found, or how far it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::kind::inherit::result::InheritResult;
use owlet_lab::report::{self, ReportInput, TerminalStyle};
use owlet_lab::run::costs;
use owlet_lab::run::progress::Progress;
use owlet_lab::run::record::{About, PlanRecord};
use owlet_lab::value::cost::KindCost;
use owlet_lab::value::text;
use owlet_lab::{Record, RunResult};
use owlet_store::{ArtifactId, RunId};
use serde_json::{Value, json};

use super::error::Result;
use super::index::{RunLine, RunState};
use super::page::{Page, Tab};
use super::parts::{cell, duration, facts, moment, name};
use super::plan::{graph, shown_state};
use super::window::Window;

/// All that pages about a run need.
pub(super) struct RunView {
    pub(super) run: Record,
    pub(super) about: About,
    pub(super) line: Arc<RunLine>,
    pub(super) plan: Arc<PlanRecord>,
    pub(super) progress: Arc<Progress>,
}

impl RunView {
    /// A step's state: word and class.
    pub(super) fn state(&self, step: &str) -> (&'static str, &'static str) {
        shown_state(&self.progress, step, self.line.state == RunState::Running)
    }

    /// What a step made.
    pub(super) fn artifact(&self, step: &str) -> Option<ArtifactId> {
        let heard = self.progress.steps.get(step).and_then(|step| step.artifact.as_deref());
        match heard {
            Some(heard) => heard.parse().ok(),
            None => self.plan.step(step)?.artifact,
        }
    }

    /// Artifacts of all steps of a kind, here or behind an endpoint, by the step's name.
    pub(super) fn made_by(&self, kind: &str) -> BTreeMap<String, ArtifactId> {
        self.made(|made| made == kind)
    }

    /// Artifacts of all steps whose kind is as wanted, by the step's name.
    pub(super) fn made(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, ArtifactId> {
        let steps = self.plan.steps.iter().filter(|step| wanted(&step.kind));
        steps.filter_map(|step| Some((step.name.clone(), self.artifact(&step.name)?))).collect()
    }

    /// The endpoint that its models answer behind; none where their weights are here.
    pub(super) fn endpoint(&self) -> Option<&str> {
        let base = self.plan.steps.iter().find(|step| step.name == "base")?;
        base.configuration["endpoint"].as_str()
    }

    pub(super) fn command(&self) -> &str {
        &self.about.command
    }

    pub(super) fn trail(&self) -> Vec<(String, String)> {
        let title = format!("{} {}", name(&self.line.name), self.line.id.nonce());
        vec![("Runs".to_owned(), "/".to_owned()), (title, format!("/run/{}", self.line.id))]
    }

    /// A page about this run.
    pub(super) fn page(&self, what: &'static str, path: &str, body: Markup, data: Value) -> Page {
        let id = &self.line.id;
        let title = if self.line.name.is_empty() { id.as_str() } else { &self.line.name };
        let mut page = Page::new(what, title, html! { (self.badge()) (body) }, data);
        page.trail.push(("Runs".to_owned(), "/".to_owned()));
        page.tabs = [
            ("Result", String::new()),
            ("Plan", "/plan".to_owned()),
            ("Rows", "/rows".to_owned()),
            ("Models", "/models".to_owned()),
            ("Settings", "/settings".to_owned()),
        ]
        .into_iter()
        .map(|(label, rest)| {
            let href = format!("/run/{id}{rest}");
            Tab { label, here: href == path, href }
        })
        .collect();
        page
    }

    fn badge(&self) -> Markup {
        html! {
            p class="badge" {
                span class={ "state " (self.line.state.name()) } { (self.line.state.name()) }
                span { "run " (self.line.id.as_str()) }
                span { "started " (moment(&self.line.started)) " UTC" }
                @if !self.line.host.is_empty() { span { "on " (name(&self.line.host)) } }
                @if let Some(seconds) = self.progress.seconds { span { "took " (duration(seconds)) } }
            }
        }
    }
}

impl Window {
    pub(super) fn view(&self, id: &RunId) -> Result<RunView> {
        let run = self.open(id)?;
        let line = self.index.run(id)?;
        let progress = self.index.progress(&run)?;
        // A run that was stopped before it was planned has none.
        let plan = self.plan(&run).unwrap_or_default();
        let about = run.about().unwrap_or_default();
        Ok(RunView { run, about, line, plan, progress })
    }

    pub(super) fn run_page(&self, id: &RunId) -> Result<Page> {
        // Knows records of steps for times.
        self.refresh()?;
        let view = self.view(id)?;
        let path = format!("/run/{id}");
        match self.result(&view.run)? {
            Some(result) => {
                let costs = costs(&self.store, &view.run)?;
                Ok(match result.of() {
                    Some(result) => finished(&view, &path, result, &costs),
                    None => plain_result(&view, &path, &result)?,
                })
            }
            None => Ok(self.unfinished(&view, &path)),
        }
    }

    fn unfinished(&self, view: &RunView, path: &str) -> Page {
        let running = view.line.state == RunState::Running;
        let body = html! {
            (self.actions(view))
            div id="live" aria-live="off" { (self.live_panel(view)) }
            @if !running {
                section id="again" aria-labelledby="again-title" {
                    h2 id="again-title" { "Going on" }
                    p { "What is finished is kept. The same command goes on from there and ends with the same result:" }
                    pre class="command" { code { (text::reveal(view.command())) } }
                }
            }
        };
        let data = json!({ "run": *view.line, "progress": *view.progress, "result": null });
        let mut page = view.page("Result", path, body, data);
        if running {
            page.live = Some(format!("{path}/live"));
        }
        page
    }
}

/// The result of a kind that has no report, as at the end of its run.
fn plain_result(view: &RunView, path: &str, result: &RunResult) -> Result<Page> {
    let style = TerminalStyle { width: 100, colour: false, unicode: true };
    let body = html! { pre { (result.block(&style)) } };
    let value = result.to_value().map_err(std::io::Error::from)?;
    Ok(view.page("Result", path, body, json!({ "run": *view.line, "result": value })))
}

/// The report's sections, as they stand in the report.
fn finished(view: &RunView, path: &str, result: &InheritResult, costs: &[KindCost]) -> Page {
    let figures = report::figures(result);
    let graph = graph(&view.plan);
    let input = ReportInput {
        result,
        figures: &figures,
        recipe_text: &view.run.given().unwrap_or_default(),
        resolved_recipe: &view.run.resolved().unwrap_or_default(),
        lineage: &graph,
        costs,
        reproduce_command: view.command(),
        version: &view.line.version,
    };
    // The plan's page draws what was made from what, with states and links.
    let sections: Vec<_> =
        report::sections(&input).into_iter().filter(|section| section.id != "lineage").collect();
    let id = &view.line.id;
    let body = html! {
        @if !result.description.is_empty() { p class="lead" { (name(&result.description)) } }
        nav class="contents" aria-label="Contents" {
            ul { @for section in &sections { li { a href={ "#" (section.id) } { (section.title) } } } }
        }
        @for section in &sections {
            section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                h2 id={ (section.id) "-title" } { (section.title) }
                @match section.id {
                    "rows" => p { a href={ "/run/" (id) "/rows" } { "All rows, side by side, token by token" } },
                    "filter" => p { a href={ "/run/" (id) "/rows?show=removed" } { "Everything that was removed, with its rule" } },
                    "teachers" => p { a href={ "/run/" (id) "/models" } { "All models of this run" } },
                    "comparisons" => p { a href={ "/compare?a=" (id) "&b=" (id) } { "Compare any two conditions" } },
                    _ => {},
                }
                (section.body)
            }
        }
    };
    let data = json!({ "run": *view.line, "result": result });
    let mut page = view.page("Result", path, body, data);
    page.figures = figures;
    page
}

/// What is known of a run, beside what it found.
pub(super) fn origin(view: &RunView) -> Markup {
    facts(&[
        ("started, UTC", cell(moment(&view.line.started))),
        ("on", cell(name(&view.line.host))),
        ("by", cell(format!("owlet {}", name(&view.line.version)))),
        ("command", html! { code { (text::reveal(view.command())) } }),
    ])
}
