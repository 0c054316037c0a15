//! Which path is answered by what, and what surrounds every answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::batch::Batch;
use super::entry::{self, Entry};
use super::files::File;
use super::job::Job;
use super::query::Id;
use super::refusal::Refusal;
use super::{
    App, Settings, batches, body, chat, completions, embeddings, files, fine_tuning, records,
    responses, tokens,
};

/// Nothing an answer holds is to be run, framed or guessed at.
const CONTENT_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// The chat page has files of its own.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router(app: Arc<App>) -> Router {
    let Settings { key, names, .. } = &app.settings;
    let entry = Entry::new(key.as_deref(), names);
    Router::new()
        .route("/", get(chat_page))
        .route("/chat", get(chat_page))
        .route("/chat.js", get(async || file("text/javascript", include_str!("page/chat.js"))))
        .route("/chat.css", get(async || file("text/css", include_str!("page/chat.css"))))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model).delete(delete_model))
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/tokenizer_info", get(tokens::info))
        .route("/v1/files", get(records::list::<File>).post(files::create))
        .route("/v1/files/{id}", get(records::retrieve::<File>).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/fine_tuning/jobs", get(records::list::<Job>).post(fine_tuning::create))
        .route("/v1/fine_tuning/jobs/{id}", get(records::retrieve::<Job>))
        .route("/v1/fine_tuning/jobs/{id}/cancel", post(fine_tuning::cancel))
        .route("/v1/fine_tuning/jobs/{id}/events", get(fine_tuning::events))
        .route("/v1/fine_tuning/jobs/{id}/checkpoints", get(fine_tuning::checkpoints))
        .route("/v1/batches", get(records::list::<Batch>).post(batches::create))
        .route("/v1/batches/{id}", get(records::retrieve::<Batch>))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(entry, entry::check))
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// Counts, keeps a fault in one request from the others, and sets the headers of all answers.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (request, read) = body::watched(request);
    let mut response = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Refusal::broke().into_response());
    if !read.load(Ordering::Relaxed) {
        // The rest of the body would be taken for the next request, so this is the last one; a
        // client that is told so does not send another.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    app.metrics.answered(route.as_deref().unwrap_or("other"), response.status().as_u16());
    let id = HeaderValue::from_str(&app.new_id("req_"));
    let headers = response.headers_mut();
    headers.extend(id.ok().map(|id| (HeaderName::from_static("x-request-id"), id)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(CONTENT_POLICY));
    response
}

async fn nowhere(request: Request) -> Refusal {
    let path: String = request.uri().path().chars().take(200).collect();
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {} `{path}`", request.method()),
    )
    .coded("not_found")
}

async fn wrong_method(request: Request) -> Refusal {
    let path: String = request.uri().path().chars().take(200).collect();
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("`{path}` does not answer to {}", request.method()),
    )
}

/// The chat page: three small files, nothing from elsewhere, nothing inline.
async fn chat_page() -> Response {
    file("text/html", include_str!("page/chat.html"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY.to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, text).into_response()
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}

async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let models: Vec<Value> = app.models.all().iter().map(|model| model.json()).collect();
    Json(json!({ "object": "list", "data": models }))
}

async fn model(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Value>, Refusal> {
    Ok(Json(app.models.named(Some(&id))?.json()))
}

/// A fine-tuned model is served no more; what it was made of stays in the workspace.
async fn delete_model(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Value>, Refusal> {
    let model = app.models.named(Some(&id))?;
    if model.parent.is_none() {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "only fine-tuned models can be deleted"));
    }
    if let Ok(kept) = app.kept() {
        kept.jobs.withdraw(&id)?;
    }
    if let Some(model) = app.models.remove(&id) {
        app.runner.forget(Arc::clone(&model.id));
    }
    Ok(Json(json!({ "id": id, "object": "model", "deleted": true })))
}
