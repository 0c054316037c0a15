//! A chat that asks base, teacher and student at once, with the same seed.
//!
//! Nothing is kept here: the conversation travels with the form. The same words, seed and models
//! give the same answers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::PoisonError;

use maud::{Markup, html};
use owlet_engine::generate::{Request, Sampling, StopReason, generate};
use owlet_lab::model::{ModelAbout, chat};
use owlet_lab::random::{Part, derive_seed};
use owlet_lab::value::text;
use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Window;
use super::artifact::trained;
use super::error::{Error, Result};
use super::index::RunState;
use super::models::group;
use super::page::Page;
use super::parts::{choice, form, name, not_here, scrolling};
use super::query::Query;
use super::rows::{context, scorers};
use super::run::RunView;

/// Who may sit at the table, as the address calls them.
const PLACES: [&str; 3] = ["base", "teacher", "student"];
/// Longest thing said, in bytes.
const LONGEST: usize = 8000;
/// Most turns carried along.
const TURNS: usize = 20;
/// Longest conversation carried in an address, in bytes.
const ADDRESS: usize = 12_000;
/// Most new tokens.
const TOKENS: usize = 512;
/// Models offered for a place.
const OFFERED: usize = 200;
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

/// Who sits at the table, and how they are asked.
struct Table {
    models: Vec<(&'static str, ArtifactId)>,
    seed: u64,
    temperature: f32,
    tokens: usize,
    context: String,
    /// A question that readouts of the run ask.
    example: Option<String>,
    /// The run that was asked for.
    run: Option<String>,
    /// Where the run's models answer, if their weights are not here.
    endpoint: Option<String>,
}

impl Table {
    /// What the page carries along, beside the conversation and what is typed.
    fn kept(&self) -> Query {
        let models = self.models.iter().map(|(place, id)| ((*place).to_owned(), id.to_string()));
        let values: BTreeMap<String, String> = models.collect();
        Query::from(values).with(&[
            ("context", &self.context),
            ("example", self.example.as_deref().unwrap_or_default()),
            ("run", self.run.as_deref().unwrap_or_default()),
        ])
    }

    /// The address of a conversation; of a new one where there are no `turns`.
    fn address(&self, turns: &str) -> Query {
        self.kept().with(&[
            ("seed", &self.seed.to_string()),
            ("temperature", &self.temperature.to_string()),
            ("tokens", &self.tokens.to_string()),
            ("turns", turns),
        ])
    }
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
        Ok(self.chat_view(&table, &carried(query)?))
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
            let expected = format!("at most {TURNS} turns; begin a new conversation");
            return Err(Error::query("turns", &turns.len().to_string(), expected));
        }
        turns.push(Turn { said, answers: Vec::new() });
        let last = turns.len() - 1;
        for place in 0..table.models.len() {
            let answer = match self.ask(&table, place, &turns) {
                // A model may not know the words, or have no room for them; the others may.
                Err(Error::Engine(error) | Error::Lab(owlet_lab::Error::Engine(error))) => {
                    Answer { fault: Some(error.to_string()), ..Answer::default() }
                }
                other => other?,
            };
            turns[last].answers.push(answer);
        }
        Ok(self.chat_view(&table, &turns))
    }

    fn ask(&self, table: &Table, place: usize, turns: &[Turn]) -> Result<Answer> {
        let (_, id) = table.models[place];
        let mut conversation = Vec::new();
        for turn in turns {
            conversation.push(chat::message("user", &turn.said));
            if let Some(answer) = turn.answers.get(place) {
                conversation.push(chat::message("assistant", &answer.text));
            }
        }
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
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
        let expected = "a number from 0 to 10";
        let temperature = query.read("temperature", 1.0_f32, expected)?;
        if !(0.0..=10.0).contains(&temperature) {
            return Err(Error::query("temperature", &temperature.to_string(), expected));
        }
        let mut table = Table {
            models: self.named(query)?,
            seed: query.read("seed", 1, "a whole number")?,
            temperature,
            tokens: query.read("tokens", 64_usize, "a whole number")?.clamp(1, TOKENS),
            context: query.get("context").unwrap_or(chat::DEFAULT).to_owned(),
            example: query.get("example").map(str::to_owned),
            run: query.get("run").map(str::to_owned),
            endpoint: None,
        };
        if !table.models.is_empty() {
            return Ok(table);
        }
        let view = match query.get("run") {
            Some(id) => Some(self.view(&self.run_id(id)?)?),
            None => self.newest_finished(),
        };
        let Some(view) = view else { return Ok(table) };
        table.endpoint = view.endpoint().map(str::to_owned);
        if table.endpoint.is_none() {
            let mut writers = view.writers();
            let arm = query.get("arm").or_else(|| writers.next()).unwrap_or_default();
            let seated = scorers(&view, arm, query.get("student-step")).into_iter();
            table.models = seated.map(|scorer| (scorer.part, scorer.model)).collect();
            if let Some(own) = context(&view, arm) {
                own.clone_into(&mut table.context);
            }
            let read = view.plan.steps.iter().find(|step| step.kind == "behavior");
            let question = read.and_then(|step| step.configuration["questions"][0].as_str());
            table.example = question.map(|question| text::cut(question, 200));
        }
        Ok(table)
    }

    /// The models that an address names.
    fn named(&self, query: &Query) -> Result<Vec<(&'static str, ArtifactId)>> {
        let mut models = Vec::new();
        for place in PLACES {
            let Some(id) = query.get(place) else { continue };
            let id: ArtifactId =
                id.parse().map_err(|_| Error::query(place, id, "the id of a model"))?;
            let header = self.header(&id)?;
            let expected = match ModelAbout::of(&header.kind, &header.about) {
                Some(ModelAbout::Whole {} | ModelAbout::Trained(_)) => {
                    models.push((place, id));
                    continue;
                }
                Some(ModelAbout::Endpoint(_) | ModelAbout::Script(_)) => {
                    "a model whose weights are here; this one answers behind an endpoint or from a script"
                }
                None => "the id of a model, teacher or student",
            };
            return Err(Error::query(place, &id.short(), expected));
        }
        // A model alone sits beside its base.
        if let [(place, id)] = models[..]
            && place != "base"
            && let Some(trained) = trained(&self.header(&id)?)
        {
            models.insert(0, ("base", trained.base));
        }
        Ok(models)
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

    fn chat_view(&self, table: &Table, turns: &[Turn]) -> Page {
        let carried = serde_json::to_string(turns).unwrap_or_default();
        let body = html! {
            (self.seats(table))
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
                (scrolling("Conversation", &self.conversation(table, turns)))
                form class="chat actions" method="post" action="/chat" {
                    input type="hidden" name="token" value=(self.token());
                    input type="hidden" name="turns" value=(carried);
                    @for (key, value) in table.kept().pairs() { input type="hidden" name=(key) value=(value); }
                    label class="wide" {
                        "You say"
                        textarea name="said" rows="2" required data-sends="true" aria-keyshortcuts="Enter" maxlength=(LONGEST) placeholder=[table.example.as_ref()] {}
                    }
                    label { "Seed " input type="number" name="seed" min="0" value=(table.seed); }
                    label { "Temperature " input type="number" name="temperature" min="0" max="10" step="0.1" value=(table.temperature); }
                    label { "Most tokens " input type="number" name="tokens" min="1" max=(TOKENS) value=(table.tokens); }
                    button type="submit" { "Ask" }
                    @if !turns.is_empty() { a href=(table.address("").at("/chat")) { "New conversation" } }
                }
            }
        };
        let models: BTreeMap<&str, &ArtifactId> =
            table.models.iter().map(|(place, id)| (*place, id)).collect();
        let data = json!({
            "models": models, "seed": table.seed, "temperature": table.temperature,
            "tokens": table.tokens, "context": table.context, "turns": turns,
        });
        let mut page = Page::new("workspace", "Chat", body, data);
        // An address that carries more is too long for some.
        if !turns.is_empty() && carried.len() < ADDRESS {
            page.address = Some(table.address(&carried));
        }
        page
    }

    /// What sits in a place: what its artifact is, in a word.
    fn kind_of(&self, id: &ArtifactId, place: &str) -> String {
        match self.store.artifact_header(id) {
            Some(header) if header.kind == "model" => "base".to_owned(),
            Some(header) => name(&header.kind),
            None => place.to_owned(),
        }
    }

    /// Who may sit where: any model whose weights are here.
    fn seats(&self, table: &Table) -> Markup {
        let mut steps = self.index.steps();
        steps.retain(|step| group(&step.kind).is_some());
        steps.sort_by(|one, other| other.started.cmp(&one.started));
        let seated = table.models.iter().map(|(_, id)| *id);
        let newest = steps.iter().map(|step| step.output).take(OFFERED);
        let here = |id: &ArtifactId| {
            let header = self.store.artifact_header(id);
            let about = header.and_then(|header| ModelAbout::of(&header.kind, &header.about));
            matches!(about, Some(ModelAbout::Whole {} | ModelAbout::Trained(_)))
        };
        let mut offered: Vec<(String, String)> = Vec::new();
        for id in seated.chain(newest).filter(here) {
            let run = self.index.name(&id).map(|(run, _)| format!(", run {}", run.nonce()));
            let words = format!("{}{}", self.called(&id), run.unwrap_or_default());
            if !offered.iter().any(|(known, _)| *known == id.to_string()) {
                offered.push((id.to_string(), words));
            }
        }
        let sits = |place: &str| {
            let seat = table.models.iter().find(|(seated, _)| *seated == place);
            seat.map(|(_, id)| id.to_string()).unwrap_or_default()
        };
        let seat = |place: &'static str, label: &str| {
            let nobody = std::iter::once((String::new(), "nobody".to_owned()));
            choice(label, place, &sits(place), nobody.chain(offered.iter().cloned()))
        };
        let seats = [("base", "Left"), ("teacher", "Middle"), ("student", "Right")];
        form("/chat", "Choose", &seats.map(|(place, label)| seat(place, label)))
    }

    fn conversation(&self, table: &Table, turns: &[Turn]) -> Markup {
        html! {
            table class="chat" {
                caption class="skip" { "The conversation, a column per model" }
                thead {
                    tr {
                        @for (place, id) in &table.models {
                            th scope="col" {
                                (self.kind_of(id, place))
                                small { a href={ "/artifact/" (id) } { (self.called(id)) } }
                            }
                        }
                    }
                }
                tbody {
                    @for turn in turns {
                        tr class="said" { td colspan=(table.models.len()) { (text::reveal(&turn.said)) } }
                        tr { @for answer in &turn.answers { td { (shown(answer)) } } }
                    }
                    @if turns.is_empty() {
                        tr { td colspan=(table.models.len()) class="hint" { "Nothing said yet. Ask below." } }
                    }
                }
            }
        }
    }
}

fn shown(answer: &Answer) -> Markup {
    html! {
        @if let Some(fault) = &answer.fault { span class="bad" { "Cannot answer: " (name(fault)) } }
        @else if answer.text.trim().is_empty() { span class="hint" { "(says nothing)" } }
        @else { (text::reveal(&answer.text)) }
        @if answer.cut { " " small { "cut off" } }
    }
}
