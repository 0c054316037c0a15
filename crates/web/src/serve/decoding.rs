//! How tokens are chosen, as requests say it: the fields that chat and plain completions share.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use owlet_engine::generate::{Distribution, Request, Sampling};
use owlet_engine::{Grammar, Token};
use owlet_lab::random::{Part, derive_seed};
use serde_json::Value;

use super::fields::Fields;
use super::models::Served;
use super::refusal::Refusal;
use super::runner::Order;
use super::{App, Limits};

/// Completions of one request.
const MOST_CHOICES: usize = 128;
/// Stop texts of one request, and bytes of one.
const MOST_STOPS: usize = 16;
const LONGEST_STOP: usize = 1024;
/// Likeliest tokens told with each.
const MOST_TOP: usize = 20;
/// Tokens in one answer, with likeliest ones and those of the prompt: an answer that is not streamed
/// is held as a whole.
const MOST_TOLD: usize = 1 << 19;

/// What other servers know and this one does not, with the value that changes nothing; an empty list does not
/// either. Anything else would be another answer than was asked for.
const OTHERS: [(&str, f64); 22] = [
    ("repetition_penalty", 1.0),
    ("repeat_penalty", 1.0),
    ("length_penalty", 1.0),
    ("typical_p", 1.0),
    ("tfs_z", 1.0),
    ("min_tokens", 0.0),
    ("mirostat", 0.0),
    ("xtc_probability", 0.0),
    ("dry_multiplier", 0.0),
    ("ignore_eos", 0.0),
    ("use_beam_search", 0.0),
    ("include_stop_str_in_output", 0.0),
    ("skip_special_tokens", 1.0),
    ("spaces_between_special_tokens", 1.0),
    ("truncate_prompt_tokens", -2.0),
    ("stop_token_ids", f64::NAN),
    ("bad_words", f64::NAN),
    ("allowed_token_ids", f64::NAN),
    ("logits_processors", f64::NAN),
    ("guided_grammar", f64::NAN),
    ("grammar", f64::NAN),
    ("chat_template", f64::NAN),
];

/// The shared fields of a request.
#[derive(Debug)]
pub(crate) struct Decoding {
    pub(crate) model: Arc<Served>,
    /// As asked for; how many new tokens there may be is known when the prompt is.
    sampling: Sampling,
    pub(crate) seed: Option<u64>,
    pub(crate) choices: usize,
    pub(crate) stream: bool,
    pub(crate) stream_usage: bool,
    /// The most new tokens asked for, if any were.
    max_tokens: Option<usize>,
    limits: Limits,
}

impl Decoding {
    /// Takes the shared fields; `least` is 0 where a prompt alone may be scored.
    pub(crate) fn take(fields: &mut Fields, app: &App, least: usize) -> Result<Self, Refusal> {
        let name: Option<String> = fields.take("model")?;
        let (model, limits) = (app.models.named(name.as_deref())?, app.settings.limits);
        let mut number = |field: &str, range: RangeInclusive<f64>, usual: f64| {
            Ok::<_, Refusal>(fields.number(field, range)?.unwrap_or(usual) as f32)
        };
        let mut sampling = Sampling {
            temperature: number("temperature", 0.0..=100.0, 1.0)?,
            top_p: number("top_p", 0.0..=1.0, 1.0)?,
            // -1 is how vLLM says that all are kept.
            top_k: number("top_k", -1.0..=1e9, 0.0)?.max(0.0) as usize,
            min_p: number("min_p", 0.0..=1.0, 0.0)?,
            frequency_penalty: number("frequency_penalty", -2.0..=2.0, 0.0)?,
            presence_penalty: number("presence_penalty", -2.0..=2.0, 0.0)?,
            ..Sampling::default()
        };
        for (field, usual) in OTHERS {
            let Some(value) = fields.value(field) else { continue };
            let number =
                value.as_f64().or_else(|| value.as_bool().map(|it| f64::from(u8::from(it))));
            if number != Some(usual) && value.as_array().is_none_or(|list| !list.is_empty()) {
                let why = "is not supported, and the answer would be another without it";
                return Err(fields.refuse(field, why));
            }
        }
        sampling.bias = bias(fields, &model)?;
        sampling.log_probabilities = distribution(fields)?;
        let seed = fields.value("seed").map(|seed| {
            let seed = seed.as_u64().or_else(|| seed.as_i64().map(|seed| seed as u64));
            seed.ok_or_else(|| fields.refuse("seed", "is not a whole number of 64 bits"))
        });
        let seed = seed.transpose()?;
        let old = fields.count("max_tokens", least..=usize::MAX >> 12)?;
        let max_tokens = fields.count("max_completion_tokens", least..=usize::MAX >> 12)?.or(old);
        let choices = fields.count("n", 1..=MOST_CHOICES)?.unwrap_or(1);
        if choices > limits.queue {
            let why = format!("is {choices}, this server's queue has {} places", limits.queue);
            return Err(fields.refuse("n", why));
        }
        sampling.stop = stops(fields)?;
        let stream = fields.take("stream")?.unwrap_or(false);
        let mut stream_usage = false;
        if let Some(mut options) = fields.object("stream_options")? {
            stream_usage = options.take("include_usage")?.unwrap_or(false);
        }
        Ok(Self { model, sampling, seed, choices, stream, stream_usage, max_tokens, limits })
    }

    /// The most new tokens after the longest prompt, which is in `field`; `usual` where none are asked for.
    pub(crate) fn room(&self, prompt: usize, usual: usize, field: &str) -> Result<usize, Refusal> {
        let context = self.model.model.decoder.config.context;
        let wanted = self.max_tokens.unwrap_or(usual);
        if prompt > context || prompt == context && wanted > 0 {
            return Err(Refusal::too_long(context, prompt, field));
        }
        Ok(wanted.min(self.limits.max_tokens).min(context - prompt))
    }

    /// Refuses an answer that is too large to be held.
    pub(crate) fn check_size(&self, tokens: usize, top: usize) -> Result<(), Refusal> {
        let told = tokens.saturating_mul(top + 1);
        if self.stream || told <= MOST_TOLD {
            return Ok(());
        }
        Err(Refusal::field(
            if top > 0 { "logprobs" } else { "n" },
            format!(
                "makes an answer of up to {told} tokens and rivals, at most {MOST_TOLD} fit into \
                 one; stream it, or ask for fewer choices, tokens or rivals"
            ),
        ))
    }

    /// What the runner is asked for, where `room` new tokens fit and `top` likeliest ones are told; `form` is what
    /// answers must look like, and the field that says so.
    pub(crate) fn order(
        &self,
        requests: Vec<Request>,
        room: usize,
        top: Option<usize>,
        form: Option<(Arc<str>, Grammar)>,
    ) -> Order {
        let (form, grammar) = form.unzip();
        // Where nobody is told, there is nothing to compute.
        let told =
            if top.is_some() { self.sampling.log_probabilities } else { Distribution::Drawn };
        let sampling = Sampling {
            max_tokens: room,
            grammar,
            log_probabilities: told,
            ..self.sampling.clone()
        };
        Order {
            id: Arc::clone(&self.model.id),
            model: self.model.model.clone(),
            requests,
            sampling: Arc::new(sampling),
            top: top.unwrap_or(0),
            form,
        }
    }

    /// A request for each choice. With a seed, the first choice has that very seed, so that an answer can
    /// be had again by any tool over the engine; `fresh` is used where none is given.
    pub(crate) fn requests(&self, prompt: &[Token], fresh: u64) -> Vec<Request> {
        let root = self.seed.unwrap_or(fresh);
        let seed = |i: usize| match i {
            0 => root,
            i => derive_seed(root, &[Part::Name("choice"), Part::Index(i as u64)]),
        };
        (0..self.choices).map(|i| Request { prompt: prompt.to_vec(), seed: seed(i) }).collect()
    }
}

/// Which log-probabilities are told, in vLLM's words: the model's own if nobody says.
fn distribution(fields: &mut Fields) -> Result<Distribution, Refusal> {
    match fields.take::<String>("logprobs_mode")?.as_deref() {
        None | Some("raw_logprobs") => Ok(Distribution::Own),
        Some("processed_logprobs") => Ok(Distribution::Drawn),
        Some(_) => Err(fields.refuse("logprobs_mode", "is neither `raw_logprobs` (the model's own, at temperature 1) nor `processed_logprobs` (those that were drawn from)")),
    }
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let mut stops: Vec<String> = match fields.value("stop") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(value) => serde_json::from_value(value)
            .map_err(|_| fields.refuse("stop", "is not a string or a list of strings"))?,
    };
    stops.retain(|stop| !stop.is_empty());
    if stops.len() > MOST_STOPS {
        let why = format!("has {} texts, at most {MOST_STOPS} are taken", stops.len());
        return Err(fields.refuse("stop", why));
    }
    if stops.iter().any(|stop| stop.len() > LONGEST_STOP) {
        return Err(fields.refuse("stop", format!("has a text of more than {LONGEST_STOP} bytes")));
    }
    Ok(stops)
}

fn bias(fields: &mut Fields, model: &Served) -> Result<BTreeMap<Token, f32>, Refusal> {
    let Some(value) = fields.value("logit_bias") else { return Ok(BTreeMap::new()) };
    let Value::Object(map) = value else {
        return Err(fields.refuse("logit_bias", "is not an object of token ids"));
    };
    let vocabulary = model.model.decoder.config.vocabulary;
    map.into_iter()
        .map(|(name, value)| {
            let name: String = name.chars().take(40).collect();
            let token = name.parse::<Token>().ok().filter(|&t| (t as usize) < vocabulary);
            let bias = value.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
            token.zip(bias).map(|(token, bias)| (token, bias as f32)).ok_or_else(|| {
                fields.refuse(
                    "logit_bias",
                    format!("has `{name}`, expected token ids below {vocabulary} with numbers from -100 to 100"),
                )
            })
        })
        .collect()
}

/// `logprobs` and `top_logprobs` of chat completions: whether, and how many.
pub(crate) fn chat_logprobs(fields: &mut Fields) -> Result<Option<usize>, Refusal> {
    let wanted = fields.take("logprobs")?.unwrap_or(false);
    let top = fields.count("top_logprobs", 0..=MOST_TOP)?;
    if top.is_some_and(|top| top > 0) && !wanted {
        return Err(fields.refuse("top_logprobs", "is set, but `logprobs` is not true"));
    }
    Ok(wanted.then(|| top.unwrap_or(0)))
}

/// `logprobs` of plain completions: how many.
pub(crate) fn plain_logprobs(fields: &mut Fields, field: &str) -> Result<Option<usize>, Refusal> {
    // Some clients send `false` as they would to chat.
    match fields.value(field) {
        None | Some(Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(1)),
        Some(value) => match value.as_u64() {
            Some(top) if top <= MOST_TOP as u64 => Ok(Some(top as usize)),
            _ => Err(fields.refuse(field, format!("is not a whole number from 0 to {MOST_TOP}"))),
        },
    }
}
