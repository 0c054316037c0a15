//! What the endpoints share in writing answers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::fields::Fields;
use super::refusal::Refusal;

/// Fields that change nothing here and are sent by everybody.
const HARMLESS: [&str; 6] =
    ["user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier"];

/// Names told in one warning.
const MOST_NAMES: usize = 16;

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
