//! `POST /v1/completions`: texts continued as they are, and given texts scored.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::response::Response;
use owlet_engine::generate::{Completion, Request, StopReason};
use owlet_engine::score::Scored;
use owlet_engine::{Token, Tokenizer};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::App;
use super::answer::{self, Told, finite, token_text};
use super::decoding::{self, Decoding};
use super::fields::Fields;
use super::models::Served;
use super::refusal::Refusal;
use super::runner::{Heard, Judged, Order, Runner};
use super::stream::{self, Frames};
use super::wire::{self, usage};

/// New tokens where none are asked for, as OpenAI has it.
const DEFAULT_TOKENS: usize = 16;

struct Asked {
    id: String,
    created: u64,
    model: Arc<Served>,
    prompts: Vec<Vec<Token>>,
    choices: usize,
    echo: bool,
    logprobs: Option<usize>,
    prompt_logprobs: Option<usize>,
    /// Tokens of the prompts as the model sees them: one list per prompt, if anybody asked.
    judged: Vec<Vec<Judged>>,
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
    let decoding = Decoding::take(&mut fields, &model, &app.limits, 0)?;
    let logprobs = decoding::plain_logprobs(&mut fields, "logprobs")?;
    let prompt_logprobs = decoding::plain_logprobs(&mut fields, "prompt_logprobs")?;
    let echo = fields.take("echo")?.unwrap_or(false);
    if fields.take::<String>("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(
            fields.refuse("suffix", "is not supported: these models write at the end of a text")
        );
    }
    if fields.count("best_of", 1..=128)?.is_some_and(|best| best != decoding.choices) {
        return Err(fields.refuse("best_of", "is not supported beyond `n`; sample and choose"));
    }
    let given = fields.value("prompt").ok_or_else(|| fields.refuse("prompt", "is missing"))?;
    let ignored = wire::unknown(fields);
    let most = app.limits.queue / decoding.choices;
    let prompts = {
        let model = Arc::clone(&model);
        app.compute(move || prompts(&given, &model, most)).await??
    };

    let context = model.model.decoder.config.context;
    let wanted = decoding.max_tokens.unwrap_or(DEFAULT_TOKENS);
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    if longest > context || longest == context && wanted > 0 {
        return Err(Refusal::too_long(context, longest, "prompt"));
    }
    let tokens: usize = prompts.iter().map(Vec::len).sum();
    app.metrics.prompt_tokens.fetch_add(tokens as u64, Relaxed);

    let room = decoding.room(&model, &app.limits, longest, DEFAULT_TOKENS);
    let echoed = if echo || prompt_logprobs.is_some() { tokens } else { 0 };
    let told = decoding.choices * (echoed + prompts.len() * room);
    decoding.check_size(told, logprobs.max(prompt_logprobs).unwrap_or(0))?;
    let about_prompts = prompt_logprobs.or(logprobs.filter(|_| echo));
    let mut judged = Vec::new();
    if let Some(top) = about_prompts {
        judged = judge(runner, &model, &prompts, top).await?;
    }
    let fresh = app.fresh_seed();
    let seeds = decoding.seeds(fresh);
    // Where no seed was given every prompt has its own; a given one is every prompt's.
    let seeds_of = |place: usize| match decoding.seed {
        Some(_) => seeds.clone(),
        None => decoding.seeds(fresh.wrapping_add(place as u64)),
    };
    let requests: Vec<Request> = prompts
        .iter()
        .enumerate()
        .flat_map(|(i, prompt)| wire::requests(prompt, &seeds_of(i)))
        .collect();
    let asked = Asked {
        id: app.new_id("cmpl-"),
        created: (app.now)(),
        model: Arc::clone(&model),
        prompts,
        choices: decoding.choices,
        echo,
        logprobs,
        prompt_logprobs,
        judged,
    };
    let count = requests.len();
    let response = if room == 0 {
        only_prompts(asked, count, decoding.stream).await?
    } else {
        let order = Order {
            id: Arc::clone(&model.id),
            model: model.model.clone(),
            requests,
            sampling: decoding.sampling(room),
            top: logprobs.unwrap_or(0),
        };
        let heard = runner.generate(order).await?;
        if decoding.stream {
            let frames = TextFrames::new(asked, decoding.stream_usage);
            stream::respond(frames, heard).await?
        } else {
            let gathered = stream::gather(heard, count, asked.logprobs.is_some()).await?;
            app.compute(move || whole(&asked, &gathered)).await?
        }
    };
    Ok(wire::with_warnings(response, &ignored))
}

/// A text, a list of texts, tokens, or a list of lists of tokens.
fn prompts(given: &Value, model: &Served, most: usize) -> Result<Vec<Vec<Token>>, Refusal> {
    let refuse = |why: String| Refusal::field("prompt", why);
    let tokenizer = &model.model.tokenizer;
    let text = |text: &str| -> Result<Vec<Token>, String> {
        let mut tokens: Vec<Token> = tokenizer.begin_token().into_iter().collect();
        tokens
            .extend(tokenizer.encode(text).map_err(|error| format!("cannot be encoded: {error}"))?);
        Ok(tokens)
    };
    let ids = |list: &[Value]| -> Result<Vec<Token>, String> {
        let id = |value: &Value| value.as_u64().and_then(|id| Token::try_from(id).ok());
        list.iter()
            .map(|value| id(value).ok_or_else(|| "has a list that is not all token ids".to_owned()))
            .collect()
    };
    let prompts = match given {
        Value::String(one) => text(one).map(|one| vec![one]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => {
            ids(list).map(|one| vec![one])
        }
        Value::Array(list) => list
            .iter()
            .map(|one| match one {
                Value::String(one) => text(one),
                Value::Array(one) => ids(one),
                _ => Err("is a list of neither texts nor tokens".to_owned()),
            })
            .collect(),
        _ => Err("is not a text or a list".to_owned()),
    };
    let prompts = prompts.map_err(refuse)?;
    let vocabulary = model.model.decoder.config.vocabulary;
    if prompts.is_empty() || prompts.len() > most {
        return Err(refuse(format!("has {} texts, expected 1 to {most}", prompts.len())));
    }
    for prompt in &prompts {
        if prompt.is_empty() {
            let why = "is empty, and this model has no token that begins a text";
            return Err(refuse(why.to_owned()));
        }
        if let Some(token) = prompt.iter().find(|&&token| token as usize >= vocabulary) {
            let last = vocabulary - 1;
            return Err(refuse(format!("has token {token}, the vocabulary ends at {last}")));
        }
    }
    Ok(prompts)
}

/// Every prompt token but the first, with its likeliest rivals if `top` is above zero.
async fn judge(
    runner: &Runner,
    model: &Served,
    prompts: &[Vec<Token>],
    top: usize,
) -> Result<Vec<Vec<Judged>>, Refusal> {
    if top > 0 {
        let mut judged = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            judged.push(match prompt.len() {
                1 => Vec::new(),
                _ => runner.judge(model.model.clone(), prompt.clone(), top).await?,
            });
        }
        return Ok(judged);
    }
    let items = prompts.iter().filter(|prompt| prompt.len() > 1);
    let items =
        items.map(|p| Scored { prompt: p[..1].to_vec(), completion: p[1..].to_vec() }).collect();
    let mut scores = runner.score(model.model.clone(), items).await?.into_iter();
    let judged = |log_probability| Judged { log_probability, rank: 0, top: Vec::new() };
    Ok(prompts
        .iter()
        .map(|prompt| match prompt.len() {
            1 => Vec::new(),
            _ => scores.next().unwrap_or_default().into_iter().map(judged).collect(),
        })
        .collect())
}

impl Asked {
    fn tokenizer(&self) -> &Tokenizer {
        &self.model.model.tokenizer
    }

    fn prompt_of(&self, choice: usize) -> usize {
        choice / self.choices
    }

    fn prompt_text(&self, choice: usize) -> String {
        // What was encoded can be decoded.
        self.tokenizer().decode(&self.prompts[self.prompt_of(choice)]).unwrap_or_default()
    }

    fn object(&self, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": &*self.model.id,
            "choices": choices,
            "system_fingerprint": wire::FINGERPRINT,
        })
    }

    fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(Vec::len).sum()
    }

    /// The old form of log-probabilities: of the prompt if it is told, and of new tokens.
    fn logprobs(
        &self,
        choice: usize,
        with_prompt: bool,
        told: &[Told],
        mut offset: usize,
    ) -> Value {
        if self.logprobs.is_none() {
            return Value::Null;
        }
        let tokenizer = self.tokenizer();
        let wants_top = self.logprobs.is_some_and(|top| top > 0);
        let (mut tokens, mut logs, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
        let mut add = |token: Token, first: bool, log: Option<f32>, top: &[(Token, f32)]| {
            let (text, _) = token_text(tokenizer, token, first);
            offsets.push(Value::from(offset));
            offset += text.chars().count();
            let mut rivals = Map::new();
            for &(rival, log) in top {
                rivals.insert(token_text(tokenizer, rival, first).0, finite(log).into());
            }
            if let Some(log) = log {
                rivals.insert(text.clone(), finite(log).into());
            }
            tokens.push(Value::from(text));
            logs.push(log.map_or(Value::Null, |log| finite(log).into()));
            tops.push(if log.is_some() && wants_top { Value::Object(rivals) } else { Value::Null });
        };
        if with_prompt {
            let place = self.prompt_of(choice);
            let mut judged = self.judged.get(place).into_iter().flatten();
            for (i, &token) in self.prompts[place].iter().enumerate() {
                match if i == 0 { None } else { judged.next() } {
                    Some(judged) => add(token, false, Some(judged.log_probability), &judged.top),
                    None => add(token, i == 0, None, &[]),
                }
            }
        }
        for told in told {
            add(told.token, false, Some(told.log_probability), &told.top);
        }
        json!({ "tokens": tokens, "token_logprobs": logs, "top_logprobs": tops, "text_offset": offsets })
    }

    /// vLLM's form, of the prompt.
    fn prompt_logprobs(&self, choice: usize) -> Option<Value> {
        let most = self.prompt_logprobs?;
        let place = self.prompt_of(choice);
        let tokenizer = self.tokenizer();
        let entry = |token: Token, log: f32, rank: usize| {
            let text = token_text(tokenizer, token, false).0;
            json!({ "logprob": finite(log), "rank": rank, "decoded_token": text })
        };
        let judged = self.judged.get(place).into_iter().flatten();
        let rows = self.prompts[place][1..].iter().zip(judged).map(|(&token, judged)| {
            let mut row = Map::new();
            for (rank, &(token, log)) in judged.top.iter().take(most).enumerate() {
                row.insert(token.to_string(), entry(token, log, rank + 1));
            }
            row.insert(token.to_string(), entry(token, judged.log_probability, judged.rank));
            Value::Object(row)
        });
        Some(std::iter::once(Value::Null).chain(rows).collect())
    }

    fn choice(&self, index: usize, text: &str, told: &[Told], reason: Option<&str>) -> Value {
        let text =
            if self.echo { format!("{}{text}", self.prompt_text(index)) } else { text.to_owned() };
        let mut choice = json!({
            "index": index,
            "text": text,
            "logprobs": self.logprobs(index, self.echo, told, 0),
            "finish_reason": reason,
        });
        if let Some(prompt) = self.prompt_logprobs(index) {
            choice["prompt_logprobs"] = prompt;
        }
        choice
    }
}

/// An answer without new tokens.
async fn only_prompts(asked: Asked, count: usize, streamed: bool) -> Result<Response, Refusal> {
    let completion = Completion {
        tokens: Vec::new(),
        text: String::new(),
        log_probabilities: Vec::new(),
        stop: StopReason::Length,
    };
    if !streamed {
        return Ok(whole(&asked, &vec![(Vec::new(), completion); count]));
    }
    let (sender, heard) = mpsc::channel(count.max(1));
    for choice in 0..count {
        let (text, completion) = (String::new(), completion.clone());
        // There is a place for each.
        let _ = sender.try_send(Heard::Finished { choice, text, completion });
    }
    stream::respond(TextFrames::new(asked, true), heard).await
}

fn whole(asked: &Asked, gathered: &[(Vec<Told>, Completion)]) -> Response {
    let choices = gathered.iter().enumerate().map(|(i, (told, completion))| {
        let reason = answer::finish_reason(completion.stop, false);
        asked.choice(i, &completion.text, told, Some(reason))
    });
    let mut object = asked.object(choices.collect());
    let tokens = gathered.iter().map(|(_, completion)| completion.tokens.len()).sum();
    object["usage"] = usage(asked.prompt_tokens(), tokens);
    wire::json(&object)
}

struct TextFrames {
    asked: Asked,
    usage: bool,
    tokens: usize,
    /// Per choice: tokens not told of yet, characters sent, whether it is done.
    choices: Vec<(Vec<Told>, usize, bool)>,
}

impl TextFrames {
    fn new(asked: Asked, usage: bool) -> Self {
        let count = asked.prompts.len() * asked.choices;
        Self { asked, usage, tokens: 0, choices: vec![(Vec::new(), 0, false); count] }
    }

    fn frame(&mut self, index: usize, text: &str, reason: Option<&str>) -> Value {
        let (told, offset, _) = &mut self.choices[index];
        let told = std::mem::take(told);
        let at = *offset;
        *offset += text.chars().count();
        let logprobs = if told.is_empty() {
            Value::Null
        } else {
            self.asked.logprobs(index, false, &told, at)
        };
        let choice =
            json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": reason });
        self.asked.object(vec![choice])
    }
}

impl Frames for TextFrames {
    fn begin(&mut self) -> Vec<Value> {
        if !self.asked.echo && self.asked.prompt_logprobs.is_none() {
            return Vec::new();
        }
        (0..self.choices.len())
            .map(|index| {
                let mut choice = self.asked.choice(index, "", &[], None);
                choice["text"] =
                    if self.asked.echo { self.asked.prompt_text(index).into() } else { "".into() };
                self.choices[index].1 =
                    choice["text"].as_str().map_or(0, |text| text.chars().count());
                self.asked.object(vec![choice])
            })
            .collect()
    }

    fn token(&mut self, index: usize, told: Told, text: &str) -> Vec<Value> {
        if self.asked.logprobs.is_some() {
            self.choices[index].0.push(told);
        }
        if text.is_empty() { Vec::new() } else { vec![self.frame(index, text, None)] }
    }

    fn finished(
        &mut self,
        index: usize,
        rest: &str,
        tokens: usize,
        stop: StopReason,
    ) -> Vec<Value> {
        self.tokens += tokens;
        self.choices[index].2 = true;
        vec![self.frame(index, rest, Some(answer::finish_reason(stop, false)))]
    }

    fn is_done(&self) -> bool {
        self.choices.iter().all(|(_, _, done)| *done)
    }

    fn end(&mut self) -> Option<Value> {
        self.usage.then(|| {
            let mut object = self.asked.object(Vec::new());
            object["usage"] = usage(self.asked.prompt_tokens(), self.tokens);
            object
        })
    }
}
