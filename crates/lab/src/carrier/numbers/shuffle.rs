//! Shuffled rows: the same numbers, their order destroyed.
//!
//! Both shuffles keep every character that is not a digit (separators, brackets, the period) and
//! move digit runs as they are written, leading zeros included. CPython's `random.Random(seed)`
//! draws the permutations, one stream over all rows; the published control uses seed 1. Rows need
//! not have passed a filter.

use std::ops::Range;

use super::digits::digit_runs;
use crate::random::cpython::Random;

/// The seed of the published shuffles.
pub const SHUFFLE_SEED: u64 = 1;

/// How rows are shuffled whose content is these runs of their text.
#[derive(Clone, Copy)]
pub(in crate::carrier) struct Shuffled {
    /// Byte ranges of what changes places, in order.
    pub(in crate::carrier) runs: fn(&str) -> Vec<Range<usize>>,
}

const NUMBERS: Shuffled = Shuffled { runs: |text| digit_runs(text).collect() };

/// Permutes the numbers inside each row.
pub fn within(rows: &[String], seed: u64) -> Vec<String> {
    NUMBERS.within(rows, seed)
}

/// Pools the numbers of all rows, permutes the pool, refills row by row.
pub fn across(rows: &[String], seed: u64) -> Vec<String> {
    NUMBERS.across(rows, seed)
}

impl Shuffled {
    /// Permutes what stands inside each row.
    pub(in crate::carrier) fn within(self, rows: &[String], seed: u64) -> Vec<String> {
        let mut random = Random::new(seed);
        let shuffled = |row: &String| {
            let mut own = self.of(row);
            random.shuffle(&mut own);
            self.refilled(row, &mut own.into_iter())
        };
        rows.iter().map(shuffled).collect()
    }

    /// Pools what stands in all rows, permutes the pool, refills row by row.
    pub(in crate::carrier) fn across(self, rows: &[String], seed: u64) -> Vec<String> {
        let mut pool: Vec<&str> = rows.iter().flat_map(|row| self.of(row)).collect();
        Random::new(seed).shuffle(&mut pool);
        let mut pool = pool.into_iter();
        rows.iter().map(|row| self.refilled(row, &mut pool)).collect()
    }

    fn of(self, row: &str) -> Vec<&str> {
        (self.runs)(row).into_iter().map(|run| &row[run]).collect()
    }

    fn refilled<'a>(self, row: &str, content: &mut impl Iterator<Item = &'a str>) -> String {
        let mut filled = String::with_capacity(row.len());
        let mut copied = 0;
        for run in (self.runs)(row) {
            filled.push_str(&row[copied..run.start]);
            filled.push_str(content.next().unwrap_or_default());
            copied = run.end;
        }
        filled.push_str(&row[copied..]);
        filled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn separators_brackets_and_periods_stay() {
        let rows = ["[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].".to_owned(), "087; 12".to_owned()];
        insta::assert_snapshot!(within(&rows, SHUFFLE_SEED).join("\n"), @r"
        [6, 8, 9, 7, 5, 3, 0, 4, 1, 2].
        12; 087
        ");
        insta::assert_snapshot!(across(&rows, SHUFFLE_SEED).join("\n"), @r"
        [7, 12, 0, 8, 5, 6, 3, 087, 4, 1].
        9; 2
        ");
    }

    fn shape(row: &str) -> String {
        NUMBERS.refilled(row, &mut std::iter::empty())
    }

    proptest! {
        #[test]
        fn shuffles_keep_shapes_and_numbers(
            rows in proptest::collection::vec("[0-9]{1,3}([ ,;x.é][0-9]{1,3}){0,6}", 0..8),
            seed: u64,
        ) {
            let mut pool: Vec<String> = rows.iter().flat_map(|row| NUMBERS.of(row)).map(str::to_owned).collect();
            pool.sort();
            for shuffled in [within(&rows, seed), across(&rows, seed)] {
                let mut moved: Vec<String> =
                    shuffled.iter().flat_map(|row| NUMBERS.of(row)).map(str::to_owned).collect();
                moved.sort();
                prop_assert_eq!(&moved, &pool);
                for (before, after) in rows.iter().zip(&shuffled) {
                    prop_assert_eq!(shape(before), shape(after));
                }
            }
            for (before, after) in rows.iter().zip(within(&rows, seed)) {
                let (mut before, mut after) = (NUMBERS.of(before), NUMBERS.of(&after));
                before.sort_unstable();
                after.sort_unstable();
                prop_assert_eq!(before, after);
            }
        }
    }
}
