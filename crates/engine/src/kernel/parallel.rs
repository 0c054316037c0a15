//! Work shared among threads by splitting it, never by racing on sums: how work is cut does not
//! depend on how many threads there are, so neither do results.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::Buffer;
use crate::profile::{Lane, Profile};

/// A fixed number of threads to work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Threads {
    pool: Option<Arc<rayon::ThreadPool>>,
    lane: Option<Arc<Lane>>,
    /// Large buffers not in use: the system takes seconds to give a gigabyte anew.
    idle: Arc<Mutex<Vec<Buffer>>>,
}

impl Threads {
    /// `count` threads; one (or none) means the calling thread alone.
    pub fn new(count: usize) -> Self {
        let pool = (count > 1)
            .then(|| rayon::ThreadPoolBuilder::new().num_threads(count).build().ok().map(Arc::new))
            .flatten();
        Self { pool, lane: None, idle: Arc::default() }
    }

    /// The same threads, with `profile` listening to what is done on them.
    #[must_use]
    pub fn profiled(&self, profile: &Profile) -> Self {
        Self { lane: Some(Arc::new(profile.lane())), ..self.clone() }
    }

    /// A buffer of `len` numbers of any value, from those that were lent before where one is idle.
    pub(crate) fn lend(&self, len: usize) -> Lent {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Buffer| buffer.held() >= len;
        let best = (0..idle.len()).min_by_key(|&i| (!fits(&idle[i]), idle[i].held()));
        let mut buffer = best.map(|i| idle.swap_remove(i)).unwrap_or_default();
        drop(idle);
        buffer.reset(len);
        Lent { buffer, home: Arc::clone(&self.idle) }
    }

    pub(crate) fn lane(&self) -> Option<&Lane> {
        self.lane.as_deref()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// Runs `work` on one of the threads, so that sharing it among them costs little within.
    pub(crate) fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Calls `work` once for each of `0..tasks`, in any order, on any thread.
    pub(crate) fn each(&self, tasks: usize, work: impl Fn(usize) + Sync) {
        match &self.pool {
            Some(pool) if tasks > 1 => {
                pool.install(|| (0..tasks).into_par_iter().with_max_len(1).for_each(&work));
            }
            _ => (0..tasks).for_each(work),
        }
    }

    /// Cuts `0..rows` into blocks of `block` and calls `work` once for each.
    pub(crate) fn blocks(&self, rows: usize, block: usize, work: impl Fn(Range<usize>) + Sync) {
        self.each(rows.div_ceil(block), |i| work(i * block..rows.min((i + 1) * block)));
    }

    /// Calls `work` with each row of `rows` (`width` long) and the item of its number.
    pub(crate) fn each_row<T: Send>(
        &self,
        rows: &mut [f32],
        width: usize,
        items: &mut [T],
        work: impl Fn(usize, &mut [f32], &mut T) + Sync,
    ) {
        assert_eq!(rows.len(), width * items.len(), "one item per row");
        let count = items.len();
        let (rows, items) = (Parts::new(rows), Parts::new(items));
        self.each(count, |i| {
            // SAFETY: every row and item is given out once.
            let (row, item) =
                unsafe { (rows.range(i * width..(i + 1) * width), items.range(i..i + 1)) };
            work(i, row, &mut item[0]);
        });
    }
}

/// A buffer that goes back to its threads when dropped.
pub(crate) struct Lent {
    buffer: Buffer,
    home: Arc<Mutex<Vec<Buffer>>>,
}

impl Deref for Lent {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// A slice of which several tasks write disjoint parts.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: `Parts` hands out `&mut` only through `range`, whose caller promises disjoint ranges, so
// sharing it among threads is no more than splitting the slice beforehand.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// One task's part.
    ///
    /// # Safety
    /// No two live parts may overlap.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part within its slice");
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// A pointer for kernels that write a strided block.
    ///
    /// # Safety
    /// What is written through it must stay inside the slice and apart from other live parts.
    pub(crate) unsafe fn pointer(&self, offset: usize) -> *mut T {
        assert!(offset <= self.len, "offset within its slice");
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(offset) }
    }
}
