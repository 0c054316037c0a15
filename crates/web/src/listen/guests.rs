//! Who has a place and is waited for, and who of them leaves where places are wanted.
//!
//! A connection that has not sent a whole request costs nothing but its place. While there are places it may take
//! its time; where there are none, the one that was waited for longest goes, so that no number of connections
//! that send nothing, or send it slowly, keeps others out.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Notify;

/// A connection has its place at least as long: what was answered last may still be on its way.
const LEAST: Duration = Duration::from_millis(500);

/// Those who are waited for, longest first.
#[derive(Clone, Default)]
pub(super) struct Guests(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    next: u64,
    all: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the one go that was waited for longest, if there is any who had the time.
    pub(super) fn let_one_go(&self) {
        let mut waiting = self.lock();
        let Some(first) = waiting.all.first_entry() else { return };
        if first.get().0.elapsed() >= LEAST {
            first.remove().1.notify_one();
        }
    }

    /// One who has come, and is waited for.
    pub(super) fn welcome(&self) -> Arc<Guest> {
        let guest = Guest { guests: self.clone(), number: Mutex::default(), leave: Arc::default() };
        guest.waited_for();
        Arc::new(guest)
    }
}

/// One connection.
pub(super) struct Guest {
    guests: Guests,
    /// Its number among those who are waited for.
    number: Mutex<Option<u64>>,
    /// Told when it is to go.
    pub(super) leave: Arc<Notify>,
}

impl Guest {
    fn waited_for(&self) {
        let mut waiting = self.guests.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.all.insert(number, (Instant::now(), Arc::clone(&self.leave)));
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }

    fn served(&self) {
        let number = self.number.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(number) = number {
            self.guests.lock().all.remove(&number);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.served();
    }
}

/// A router that knows whose requests it answers.
pub(super) struct Attended {
    router: TowerToHyperService<Router>,
    guest: Arc<Guest>,
}

impl Attended {
    pub(super) fn new(router: Router, guest: Arc<Guest>) -> Self {
        Self { router: TowerToHyperService::new(router), guest }
    }
}

impl Service<Request<Incoming>> for Attended {
    type Response = Response<Told>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let guest = Arc::clone(&self.guest);
        let asked = request.map(|body| Asked { body, guest: Arc::clone(&guest) });
        asked.body().heed();
        let answered = self.router.call(asked);
        Box::pin(
            async move { answered.await.map(|answer| answer.map(|body| Told { body, guest })) },
        )
    }
}

/// A request's body: its guest is served once it is whole, or nobody wants the rest.
struct Asked {
    body: Incoming,
    guest: Arc<Guest>,
}

impl Asked {
    fn heed(&self) {
        if self.body.is_end_stream() {
            self.guest.served();
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.guest.served();
    }
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.guest.served();
        }
        self.heed();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: when it is gone, the next request is waited for.
pub(super) struct Told {
    body: Body,
    guest: Arc<Guest>,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.guest.waited_for();
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
