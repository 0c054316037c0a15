//! Step records: all of them, and one of them.

use std::sync::Arc;

use maud::html;
use owlet_lab::report::block::Line;
use owlet_lab::value::text;
use owlet_store::StepKey;
use serde_json::json;

use super::error::{Error, Result};
use super::index::StepLine;
use super::page::Page;
use super::parts::{
    Slice, bytes, cell, code, duration, facts, json_text, link, moment, name, section, table,
};
use super::plan::step_url;
use super::query::Query;
use super::window::Window;

/// Steps on a page.
const SIZE: usize = 100;

impl Window {
    pub(super) fn steps_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let mut steps = self.index.steps();
        let mut kinds: Vec<String> = steps.iter().map(|step| step.kind.clone()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let kind = query.get("kind");
        steps.retain(|step| kind.is_none_or(|kind| step.kind == kind));
        let sort = query.get("sort").unwrap_or("newest");
        match sort {
            "newest" => steps.sort_by(|one, other| other.started.cmp(&one.started)),
            "slowest" => steps.sort_by(|one, other| other.seconds.total_cmp(&one.seconds)),
            other => return Err(Error::query("sort", other, "newest or slowest")),
        }
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown = &steps[slice.start..slice.end];
        let rows: Vec<Vec<Line>> = shown.iter().map(|step| self.step_row(step)).collect();
        let body = html! {
            form class="filters" method="get" action="/steps" role="search" {
                label {
                    "Kind "
                    select name="kind" {
                        option value="" { "any" }
                        @for known in &kinds {
                            option value=(known) selected[kind == Some(known)] { (name(known)) }
                        }
                    }
                }
                label {
                    "Order "
                    select name="sort" {
                        option value="newest" selected[sort == "newest"] { "newest first" }
                        option value="slowest" selected[sort == "slowest"] { "slowest first" }
                    }
                }
                button type="submit" { "Show" }
            }
            (table(
                "Steps on record, whoever ran them",
                &["step", "kind", "made", "#time", "#most memory", "started, UTC"],
                rows,
            ))
            (slice.pager("/steps", query, "step"))
        };
        let data = json!({
            "total": slice.total, "page": slice.page, "pages": slice.pages,
            "steps": shown.iter().map(|step| &**step).collect::<Vec<_>>(),
        });
        Ok(Page::new("workspace", "Steps", body, data))
    }

    fn step_row(&self, step: &Arc<StepLine>) -> Vec<Line> {
        vec![
            link(&format!("/step/{}", step.key), step.key.short()),
            cell(name(&step.kind)),
            link(&format!("/artifact/{}", step.output), self.called(&step.output)),
            cell(duration(step.seconds)),
            cell(step.peak_memory_bytes.map_or_else(|| "–".to_owned(), bytes)),
            cell(moment(&step.started)),
        ]
    }

    /// What people call an artifact: the name of the step that made it, or the beginning of its id.
    pub(super) fn called(&self, artifact: &owlet_store::ArtifactId) -> String {
        match self.index.name(artifact) {
            Some((_, called)) => name(&called),
            None => artifact.short(),
        }
    }

    pub(super) fn step_page(&self, key: &StepKey) -> Result<Page> {
        self.refresh()?;
        let record = self.store.step_record(key)?;
        let record = record.ok_or_else(|| Error::missing("step", &key.short()))?;
        let called = self.index.name(&record.output);
        let mut known = vec![
            ("kind", cell(name(&record.kind))),
            ("made", link(&format!("/artifact/{}", record.output), self.called(&record.output))),
            ("time", cell(duration(record.about.seconds))),
            ("threads", cell(record.about.threads.to_string())),
            (
                "most memory the process held",
                cell(
                    record.about.peak_memory_bytes.map_or_else(|| "not recorded".to_owned(), bytes),
                ),
            ),
            ("started, UTC", cell(moment(&record.about.started))),
            ("made on", cell(name(&record.about.host))),
            (
                "by",
                cell(format!(
                    "owlet {}, algorithm {}",
                    name(&record.about.version),
                    record.algorithm
                )),
            ),
            ("key", code(record.key.to_string())),
        ];
        if let Some((run, step)) = &called {
            known.push((
                "in the plan of",
                link(&step_url(run, step), format!("run {}", run.nonce())),
            ));
        }
        let inputs: Vec<Vec<Line>> = record
            .inputs
            .iter()
            .map(|(role, id)| {
                vec![
                    cell(name(role)),
                    link(&format!("/artifact/{id}"), self.called(id)),
                    match self.index.makers(id).first() {
                        Some(maker) => link(
                            &format!("/step/{}", maker.key),
                            format!("{} {}", name(&maker.kind), maker.key.short()),
                        ),
                        None => cell("given"),
                    },
                ]
            })
            .collect();
        let body = html! {
            (facts(known))
            @if !inputs.is_empty() {
                (section("inputs", "Made from", &table("What it is made from", &["as", "artifact", "made by"], inputs)))
            }
            (section("settings", "Settings, as resolved", &html! {
                pre tabindex="0" { code { (json_text(&record.configuration)) } }
            }))
        };
        let title = format!("{} {}", record.kind, text::cut(&key.to_string(), 13));
        let data = json!({ "step": record });
        Ok(Page::new("step", &title, body, data).below("Steps", "/steps"))
    }
}
