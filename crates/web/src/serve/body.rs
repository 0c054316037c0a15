//! Bodies of requests: read within a time, up to a size, and all together within a bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::App;
use super::fields::Fields;
use super::refusal::Refusal;
use super::texts;

/// A body must have come within this.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a body of JSON takes once it is read, at the most, for each of its bytes.
const READ: usize = 16;
/// What memory is counted in.
const PAGE: usize = 4096;
/// Bytes up to which a body is small. Small ones have a memory of their own, so that they need not wait for
/// large ones that are slow to come or long in use.
const SMALL: usize = 64 << 10;

/// Bounded memory for bodies, and for what is read from them.
pub(crate) struct Memory {
    sent: [Arc<Semaphore>; 2],
    read: [Arc<Semaphore>; 2],
    most: usize,
}

impl Memory {
    /// So many bytes for each: small and large bodies, and what is read from either.
    pub(crate) fn new(most: usize) -> Self {
        let pool = || Arc::new(Semaphore::new(pages(most)));
        Self { sent: [pool(), pool()], read: [pool(), pool()], most }
    }

    /// So many bytes of a memory that all requests with bodies of this size share.
    async fn take(
        &self,
        of: &[Arc<Semaphore>; 2],
        large: bool,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let wanted = pages(bytes.min(self.most)).max(1) as u32;
        timeout(PATIENCE, Arc::clone(&of[usize::from(large)]).acquire_many_owned(wanted))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| {
                let why = "too many large requests are under way; try again later";
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, why).coded("queue_full")
            })
    }
}

/// What is kept of a memory by one who needs `bytes` from now on.
pub(crate) fn shrink(memory: &mut OwnedSemaphorePermit, bytes: usize) {
    let surplus = memory.num_permits().saturating_sub(pages(READ * bytes).max(1));
    drop(memory.split(surplus));
}

/// Pages that hold so many bytes.
pub(crate) fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}

/// What the client says of the size.
pub(crate) fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn too_large(most: usize) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} bytes"))
}

pub(crate) fn too_slow() -> Refusal {
    Refusal::new(
        StatusCode::REQUEST_TIMEOUT,
        format!("the body did not come within {} seconds", PATIENCE.as_secs()),
    )
}

/// The request, and whether its body was read to the end (streams apart, there is nothing to tell).
pub(crate) fn watched(request: Request) -> (Request, Arc<AtomicBool>) {
    let read = Arc::new(AtomicBool::new(false));
    let none = length(request.headers()).unwrap_or(0) == 0
        && !request.headers().contains_key(header::TRANSFER_ENCODING);
    if none {
        read.store(true, Ordering::Relaxed);
        return (request, read);
    }
    let (parts, body) = request.into_parts();
    let seen = Arc::clone(&read);
    let stream = stream::unfold((body.into_data_stream(), seen), |(mut body, seen)| async {
        let next = body.next().await;
        if next.is_none() {
            seen.store(true, Ordering::Relaxed);
        }
        next.map(|chunk| (chunk, (body, seen)))
    });
    (Request::from_parts(parts, Body::from_stream(stream)), read)
}

/// Waits for a body's end, not for ever.
pub(crate) async fn patiently<T>(
    read: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    timeout(PATIENCE, read).await.unwrap_or_else(|_| Err(too_slow()))
}

/// A JSON object as a body; its bytes are gone when it is read.
impl FromRequest<Arc<App>> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let most = app.settings.limits.body;
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_json = kind.is_none_or(|kind| {
            kind.to_str().is_ok_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            })
        });
        if !is_json {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "`Content-Type` is not `application/json`",
            ));
        }
        let length = length(request.headers());
        if length.is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        // What does not say how long it is may be as long as any.
        let large = length.is_none_or(|length| length > SMALL);
        let memory = &app.memory;
        let _sent = memory.take(&memory.sent, large, length.unwrap_or(most)).await?;
        let read = async {
            to_bytes(request.into_body(), most).await.map_err(|error| {
                let source = std::error::Error::source(&error);
                let long = source.is_some_and(|source| source.to_string().contains("limit"));
                if long {
                    too_large(most)
                } else {
                    Refusal::request("the body ended before its end")
                }
            })
        };
        let bytes = patiently(read).await?;
        // Apart from the bytes, which slow clients hold: nobody here waits for a client.
        let own = memory.take(&memory.read, large, READ * bytes.len()).await?;
        let fields = if large {
            app.compute(texts::HEAVY, move || Self::parse(&bytes)).await??
        } else {
            Self::parse(&bytes)?
        };
        Ok(fields.holding(own))
    }
}
