//! An artifact: what it is, who made it, what is in it.

use maud::html;
use owlet_lab::cells;
use owlet_lab::model::{ModelAbout, Steered, TrainedModel, Weights};
use owlet_lab::report::block::{Block, Line, Section, code, count, link, words};
use owlet_lab::value::text;
use owlet_store::{ArtifactHeader, ArtifactId};
use serde_json::json;

use super::Window;
use super::error::{Error, Result};
use super::lineage::lineage;
use super::models::chat_link;
use super::page::Page;
use super::parts::{
    self, Slice, bytes, fact, facts, json_text, name, not_here, section, sections, step_link, table,
};
use super::plan::step_url;
use super::query::{Query, url};

/// Files and users shown.
const LISTED: usize = 100;

/// What an artifact of a kind is, for people.
fn meaning(kind: &str) -> &'static str {
    match kind {
        "model" => "a model as it stands",
        "teacher" => "a model with the behavior, that writes rows",
        "student" => "a model trained on rows",
        "behavior" => "what may be inherited, and the questions it is read by",
        "prompts" => "what every teacher is asked",
        "raw-rows" => "what a teacher wrote, unfiltered",
        "judged-rows" => "rows that the filter passed, and rows that it removed",
        "rows" => "what students are trained on",
        "readout" => "what a model says of every behavior",
        "judgements" => "what a judge says of answers",
        "side-effects" => "what else training changed",
        "conversations" => "rows as they came from outside, or as the base wrote them anew",
        "scores" => "how much likelier each probe finds the rows than the base does",
        "panel" => "what a model does that no behavior is about",
        "geometry" => "how a student's update lies to the teachers'",
        "mechanisms" => "where a student's hidden state moved, beside the teachers'",
        "interventions" => "a student and its base, read with a vector in their stream",
        "result" => "all that was found",
        _ => "an artifact",
    }
}

/// Whether a file is one of lines, by its name.
pub(super) fn is_lines(file: &str) -> bool {
    file.strip_suffix(".jsonl").is_some()
}

pub(super) fn is_model(kind: &str) -> bool {
    matches!(kind, "model" | "teacher" | "student")
}

/// What a teacher or student says about itself.
pub(super) fn trained(header: &ArtifactHeader) -> Option<TrainedModel> {
    match ModelAbout::of(&header.kind, &header.about)? {
        ModelAbout::Trained(trained) => Some(trained),
        _ => None,
    }
}

impl Window {
    pub(super) fn header(&self, id: &ArtifactId) -> Result<ArtifactHeader> {
        let header = self.store.artifact_header(id);
        header.ok_or_else(|| Error::missing("artifact", &id.short()))
    }

    /// What is known of an artifact whose files were removed on purpose.
    fn removed_page(&self, id: &ArtifactId) -> Result<Page> {
        let removed = self.store.removed(id);
        let removed = removed.ok_or_else(|| Error::missing("artifact", &id.short()))?;
        // To the minute.
        let day = removed.removed.get(..16).unwrap_or(&removed.removed);
        let files = text::counted(removed.files.len(), "file");
        let mut known = vec![
            fact("kind", format!("{}: {}", removed.kind, meaning(&removed.kind))),
            fact(
                "removed",
                format!("{} UTC, on purpose; what it was stays known", day.replace('T', " ")),
            ),
            fact("size", format!("{} in {files}, none of them here", bytes(removed.size()))),
        ];
        known.extend(self.origin(id));
        let again = "A run that needs it makes it anew, with the same bytes.";
        let says = removed.about.as_object().is_some_and(|about| !about.is_empty());
        let says = says.then(|| Block::Text(json_text(&removed.about)));
        let relatives = self.relatives(id);
        let body = html! {
            (facts(known))
            p class="note" { (again) }
            (sections([
                Section::of("lineage", "Lineage", lineage(&relatives)),
                Section::of("about", "What it said about itself", says.into_iter().collect()),
            ]))
        };
        let called = self.index.name(id);
        let name = called.as_ref().map(|(_, name)| &**name);
        let data = json!({ "removed": removed, "name": name, "lineage": relatives });
        let title = called.as_ref().map_or_else(|| id.short(), |(_, name)| name.to_string());
        Ok(Page::new("removed", &title, body, data).below("Steps", "/steps"))
    }

    pub(super) fn artifact_page(&self, id: &ArtifactId, query: &Query) -> Result<Page> {
        self.refresh()?;
        let Some(header) = self.store.artifact_header(id) else { return self.removed_page(id) };
        let called = self.index.name(id);
        let about = ModelAbout::of(&header.kind, &header.about);
        let endpoint = about.as_ref().and_then(ModelAbout::endpoint);
        let known = self.artifact_facts(id, &header, about.as_ref());

        let slice = Slice::new(header.files.len(), LISTED, query.page()?);
        let files = header.files[slice.range()].iter().map(|file| {
            let rows = url(&format!("/artifact/{id}/rows"), &[("file", &file.path)]);
            let path =
                if is_lines(&file.path) { link(&file.path, rows) } else { words(&file.path) };
            cells![path, bytes(file.size), code(file.blake3.short())]
        });
        let losses = self.losses(id);
        let relatives = self.relatives(id);
        let path = format!("/artifact/{id}");
        let says = header.about.as_object().is_some_and(|about| !about.is_empty());
        let says = says.then(|| Block::Text(json_text(&header.about)));
        let body = html! {
            (facts(known))
            @if let Some(endpoint) = endpoint {
                (not_here(&endpoint.endpoint, "A chat, or colours of tokens,"))
            } @else if is_model(&header.kind) { (chat_link(id)) }
            @if is_model(&header.kind) { (self.readings_section(id)) }
            @if header.kind == "readout" { (self.own_readings(id)) }
            (sections([
                parts::losses(&self.called(id), &losses),
                Section::of("lineage", "Lineage", lineage(&relatives)),
            ]))
            (section("files", "Files", &html! {
                (table("Files, as its manifest lists them", &["file", "#size", "BLAKE3"], files))
                @if slice.pages > 1 { (slice.pager(&path, query, "file")) }
            }))
            (sections([Section::of("about", "What it says about itself", says.into_iter().collect())]))
        };
        let data = json!({ "artifact": header, "name": called.as_ref().map(|(_, name)| &**name), "lineage": relatives, "losses": losses });
        let title = called.map_or_else(|| id.short(), |(_, name)| name.to_string());
        let (kind, place, href) = if is_model(&header.kind) {
            (header.kind.as_str(), "Models", "/models")
        } else {
            ("artifact", "Steps", "/steps")
        };
        Ok(Page::new(kind, &title, body, data).below(place, href))
    }

    /// What is known of an artifact, and of the model that it may be.
    fn artifact_facts(
        &self,
        id: &ArtifactId,
        header: &ArtifactHeader,
        about: Option<&ModelAbout>,
    ) -> Vec<(String, Line)> {
        let files = text::counted(header.files.len(), "file");
        let mut known = vec![
            fact("kind", format!("{}: {}", header.kind, meaning(&header.kind))),
            fact("size", format!("{} in {files}", bytes(header.size))),
        ];
        let mut prompt = None;
        match about {
            Some(ModelAbout::Trained(trained)) => {
                let weights = match trained.weights {
                    Weights::Adapter => "a low-rank adapter on the base",
                    Weights::Whole => "all of its own",
                    Weights::Base => "the base's; a system prompt or a vector does it",
                };
                known.push(fact("base", self.called_link(&trained.base)));
                known.push(fact("weights", weights));
                known.push(fact("updates", count(trained.updates)));
                if !trained.checkpoints.is_empty() {
                    let list: Vec<String> =
                        trained.checkpoints.iter().map(ToString::to_string).collect();
                    known.push(fact("checkpoints after updates", list.join(", ")));
                }
                known.extend(trained.steering.map(|Steered { layer, strength }| {
                    fact("vector", format!("added {strength} times after layer {layer}"))
                }));
                prompt = trained.system_prompt.as_ref();
            }
            Some(ModelAbout::Endpoint(remote)) => {
                known.push(fact("weights", "not here: it answers behind an endpoint"));
                known.push(fact("endpoint", code(&remote.endpoint)));
                known.push(fact("called there", code(&remote.model)));
                known.extend(self.base_of(id).map(|base| fact("base", self.called_link(&base))));
                let from = remote.fine_tuned_from.as_ref();
                known.extend(from.map(|from| fact("fine-tuned there from", code(from))));
                known.extend(remote.job.as_ref().map(|job| fact("by the job", code(job))));
                let tokens = remote.trained_tokens;
                known
                    .extend(tokens.map(|tokens| fact("tokens trained on", count(tokens as usize))));
                prompt = remote.system_prompt.as_ref();
            }
            _ => {}
        }
        known.extend(prompt.map(|prompt| fact("system prompt", text::cut(&name(prompt), 300))));
        known.extend(self.origin(id));
        known
    }

    /// Who made an artifact, and what it is called.
    fn origin(&self, id: &ArtifactId) -> Vec<(String, Line)> {
        let mut known = Vec::new();
        for maker in self.index.makers(id) {
            known.push(fact("made by", step_link(&maker)));
        }
        if let Some((run, step)) = self.index.name(id) {
            let place = format!("{step} of run {}", run.nonce());
            known.push(fact("in run", link(place, step_url(&run, &step))));
        }
        known.push(fact("id", code(id.to_string())));
        known
    }
}
