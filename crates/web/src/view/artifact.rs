//! An artifact: what it is, who made it, what is in it.

use maud::html;
use owlet_lab::model::{EndpointModel, ModelAbout, TrainedModel, Weights};
use owlet_lab::report::block::Line;
use owlet_lab::value::text;
use owlet_store::{ArtifactHeader, ArtifactId};
use serde_json::json;

use super::error::{Error, Result};
use super::lineage::lineage;
use super::models::chat_link;
use super::page::Page;
use super::parts::{
    Slice, bytes, cell, code, facts, json_text, link, losses as losses_of, name, section, table,
};
use super::plan::step_url;
use super::query::{Query, url};
use super::remote::not_here;
use super::window::Window;

/// Files and users shown.
const LISTED: usize = 100;

/// What an artifact of a kind is, for people.
fn words(kind: &str) -> &'static str {
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
        "side-effects" => "what else training changed",
        "geometry" => "how a student's update lies to the teachers'",
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

    pub(super) fn artifact_page(&self, id: &ArtifactId, query: &Query) -> Result<Page> {
        self.refresh()?;
        let header = self.header(id)?;
        let called = self.index.name(id);
        let trained = trained(&header);
        let about = ModelAbout::of(&header.kind, &header.about);
        let remote = about.as_ref().and_then(ModelAbout::endpoint).cloned();
        let mut known = vec![
            ("kind", cell(format!("{}: {}", name(&header.kind), words(&header.kind)))),
            (
                "size",
                cell(format!(
                    "{} in {}",
                    bytes(header.size),
                    text::counted(header.files.len(), "file")
                )),
            ),
        ];
        if let Some(trained) = &trained {
            known.push((
                "base",
                link(&format!("/artifact/{}", trained.base), self.called(&trained.base)),
            ));
            known.push((
                "weights",
                cell(match trained.weights {
                    Weights::Adapter => "a low-rank adapter on the base",
                    Weights::Whole => "all of its own",
                    Weights::Base => "the base's; a system prompt does it",
                }),
            ));
            known.push(("updates", cell(text::count(trained.updates))));
            if !trained.checkpoints.is_empty() {
                let list: Vec<String> =
                    trained.checkpoints.iter().map(ToString::to_string).collect();
                known.push(("checkpoints after updates", cell(list.join(", "))));
            }
            if let Some(prompt) = &trained.system_prompt {
                known.push(("system prompt", cell(name(&text::cut(prompt, 300)))));
            }
        }
        if let Some(remote) = &remote {
            known.extend(self.remote_facts(id, remote));
        }
        for maker in self.index.makers(id) {
            known.push((
                "made by",
                link(
                    &format!("/step/{}", maker.key),
                    format!("{} {}", name(&maker.kind), maker.key.short()),
                ),
            ));
        }
        if let Some((run, step)) = &called {
            known.push((
                "in run",
                link(&step_url(run, step), format!("{} of run {}", name(step), run.nonce())),
            ));
        }
        known.push(("id", code(id.to_string())));

        let slice = Slice::new(header.files.len(), LISTED, query.page()?);
        let files: Vec<Vec<Line>> = header.files[slice.start..slice.end]
            .iter()
            .map(|file| {
                vec![
                    if is_lines(&file.path) {
                        link(
                            &url(&format!("/artifact/{id}/rows"), &[("file", &file.path)]),
                            name(&file.path),
                        )
                    } else {
                        cell(name(&file.path))
                    },
                    cell(bytes(file.size)),
                    code(file.blake3.short()),
                ]
            })
            .collect();
        let losses = self.losses(id);
        let relatives = self.relatives(id);
        let path = format!("/artifact/{id}");
        let body = html! {
            (facts(known))
            @if let Some(remote) = &remote {
                (not_here(&remote.endpoint, "A chat, or colours of tokens,"))
            } @else if is_model(&header.kind) { (chat_link(id)) }
            @if is_model(&header.kind) { (self.readings_section(id)) }
            @if header.kind == "readout" { (self.own_readings(id)) }
            @if losses.len() > 1 {
                (section("curve", "Loss along training", &losses_of(&self.called(id), &losses)))
            }
            (section("lineage", "Lineage", &lineage(&relatives)))
            (section("files", "Files", &html! {
                (table("Files, as its manifest lists them", &["file", "#size", "BLAKE3"], files))
                @if slice.pages > 1 { (slice.pager(&path, query, "file")) }
            }))
            @if header.about.as_object().is_some_and(|about| !about.is_empty()) {
                (section("about", "What it says about itself", &html! { pre tabindex="0" { code { (json_text(&header.about)) } } }))
            }
        };
        let data = json!({ "artifact": header, "name": called.as_ref().map(|(_, name)| &**name), "lineage": relatives, "losses": losses });
        let title = called.map_or_else(|| id.short(), |(_, name)| name.to_string());
        let page = Page::new(words_for_trail(&header.kind), &title, body, data);
        Ok(if is_model(&header.kind) {
            page.below("Models", "/models")
        } else {
            page.below("Steps", "/steps")
        })
    }
}

impl Window {
    /// What is known of a model behind an endpoint.
    fn remote_facts(&self, id: &ArtifactId, remote: &EndpointModel) -> Vec<(&'static str, Line)> {
        let mut known = vec![
            ("weights", cell("not here: it answers behind an endpoint")),
            ("endpoint", code(&remote.endpoint)),
            ("called there", code(&remote.model)),
        ];
        if let Some(base) = self.base_of(id) {
            known.push(("base", link(&format!("/artifact/{base}"), self.called(&base))));
        }
        if let Some(from) = &remote.fine_tuned_from {
            known.push(("fine-tuned there from", code(from)));
        }
        if let Some(job) = &remote.job {
            known.push(("by the job", code(job)));
        }
        if let Some(tokens) = remote.trained_tokens {
            known.push(("tokens trained on", cell(text::count(tokens as usize))));
        }
        if let Some(prompt) = &remote.system_prompt {
            known.push(("system prompt", cell(name(&text::cut(prompt, 300)))));
        }
        known
    }
}

fn words_for_trail(kind: &str) -> &str {
    if is_model(kind) { kind } else { "artifact" }
}
