//! How much may be asked: requests at once, requests per minute, tokens and money in all.
//!
//! A request takes a [`Place`] before it is sent and holds it until it is answered. What it will cost is
//! not known before; a guess on the high side is set aside for it, so that many requests together
//! cannot overrun a limit that each of them alone would keep.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ask::Usage;
use crate::error::{Error, Result};
use crate::model::spec::{Endpoint, Prices};
use crate::value::interrupt::Interrupt;

/// Time between two looks at whether to go on.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct State {
    under_way: usize,
    /// When the next request may begin.
    next: Instant,
    spent: Usage,
    set_aside: Usage,
}

/// The limits of one endpoint.
#[derive(Debug)]
pub(super) struct Limits {
    address: String,
    /// Where in the recipe the endpoint stands.
    at: String,
    /// Requests that may be under way at once.
    pub(super) at_once: usize,
    pause: Duration,
    tokens: u64,
    cost: f64,
    prices: Prices,
    state: Mutex<State>,
    changed: Condvar,
}

/// The right to send one request; gives back what was set aside when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    limits: &'a Limits,
    set_aside: Usage,
    is_request: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limits.lock();
        state.set_aside.subtract(self.set_aside);
        state.under_way -= usize::from(self.is_request);
        drop(state);
        self.limits.changed.notify_all();
    }
}

/// What `usage` costs.
pub(super) fn cost(usage: Usage, prices: Prices) -> f64 {
    let million = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
    million(usage.prompt, prices.prompt)
        + million(usage.completion, prices.completion)
        + million(usage.training, prices.training)
}

impl Limits {
    pub(super) fn new(endpoint: &Endpoint, spent: Usage) -> Self {
        let pause = match endpoint.requests_per_minute {
            0 => Duration::ZERO,
            requests => Duration::from_mins(1).div_f64(requests as f64),
        };
        Self {
            address: endpoint.endpoint.clone(),
            at: endpoint.at.clone(),
            at_once: endpoint.requests_at_once.max(1),
            pause,
            tokens: endpoint.max_tokens,
            cost: endpoint.max_cost,
            prices: endpoint.prices,
            state: Mutex::new(State {
                under_way: 0,
                next: Instant::now(),
                spent,
                set_aside: Usage::default(),
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what an answer cost.
    pub(super) fn spend(&self, usage: Usage) {
        self.lock().spent.add(usage);
        self.changed.notify_all();
    }

    /// Which limit `usage` would break, and by what.
    fn broken(&self, usage: Usage) -> Option<String> {
        let total = usage.total();
        if self.tokens > 0 && total > self.tokens {
            return Some(format!("`{}.max-tokens` is {}", self.at, self.tokens));
        }
        if self.cost > 0.0 && cost(usage, self.prices) > self.cost {
            return Some(format!("`{}.max-cost` is {}", self.at, self.cost));
        }
        None
    }

    /// Waits until a request that costs at most `guess` may be sent.
    ///
    /// # Errors
    /// [`Error::Unfit`] if it would cost more than is left, [`Error::Interrupted`] if `halt` was set.
    pub(super) fn place(&self, guess: Usage, halt: &Interrupt) -> Result<Place<'_>> {
        self.take(guess, true, halt)
    }

    /// Sets aside what work at the endpoint will cost.
    pub(super) fn set_aside(&self, guess: Usage, halt: &Interrupt) -> Result<Place<'_>> {
        self.take(guess, false, halt)
    }

    fn take(&self, guess: Usage, is_request: bool, halt: &Interrupt) -> Result<Place<'_>> {
        let mut state = self.lock();
        loop {
            halt.check()?;
            let mut alone = state.spent;
            alone.add(guess);
            if let Some(limit) = self.broken(alone) {
                return Err(self.refused(&limit, state.spent));
            }
            let mut all = alone;
            all.add(state.set_aside);
            let now = Instant::now();
            let free = !is_request || (state.under_way < self.at_once && now >= state.next);
            if free && self.broken(all).is_none() {
                if is_request {
                    state.under_way += 1;
                    state.next = now.max(state.next) + self.pause;
                }
                state.set_aside.add(guess);
                return Ok(Place { limits: self, set_aside: guess, is_request });
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn refused(&self, limit: &str, spent: Usage) -> Error {
        let money = if self.prices == Prices::default() {
            String::new()
        } else {
            format!(", {:.4} by `{}.prices`", cost(spent, self.prices), self.at)
        };
        Error::Unfit {
            what: format!("endpoint `{}`", self.address),
            reason: format!(
                "{limit} and {} tokens{money} were spent there in this workspace; the next request might go beyond, so raise the limit or ask for less",
                spent.total()
            ),
        }
    }
}
