//! Threads that read and write texts beside the runtime: templates, tokenizers, automata, long answers.
//!
//! Always the same few: the system's allocator keeps for each thread what its largest moment needed, so
//! a pool that takes another thread now and then holds a little more each time. Not for waiting on
//! disks or models. Large work has a thread of its own, so that no number of large texts keeps a small one
//! waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use tokio::sync::oneshot;

use super::refusal::Refusal;

/// Bytes from which on work is large.
const LARGE: usize = 16 << 10;
/// The size of work that is large whatever it is about.
pub(crate) const HEAVY: usize = usize::MAX;

type Work = Box<dyn FnOnce() + Send>;

/// The way to the threads, which end when it is dropped.
pub(crate) struct Texts {
    small: Sender<Work>,
    large: Sender<Work>,
}

impl Texts {
    /// Starts `count` threads for small work, and one for large.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        Ok(Self { small: threads(count)?, large: threads(1)? })
    }

    /// Does `work` about so many bytes on one of them. Whoever no longer waits for its turn leaves it undone.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, done) = oneshot::channel();
        let work = move || {
            if !reply.is_closed() {
                // Nobody listens: nobody misses it.
                let _ = reply.send(work());
            }
        };
        let threads = if bytes < LARGE { &self.small } else { &self.large };
        // Both fail only where a thread broke, which drops the reply.
        let _ = threads.send(Box::new(work));
        done.await.map_err(|_| Refusal::broke())
    }
}

fn threads(count: usize) -> std::io::Result<Sender<Work>> {
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..count {
        let receiver = Arc::clone(&receiver);
        Builder::new().name("texts".to_owned()).spawn(move || run(&receiver))?;
    }
    Ok(sender)
}

fn run(receiver: &Mutex<Receiver<Work>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

/// Why a text is not even looked at.
pub(crate) fn too_long(bytes: usize, most: usize) -> String {
    format!(
        "has a text of {bytes} bytes; no text of more than {most} fits into this model's context"
    )
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;

    use super::*;

    fn blocked_on<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    #[test]
    fn work_that_breaks_is_told_and_stops_nothing() {
        blocked_on(async {
            let texts = Texts::start(1).unwrap();
            let broken: Result<(), _> = texts.compute(0, || panic!("on purpose")).await;
            assert_eq!(broken.unwrap_err().status.as_u16(), 500);
            assert_eq!(texts.compute(0, || 1 + 1).await.ok(), Some(2));
        });
    }

    #[test]
    fn what_nobody_waits_for_is_left_undone() {
        blocked_on(async {
            let texts = Texts::start(1).unwrap();
            let (go_on, wait) = channel::<()>();
            let mut first = Box::pin(texts.compute(0, move || wait.recv().is_ok()));
            let done = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&done);
            let mut second = Box::pin(texts.compute(0, move || seen.store(true, Ordering::SeqCst)));
            let begun = poll_fn(|context| {
                let (first, second) = (first.as_mut().poll(context), second.as_mut().poll(context));
                Poll::Ready(first.is_pending() && second.is_pending())
            });
            assert!(begun.await);
            drop(second);
            go_on.send(()).unwrap();
            assert_eq!(first.await.ok(), Some(true));
            texts.compute(0, || ()).await.unwrap();
            assert!(!done.load(Ordering::SeqCst));
        });
    }

    #[test]
    fn small_work_does_not_wait_for_large() {
        blocked_on(async {
            let texts = Texts::start(1).unwrap();
            let (go_on, wait) = channel::<()>();
            let mut large = Box::pin(texts.compute(HEAVY, move || wait.recv().is_ok()));
            assert!(
                poll_fn(|context| Poll::Ready(large.as_mut().poll(context).is_pending())).await
            );
            assert_eq!(texts.compute(10, || 2).await.ok(), Some(2));
            go_on.send(()).unwrap();
            assert_eq!(large.await.ok(), Some(true));
        });
    }
}
