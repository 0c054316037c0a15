//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::response::Response;
use owlet_engine::Grammar;
use owlet_engine::generate::{Completion, StopReason};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::answer::{self, Part, Splitter, Told};
use super::conversation::Conversation;
use super::decoding::{self, Decoding};
use super::fields::Fields;
use super::models::Served;
use super::refusal::Refusal;
use super::runner::{Order, Runner};
use super::stream::{self, Frames};
use super::tools::{Call, Form, Tools};
use super::wire::{self, usage};

/// What is known of a request once it is read.
struct Asked {
    id: String,
    created: u64,
    model: Arc<Served>,
    prompt: usize,
    tools: Arc<Tools>,
    logprobs: bool,
    /// Of a grammar, which is as large as what it was made of.
    _memory: Option<OwnedSemaphorePermit>,
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> Result<Response, Refusal> {
    respond(&app, &app.runner, fields).await
}

/// Answers a request, wherever it comes from.
pub(crate) async fn respond(
    app: &App,
    runner: &Runner,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    let name: Option<String> = fields.take("model")?;
    let model = app.models.named(name.as_deref())?;
    let decoding = Decoding::take(&mut fields, &model, &app.limits, 1)?;
    let top = decoding::chat_logprobs(&mut fields)?;
    let format = response_format(&mut fields)?;
    let tools = Tools::take(&mut fields, format)?;
    let conversation = Conversation::take(
        &mut fields,
        model.system_prompt.as_deref(),
        tools.instructions.as_deref(),
    )?;
    let mut ignored = tools.ignored.clone();
    ignored.extend(conversation.ignored.iter().cloned());
    let memory = tools.form.as_ref().and_then(|_| fields.take_memory());
    ignored.extend(wire::unknown(fields));

    // Templates, tokenizers and grammars take their time; other requests go on meanwhile.
    let tools = Arc::new(tools);
    let (grammar, prompt) = {
        let (model, tools) = (Arc::clone(&model), Arc::clone(&tools));
        app.compute(move || {
            let form = tools.form.as_ref();
            let grammar = form.map(|form| form.compile(&model.model.tokenizer)).transpose()?;
            Ok::<_, Refusal>((grammar, conversation.prompt(&model.model)?))
        })
        .await??
    };
    let context = model.model.decoder.config.context;
    if prompt.len() >= context {
        return Err(Refusal::too_long(context, prompt.len(), "messages"));
    }
    let room = decoding.room(&model, &app.limits, prompt.len(), app.limits.default_tokens);
    decoding.check_size(decoding.choices * room, top.unwrap_or(0))?;
    ignored.extend(grammar.iter().flat_map(Grammar::ignored).cloned());
    let mut sampling = decoding.sampling(room);
    Arc::make_mut(&mut sampling).grammar = grammar;
    let requests = wire::requests(&prompt, &decoding.seeds(app.fresh_seed()));
    app.metrics.prompt_tokens.fetch_add(prompt.len() as u64, Relaxed);
    let asked = Asked {
        id: app.new_id("chatcmpl-"),
        created: (app.now)(),
        prompt: prompt.len(),
        tools,
        logprobs: top.is_some(),
        model: Arc::clone(&model),
        _memory: memory,
    };
    let order = Order {
        id: Arc::clone(&model.id),
        model: model.model.clone(),
        requests,
        sampling,
        top: top.unwrap_or(0),
    };
    let heard = runner.generate(order).await?;
    let response = if decoding.stream {
        stream::respond(ChatFrames::new(asked, decoding.choices, decoding.stream_usage), heard)
            .await?
    } else {
        let gathered = stream::gather(heard, decoding.choices, asked.logprobs).await?;
        app.compute(move || wire::json(&finished(&asked, gathered))).await?
    };
    Ok(wire::with_warnings(response, &ignored))
}

/// The form of answers that `response_format` asks for.
fn response_format(fields: &mut Fields) -> Result<Option<Form>, Refusal> {
    let Some(value) = fields.value("response_format") else { return Ok(None) };
    let mut format = Fields::nested(value, "response_format")?;
    let kind: String = format.require("type")?;
    match kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Form::json(json!({ "type": "object" })))),
        "json_schema" => {
            let schema = format.value("json_schema").unwrap_or(Value::Null);
            let mut schema = Fields::nested(schema, "response_format.json_schema")?;
            Ok(Some(Form::json(schema.value("schema").unwrap_or(Value::Bool(true)))))
        }
        _ => Err(format.refuse("type", "is not `text`, `json_object` or `json_schema`")),
    }
}

fn finished(asked: &Asked, gathered: Vec<(Vec<Told>, Completion)>) -> Value {
    let completion_tokens = gathered.iter().map(|(_, completion)| completion.tokens.len()).sum();
    let choices: Vec<Value> = gathered
        .into_iter()
        .enumerate()
        .map(|(index, (told, Completion { text, stop, .. }))| {
            let mut splitter = Splitter::new(Arc::clone(&asked.tools));
            let mut parts = splitter.push(&text);
            parts.extend(splitter.finish());
            let (mut thoughts, mut words, mut calls) = (String::new(), String::new(), Vec::new());
            for part in parts {
                match part {
                    Part::Thought(text) => thoughts.push_str(&text),
                    Part::Words(text) => words.push_str(&text),
                    Part::Calls(made) => calls.extend(made),
                }
            }
            let content = if calls.is_empty() || !words.is_empty() {
                Value::from(words)
            } else {
                Value::Null
            };
            let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
            if !thoughts.is_empty() {
                message["reasoning_content"] = thoughts.into();
            }
            let called = !calls.is_empty();
            if called {
                let calls: Vec<Value> = calls
                    .iter()
                    .enumerate()
                    .map(|(i, call)| call_json(&asked.id, index, i, call))
                    .collect();
                message["tool_calls"] = calls.into();
            }
            let logprobs = asked
                .logprobs
                .then(|| answer::chat_logprobs(&asked.model.model.tokenizer, &told, 0));
            json!({
                "index": index,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": answer::finish_reason(stop, called),
            })
        })
        .collect();
    json!({
        "id": asked.id,
        "object": "chat.completion",
        "created": asked.created,
        "model": &*asked.model.id,
        "choices": choices,
        "usage": usage(asked.prompt, completion_tokens),
        "system_fingerprint": wire::FINGERPRINT,
    })
}

/// Ids of calls are derived from the answer's, so that the same answer says the same.
fn call_json(answer: &str, choice: usize, index: usize, call: &Call) -> Value {
    let tail = answer.trim_start_matches("chatcmpl-");
    json!({
        "id": format!("call_{tail}_{choice}_{index}"),
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

/// Chat chunks.
struct ChatFrames {
    asked: Asked,
    choices: Vec<Streamed>,
    usage: bool,
    tokens: usize,
}

/// One choice on its way out.
struct Streamed {
    splitter: Option<Splitter>,
    /// Tokens not told of yet, and how many were.
    told: Vec<Told>,
    before: usize,
    called: bool,
}

impl ChatFrames {
    fn new(asked: Asked, choices: usize, usage: bool) -> Self {
        let choice = || Streamed {
            splitter: Some(Splitter::new(Arc::clone(&asked.tools))),
            told: Vec::new(),
            before: 0,
            called: false,
        };
        let choices = (0..choices).map(|_| choice()).collect();
        Self { asked, choices, usage, tokens: 0 }
    }

    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = json!({
            "id": self.asked.id,
            "object": "chat.completion.chunk",
            "created": self.asked.created,
            "model": &*self.asked.model.id,
            "choices": choices,
            "system_fingerprint": wire::FINGERPRINT,
        });
        if self.usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn delta(&mut self, index: usize, delta: Value, finish: Option<&str>) -> Value {
        let choice = &mut self.choices[index];
        let told = std::mem::take(&mut choice.told);
        let logprobs = (!told.is_empty()).then(|| {
            let tokenizer = &self.asked.model.model.tokenizer;
            answer::chat_logprobs(tokenizer, &told, choice.before)
        });
        choice.before += told.len();
        self.chunk(json!([
            { "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish }
        ]))
    }

    fn parts(&mut self, index: usize, parts: Vec<Part>) -> Vec<Value> {
        parts
            .into_iter()
            .map(|part| {
                let delta = match part {
                    Part::Thought(text) => json!({ "reasoning_content": text }),
                    Part::Words(text) => json!({ "content": text }),
                    Part::Calls(calls) => {
                        self.choices[index].called = true;
                        let calls = calls.iter().enumerate().map(|(i, call)| {
                            let mut object = call_json(&self.asked.id, index, i, call);
                            object["index"] = i.into();
                            object
                        });
                        json!({ "tool_calls": calls.collect::<Vec<_>>() })
                    }
                };
                self.delta(index, delta, None)
            })
            .collect()
    }
}

impl Frames for ChatFrames {
    fn begin(&mut self) -> Vec<Value> {
        (0..self.choices.len())
            .map(|index| self.delta(index, json!({ "role": "assistant", "content": "" }), None))
            .collect()
    }

    fn token(&mut self, index: usize, told: Told, text: &str) -> Vec<Value> {
        if self.asked.logprobs {
            self.choices[index].told.push(told);
        }
        let parts = self.choices[index].splitter.as_mut().map(|splitter| splitter.push(text));
        self.parts(index, parts.unwrap_or_default())
    }

    fn finished(
        &mut self,
        index: usize,
        rest: &str,
        tokens: usize,
        stop: StopReason,
    ) -> Vec<Value> {
        self.tokens += tokens;
        let Some(mut splitter) = self.choices[index].splitter.take() else { return Vec::new() };
        let mut parts = splitter.push(rest);
        parts.extend(splitter.finish());
        let mut frames = self.parts(index, parts);
        let reason = answer::finish_reason(stop, self.choices[index].called);
        frames.push(self.delta(index, json!({}), Some(reason)));
        frames
    }

    fn is_done(&self) -> bool {
        self.choices.iter().all(|choice| choice.splitter.is_none())
    }

    fn end(&mut self) -> Option<Value> {
        self.usage.then(|| {
            let mut chunk = self.chunk(json!([]));
            chunk["usage"] = usage(self.asked.prompt, self.tokens);
            chunk
        })
    }
}
