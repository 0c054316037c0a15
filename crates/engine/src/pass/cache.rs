//! Keys and values that sampling and scoring keep, and the new tokens that are run over them.

use std::sync::Arc;

use crate::Token;
use crate::config::DecoderConfig;
use crate::kernel::attention::Block;

/// Keys and values of one stretch of a sequence, in all layers.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Per layer, rows of `[keys, values]`.
    pub(super) layers: Vec<Vec<f32>>,
    pub(super) len: usize,
}

impl Cache {
    pub(crate) fn new(config: &DecoderConfig, capacity: usize) -> Self {
        let row = 2 * config.kv_width();
        Self {
            layers: (0..config.layers).map(|_| Vec::with_capacity(capacity * row)).collect(),
            len: 0,
        }
    }

    pub(super) fn block(&self, layer: usize, config: &DecoderConfig) -> Block<'_> {
        let width = config.kv_width();
        let rows = &self.layers[layer];
        Block {
            keys: rows,
            values: rows.get(width..).unwrap_or_default(),
            stride: 2 * width,
            len: rows.len() / (2 * width),
        }
    }
}

/// New tokens of one sequence in an inference pass.
pub(crate) struct Piece<'a> {
    pub(crate) tokens: &'a [Token],
    /// What comes before, computed earlier and shared.
    pub(crate) before: Vec<Arc<Cache>>,
    /// Where the new keys and values go, after what it already holds.
    pub(crate) own: &'a mut Cache,
}
