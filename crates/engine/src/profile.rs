//! Where time goes: what each kernel call took, how many operations it did and bytes it had to
//! move.
//!
//! A [`Profile`] listens to the threads it is given to ([`crate::Threads::profiled`]); whoever
//! asked for it reads the totals or a trace that Perfetto opens. Nothing is measured otherwise, and
//! results never depend on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

/// What a stretch of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A whole update, sampling step or scoring pass.
    Whole,
    /// Matrix products of the layers.
    Product,
    /// Attention.
    Attention,
    /// Norms, activations, rotary embedding.
    Elementwise,
    /// The output head with its loss or choice.
    Head,
    /// The update rule.
    Optimizer,
}

impl Work {
    /// Its name in tables and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Product => "product",
            Self::Attention => "attention",
            Self::Elementwise => "element-wise",
            Self::Head => "head",
            Self::Optimizer => "optimizer",
        }
    }
}

/// Stretches kept for the trace; totals go on beyond them.
// Bounds the trace at about 80 MB of memory; not tuned.
const KEPT: usize = 1 << 20;

#[derive(Clone, Copy)]
struct Stretch {
    name: &'static str,
    work: Work,
    lane: usize,
    start: Duration,
    length: Duration,
    operations: f64,
    bytes: f64,
}

/// Total of one kind of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Total {
    /// Which.
    pub work: Work,
    /// Times it was begun.
    pub calls: usize,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes of operands and results, each counted once.
    pub bytes: f64,
}

#[derive(Default)]
struct Collected {
    lanes: usize,
    stretches: Vec<Stretch>,
    totals: BTreeMap<Work, Total>,
}

/// A listener; clones share what they hear.
#[derive(Clone)]
pub struct Profile {
    began: Instant,
    collected: Arc<Mutex<Collected>>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("totals", &self.lock().totals).finish_non_exhaustive()
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

impl Profile {
    /// A listener that has heard nothing.
    pub fn new() -> Self {
        Self { began: Instant::now(), collected: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Totals by kind of work. [`Work::Whole`] contains the others; what is left of it is
    /// everything that has no kind.
    pub fn totals(&self) -> Vec<Total> {
        self.lock().totals.values().copied().collect()
    }

    /// The trace in Chrome's event format (the first 2^20 stretches), for Perfetto.
    pub fn trace(&self) -> String {
        let collected = self.lock();
        let events: Vec<_> = collected
            .stretches
            .iter()
            .map(|s| {
                let seconds = s.length.as_secs_f64().max(1e-9);
                json!({
                    "name": s.name, "cat": s.work.name(), "ph": "X", "pid": 1, "tid": s.lane,
                    "ts": s.start.as_secs_f64() * 1e6, "dur": s.length.as_secs_f64() * 1e6,
                    "args": {
                        "GF/s": s.operations / seconds / 1e9,
                        "GB/s": s.bytes / seconds / 1e9,
                    },
                })
            })
            .collect();
        json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
    }

    /// A place of its own in the trace.
    pub(crate) fn lane(&self) -> Lane {
        let mut collected = self.lock();
        collected.lanes += 1;
        Lane { profile: self.clone(), number: collected.lanes, inside: Mutex::default() }
    }
}

/// One user of a profile.
#[derive(Debug)]
pub(crate) struct Lane {
    profile: Profile,
    number: usize,
    /// Kernel calls count as this while it is set.
    inside: Mutex<Option<Work>>,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Option<Work>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kernel call, or a whole update or step of which kernel calls are parts ([`Work::Whole`]).
    pub(crate) fn span(
        &self,
        work: Work,
        name: &'static str,
        (operations, bytes): (usize, usize),
    ) -> Span<'_> {
        let work = if work == Work::Whole { work } else { self.lock().unwrap_or(work) };
        let began = Instant::now();
        let stretch = Stretch {
            name,
            work,
            lane: self.number,
            start: began.saturating_duration_since(self.profile.began),
            length: Duration::ZERO,
            operations: operations as f64,
            bytes: bytes as f64,
        };
        Span { profile: &self.profile, began, stretch }
    }

    /// Kernel calls count as `work` until the returned value is dropped.
    pub(crate) fn inside(&self, work: Work) -> Inside<'_> {
        Inside { lane: self, before: self.lock().replace(work) }
    }
}

/// Ends what [`Lane::inside`] began.
pub(crate) struct Inside<'a> {
    lane: &'a Lane,
    before: Option<Work>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.lane.lock() = self.before;
    }
}

/// A stretch under way; it ends when this is dropped.
pub(crate) struct Span<'a> {
    profile: &'a Profile,
    began: Instant,
    stretch: Stretch,
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let stretch = Stretch { length: self.began.elapsed(), ..self.stretch };
        let mut collected = self.profile.lock();
        if collected.stretches.len() < KEPT {
            collected.stretches.push(stretch);
        }
        let Stretch { work, operations, bytes, .. } = stretch;
        let none = Total { work, calls: 0, seconds: 0.0, operations: 0.0, bytes: 0.0 };
        let total = collected.totals.entry(work).or_insert(none);
        total.calls += 1;
        total.seconds += stretch.length.as_secs_f64();
        total.operations += operations;
        total.bytes += bytes;
    }
}
