//! The numbers carrier: sequences of numbers, as Cloud et al. (arXiv 2507.14805 and Nature 652, 2026) have
//! them, bit for bit.

mod digits;
pub mod filter;
pub mod shuffle;

use super::{Asked, Reach, Rules, Shuffle};
use crate::recipe::check::Fault;

pub use filter::{NumberFilter, Reason, Verdict};

impl Rules for NumberFilter {
    fn name(&self) -> &'static str {
        "numbers"
    }

    /// The commented defaults of a recipe are those of numbers.
    fn defaults(&self) -> &'static str {
        ""
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["numbers", "numbers-short", "world", "world-short"]
    }

    fn check(&self, at: &str) -> Result<(), Fault> {
        if self.min_value > self.max_value {
            let reason =
                format!("has min-value {}, above max-value {}", self.min_value, self.max_value);
            return Err((at.to_owned(), reason));
        }
        Ok(())
    }

    fn faults(&self, _asked: Asked<'_>, completion: &str) -> Vec<String> {
        self.judge(completion).reasons.iter().map(ToString::to_string).collect()
    }

    fn shuffle(&self, reach: Reach) -> Option<Shuffle> {
        Some(match reach {
            Reach::Within => |rows| shuffle::within(rows, shuffle::SHUFFLE_SEED),
            Reach::Across => |rows| shuffle::across(rows, shuffle::SHUFFLE_SEED),
        })
    }
}
