//! Steps that ask a model behind an endpoint, one file per kind, beside those that compute here.
//!
//! Their configuration holds all that decides what is asked (endpoint, names, texts, seeds), and no
//! limit and no key. They keep no unfinished work of their own: what was answered is kept by
//! [`crate::ask::endpoint`], so a stopped step asks only for what is left.

pub mod base;
pub mod teach;
pub mod train;

use owlet_engine::Message;
use owlet_store::Artifact;
use serde_json::Value;

use super::StepContext;
use super::fine_tune::{Conversation, Turn};
use crate::ask::endpoint::{self, MODEL, RemoteModel, Training};
use crate::error::{Error, Result};
use crate::model::chat;

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
        ..RemoteModel::plain(&base.endpoint, &tuned.model, base.top_logprobs)
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
