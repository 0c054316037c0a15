//! Step records: all of them, and one of them.

use std::collections::BTreeSet;

use maud::html;
use owlet_lab::cells;
use owlet_lab::report::block::{Block, Section, Span, Table, code, link, words};
use owlet_lab::value::text;
use owlet_store::{ArtifactId, StepKey};
use serde_json::json;

use super::Window;
use super::error::{Error, Result};
use super::index::StepLine;
use super::page::Page;
use super::parts::{
    Slice, bytes, duration, fact, facts, form, json_text, kept, moment, name, narrow, no_order,
    orderly, sections, step_link,
};
use super::plan::step_url;
use super::query::Query;

/// Steps on a page.
const SIZE: usize = 100;
/// What each column is sorted by.
const ORDERS: [&str; 7] = ["", "kind", "name", "run", "time", "memory", "started"];

impl Window {
    pub(super) fn steps_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let mut steps = self.index.steps();
        let kinds: BTreeSet<String> = steps.iter().map(|step| step.kind.clone()).collect();
        steps.retain(|step| query.get("kind").is_none_or(|kind| step.kind == kind));
        let sort = query.get("sort").unwrap_or("-started");
        let run = |step: &StepLine| self.index.name(&step.output).map(|(run, _)| run);
        steps.sort_by(|one, other| one.started.cmp(&other.started));
        match sort.trim_start_matches('-') {
            "started" => {}
            "kind" => steps.sort_by(|one, other| one.kind.cmp(&other.kind)),
            "name" => steps.sort_by_cached_key(|step| self.called(&step.output)),
            "run" => steps.sort_by_cached_key(|step| run(step)),
            "time" => steps.sort_by(|one, other| one.seconds.total_cmp(&other.seconds)),
            "memory" => steps.sort_by_key(|step| step.peak_memory_bytes),
            _ => return Err(no_order(sort)),
        }
        if sort.starts_with('-') {
            steps.reverse();
        }
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown = &steps[slice.range()];
        let rows = shown.iter().map(|step| {
            cells![
                link(step.key.short(), format!("/step/{}", step.key)),
                &step.kind,
                self.called_link(&step.output),
                self.run_link(&step.output),
                duration(step.seconds),
                step.peak_memory_bytes.map(bytes),
                moment(&step.started)
            ]
        });
        let titles = ["step", "kind", "made", "run", "#time", "#most memory", "started, UTC"];
        let table = Table::new("Steps on record, whoever ran them", &titles).with(rows);
        let body = html! {
            (form("/steps", "Show", &[
                narrow("Kind", "kind", query, kinds.iter().map(String::as_str)),
                kept("sort", query),
            ]))
            (orderly(table, &ORDERS, sort, ("/steps", query)))
            (slice.pager("/steps", query, "step"))
        };
        let data = slice.data("steps", shown.iter().map(|step| &**step));
        Ok(Page::new("workspace", "Steps", body, data))
    }

    /// What people call an artifact: the name of the step that made it, or the beginning of its id.
    pub(super) fn called(&self, artifact: &ArtifactId) -> String {
        match self.index.name(artifact) {
            // Every run has one; which it is tells them apart.
            Some((run, called)) if &*called == "base" => match self.index.known_run(&run) {
                Some(line) if !line.base.is_empty() => format!("base {}", name(&line.base)),
                _ => name(&called),
            },
            Some((_, called)) => name(&called),
            None => artifact.short(),
        }
    }

    /// The way to the newest run that has an artifact in its plan; nothing where none is known.
    pub(super) fn run_link(&self, artifact: &ArtifactId) -> Option<Span> {
        let (run, _) = self.index.name(artifact)?;
        let called = self.index.known_run(&run).map(|line| name(&line.name)).unwrap_or_default();
        Some(link(format!("{called} {}", run.nonce()), format!("/run/{run}")))
    }

    /// The way to an artifact by what people call it.
    pub(super) fn called_link(&self, artifact: &ArtifactId) -> Span {
        link(self.called(artifact), format!("/artifact/{artifact}"))
    }

    pub(super) fn step_page(&self, key: &StepKey) -> Result<Page> {
        self.refresh()?;
        let record = self.store.step_record(key)?;
        let record = record.ok_or_else(|| Error::missing("step", &key.short()))?;
        let about = &record.about;
        let memory = about.peak_memory_bytes.map_or_else(|| "not recorded".to_owned(), bytes);
        let mut known = vec![
            fact("kind", &record.kind),
            fact("made", self.called_link(&record.output)),
            fact("time", duration(about.seconds)),
            fact("threads", about.threads.to_string()),
            fact("most memory the process held", memory),
            fact("started, UTC", moment(&about.started)),
            fact("made on", &about.host),
            fact("by", format!("owlet {}, algorithm {}", about.version, record.algorithm)),
            fact("key", code(record.key.to_string())),
        ];
        if let Some((run, step)) = self.index.name(&record.output) {
            let plan = link(format!("run {}", run.nonce()), step_url(&run, &step));
            known.push(fact("in the plan of", plan));
        }
        let inputs = record.inputs.iter().map(|(role, id)| {
            let makers = self.index.makers(id);
            let maker = makers.first().map_or_else(|| words("given"), |maker| step_link(maker));
            cells![role, self.called_link(id), maker]
        });
        let inputs =
            Table::new("What it is made from", &["as", "artifact", "made by"]).with(inputs);
        let settings = Block::Text(json_text(&record.configuration));
        let body = html! {
            (facts(known))
            (sections([
                Section::of("inputs", "Made from", inputs.block().into_iter().collect()),
                Section::of("settings", "Settings, as resolved", vec![settings]),
            ]))
        };
        let title = format!("{} {}", record.kind, text::cut(&key.to_string(), 13));
        let data = json!({ "step": record });
        Ok(Page::new("step", &title, body, data).below("Steps", "/steps"))
    }
}
