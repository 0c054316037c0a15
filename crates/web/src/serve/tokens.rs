//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`, as vLLM has them: what a client that scores by
//! tokens must know of a model whose tokenizer it has not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use owlet_engine::{Token, Tokenizer};
use serde_json::{Map, Value, json};

use super::fields::{Fields, Ignored};
use super::models::Served;
use super::refusal::Refusal;
use super::{App, texts};

type Answer = Result<(Ignored, Json<Value>), Refusal>;

fn model(app: &App, fields: &mut Fields) -> Result<Arc<Served>, Refusal> {
    let name: Option<String> = fields.take("model")?;
    app.models.named(name.as_deref())
}

pub(crate) async fn tokenize(State(app): State<Arc<App>>, mut fields: Fields) -> Answer {
    let model = model(&app, &mut fields)?;
    let text: String = fields.require("prompt")?;
    let begun = fields.take("add_special_tokens")?.unwrap_or(true);
    let named = fields.take("return_token_strs")?.unwrap_or(false);
    let ignored = fields.unknown();
    let context = model.model.decoder.config.context;
    let size = text.len();
    let work = move || {
        let tokenizer = &model.model.tokenizer;
        let longest = tokenizer.most_bytes(context);
        if text.len() > longest {
            return Err(Refusal::field("prompt", texts::too_long(text.len(), longest)));
        }
        let begin = tokenizer.begin_token().filter(|_| begun);
        let mut tokens: Vec<Token> = begin.into_iter().collect();
        let rest = tokenizer.encode(&text);
        let bad = |error| Refusal::field("prompt", format!("cannot be encoded: {error}"));
        tokens.extend(rest.map_err(bad)?);
        let names = tokens.iter().map(|&token| tokenizer.name(token));
        let names = named.then(|| names.collect::<Vec<_>>());
        Ok(json!({
            "count": tokens.len(), "max_model_len": context, "tokens": tokens, "token_strs": names,
        }))
    };
    Ok((Ignored(ignored), Json(app.compute(size, work).await??)))
}

pub(crate) async fn detokenize(State(app): State<Arc<App>>, mut fields: Fields) -> Answer {
    let model = model(&app, &mut fields)?;
    let tokens: Vec<Token> = fields.require("tokens")?;
    let ignored = fields.unknown();
    let text = app.compute(tokens.len() * 8, move || written(&model.model.tokenizer, &tokens));
    Ok((Ignored(ignored), Json(json!({ "prompt": text.await?? }))))
}

/// The text of tokens, special ones by their names.
fn written(tokenizer: &Tokenizer, tokens: &[Token]) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    for (at, &token) in tokens.iter().enumerate() {
        let piece = match at {
            _ if tokenizer.is_special(token) => tokenizer.name(token).map(String::into_bytes),
            0 => tokenizer.first_token_bytes(token),
            _ => tokenizer.token_bytes(token),
        };
        let none =
            || Refusal::field("tokens", format!("has {token}, which is no token of this model"));
        bytes.extend(piece.ok_or_else(none)?);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Of the only model there is: special tokens by what templates call them, and the template.
pub(crate) async fn info(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let model = app.models.named(None)?;
    let template = &model.model.template;
    let tokens = template.tokens().iter().map(|(name, text)| (name.clone(), json!(text)));
    let mut told: Map<String, Value> = tokens.collect();
    told.insert("chat_template".to_owned(), json!(template.source()));
    Ok(Json(Value::Object(told)))
}
