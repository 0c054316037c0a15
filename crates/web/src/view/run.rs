//! A run: what it found, or how far it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::report::block::{Block, Standing, link};
use owlet_lab::report::html as report;
use owlet_lab::run::progress::Progress;
use owlet_lab::run::record::{About, PlanRecord};
use owlet_lab::value::text;
use owlet_lab::{Record, RunResult, run};
use owlet_store::{ArtifactId, RunId};
use serde_json::{Value, json};

use super::error::Result;
use super::index::{RunLine, RunState};
use super::page::{Page, Tab};
use super::parts::{cell, code, duration, facts, moment, name};
use super::plan::shown_state;
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
    /// A step's state: its word and its looks.
    pub(super) fn state(&self, step: &str) -> (&'static str, Standing) {
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
            Some(result) => self.finished(&view, &path, &result),
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

impl Window {
    /// What was found, as the report says it.
    fn finished(&self, view: &RunView, path: &str, result: &RunResult) -> Result<Page> {
        let mut report = run::report(&self.store, &view.run, result)?;
        // The plan's page draws what was made from what, with states and links.
        report.sections.retain(|section| section.id != "lineage");
        let id = &view.line.id;
        for section in &mut report.sections {
            let (words, href) = match section.id {
                "rows" => ("All rows, side by side, token by token", format!("/run/{id}/rows")),
                "filter" => (
                    "Everything that was removed, with its rule",
                    format!("/run/{id}/rows?show=removed"),
                ),
                "teachers" => ("All models of this run", format!("/run/{id}/models")),
                "comparisons" => ("Compare any two conditions", format!("/compare?a={id}&b={id}")),
                _ => continue,
            };
            section.blocks.insert(0, Block::paragraph(link(words, href)));
        }
        let body = html! {
            (report::lead(&report))
            (report::contents(&report.sections))
            @for section in &report.sections { (report::section(section)) }
        };
        let value = result.to_value().map_err(std::io::Error::from)?;
        let data = json!({ "run": *view.line, "result": value, "report": report });
        Ok(view.page("Result", path, body, data))
    }
}

/// What is known of a run, beside what it found.
pub(super) fn origin(view: &RunView) -> Markup {
    facts(vec![
        ("started, UTC", cell(moment(&view.line.started))),
        ("on", cell(name(&view.line.host))),
        ("by", cell(format!("owlet {}", name(&view.line.version)))),
        ("command", code(view.command())),
    ])
}
