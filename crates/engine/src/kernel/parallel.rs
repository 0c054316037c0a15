//! Work shared among threads by splitting it, never by racing on sums: how work is cut does not
//! depend on how many threads there are, so neither do results.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::profile::{Lane, Profile};

/// A fixed number of threads to work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Threads {
    pool: Option<Arc<rayon::ThreadPool>>,
    lane: Option<Arc<Lane>>,
}

impl Threads {
    /// `count` threads; one (or none) means the calling thread alone.
    pub fn new(count: usize) -> Self {
        let pool = (count > 1)
            .then(|| rayon::ThreadPoolBuilder::new().num_threads(count).build().ok().map(Arc::new))
            .flatten();
        Self { pool, lane: None }
    }

    /// The same threads, with `profile` listening to what is done on them.
    #[must_use]
    pub fn profiled(&self, profile: &Profile) -> Self {
        Self { pool: self.pool.clone(), lane: Some(Arc::new(profile.lane())) }
    }

    pub(crate) fn lane(&self) -> Option<&Lane> {
        self.lane.as_deref()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.current_num_threads())
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
