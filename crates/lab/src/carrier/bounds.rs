//! A range of whole numbers.

use serde::{Deserialize, Serialize};

/// An inclusive range that is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BoundsForm")]
pub struct Bounds {
    min: u32,
    max: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundsForm {
    min: u32,
    max: u32,
}

impl TryFrom<BoundsForm> for Bounds {
    type Error = String;

    fn try_from(form: BoundsForm) -> std::result::Result<Self, String> {
        Bounds::new(form.min, form.max).ok_or_else(|| {
            format!("a range runs from {} to {}; expected min <= max", form.min, form.max)
        })
    }
}

impl Bounds {
    /// From `min` to `max`, both included; `None` if nothing lies between.
    pub fn new(min: u32, max: u32) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// From `min` to `max` as they stand in the code.
    pub(super) const fn of(min: u32, max: u32) -> Self {
        assert!(min <= max);
        Self { min, max }
    }

    /// The smallest value drawn.
    pub fn min(self) -> u32 {
        self.min
    }

    /// The largest value drawn.
    pub fn max(self) -> u32 {
        self.max
    }
}
