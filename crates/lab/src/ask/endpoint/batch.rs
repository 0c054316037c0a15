//! Many questions at once, answers in their order.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::{ChatRequest, Client};
use crate::ask::Answer;
use crate::error::{Error, Result};
use crate::value::interrupt::Interrupt;

/// Time between two looks at whether to go on.
const LOOK: Duration = Duration::from_millis(100);
/// Time that answers under way get when a run is stopped.
const GRACE: Duration = Duration::from_secs(2);

/// Answers to `requests`; `heard` hears how many there are, and why some are asked for again.
///
/// The threads that ask are let go when `interrupt` is set: one that waits for an answer cannot be woken,
/// and what comes is written down all the same.
pub(crate) fn ask(
    client: &Arc<Client>,
    requests: &[ChatRequest],
    interrupt: &Interrupt,
    heard: &mut dyn FnMut(usize, Option<String>),
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
    heard(done, None);
    let workers = client.limits.at_once.min(left.len());
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
    if done < requests.len() {
        let mut before = None;
        listen(&receiver, interrupt, &halt, &mut |told| {
            match told {
                Some((place, Ok(answer))) => answers[place] = Some(answer),
                Some((_, Err(error))) => return Some(Err(error)),
                None => {
                    let trouble = client.exchange.trouble();
                    if trouble != before {
                        heard(done, trouble.clone());
                        before = trouble;
                    }
                    return None;
                }
            }
            done += 1;
            heard(done, before.clone());
            (done == requests.len()).then_some(Ok(()))
        })?;
    }
    Ok(answers.into_iter().flatten().collect())
}

/// Hears what threads tell, and now and then that they tell nothing, until `hear` has an end of it.
///
/// When `interrupt` is set or something failed, the threads are asked to halt and get some time to end.
pub(super) fn listen<T, R>(
    receiver: &Receiver<T>,
    interrupt: &Interrupt,
    halt: &Interrupt,
    hear: &mut dyn FnMut(Option<T>) -> Option<Result<R>>,
) -> Result<R> {
    let ended = loop {
        if interrupt.is_set() {
            break Err(Error::Interrupted);
        }
        let told = match receiver.recv_timeout(LOOK) {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                break Err(Error::record("remote", "lost a thread; this is a bug in owlet"));
            }
        };
        if let Some(ended) = hear(told) {
            break ended;
        }
    };
    if ended.is_err() {
        halt.set();
        let start = Instant::now();
        while let Some(left) = GRACE.checked_sub(start.elapsed()) {
            if receiver.recv_timeout(left).is_err() {
                break;
            }
        }
    }
    ended
}
