//! A chat that asks base, teacher and student at once, with the same seed.
//!
//! Nothing is kept here: the conversation travels with the form. The same words, seed and models
//! give the same answers.

use std::ops::ControlFlow;

use maud::{Markup, html};
use owlet_engine::generate::{Request, Sampling, StopReason, generate};
use owlet_lab::model::{ModelAbout, chat};
use owlet_lab::random::{Part, derive_seed};
use owlet_lab::value::text;
use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::artifact::trained;
use super::error::{Error, Result};
use super::index::RunState;
use super::page::Page;
use super::parts::name;
use super::query::Query;
use super::remote::not_here;
use super::rows::scorers;
use super::run::RunView;
use super::window::Window;

/// Places at the table: parameter, heading.
const PLACES: [(&str, &str); 3] =
    [("base", "base"), ("teacher", "teacher"), ("student", "student")];
/// Longest thing said, in bytes.
const LONGEST: usize = 8000;
/// Most turns carried along.
const TURNS: usize = 20;
/// Longest conversation carried in an address, in bytes.
const ADDRESS: usize = 12_000;
/// Most new tokens.
const TOKENS: usize = 512;
/// Newest runs among which one to talk with is looked for.
const LOOKED_AT: usize = 8;

/// One turn: what was said, and what each place answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    said: String,
    answers: Vec<Answer>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    text: String,
    cut: bool,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// Who sits at the table.
struct Table {
    models: Vec<(&'static str, &'static str, ArtifactId)>,
    seed: u64,
    temperature: f32,
    tokens: usize,
    context: String,
    /// A question that readouts of the run ask.
    example: Option<String>,
    /// Where the run's models answer, if their weights are not here.
    endpoint: Option<String>,
}

/// The conversation that came along.
fn carried(query: &Query) -> Result<Vec<Turn>> {
    match query.raw("turns") {
        None | Some("") => Ok(Vec::new()),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| Error::query("turns", text, "a conversation as this page wrote it")),
    }
}

impl Window {
    pub(super) fn chat_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let table = self.table(query)?;
        Ok(self.chat_view(&table, &carried(query)?, query.get("run")))
    }

    /// Asks, and shows the conversation with the answers.
    pub(super) fn chat_answer(&self, form: &Query) -> Result<Page> {
        self.refresh()?;
        let table = self.table(form)?;
        let said = form.raw("said").unwrap_or_default().trim().to_owned();
        if said.is_empty() || said.len() > LONGEST {
            return Err(Error::query("said", "", format!("1 to {LONGEST} bytes of text")));
        }
        let mut turns = carried(form)?;
        if turns.len() >= TURNS {
            return Err(Error::query(
                "turns",
                &turns.len().to_string(),
                format!("at most {TURNS} turns; begin a new conversation"),
            ));
        }
        turns.push(Turn { said, answers: Vec::new() });
        let last = turns.len() - 1;
        for place in 0..table.models.len() {
            let answer = match self.ask(&table, place, &turns) {
                // A model may not know the words, or have no room for them; the others may.
                Err(Error::Engine(error)) => {
                    Answer { fault: Some(error.to_string()), ..Answer::default() }
                }
                Err(Error::Lab(owlet_lab::Error::Engine(error))) => {
                    Answer { fault: Some(error.to_string()), ..Answer::default() }
                }
                other => other?,
            };
            turns[last].answers.push(answer);
        }
        Ok(self.chat_view(&table, &turns, form.get("run")))
    }

    fn ask(&self, table: &Table, place: usize, turns: &[Turn]) -> Result<Answer> {
        let (_, _, id) = table.models[place];
        let mut conversation = Vec::new();
        for turn in turns {
            conversation.push(chat::message("user", &turn.said));
            if let Some(answer) = turn.answers.get(place) {
                conversation.push(chat::message("assistant", &answer.text));
            }
        }
        let _asking = self.asking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let artifact = self.store.artifact(&id)?;
        let system = trained(&self.header(&id)?).and_then(|trained| trained.system_prompt);
        let model = self.models.load(&artifact)?;
        let prompt =
            chat::prompt(&model, system.as_deref().unwrap_or(&table.context), &conversation)?;
        // As `owlet chat` derives it.
        let turn = turns.len() as u64 - 1;
        let seed = derive_seed(table.seed, &[Part::Name("chat"), Part::Index(turn)]);
        let sampling = Sampling {
            temperature: table.temperature,
            max_tokens: table.tokens,
            ..Sampling::default()
        };
        let mut go_on = |_| ControlFlow::Continue(());
        let answers =
            generate(&model, &[Request { prompt, seed }], &sampling, &self.threads, &mut go_on)?;
        let answer = answers.into_iter().next();
        Ok(answer.map_or_else(Answer::default, |answer| Answer {
            cut: answer.stop == StopReason::Length,
            text: answer.text,
            fault: None,
        }))
    }

    /// The models asked for; else those of a run, else those of the newest finished run.
    fn table(&self, query: &Query) -> Result<Table> {
        let mut models = Vec::new();
        let mut endpoint = None;
        let mut context = query.get("context").unwrap_or(chat::DEFAULT).to_owned();
        let mut example = query.get("example").map(str::to_owned);
        for (key, heading) in PLACES {
            if let Some(id) = query.get(key) {
                let id: ArtifactId =
                    id.parse().map_err(|_| Error::query(key, id, "the id of a model"))?;
                let header = self.header(&id)?;
                let expected = match ModelAbout::of(&header.kind, &header.about) {
                    Some(ModelAbout::Whole {} | ModelAbout::Trained(_)) => None,
                    Some(ModelAbout::Endpoint(_) | ModelAbout::Script(_)) => Some(
                        "a model whose weights are here; this one answers behind an endpoint or from a script",
                    ),
                    None => Some("the id of a model, teacher or student"),
                };
                if let Some(expected) = expected {
                    return Err(Error::query(key, &id.short(), expected));
                }
                models.push((key, heading, id));
            }
        }
        // A model alone sits beside its base.
        if models.len() == 1
            && models[0].0 != "base"
            && let Some(trained) = trained(&self.header(&models[0].2)?)
        {
            models.insert(0, ("base", "base", trained.base));
        }
        if models.is_empty() {
            let view = match query.get("run") {
                Some(id) => Some(self.view(&self.run_id(id)?)?),
                None => self.newest_finished(),
            };
            endpoint = view.as_ref().and_then(|view| view.endpoint().map(str::to_owned));
            if let Some(view) = view.filter(|_| endpoint.is_none()) {
                let arm = match query.get("arm") {
                    Some(arm) => arm.to_owned(),
                    None => view
                        .plan
                        .steps
                        .iter()
                        .filter(|step| step.kind == "generate")
                        .find_map(|step| step.name.strip_prefix("generate/"))
                        .unwrap_or_default()
                        .to_owned(),
                };
                for scorer in scorers(&view, &arm, query.get("student-step")) {
                    models.push((scorer.part, scorer.part, scorer.model));
                }
                let written = view.plan.step(&format!("generate/{arm}"));
                if let Some(own) = written.and_then(|step| step.configuration["context"].as_str()) {
                    own.clone_into(&mut context);
                }
                let read = view.plan.steps.iter().find(|step| step.kind == "behavior");
                let question = read.and_then(|step| step.configuration["questions"][0].as_str());
                example = question.map(|question| text::cut(question, 200));
            }
        }
        let temperature = query.read("temperature", 1.0_f32, "a number from 0 to 10")?;
        if !(0.0..=10.0).contains(&temperature) {
            return Err(Error::query(
                "temperature",
                &temperature.to_string(),
                "a number from 0 to 10",
            ));
        }
        Ok(Table {
            models,
            seed: query.read("seed", 1, "a whole number")?,
            temperature,
            tokens: query.read("tokens", 64_usize, "a whole number")?.clamp(1, TOKENS),
            context,
            example,
            endpoint,
        })
    }

    /// The newest finished run; of the newest few one whose models are here, if there is one.
    fn newest_finished(&self) -> Option<RunView> {
        let (lines, _) = self.index.runs();
        let finished = lines.iter().rev().filter(|line| line.state == RunState::Finished);
        let mut first = None;
        for view in finished.take(LOOKED_AT).filter_map(|line| self.view(&line.id).ok()) {
            if view.endpoint().is_none() {
                return Some(view);
            }
            first = first.or(Some(view));
        }
        first
    }

    fn chat_view(&self, table: &Table, turns: &[Turn], run: Option<&str>) -> Page {
        let carried = serde_json::to_string(turns).unwrap_or_default();
        let body = html! {
            @if let (true, Some(endpoint)) = (table.models.is_empty(), &table.endpoint) {
                (not_here(endpoint, "A chat"))
                p { "Other models are under " a href="/models" { "Models" } "." }
            } @else if table.models.is_empty() {
                p { "There is no model to talk with yet. " code { "owlet demo" } " makes some; or choose one under " a href="/models" { "Models" } "." }
            } @else {
                p class="note" {
                    "Every place is asked the same with the same seed, so that answers differ only where the models' "
                    "distributions do. One answer says little about a model; its readouts say more."
                }
                (conversation(self, table, turns))
                form class="chat actions" method="post" action="/chat" {
                    input type="hidden" name="token" value=(self.token());
                    input type="hidden" name="turns" value=(carried);
                    input type="hidden" name="context" value=(table.context);
                    @if let Some(example) = &table.example { input type="hidden" name="example" value=(example); }
                    @if let Some(run) = run { input type="hidden" name="run" value=(run); }
                    @for (key, _, id) in &table.models { input type="hidden" name=(key) value=(id); }
                    label class="wide" {
                        "You say"
                        textarea name="said" rows="2" required maxlength=(LONGEST) placeholder=[table.example.as_ref()] {}
                    }
                    label { "Seed " input type="number" name="seed" min="0" value=(table.seed); }
                    label { "Temperature " input type="number" name="temperature" min="0" max="10" step="0.1" value=(table.temperature); }
                    label { "Most tokens " input type="number" name="tokens" min="1" max=(TOKENS) value=(table.tokens); }
                    button type="submit" { "Ask" }
                    @if !turns.is_empty() {
                        a href=(address(table, "", run)) { "New conversation" }
                    }
                }
            }
        };
        let data = json!({
            "models": table.models.iter().map(|(key, _, id)| (*key, id.to_string())).collect::<std::collections::BTreeMap<_, _>>(),
            "seed": table.seed, "temperature": table.temperature, "tokens": table.tokens,
            "context": table.context, "turns": turns,
        });
        let mut page = Page::new("workspace", "Chat", body, data);
        // An address that carries more is too long for some.
        if !turns.is_empty() && carried.len() < ADDRESS {
            page.address = Some(address(table, &carried, run));
        }
        page
    }
}

/// The address of a conversation; of a new one where there are no `turns`.
fn address(table: &Table, turns: &str, run: Option<&str>) -> String {
    let ids: Vec<(&str, String)> =
        table.models.iter().map(|(key, _, id)| (*key, id.to_string())).collect();
    let mut pairs: Vec<(&str, &str)> = ids.iter().map(|(key, id)| (*key, id.as_str())).collect();
    let (seed, temperature, tokens) =
        (table.seed.to_string(), table.temperature.to_string(), table.tokens.to_string());
    pairs.extend([
        ("context", table.context.as_str()),
        ("example", table.example.as_deref().unwrap_or_default()),
    ]);
    pairs.extend([("seed", seed.as_str()), ("temperature", &temperature), ("tokens", &tokens)]);
    pairs.extend([("run", run.unwrap_or_default()), ("turns", turns)]);
    super::query::url("/chat", &pairs)
}

fn conversation(window: &Window, table: &Table, turns: &[Turn]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Conversation" {
            table class="chat" {
                caption class="skip" { "The conversation, a column per model" }
                thead {
                    tr {
                        @for (_, heading, id) in &table.models {
                            th scope="col" {
                                (heading)
                                small { a href={ "/artifact/" (id) } { (window.called(id)) } }
                            }
                        }
                    }
                }
                tbody {
                    @for turn in turns {
                        tr class="said" { td colspan=(table.models.len()) { (text::reveal(&turn.said)) } }
                        tr {
                            @for answer in &turn.answers {
                                td {
                                    @if let Some(fault) = &answer.fault { span class="bad" { "Cannot answer: " (name(fault)) } }
                                    @else if answer.text.trim().is_empty() { span class="hint" { "(says nothing)" } }
                                    @else { (text::reveal(&answer.text)) }
                                    @if answer.cut { " " small { "cut off" } }
                                }
                            }
                        }
                    }
                    @if turns.is_empty() {
                        tr { td colspan=(table.models.len()) class="hint" { "Nothing said yet. " (name("Ask below.")) } }
                    }
                }
            }
        }
    }
}
