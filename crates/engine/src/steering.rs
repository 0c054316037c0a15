//! What a model's residual stream is steered with: constant vectors, added at named layers and
//! positions (activation addition; Turner et al. 2023, arXiv 2308.10248).

use std::ops::Range;

use crate::kernel::vector::add;

/// A vector added to the residual stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition {
    /// After how many layers.
    pub layer: usize,
    /// At which positions of a sequence, the first token's being 0; `0..usize::MAX` is everywhere.
    pub positions: Range<usize>,
    /// What is added, `[width]`.
    pub vector: Vec<f32>,
}

/// Everything that is added to a model's stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steering {
    pub(crate) additions: Vec<Addition>,
}

impl Steering {
    /// Adds to `x` `[rows, width]` what is given for the stream after `layer` layers; `positions`
    /// `[rows]` are the rows' positions in their sequences.
    pub(crate) fn apply(&self, layer: usize, positions: &[usize], x: &mut [f32]) {
        for addition in self.additions.iter().filter(|addition| addition.layer == layer) {
            let rows = x.chunks_exact_mut(addition.vector.len());
            for (position, row) in positions.iter().zip(rows) {
                if addition.positions.contains(position) {
                    add(row, &addition.vector);
                }
            }
        }
    }
}
