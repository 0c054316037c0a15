//! Where time goes: what each kernel call took, how many operations it did and bytes it had to move.
//!
//! A [`Profile`] listens to the [`Threads`] it is given to ([`Threads::profiled`]); whoever asked for
//! it reads the totals or a trace that Perfetto opens. Nothing is measured otherwise, and results
//! never depend on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::kernel::Threads;

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
const KEPT: usize = 1 << 20;

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
    totals: Vec<Total>,
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

    /// Totals by kind of work. [`Work::Whole`] contains the others; what is left of it is everything
    /// that has no kind.
    pub fn totals(&self) -> Vec<Total> {
        let mut totals = self.lock().totals.clone();
        totals.sort_by_key(|total| total.work);
        totals
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
    fn inside(&self) -> MutexGuard<'_, Option<Work>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stretch under way; it ends when this is dropped.
pub(crate) struct Span<'a>(Option<Open<'a>>);

struct Open<'a> {
    lane: &'a Lane,
    name: &'static str,
    work: Work,
    start: Instant,
    operations: f64,
    bytes: f64,
}

impl Threads {
    /// A kernel call: `cost` gives its floating-point operations and the bytes it must move.
    pub(crate) fn span(
        &self,
        work: Work,
        name: &'static str,
        cost: impl FnOnce() -> (usize, usize),
    ) -> Span<'_> {
        Span(self.lane().map(|lane| {
            let (operations, bytes) = cost();
            let work = lane.inside().unwrap_or(work);
            let (operations, bytes) = (operations as f64, bytes as f64);
            Open { lane, name, work, start: Instant::now(), operations, bytes }
        }))
    }

    /// A whole update or step, of which kernel calls are parts.
    pub(crate) fn whole(&self, name: &'static str) -> Span<'_> {
        Span(self.lane().map(|lane| {
            let (work, start) = (Work::Whole, Instant::now());
            Open { lane, name, work, start, operations: 0.0, bytes: 0.0 }
        }))
    }

    /// Kernel calls count as `work` until the returned value is dropped.
    pub(crate) fn inside(&self, work: Work) -> Inside<'_> {
        Inside(self.lane().map(|lane| (lane, lane.inside().replace(work))))
    }
}

/// Ends what [`Threads::inside`] began.
pub(crate) struct Inside<'a>(Option<(&'a Lane, Option<Work>)>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some((lane, before)) = self.0 {
            *lane.inside() = before;
        }
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let Some(Open { lane, name, work, start, operations, bytes }) = self.0.take() else {
            return;
        };
        let length = start.elapsed();
        let mut collected = lane.profile.lock();
        if collected.stretches.len() < KEPT {
            let start = start.saturating_duration_since(lane.profile.began);
            let lane = lane.number;
            collected.stretches.push(Stretch {
                name,
                work,
                lane,
                start,
                length,
                operations,
                bytes,
            });
        }
        let seconds = length.as_secs_f64();
        match collected.totals.iter_mut().find(|total| total.work == work) {
            Some(total) => {
                total.calls += 1;
                total.seconds += seconds;
                total.operations += operations;
                total.bytes += bytes;
            }
            None => collected.totals.push(Total { work, calls: 1, seconds, operations, bytes }),
        }
    }
}

/// What this machine can do on one core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Multiplications and additions in registers, per second.
    pub operations: f64,
    /// Bytes read from memory, per second.
    pub bytes: f64,
}

impl Peaks {
    /// Measures for about a third of a second: the best of several short runs.
    pub fn measure() -> Self {
        Self { operations: crate::kernel::peak_operations(), bytes: crate::kernel::peak_bytes() }
    }
}
