//! Prompts computed once: every prompt is cut at the same multiples of a fixed length, and pieces
//! that begin alike are shared. The cut depends on the prompt alone, so sharing changes no bit.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::Token;
use crate::kernel::Threads;
use crate::pass::{Cache, Network, Piece};

/// Tokens in one shared piece.
const PIECE: usize = 64;
/// Tokens computed in one pass.
const PASS: usize = 2048;

/// A prompt's keys and values, and the residual stream at its last token.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) blocks: Vec<Arc<Cache>>,
    pub(crate) last: Arc<Vec<f32>>,
}

struct Entry {
    cache: Weak<Cache>,
    last: Arc<Vec<f32>>,
}

/// Pieces known so far; they live as long as a prompt that uses them.
#[derive(Default)]
pub(crate) struct Prefixes {
    entries: BTreeMap<Vec<Token>, Entry>,
}

impl Prefixes {
    /// Computes what is not known yet of `prompts` (each at least one token).
    pub(crate) fn prefill(
        &mut self,
        network: &Network,
        threads: &Threads,
        prompts: &[&[Token]],
    ) -> Vec<Prompt> {
        self.entries.retain(|_, entry| entry.cache.strong_count() > 0);
        let mut found: Vec<Vec<Arc<Cache>>> = vec![Vec::new(); prompts.len()];
        let mut last: Vec<Arc<Vec<f32>>> = vec![Arc::default(); prompts.len()];
        let longest = prompts.iter().map(|p| p.len()).max().unwrap_or(0);
        let mut start = 0;
        while start < longest {
            // Distinct prefixes that end in this stretch and are not known.
            let mut wanted: BTreeMap<&[Token], Vec<Arc<Cache>>> = BTreeMap::new();
            for (prompt, blocks) in prompts.iter().zip(&found) {
                if prompt.len() > start {
                    let prefix = &prompt[..prompt.len().min(start + PIECE)];
                    if self.entry(prefix).is_none() {
                        wanted.entry(prefix).or_insert_with(|| blocks.clone());
                    }
                }
            }
            let wanted: Vec<_> = wanted.into_iter().collect();
            let mut alive = Vec::new();
            for batch in wanted.chunks(PASS / PIECE) {
                alive.extend(self.compute(network, threads, start, batch));
            }
            for ((prompt, blocks), last) in prompts.iter().zip(&mut found).zip(&mut last) {
                if prompt.len() > start {
                    let prefix = &prompt[..prompt.len().min(start + PIECE)];
                    let (cache, end) = self.entry(prefix).expect("computed above and held alive");
                    blocks.push(cache);
                    *last = end;
                }
            }
            drop(alive);
            start += PIECE;
        }
        found.into_iter().zip(last).map(|(blocks, last)| Prompt { blocks, last }).collect()
    }

    fn entry(&self, prefix: &[Token]) -> Option<(Arc<Cache>, Arc<Vec<f32>>)> {
        let entry = self.entries.get(prefix)?;
        Some((entry.cache.upgrade()?, Arc::clone(&entry.last)))
    }

    fn compute(
        &mut self,
        network: &Network,
        threads: &Threads,
        start: usize,
        batch: &[(&[Token], Vec<Arc<Cache>>)],
    ) -> Vec<Arc<Cache>> {
        let width = network.config().width;
        let mut caches: Vec<Cache> = batch
            .iter()
            .map(|(prefix, _)| Cache::new(network.config(), prefix.len() - start))
            .collect();
        let mut pieces: Vec<Piece> = batch
            .iter()
            .zip(&mut caches)
            .map(|((prefix, blocks), own)| Piece {
                tokens: &prefix[start..],
                before: blocks.clone(),
                own,
            })
            .collect();
        let stream = network.forward_cached(threads, &mut pieces);
        let mut end = 0;
        let mut alive = Vec::new();
        for ((prefix, _), cache) in batch.iter().zip(caches) {
            end += prefix.len() - start;
            let last = Arc::new(stream[(end - 1) * width..end * width].to_vec());
            let cache = Arc::new(cache);
            self.entries.insert(prefix.to_vec(), Entry { cache: Arc::downgrade(&cache), last });
            alive.push(cache);
        }
        alive
    }
}
