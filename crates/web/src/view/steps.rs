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
use super::page::Page;
use super::parts::{
    Slice, bytes, choice, duration, fact, facts, form, json_text, moment, name, narrow, sections,
    step_link, table,
};
use super::plan::step_url;
use super::query::Query;

/// Steps on a page.
const SIZE: usize = 100;
/// Ways to sort: value in the address, words.
const SORTS: [(&str, &str); 2] = [("newest", "newest first"), ("slowest", "slowest first")];

impl Window {
    pub(super) fn steps_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let mut steps = self.index.steps();
        let kinds: BTreeSet<String> = steps.iter().map(|step| step.kind.clone()).collect();
        steps.retain(|step| query.get("kind").is_none_or(|kind| step.kind == kind));
        let sort = query.get("sort").unwrap_or("newest");
        match sort {
            "newest" => steps.sort_by(|one, other| other.started.cmp(&one.started)),
            "slowest" => steps.sort_by(|one, other| other.seconds.total_cmp(&one.seconds)),
            other => return Err(Error::query("sort", other, "newest or slowest")),
        }
        let slice = Slice::new(steps.len(), SIZE, query.page()?);
        let shown = &steps[slice.range()];
        let rows = shown.iter().map(|step| {
            cells![
                link(step.key.short(), format!("/step/{}", step.key)),
                &step.kind,
                self.called_link(&step.output),
                duration(step.seconds),
                step.peak_memory_bytes.map(bytes),
                moment(&step.started)
            ]
        });
        let titles = ["step", "kind", "made", "#time", "#most memory", "started, UTC"];
        let body = html! {
            (form("/steps", "Show", &[
                narrow("Kind", "kind", query, kinds.iter().map(String::as_str)),
                choice("Order", "sort", sort, SORTS),
            ]))
            (table("Steps on record, whoever ran them", &titles, rows))
            (slice.pager("/steps", query, "step"))
        };
        let data = slice.data("steps", shown.iter().map(|step| &**step));
        Ok(Page::new("workspace", "Steps", body, data))
    }

    /// What people call an artifact: the name of the step that made it, or the beginning of its id.
    pub(super) fn called(&self, artifact: &ArtifactId) -> String {
        match self.index.name(artifact) {
            Some((_, called)) => name(&called),
            None => artifact.short(),
        }
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
