//! Work shared among threads by splitting it, never by racing on sums: how work is cut does not
//! depend on how many threads there are, so neither do results.

use std::sync::Arc;

/// A fixed number of threads to work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Threads {
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl Threads {
    /// `count` threads; one (or none) means the calling thread alone.
    pub fn new(count: usize) -> Self {
        let pool = (count > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(count)
                    .build()
                    .ok()
                    .map(Arc::new)
            })
            .flatten();
        Self { pool }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.pool
            .as_ref()
            .map_or(1, |pool| pool.current_num_threads())
    }
}
