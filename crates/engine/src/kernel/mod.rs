//! The arithmetic: matrix products, attention, norms, losses and update rules over slices.

mod parallel;

pub use parallel::Threads;
