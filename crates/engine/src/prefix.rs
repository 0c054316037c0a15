//! Prompts computed once: what several of them begin with is a piece of its own, shared by all. Where
//! a prompt is cut changes no bit of what is computed (attention sees to that), so what shares a
//! piece with what may depend on the company.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::Token;
use crate::kernel::Threads;
use crate::pass::{Cache, Network, Piece};

/// Pieces end at multiples of this, if not earlier, so that later prompts can share them.
const PIECE: usize = 64;
/// Tokens computed in one pass.
const PASS: usize = 2048;
/// The shortest beginning that becomes a piece because prompts go apart after it.
const LEAST: usize = 8;
/// Rows that sharing must save: about what the pass more costs, which reads every weight.
const WORTH_SHARING: usize = 64;

/// A prompt's keys and values, and the residual stream at its last token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) blocks: Vec<Arc<Cache>>,
    pub(crate) last: Arc<Vec<f32>>,
}

/// What is known of the prompts that begin with some tokens.
struct Entry {
    blocks: Vec<Weak<Cache>>,
    last: Arc<Vec<f32>>,
}

/// Pieces known so far; they live as long as a prompt that uses them.
#[derive(Default)]
pub(crate) struct Prefixes {
    entries: BTreeMap<Vec<Token>, Entry>,
}

/// A prompt being computed: its tokens, how many of them are done, and what came of those.
struct Work<'p> {
    tokens: &'p [Token],
    done: usize,
    prompt: Prompt,
}

impl Work<'_> {
    fn is_done(&self) -> bool {
        self.done == self.tokens.len()
    }

    /// How many of its tokens yet to do are those of another, if the two are equal so far.
    fn alike(&self, other: &Self) -> usize {
        let alike = self.tokens.iter().zip(other.tokens).take_while(|(a, b)| a == b).count();
        if self.done == other.done { alike.saturating_sub(self.done) } else { 0 }
    }
}

impl Prefixes {
    /// Computes what is not known yet of `prompts` (each at least one token).
    pub(crate) fn prefill(
        &mut self,
        network: &Network,
        threads: &Threads,
        prompts: &[&[Token]],
    ) -> Vec<Prompt> {
        self.entries.retain(|_, entry| entry.blocks.iter().all(|cache| cache.strong_count() > 0));
        let mut distinct = prompts.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut works: Vec<Work> = distinct.iter().map(|tokens| self.begin(tokens)).collect();
        loop {
            let mut stretches = Vec::new();
            let mut start = 0;
            for run in works.chunk_by(|a, b| a.is_done() == b.is_done()) {
                if !run[0].is_done() {
                    divide(run, start, &mut stretches);
                }
                start += run.len();
            }
            if stretches.is_empty() {
                break;
            }
            let mut rows = 0;
            let mut first = 0;
            for i in 0..stretches.len() {
                rows += stretches[i].1;
                if i + 1 == stretches.len() || rows + stretches[i + 1].1 > PASS {
                    self.compute(network, threads, &mut works, &stretches[first..=i]);
                    (first, rows) = (i + 1, 0);
                }
            }
        }
        let found = |tokens: &&[Token]| {
            let at = distinct.binary_search(tokens).expect("every prompt is among the distinct");
            works[at].prompt.clone()
        };
        prompts.iter().map(found).collect()
    }

    /// The longest beginning of a prompt that is known.
    fn begin<'p>(&self, tokens: &'p [Token]) -> Work<'p> {
        let known = self.entries.iter().filter(|(beginning, _)| tokens.starts_with(beginning));
        let alive = known.filter_map(|(beginning, entry)| {
            let blocks = entry.blocks.iter().map(Weak::upgrade).collect::<Option<Vec<_>>>()?;
            Some((beginning.len(), Prompt { blocks, last: Arc::clone(&entry.last) }))
        });
        let (done, prompt) = alive.max_by_key(|(len, _)| *len).unwrap_or_default();
        Work { tokens, done, prompt }
    }

    /// Computes stretches (which prompts, how many tokens) and hands them to their prompts.
    fn compute(
        &mut self,
        network: &Network,
        threads: &Threads,
        works: &mut [Work],
        stretches: &[(Range<usize>, usize)],
    ) {
        let width = network.config().width;
        let mut caches: Vec<Cache> =
            stretches.iter().map(|(_, len)| Cache::new(network.config(), *len)).collect();
        let mut pieces: Vec<Piece> = stretches
            .iter()
            .zip(&mut caches)
            .map(|((members, len), own)| {
                let Work { tokens, done, prompt } = &works[members.start];
                Piece { tokens: &tokens[*done..done + len], before: prompt.blocks.clone(), own }
            })
            .collect();
        let stream = network.forward_prompts(threads, &mut pieces);
        let mut end = 0;
        for ((members, len), cache) in stretches.iter().zip(caches) {
            end += len;
            let last = Arc::new(stream[(end - 1) * width..end * width].to_vec());
            let cache = Arc::new(cache);
            for work in &mut works[members.clone()] {
                work.done += len;
                work.prompt.blocks.push(Arc::clone(&cache));
                work.prompt.last = Arc::clone(&last);
            }
            let Work { tokens, done, prompt } = &works[members.start];
            let blocks = prompt.blocks.iter().map(Arc::downgrade).collect();
            self.entries.insert(tokens[..*done].to_vec(), Entry { blocks, last });
        }
    }
}

/// Cuts neighbours in the order of their tokens into stretches that go on together: which prompts
/// (numbered from `start`), and how many tokens.
fn divide(works: &[Work], start: usize, stretches: &mut Vec<(Range<usize>, usize)>) {
    let Some(first) = works.first() else { return };
    let to_cut = PIECE - first.done % PIECE;
    let alike: Vec<usize> = works.windows(2).map(|pair| pair[0].alike(&pair[1])).collect();
    let Some(&least) = alike.iter().min() else {
        stretches.push((start..start + 1, to_cut.min(first.tokens.len() - first.done)));
        return;
    };
    if least >= LEAST && least * alike.len() >= WORTH_SHARING {
        stretches.push((start..start + works.len(), least.min(to_cut)));
        return;
    }
    let mut from = 0;
    for (i, &pair) in alike.iter().enumerate() {
        if pair == least {
            divide(&works[from..=i], start + from, stretches);
            from = i + 1;
        }
    }
    divide(&works[from..], start + from, stretches);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(prompts: &[Vec<Token>]) -> Vec<(Range<usize>, usize)> {
        let works: Vec<Work> = prompts
            .iter()
            .map(|tokens| Work { tokens, done: 0, prompt: Prompt::default() })
            .collect();
        let mut stretches = Vec::new();
        divide(&works, 0, &mut stretches);
        stretches
    }

    #[test]
    fn prompts_go_together_as_long_as_it_saves_enough() {
        let prompt = |alike: u32, own: u32| (0..alike).chain([1000 + own; 20]).collect::<Vec<_>>();
        let same = |count, alike| (0..count).map(|i| prompt(alike, i)).collect::<Vec<_>>();
        assert_eq!(cut(&same(1, 24)), [(0..1, 44)]);
        assert_eq!(cut(&same(4, 24)), [(0..4, 24)]);
        assert_eq!(cut(&same(2, 70)), [(0..2, 64)], "a piece ends at 64");
        assert_eq!(cut(&same(2, 24)), [(0..1, 44), (1..2, 44)], "24 rows are not worth a pass");
        assert_eq!(cut(&same(100, 7)).len(), 100, "7 tokens are no piece");
        let mut mixed = [same(4, 30), same(4, 50)].concat();
        mixed.sort_unstable();
        assert_eq!(cut(&mixed), [(0..8, 30)]);
        let other: Vec<Vec<Token>> = (0..3).map(|i| vec![9000 + i; 70]).collect();
        let mut mixed = [same(4, 30), other].concat();
        mixed.sort_unstable();
        assert_eq!(cut(&mixed), [(0..4, 30), (4..5, 64), (5..6, 64), (6..7, 64)]);
    }
}
