//! What the endpoints share in writing answers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use owlet_engine::Token;
use owlet_engine::generate::Request;
use serde_json::{Value, json};

use super::fields::Fields;
use super::refusal::Refusal;

/// What answers depend on beside the request: the program.
pub(crate) const FINGERPRINT: &str = concat!("owlet-", env!("CARGO_PKG_VERSION"));

/// Fields that change nothing here and are sent by everybody.
const HARMLESS: [&str; 6] =
    ["user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier"];

/// Names told in one warning.
const MOST_NAMES: usize = 16;

pub(crate) fn usage(prompt: usize, completion: usize) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": { "cached_tokens": 0 },
    })
}

/// One request for each seed.
pub(crate) fn requests(prompt: &[Token], seeds: &[u64]) -> Vec<Request> {
    seeds.iter().map(|&seed| Request { prompt: prompt.to_vec(), seed }).collect()
}

/// Names of fields that were sent and mean nothing here.
pub(crate) fn unknown(fields: Fields) -> Vec<String> {
    fields.rest().into_iter().filter(|name| !HARMLESS.contains(&name.as_str())).collect()
}

/// Says which fields were ignored.
pub(crate) fn with_warnings(mut response: Response, ignored: &[String]) -> Response {
    if ignored.is_empty() {
        return response;
    }
    let plain = |name: &String| -> String {
        name.chars()
            .filter(|c| c.is_ascii_alphanumeric() || "_-.[]".contains(*c))
            .take(60)
            .collect()
    };
    let mut names: Vec<String> = ignored.iter().take(MOST_NAMES).map(plain).collect();
    if ignored.len() > MOST_NAMES {
        names.push("...".to_owned());
    }
    let text = format!("299 owlet \"ignored: {}\"", names.join(", "));
    if let Ok(text) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(axum::http::header::WARNING, text);
    }
    response
}

pub(crate) fn json(value: &Value) -> Response {
    Json(value).into_response()
}

pub(crate) fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

pub(crate) fn stopping() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
}
