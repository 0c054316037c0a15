//! Carriers: the innocuous media through which a behavior may pass.
//!
//! A carrier is a prompt generator, a filter and a set of shuffles: pure, seeded and independent
//! of any model. Decoding constraints need a tokenizer and live with generation. The numbers
//! carrier follows Cloud et al. (arXiv 2507.14805 and Nature 652, 2026) bit for bit.

pub mod filter;
pub mod leak;
pub mod numbers;
pub mod prompts;
pub mod shuffle;

pub use filter::{NumberFilter, Reason, Verdict};
pub use leak::{Leak, leaks};
pub use prompts::{PromptFile, PromptSet, PromptSetError};
