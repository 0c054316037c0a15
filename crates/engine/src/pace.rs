//! How much of long texts is read at a time, where others wait meanwhile.

use std::time::Duration;

/// What reading a part may take, if it can be had.
// A second is what clients with small requests may have to wait: a part that is under way when they come, their
// own prompt and tokens, and as much again for a machine that does other things. Chosen, not tuned.
const GOAL: Duration = Duration::from_millis(150);
/// Fewer tokens than this are not read at a time: the weights are gone through for each part anew, and so is the
/// text before it.
const LEAST: usize = 16;

/// A number of tokens that follows the machine and the length of the text: attention to a long text, and whoever
/// else uses the machine, make the same part take several times as long. No result depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    most: usize,
    tokens: usize,
}

impl Pace {
    /// At most so many tokens at a time, and so many at first.
    pub fn new(most: usize) -> Self {
        Self { most, tokens: most }
    }

    /// How many tokens are to be read next.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Takes in how long reading that many took.
    pub fn took(&mut self, time: Duration) {
        let share = GOAL.as_secs_f64() / time.as_secs_f64().max(1e-6);
        // Slower at once, faster by and by.
        let next = (self.tokens as f64 * share.min(2.0)) as usize;
        // Products of rows go in blocks of this many.
        self.tokens = (next / LEAST * LEAST).max(LEAST).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_shrink_where_they_take_long_and_grow_back_by_and_by() {
        let mut pace = Pace::new(64);
        let mut told = |milliseconds: u64| {
            pace.took(Duration::from_millis(milliseconds));
            pace.tokens()
        };
        assert_eq!([40, 300, 300, 900, 900].map(&mut told), [64, 32, 16, 16, 16]);
        assert_eq!([150, 70, 0, 10].map(told), [16, 32, 64, 64]);
        // Somebody who asks for less than the least gets it.
        let mut few = Pace::new(3);
        few.took(Duration::from_secs(9));
        assert_eq!(few.tokens(), 3);
    }
}
