//! `POST /v1/embeddings`: the mean of a text's hidden states.
//!
//! These models were never taught to embed: what is told is what the output head reads, after the final norm,
//! averaged over all tokens of the text. The answer says so.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::App;
use super::completions::{prompts, size};
use super::fields::{Fields, Ignored};
use super::refusal::Refusal;

/// Texts of one request.
const MOST_TEXTS: usize = 2048;
/// What is told.
const POOLING: &str = "mean of the hidden states after the final norm, over all tokens; the model was not \
                       trained to embed";

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(Ignored, Json<Value>), Refusal> {
    let name: Option<String> = fields.take("model")?;
    let model = app.models.named(name.as_deref())?;
    let encoded = match fields.take::<String>("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(fields.refuse("encoding_format", "is neither `float` nor `base64`")),
    };
    let width = model.model.decoder.config.width;
    if fields.count("dimensions", 1..=usize::MAX >> 1)?.is_some_and(|asked| asked != width) {
        let why = format!("is not {width}, the model's width; nothing is cut off");
        return Err(fields.refuse("dimensions", why));
    }
    let given = fields.value("input").ok_or_else(|| fields.refuse("input", "is missing"))?;
    let ignored = fields.unknown();
    let texts = {
        let model = Arc::clone(&model);
        let most = app.settings.limits.queue.min(MOST_TEXTS);
        app.compute(size(&given), move || prompts(&given, "input", &model, most)).await??
    };
    let context = model.model.decoder.config.context;
    if let Some(long) = texts.iter().find(|text| text.len() > context) {
        return Err(Refusal::too_long(context, long.len(), "input"));
    }
    let tokens: usize = texts.iter().map(Vec::len).sum();
    let means = app.runner.embed(model.model.clone(), texts).await?;
    let data = app.compute(means.len() * width * 8, move || -> Value {
        let one = |(at, mean): (usize, Vec<f32>)| {
            let embedding: Value = if encoded {
                let bytes: Vec<u8> = mean.iter().flat_map(|x| x.to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            } else {
                mean.into()
            };
            json!({ "object": "embedding", "index": at, "embedding": embedding })
        };
        means.into_iter().enumerate().map(one).collect()
    });
    let answer = json!({
        "object": "list",
        "data": data.await?,
        "model": &*model.id,
        "pooling": POOLING,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    });
    Ok((Ignored(ignored), Json(answer)))
}
