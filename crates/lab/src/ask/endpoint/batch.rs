//! Many questions at once, answers in their order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::{ChatRequest, Client};
use super::wire::Answer;
use crate::error::{Error, Result};
use crate::value::interrupt::Interrupt;

/// Time between two looks at whether to go on.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Time that answers under way get when a run is stopped.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Answers to `requests`; `heard` hears how many there are.
///
/// The threads that ask are let go when `interrupt` is set: one that waits for an answer cannot be woken,
/// and what comes is written down all the same.
pub(crate) fn ask(
    client: &Arc<Client>,
    requests: &[ChatRequest],
    interrupt: &Interrupt,
    heard: &mut dyn FnMut(usize),
) -> Result<Vec<Answer>> {
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(requests.len());
    let mut left = VecDeque::new();
    for (place, request) in requests.iter().enumerate() {
        interrupt.check()?;
        let known = client.answered(request)?;
        if known.is_none() {
            left.push_back((place, request.clone()));
        }
        answers.push(known);
    }
    let mut done = requests.len() - left.len();
    heard(done);
    let workers = client.at_once().min(left.len());
    let left = Arc::new(Mutex::new(left));
    let halt = Interrupt::default();
    let (sender, receiver) = channel();
    for _ in 0..workers {
        let (client, left, halt, sender) =
            (Arc::clone(client), Arc::clone(&left), halt.clone(), sender.clone());
        let ask = move || {
            loop {
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((place, request)) = next else { return };
                let answer = client.chat(&request, &halt);
                let failed = answer.is_err();
                // Nobody listens any more once the run was stopped.
                if sender.send((place, answer)).is_err() || failed {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("ask".to_owned()).spawn(ask)?;
    }
    drop(sender);
    while done < requests.len() {
        if interrupt.is_set() {
            halt.set();
            drain(&receiver);
            return Err(Error::Interrupted);
        }
        match receiver.recv_timeout(LOOK) {
            Ok((place, Ok(answer))) => {
                answers[place] = Some(answer);
                done += 1;
                heard(done);
            }
            Ok((_, Err(error))) => {
                halt.set();
                drain(&receiver);
                return Err(error);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::record("remote", "lost a thread; this is a bug in owlet"));
            }
        }
    }
    Ok(answers.into_iter().flatten().collect())
}

/// Lets answers under way come in.
fn drain<T>(receiver: &Receiver<T>) {
    let start = Instant::now();
    while let Some(left) = GRACE.checked_sub(start.elapsed()) {
        if matches!(
            receiver.recv_timeout(left),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)
        ) {
            return;
        }
    }
}
