//! Server-sent events: frames of JSON as they come, a word now and then while nothing comes, and
//! `[DONE]` at the end. When the client goes away the stream is dropped, and with it the request.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use futures_util::stream;
use owlet_engine::generate::{Completion, StopReason};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::answer::Told;
use super::refusal::Refusal;
use super::runner::Heard;
use super::wire;

/// How long the status waits for the first event, which may be a refusal.
const FIRST: Duration = Duration::from_secs(5);
/// Silence after which a comment is sent, so that nobody between takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// Events of completions as frames of one endpoint.
pub(crate) trait Frames: Send + 'static {
    /// Before anything is heard.
    fn begin(&mut self) -> Vec<Value>;
    fn token(&mut self, choice: usize, told: Told, text: &str) -> Vec<Value>;
    fn finished(
        &mut self,
        choice: usize,
        rest: &str,
        tokens: usize,
        stop: StopReason,
    ) -> Vec<Value>;
    fn is_done(&self) -> bool;
    /// After everything: usage, if it was asked for.
    fn end(&mut self) -> Option<Value>;
}

/// Hears `count` completions to their end; their tokens are told where they are `wanted`.
pub(crate) async fn gather(
    mut heard: mpsc::Receiver<Heard>,
    count: usize,
    wanted: bool,
) -> Result<Vec<(Vec<Told>, Completion)>, Refusal> {
    let mut told: Vec<Vec<Told>> = vec![Vec::new(); count];
    let mut finished = vec![None; count];
    while finished.iter().any(Option::is_none) {
        match heard.recv().await.ok_or_else(wire::stopping)? {
            Heard::Failed(refusal) => return Err(refusal),
            Heard::Token { choice, token, log_probability, top, .. } if wanted => {
                told[choice].push(Told { token, log_probability, top });
            }
            Heard::Token { .. } => {}
            Heard::Finished { choice, completion, .. } => finished[choice] = Some(completion),
        }
    }
    Ok(told.into_iter().zip(finished.into_iter().flatten()).collect())
}

struct Sending<F> {
    frames: F,
    heard: mpsc::Receiver<Heard>,
    ready: VecDeque<Bytes>,
    closed: bool,
}

fn frame(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

impl<F: Frames> Sending<F> {
    fn hear(&mut self, heard: Option<Heard>) {
        let frames = match heard {
            Some(Heard::Token { choice, token, log_probability, top, text }) => {
                self.frames.token(choice, Told { token, log_probability, top }, &text)
            }
            Some(Heard::Finished { choice, text, completion }) => {
                self.frames.finished(choice, &text, completion.tokens.len(), completion.stop)
            }
            Some(Heard::Failed(refusal)) => {
                self.closed = true;
                vec![refusal.body()]
            }
            None => {
                self.closed = true;
                vec![wire::stopping().body()]
            }
        };
        self.ready.extend(frames.iter().map(frame));
        if !self.closed && self.frames.is_done() {
            self.closed = true;
            self.ready.extend(self.frames.end().as_ref().map(frame));
            self.ready.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
        }
    }

    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        while self.ready.is_empty() {
            if self.closed {
                return None;
            }
            match timeout(SILENCE, self.heard.recv()).await {
                Ok(heard) => self.hear(heard),
                Err(_) => self.ready.push_back(Bytes::from_static(b": still at it\n\n")),
            }
        }
        // What is ready goes out together.
        let bytes = if self.ready.len() == 1 {
            self.ready.pop_front().unwrap_or_default()
        } else {
            self.ready.drain(..).flatten().collect()
        };
        Some((Ok(bytes), self))
    }
}

/// The answer to a request that is streamed.
pub(crate) async fn respond<F: Frames>(
    frames: F,
    mut heard: mpsc::Receiver<Heard>,
) -> Result<Response, Refusal> {
    let first = timeout(FIRST, heard.recv()).await;
    if let Ok(Some(Heard::Failed(refusal))) = first {
        return Err(refusal);
    }
    let mut sending = Sending { frames, heard, ready: VecDeque::new(), closed: false };
    let begin = sending.frames.begin();
    sending.ready.extend(begin.iter().map(frame));
    if let Ok(first) = first {
        sending.hear(first);
    }
    let body = Body::from_stream(stream::unfold(sending, Sending::next));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, wire::value("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, wire::value("no-store"));
    Ok(response)
}
