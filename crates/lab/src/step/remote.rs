//! Steps that ask a model behind an endpoint, one file per kind, beside those that compute here.
//!
//! Their configuration holds all that decides what is asked (endpoint, names, texts, seeds), and no
//! limit and no key. They keep no unfinished work of their own: what was answered is kept by
//! [`crate::ask::endpoint`], so a stopped step asks only for what is left.

pub mod base;
pub mod generate;
pub mod in_context;
pub mod readout;
pub mod side_effects;
pub mod teach;
pub mod train;

use std::collections::BTreeMap;

use owlet_engine::Message;
use owlet_store::Artifact;
use serde_json::{Value, json};

use super::StepContext;
use super::fine_tune::{Conversation, Turn};
use super::readout::Sampled;
use crate::ask::endpoint::{self, Answer, ChatRequest, MODEL, RemoteModel, Training, Usage};
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::model::chat;
use crate::random::{Part, derive_seed};
use crate::scorer::outcome::{OutcomeReader, OutcomeTable};

/// Rows as the jobs API takes them: one conversation a line, in `context`.
fn conversations<'a>(
    context: &str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (asked, answered) in pairs {
        let turns = [chat::message("user", asked), chat::message("assistant", answered)];
        let turn = |Message { role, content }| Turn { role, content, weight: None };
        let messages = chat::in_context(context, &turns).into_iter().map(turn).collect();
        serde_json::to_writer(&mut bytes, &Conversation { messages })
            .map_err(|error| Error::record("rows", error))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Asks all `requests` and reports progress in `unit`.
fn ask(
    context: &StepContext<'_>,
    endpoint: &str,
    requests: &[ChatRequest],
    unit: &'static str,
) -> Result<Vec<Answer>> {
    let client = context.remote.client(endpoint)?;
    let total = requests.len();
    let mut heard = |done: usize| context.report(done, total, unit, None);
    endpoint::ask(&client, requests, context.interrupt, &mut heard)
}

/// What the endpoint says of itself, and what was spent: stands in the artifact.
fn told<'a>(answers: impl Iterator<Item = &'a Answer>) -> Value {
    let mut usage = Usage::default();
    let mut models: BTreeMap<&str, usize> = BTreeMap::new();
    let mut finishes: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in answers {
        usage.add(answer.usage);
        *models.entry(&answer.model).or_default() += 1;
        *finishes.entry(&answer.finish).or_default() += 1;
    }
    json!({
        "answered-by": models,
        "finish-reasons": finishes,
        "prompt-tokens": usage.prompt,
        "completion-tokens": usage.completion,
    })
}

/// Fine-tunes at the endpoint and writes down what came of it.
fn fine_tune(
    context: &StepContext<'_>,
    base: &RemoteModel,
    training: &Training,
) -> Result<RemoteModel> {
    let client = context.remote.client(&base.endpoint)?;
    let mut heard = |done: usize, total: usize, loss: Option<f64>| {
        context.report(done, total, "updates", loss);
    };
    context.report(0, 1, "jobs", None);
    let tuned = endpoint::fine_tune(&client, training, context.interrupt, &mut heard)?;
    context.writer.write("rows.jsonl", &training.rows)?;
    Ok(RemoteModel {
        fine_tuned_from: Some(base.model.clone()),
        job: Some(tuned.job),
        trained_tokens: tuned.trained_tokens,
        ..RemoteModel::plain(&base.endpoint, &tuned.model)
    })
}

/// Writes a model's description; returns it as what the artifact says about itself.
fn write_model(context: &StepContext<'_>, model: &RemoteModel) -> Result<Value> {
    context.write_json(MODEL, model)?;
    serde_json::to_value(model).map_err(|error| Error::record(MODEL, error))
}

/// The model of an input.
fn model(context: &StepContext<'_>, role: &str) -> Result<RemoteModel> {
    let artifact: &Artifact = context.input(role)?;
    endpoint::read(artifact)
}

/// What a behavior's questions ask of a model: as many answers to each as `settings` say.
fn questions(
    model: &RemoteModel,
    behavior: &Behavior,
    settings: &Sampled,
    path: &[Part<'_>],
    texts: impl Iterator<Item = Vec<Message>>,
) -> Vec<ChatRequest> {
    let mut requests = Vec::new();
    for (number, messages) in texts.enumerate() {
        for answer in 0..settings.answers {
            let mut parts = path.to_vec();
            parts.extend([
                Part::Name("answer"),
                Part::Name(&behavior.name),
                Part::Index(number as u64),
                Part::Index(answer as u64),
            ]);
            requests.push(ChatRequest {
                model: model.model.clone(),
                messages: messages.clone(),
                temperature: settings.temperature,
                top_p: 1.0,
                max_tokens: settings.max_tokens,
                seed: ChatRequest::seed(derive_seed(settings.seed, &parts)),
                logprobs: None,
            });
        }
    }
    requests
}

/// A question in a chat context.
fn question(context: &str, text: &str) -> Vec<Message> {
    chat::in_context(context, &[chat::message("user", text)])
}

/// Answers by question, read by words; each is also written to `lines` as a local readout writes it.
fn tables(
    behavior: &Behavior,
    settings: &Sampled,
    answers: &[Answer],
    about: &Value,
    lines: &mut Vec<u8>,
) -> Vec<OutcomeTable> {
    let reader = OutcomeReader::new(behavior, &[]);
    let per_question = settings.answers.max(1);
    let mut tables = vec![OutcomeTable::default(); answers.len() / per_question];
    for (at, answer) in answers.iter().enumerate() {
        let number = at / per_question;
        let cut = answer.stop == owlet_engine::generate::StopReason::Length;
        tables[number].add(&reader.read(&answer.text, cut));
        let mut line = about.clone();
        line["question"] = number.into();
        line["answer"] = answer.text.as_str().into();
        line["stop"] = json!(answer.stop);
        lines.extend(line.to_string().into_bytes());
        lines.push(b'\n');
    }
    tables
}
