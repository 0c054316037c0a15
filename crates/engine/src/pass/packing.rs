//! How the sequences of a training pass lie in its rows.
//!
//! Rows of one batch mostly begin alike: the chat template's opening, a system text, for preference
//! pairs the whole prompt. What a token sees is the same in all of them, so it is computed once, and
//! its gradient is the sum over the sequences that go on from it.

use std::ops::Range;

use crate::Token;

/// The shortest beginning that is worth sharing: attention reads it as a block of its own.
const WORTH_SHARING: usize = 8;

/// Sequences one after the other, after what all of them begin with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packing {
    pub(crate) tokens: Vec<Token>,
    /// Each row's place in its sequence.
    pub(crate) positions: Vec<usize>,
    /// Rows `0..shared` are the beginning of every sequence.
    pub(crate) shared: usize,
    /// The rows of each sequence after that; none is empty.
    pub(crate) own: Vec<Range<usize>>,
}

impl Packing {
    /// Every sequence whole.
    pub(crate) fn apart(sequences: &[&[Token]]) -> Self {
        Self::after(0, sequences)
    }

    /// With their common beginning once, where it is worth it.
    pub(crate) fn sharing(sequences: &[&[Token]]) -> Self {
        let mut beginning = Beginning::default();
        for sequence in sequences {
            beginning.add(sequence);
        }
        Self::after(beginning.shared(), sequences)
    }

    fn after(shared: usize, sequences: &[&[Token]]) -> Self {
        let mut packing = Self { shared, ..Self::default() };
        if let (Some(first), true) = (sequences.first(), shared > 0) {
            packing.tokens.extend_from_slice(&first[..shared]);
            packing.positions.extend(0..shared);
        }
        for sequence in sequences {
            let start = packing.tokens.len();
            packing.tokens.extend_from_slice(&sequence[shared..]);
            packing.positions.extend(shared..sequence.len());
            packing.own.push(start..packing.tokens.len());
        }
        packing
    }

    /// The row of a sequence's token.
    pub(crate) fn row(&self, sequence: usize, position: usize) -> usize {
        match position.checked_sub(self.shared) {
            Some(after) => self.own[sequence].start + after,
            None => position,
        }
    }
}

/// What the sequences seen so far begin with, and the rows they would take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beginning<'s> {
    common: &'s [Token],
    sequences: usize,
    shortest: usize,
    tokens: usize,
}

impl<'s> Beginning<'s> {
    pub(crate) fn add(&mut self, sequence: &'s [Token]) {
        if self.sequences == 0 {
            (self.common, self.shortest) = (sequence, sequence.len());
        }
        let alike = self.common.iter().zip(sequence).take_while(|(a, b)| a == b).count();
        self.common = &self.common[..alike];
        self.sequences += 1;
        self.shortest = self.shortest.min(sequence.len());
        self.tokens += sequence.len();
    }

    /// Tokens at the beginning of every sequence that are worth sharing; each keeps one of its own.
    fn shared(&self) -> usize {
        let shared = self.common.len().min(self.shortest.saturating_sub(1));
        if self.sequences < 2 || shared < WORTH_SHARING { 0 } else { shared }
    }

    /// Rows of [`Packing::sharing`].
    pub(crate) fn rows(&self) -> usize {
        self.tokens - self.shared() * self.sequences.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_has_a_row_that_says_its_place(
            beginning in prop::collection::vec(0u32..3, 0..12),
            ends in prop::collection::vec(prop::collection::vec(0u32..3, 1..9), 1..6),
        ) {
            let sequences: Vec<Vec<Token>> =
                ends.iter().map(|end| [&beginning[..], &end[..]].concat()).collect();
            let sequences: Vec<&[Token]> = sequences.iter().map(Vec::as_slice).collect();
            let mut counted = Beginning::default();
            for sequence in &sequences {
                counted.add(sequence);
            }
            let sharing = Packing::sharing(&sequences);
            prop_assert_eq!(sharing.tokens.len(), counted.rows());
            if sequences.len() > 1 {
                prop_assert!(sharing.shared >= beginning.len() || beginning.len() < WORTH_SHARING);
            }
            for packing in [sharing, Packing::apart(&sequences)] {
                prop_assert!(packing.own.iter().all(|rows| !rows.is_empty()));
                for (i, sequence) in sequences.iter().enumerate() {
                    for (position, token) in sequence.iter().enumerate() {
                        let row = packing.row(i, position);
                        prop_assert_eq!(packing.tokens[row], *token);
                        prop_assert_eq!(packing.positions[row], position);
                    }
                }
            }
        }
    }
}
