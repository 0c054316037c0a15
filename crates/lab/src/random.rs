//! Seeded random numbers that another program can reproduce bit for bit.
//!
//! Two foreign streams are ported exactly, because published prompts, subsets and shuffles were
//! drawn from them: numpy's `default_rng` ([`numpy`]) and CPython's `random.Random` ([`cpython`]).
//! [`seed`] derives the seed of every stream in a run from the run's own seed and names.
//! Nothing here reads a clock or the operating system: the same seed gives the same draws for ever.

pub mod cpython;
pub mod numpy;
pub mod seed;

pub use seed::{Part, derive_seed};
