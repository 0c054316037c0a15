//! What the server says when it will not or cannot: OpenAI's error object with the right status.
//!
//! Every refusal names the field it is about where there is one; a client's retry logic reads the
//! status, its error class the `type` and `code`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use owlet_lab::value::dialogue::Wrong;
use serde_json::json;

/// An answer that is not what was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The field at fault.
    pub(crate) field: Option<String>,
    /// A word for programs.
    pub(crate) code: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field: None, code: None }
    }

    /// 400 without a field.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 about one field: `message` follows the field's name.
    pub(crate) fn field(field: &str, message: impl std::fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), ..Self::request(format!("`{field}` {message}")) }
    }

    /// 404 for a thing with an id.
    pub(crate) fn missing(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(200).collect();
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} `{id}` here"))
            .coded("not_found")
    }

    /// 500: a fault of this program.
    pub(crate) fn fault(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 500: a panic.
    pub(crate) fn broke() -> Self {
        Self::fault("this request broke the server; this is a bug in owlet")
    }

    /// 503: nobody works any more.
    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
    }

    /// 429: come back later.
    pub(crate) fn busy(waiting: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{waiting} requests are waiting already; try again in a second"),
        )
        .coded("queue_full")
    }

    /// 400: prompt and answer do not fit.
    pub(crate) fn too_long(context: usize, prompt: usize, field: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::request(format!(
                "this model's maximum context length is {context} tokens, your messages have \
                 {prompt}; at least one more is needed for an answer. Shorten the prompt"
            ))
            .coded("context_length_exceeded")
        }
    }

    pub(crate) fn coded(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The error object.
    pub(crate) fn body(&self) -> serde_json::Value {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": {
            "message": self.message,
            "type": kind,
            "param": self.field,
            "code": self.code,
        }})
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Errors of the engine about what was asked are the client's.
impl From<owlet_engine::Error> for Refusal {
    fn from(error: owlet_engine::Error) -> Self {
        use owlet_engine::Error;
        match &error {
            Error::Text { .. } | Error::Request { .. } | Error::Setting { .. } => {
                Self::request(error.to_string())
            }
            _ => Self::fault(error.to_string()),
        }
    }
}

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        Self::field(&wrong.field, wrong.reason)
    }
}

impl From<owlet_lab::Error> for Refusal {
    fn from(error: owlet_lab::Error) -> Self {
        match error {
            owlet_lab::Error::Engine(error) => error.into(),
            error => Self::fault(error.to_string()),
        }
    }
}

impl From<owlet_store::Error> for Refusal {
    fn from(error: owlet_store::Error) -> Self {
        Self::fault(error.to_string())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::fault(error.to_string())
    }
}
