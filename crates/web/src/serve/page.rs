//! The chat page: three small files, nothing from elsewhere, nothing inline.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::wire;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, wire::value(kind)),
        (header::CONTENT_SECURITY_POLICY, wire::value(POLICY)),
        (header::CACHE_CONTROL, wire::value("no-cache")),
    ];
    (headers, text).into_response()
}

pub(crate) async fn chat() -> Response {
    file("text/html; charset=utf-8", include_str!("page/chat.html"))
}

pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("page/chat.js"))
}

pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("page/chat.css"))
}
