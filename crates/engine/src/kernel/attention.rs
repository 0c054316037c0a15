//! Causal attention of packed sequences over blocks of keys and values (Vaswani et al. 2017, arXiv
//! 1706.03762, section 3.2.1; grouped queries as in Ainslie et al. 2023, arXiv 2305.13245, section
//! 2.2). No padding, any length. The backward pass recomputes the softmax from each row's saved
//! log-sum-exp (Dao et al. 2022, arXiv 2205.14135, section 3.1 and appendix B), so nothing
//! quadratic is stored.
//!
//! A group is a key-value head with the query heads that read it.

use std::ops::Range;

use super::matrix::{View, ViewMut, product_alone};
use super::parallel::{Parts, Threads};
use super::vector::{add, add_scaled, dot, exp, exp_sum, max, sum_by, wide};
use crate::profile::Work;

/// How many query heads and key-value heads there are, the width of one, and what they attend to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) kv: usize,
    pub(crate) width: usize,
    /// The factor on scores.
    pub(crate) scale: f32,
    /// How many keys a query attends to at most, its own among them.
    pub(crate) window: usize,
}

/// Consecutive keys and values of one sequence, each `[len, kv heads, width]`: row `i` begins at
/// `i · stride`.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) len: usize,
}

/// The new tokens of one sequence and the keys and values they attend to.
pub(crate) struct Sequence<'a> {
    /// The new tokens' rows of the queries.
    pub(crate) rows: Range<usize>,
    /// All keys and values of the sequence in order; those of the new tokens are the last. The
    /// result is the same, bit for bit, wherever one block ends and the next begins.
    pub(crate) blocks: Vec<Block<'a>>,
    /// Whether any number of new tokens takes the same path. A prompt must give the same bits
    /// whether the prefix cache holds all but its last token or nothing, so prompts are seamless.
    /// Decoded tokens and scored completions are not: how many of them are new does not depend on
    /// the cache, and a few new tokens are faster key by key.
    pub(crate) seamless: bool,
}

impl Sequence<'_> {
    /// How many keys there are.
    fn keys(&self) -> usize {
        self.blocks.iter().map(|b| b.len).sum()
    }

    /// Whether `count` queries go key by key and not through a matrix product.
    fn is_few(&self, count: usize) -> bool {
        count < FEW && !self.seamless
    }

    /// The values of one group, `[keys, width]`, copied together from all blocks: one product then
    /// sums along the whole sequence, so that the order of sums does not depend on where blocks
    /// end. `None` where there is one block only, or no product reads the values.
    fn joined_values(&self, kv: usize, width: usize) -> Option<Vec<f32>> {
        if self.blocks.len() == 1 || self.is_few(self.rows.len()) {
            return None;
        }
        let mut joined = Vec::with_capacity(self.keys() * width);
        for block in &self.blocks {
            for row in 0..block.len {
                joined.extend_from_slice(&block.values[row * block.stride + kv * width..][..width]);
            }
        }
        Some(joined)
    }
}

/// `count` consecutive queries of one head; the last of them attends to the first `seen` keys.
struct Queries<'a> {
    heads: Heads,
    sequence: &'a Sequence<'a>,
    /// The head's group.
    kv: usize,
    /// The group's values `[keys, width]`, where they are in several blocks.
    joined: Option<&'a [f32]>,
    /// `[count, width]`: row `r` begins at `r · stride`.
    query: &'a [f32],
    stride: usize,
    count: usize,
    seen: usize,
}

/// Queries whose scores are held at once.
// Not measured alone: products of 64 rows run at full speed (LOG 2026-11-22, the f32 matrix
// product: 131 GF/s for 64x64x64), and the scores of 64 queries over a few thousand keys fit a
// second-level cache.
const QUERIES: usize = 64;
/// Fewer queries than this go key by key instead of through a matrix product.
// For so few a product would spend more on packing than on multiplying; where the two cross was not
// logged.
const FEW: usize = 4;

/// Attention of every sequence's new tokens.
///
/// `queries` is `[rows, query heads, width]`, rows `stride` apart; `out` is
/// `[rows, query heads, width]`, dense; `log_sums`, if asked for, `[rows, query heads]`: the
/// log-sum-exp of the scaled scores.
pub(crate) fn forward(
    threads: &Threads,
    heads: Heads,
    queries: &[f32],
    stride: usize,
    sequences: &[Sequence],
    out: &mut [f32],
    log_sums: Option<&mut [f32]>,
) {
    let width = heads.query * heads.width;
    let rows: usize = sequences.iter().map(|s| s.rows.len()).sum();
    assert!(out.len() == rows * width && queries.len() >= rows * stride);
    let _span = threads.span(Work::Attention, "attention", || {
        let pairs = |s: &Sequence| s.rows.len() * (2 * s.keys() - s.rows.len() + 1) / 2;
        let keys: usize = sequences.iter().map(Sequence::keys).sum();
        let pairs: usize = sequences.iter().map(pairs).sum();
        (4 * pairs * width, 8 * (rows * width + keys * heads.kv * heads.width))
    });
    let out = Parts::new(out);
    let log_sums = log_sums.map(|l| {
        assert_eq!(l.len(), rows * heads.query);
        Parts::new(l)
    });
    threads.each(sequences.len() * heads.kv, |task| {
        let (sequence, kv) = (&sequences[task / heads.kv], task % heads.kv);
        let group = heads.query / heads.kv;
        let total = sequence.keys();
        let new = sequence.rows.len();
        let joined = sequence.joined_values(kv, heads.width);
        let joined = joined.as_deref();
        let mut scores = Vec::new();
        for head in kv * group..(kv + 1) * group {
            let mut first = 0;
            while first < new {
                let last = new.min(first + QUERIES);
                let seen = total - new + last;
                scores.resize((last - first) * seen, 0.0);
                let start = sequence.rows.start + first;
                let query = &queries[start * stride + head * heads.width..];
                let destination = |r: usize| {
                    let at = (start + r) * width + head * heads.width;
                    // SAFETY: a task owns its sequence's rows in its group's head columns.
                    unsafe { out.range(at..at + heads.width) }
                };
                let count = last - first;
                let queries = Queries { heads, sequence, kv, joined, query, stride, count, seen };
                queries.attend(&mut scores, destination, |r, value| {
                    if let Some(log_sums) = &log_sums {
                        let at = (start + r) * heads.query + head;
                        // SAFETY: as above.
                        let place = unsafe { log_sums.range(at..at + 1) };
                        place[0] = value;
                    }
                });
                first = last;
            }
        }
    });
}

impl Queries<'_> {
    /// Writes each query's weighted sum of values, `[width]`, to its destination and tells its
    /// log-sum-exp. `scores` is working memory of `[count, seen]`.
    fn attend<'o>(
        &self,
        scores: &mut [f32],
        destination: impl Fn(usize) -> &'o mut [f32],
        log_sum: impl Fn(usize, f32),
    ) {
        let Self { heads, sequence, kv, joined, count, seen, .. } = *self;
        let hw = heads.width;
        self.score_keys(scores);
        let mut inverse = [0.0f32; QUERIES];
        wide(
            #[inline(always)]
            || {
                for (r, row) in scores.chunks_exact_mut(seen).enumerate() {
                    let visible = seen - (count - 1 - r);
                    let hidden = visible.saturating_sub(heads.window);
                    let shift = max(&row[hidden..visible]) * heads.scale;
                    for x in &mut row[hidden..visible] {
                        *x *= heads.scale;
                    }
                    let sum = exp_sum(&mut row[hidden..visible], shift);
                    row[..hidden].fill(0.0);
                    row[visible..].fill(0.0);
                    inverse[r] = 1.0 / sum;
                    log_sum(r, shift + sum.ln());
                }
            },
        );
        if sequence.is_few(count) {
            for (r, row) in scores.chunks_exact(seen).enumerate() {
                let out = destination(r);
                // As many sums as a head has vectors, in registers.
                match hw {
                    16 => mix::<1>(row, inverse[r], sequence, kv, out),
                    32 => mix::<2>(row, inverse[r], sequence, kv, out),
                    64 => mix::<4>(row, inverse[r], sequence, kv, out),
                    96 => mix::<6>(row, inverse[r], sequence, kv, out),
                    128 => mix::<8>(row, inverse[r], sequence, kv, out),
                    _ => mix_any(row, inverse[r], sequence, kv, out),
                }
            }
            return;
        }
        let mut mixed = vec![0.0f32; count * hw];
        let block = &sequence.blocks[0];
        let values = match joined {
            Some(joined) => View::new(joined, seen, hw, hw),
            None => View::new(&block.values[kv * hw..], seen, hw, block.stride),
        };
        let weights = View::dense(scores, count, seen);
        product_alone(weights, values, false, ViewMut::new(&mut mixed, hw));
        for (r, mixed) in mixed.chunks_exact(hw).enumerate() {
            for (out, x) in destination(r).iter_mut().zip(mixed) {
                *out = x * inverse[r];
            }
        }
    }

    /// Writes the unscaled products of the queries with the first `seen` keys to `scores`
    /// `[count, seen]`.
    fn score_keys(&self, scores: &mut [f32]) {
        let Self { heads, sequence, kv, query, stride, count, seen, .. } = *self;
        let hw = heads.width;
        let mut at = 0;
        for block in &sequence.blocks {
            let len = block.len.min(seen - at);
            if len == 0 {
                continue;
            }
            let keys = &block.keys[kv * hw..];
            if sequence.is_few(count) {
                wide(
                    #[inline(always)]
                    || {
                        for r in 0..count {
                            let query = &query[r * stride..][..hw];
                            let scores = &mut scores[r * seen + at..][..len];
                            for (score, key) in scores.iter_mut().zip(keys.chunks(block.stride)) {
                                *score = dot(query, &key[..hw]);
                            }
                        }
                    },
                );
            } else {
                let queries = View::new(query, count, hw, stride);
                let keys = View::new(keys, len, hw, block.stride);
                product_alone(queries, keys.t(), false, ViewMut::new(&mut scores[at..], seen));
            }
            at += len;
        }
    }
}

/// Writes the sum of one group's values weighted by `row · inverse` to `out` `[width]`; `row` is
/// `[seen]`. For heads whose width is `V` times 16, so that the sums stay in registers. Measured
/// (LOG 2026-11-22, where a step's time goes): 0.20 s of attention in place of 0.27 with sums in
/// memory, built-in model, sampling.
fn mix<const V: usize>(row: &[f32], inverse: f32, sequence: &Sequence, kv: usize, out: &mut [f32]) {
    let hw = V * 16;
    wide(
        #[inline(always)]
        || {
            let mut sums = [[0.0f32; 16]; V];
            let mut at = 0;
            for block in &sequence.blocks {
                let len = block.len.min(row.len() - at);
                let values = block.values.chunks(block.stride);
                for (&p, value) in row[at..at + len].iter().zip(values) {
                    let p = p * inverse;
                    let value = &value[kv * hw..][..hw];
                    for (sums, value) in sums.iter_mut().zip(value.chunks_exact(16)) {
                        for lane in 0..16 {
                            sums[lane] = p.mul_add(value[lane], sums[lane]);
                        }
                    }
                }
                at += len;
            }
            for (out, sums) in out.chunks_exact_mut(16).zip(sums) {
                out.copy_from_slice(&sums);
            }
        },
    );
}

/// [`mix`] for heads of any width.
fn mix_any(row: &[f32], inverse: f32, sequence: &Sequence, kv: usize, out: &mut [f32]) {
    let hw = out.len();
    wide(
        #[inline(always)]
        || {
            out.fill(0.0);
            let mut at = 0;
            for block in &sequence.blocks {
                let len = block.len.min(row.len() - at);
                for (i, &p) in row[at..at + len].iter().enumerate() {
                    let value = &block.values[i * block.stride + kv * hw..][..hw];
                    add_scaled(out, p * inverse, value);
                }
                at += len;
            }
        },
    );
}

/// Gradient of [`forward`] for sequences without a KV cache. Rows `0..shared` are the common
/// prefix: they come before each of the `sequences` and are a sequence themselves.
///
/// `qkv` is `[rows, query heads + 2·kv heads, width]`, queries before keys before values, and
/// `d_qkv`, of the same shape, receives the gradient; `out` (of the forward pass) and `d_out` are
/// `[rows, query heads, width]`, `log_sums` is `[rows, query heads]`.
pub(crate) fn backward(
    threads: &Threads,
    heads: Heads,
    qkv: &[f32],
    shared: usize,
    sequences: &[Range<usize>],
    out: &[f32],
    log_sums: &[f32],
    d_out: &[f32],
    d_qkv: &mut [f32],
) {
    let hw = heads.width;
    let width = heads.query * hw;
    assert!(qkv.len() == d_qkv.len() && out.len() == d_out.len());
    let _span = threads.span(Work::Attention, "attention backward", || {
        let pairs = |new: usize| new * shared + new * (new + 1) / 2;
        let pairs: usize = sequences.iter().map(|s| pairs(s.len())).sum();
        (10 * (pairs + shared * (shared + 1) / 2) * width, 8 * (qkv.len() + out.len()))
    });
    let job = Backward { heads, qkv, out, log_sums, d_out, d_qkv: Parts::new(d_qkv) };
    if shared > 0 {
        threads.each(heads.kv, |kv| job.sequence(0, 0..shared, kv, &mut []));
    }
    // Each sequence's gradient of the prefix's keys and values, summed afterwards in the sequences'
    // order.
    let part = 2 * shared * hw;
    let mut before = threads.lend(sequences.len() * heads.kv * part);
    let parts = Parts::new(&mut before[..]);
    threads.each(sequences.len() * heads.kv, |task| {
        let (rows, kv) = (&sequences[task / heads.kv], task % heads.kv);
        // SAFETY: every task has a part of its own.
        let before = unsafe { parts.range(task * part..(task + 1) * part) };
        job.sequence(shared, rows.clone(), kv, before);
    });
    if shared > 0 {
        threads.each(heads.kv, |kv| {
            for sequence in 0..sequences.len() {
                let task = sequence * heads.kv + kv;
                let (keys, values) = before[task * part..(task + 1) * part].split_at(shared * hw);
                for r in 0..shared {
                    let [key, value] = job.key_and_value(r, kv);
                    add(key, &keys[r * hw..][..hw]);
                    add(value, &values[r * hw..][..hw]);
                }
            }
        });
    }
}

/// A backward pass, shared among tasks that write disjoint parts of `d_qkv`.
struct Backward<'a> {
    heads: Heads,
    qkv: &'a [f32],
    out: &'a [f32],
    log_sums: &'a [f32],
    d_out: &'a [f32],
    d_qkv: Parts<'a, f32>,
}

impl Backward<'_> {
    /// Width of a row of `qkv`.
    fn stride(&self) -> usize {
        (self.heads.query + 2 * self.heads.kv) * self.heads.width
    }

    /// Where a group's keys and values begin in a row.
    fn places(&self, kv: usize) -> [usize; 2] {
        let Heads { query, kv: groups, width, .. } = self.heads;
        [(query + kv) * width, (query + groups + kv) * width]
    }

    /// The gradients of a row's key and value in one group, which the calling task owns.
    #[expect(clippy::mut_from_ref, reason = "a task owns its rows in its group's columns")]
    fn key_and_value(&self, row: usize, kv: usize) -> [&mut [f32]; 2] {
        self.places(kv).map(|place| {
            let at = row * self.stride() + place;
            // SAFETY: tasks that run together have other rows or another group.
            unsafe { self.d_qkv.range(at..at + self.heads.width) }
        })
    }

    /// One group of the sequence whose `rows` come after rows `0..shared`; `before` receives the
    /// gradients of the prefix's keys `[shared, width]`, then of its values `[shared, width]`.
    fn sequence(&self, shared: usize, rows: Range<usize>, kv: usize, before: &mut [f32]) {
        let Self { heads, qkv, out, log_sums, d_out, .. } = *self;
        let (hw, stride) = (heads.width, self.stride());
        let (group, width) = (heads.query / heads.kv, heads.query * hw);
        let new = rows.len();
        let total = shared + new;
        let blocks = [(0, shared), (rows.start, new)];
        let blocks = &blocks[usize::from(shared == 0)..];
        let [key_at, value_at] = self.places(kv);
        let mut d_keys = vec![0.0f32; total * hw];
        let mut d_values = vec![0.0f32; total * hw];
        let mut d_query = vec![0.0f32; QUERIES * hw];
        let (mut p, mut dp) = (Vec::new(), Vec::new());
        for head in kv * group..(kv + 1) * group {
            let mut first = 0;
            while first < new {
                let last = new.min(first + QUERIES);
                let (count, seen) = (last - first, shared + last);
                let start = rows.start + first;
                p.resize(count * seen, 0.0);
                dp.resize(count * seen, 0.0);
                let query = View::new(&qkv[start * stride + head * hw..], count, hw, stride);
                let d_mixed = View::new(&d_out[start * width + head * hw..], count, hw, width);
                // Each block with its first column in `p` and how many of its keys are seen.
                let mut at = 0;
                let blocks: Vec<(usize, usize, usize)> = blocks
                    .iter()
                    .map(|&(row, len)| {
                        let block = (row, at, len.min(seen - at));
                        at += block.2;
                        block
                    })
                    .collect();
                let keys =
                    |row: usize, len| View::new(&qkv[row * stride + key_at..], len, hw, stride);
                for &(row, at, len) in &blocks {
                    let values = View::new(&qkv[row * stride + value_at..], len, hw, stride);
                    let scores = ViewMut::new(&mut p[at..], seen);
                    product_alone(query, keys(row, len).t(), false, scores);
                    let scores = ViewMut::new(&mut dp[at..], seen);
                    product_alone(d_mixed, values.t(), false, scores);
                }
                wide(
                    #[inline(always)]
                    || {
                        let pairs = p.chunks_exact_mut(seen).zip(dp.chunks_exact_mut(seen));
                        for (r, (p, dp)) in pairs.enumerate() {
                            let at = (start + r) * width + head * hw;
                            let (o, d) = (&out[at..at + hw], &d_out[at..at + hw]);
                            let along = sum_by(hw, |j| o[j] * d[j]);
                            let log_sum = log_sums[(start + r) * heads.query + head];
                            let visible = shared + first + r + 1;
                            let hidden = visible.saturating_sub(heads.window);
                            let (scale, seen) = (heads.scale, hidden..visible);
                            for (p, dp) in p[seen.clone()].iter_mut().zip(&mut dp[seen]) {
                                let e = exp(*p * scale - log_sum);
                                *p = e;
                                *dp = e * (*dp - along) * scale;
                            }
                            p[..hidden].fill(0.0);
                            dp[..hidden].fill(0.0);
                            p[visible..].fill(0.0);
                            dp[visible..].fill(0.0);
                        }
                    },
                );
                for &(row, at, len) in &blocks {
                    let dp = View::new(&dp[at..], count, len, seen);
                    let p = View::new(&p[at..], count, len, seen);
                    product_alone(dp, keys(row, len), at > 0, ViewMut::new(&mut d_query, hw));
                    let d_keys = ViewMut::new(&mut d_keys[at * hw..], hw);
                    product_alone(dp.t(), query, true, d_keys);
                    let d_values = ViewMut::new(&mut d_values[at * hw..], hw);
                    product_alone(p.t(), d_mixed, true, d_values);
                }
                for r in 0..count {
                    let at = (start + r) * stride + head * hw;
                    // SAFETY: a task owns its sequence's rows in its group's columns.
                    let row = unsafe { self.d_qkv.range(at..at + hw) };
                    row.copy_from_slice(&d_query[r * hw..][..hw]);
                }
                first = last;
            }
        }
        let (shared_keys, own_keys) = d_keys.split_at(shared * hw);
        let (shared_values, own_values) = d_values.split_at(shared * hw);
        let (before_keys, before_values) = before.split_at_mut(before.len() / 2);
        before_keys.copy_from_slice(shared_keys);
        before_values.copy_from_slice(shared_values);
        for r in 0..new {
            let [key, value] = self.key_and_value(rows.start + r, kv);
            key.copy_from_slice(&own_keys[r * hw..][..hw]);
            value.copy_from_slice(&own_values[r * hw..][..hw]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{SMALLER, cases};
    use proptest::prelude::*;

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    #[test]
    fn sums_in_registers_have_the_bits_of_sums_in_memory() {
        let (width, kv, len) = (64, 2, 37);
        let cached = numbers(len * 2 * kv * width, 5);
        let block = |from: usize, to: usize| Block {
            keys: &[],
            values: &cached[from * 2 * kv * width + kv * width..],
            stride: 2 * kv * width,
            len: to - from,
        };
        let blocks = vec![block(0, 20), block(20, len)];
        let sequence = Sequence { rows: 0..1, blocks, seamless: false };
        let row = numbers(len, 6);
        for head in 0..kv {
            let (mut fast, mut plain) = (vec![1.0; width], vec![2.0; width]);
            mix::<4>(&row, 0.7, &sequence, head, &mut fast);
            mix_any(&row, 0.7, &sequence, head, &mut plain);
            assert!(fast.iter().map(|x| x.to_bits()).eq(plain.iter().map(|x| x.to_bits())));
        }
    }

    proptest! {
        #![proptest_config(cases(64))]

        #[test]
        fn cached_attention_agrees_with_its_definition(
            width in prop::sample::select(vec![6usize, 16, 24, 32, 64, 96]), kv in 1usize..3,
            group in 1usize..4, before in 0usize..40 / SMALLER, new in 1usize..80 / SMALLER, seed in 0usize..100,
            window in prop::option::of(1usize..90 / SMALLER),
        ) {
            let (scale, window) = (1.0 / (width as f32).sqrt(), window.unwrap_or(usize::MAX));
            let heads = Heads { query: kv * group, kv, width, scale, window };
            let (stride, row) = (heads.query * width, 2 * kv * width);
            let queries = numbers(new * stride, seed);
            let cached = numbers((before + new) * row, seed + 1);
            let block = |rows: Range<usize>| Block {
                keys: &cached[rows.start * row..rows.end * row],
                values: cached[rows.start * row..rows.end * row].get(kv * width..).unwrap_or_default(),
                stride: row,
                len: rows.len(),
            };
            let blocks = vec![block(0..before), block(before..before + new)];
            let attend = |blocks, seamless| {
                let sequences = [Sequence { rows: 0..new, blocks, seamless }];
                let mut out = vec![0.0; new * stride];
                forward(&Threads::new(1), heads, &queries, stride, &sequences, &mut out, None);
                out
            };
            let whole = block(0..before + new);
            for seamless in [false, true] {
                // Keys before the new ones may lie in any number of blocks.
                let cut = vec![block(0..before / 2), block(before / 2..before), blocks[1]];
                prop_assert!(attend(cut, seamless) == attend(blocks.clone(), seamless));
                prop_assert!(attend(vec![whole], seamless) == attend(blocks.clone(), seamless));
            }
            let out = attend(blocks, seed % 2 == 0);
            for r in 0..new {
                for head in 0..heads.query {
                    let query = &queries[r * stride + head * width..][..width];
                    let at = |i: usize, part: usize| {
                        &cached[i * row + (part * kv + head / group) * width..][..width]
                    };
                    let first = (before + r + 1).saturating_sub(window);
                    let weights: Vec<f64> = (first..=before + r)
                        .map(|i| {
                            let product: f64 = query.iter().zip(at(i, 0))
                                .map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                            (product / (width as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = weights.iter().sum();
                    for j in 0..width {
                        let expected: f64 = weights.iter().enumerate()
                            .map(|(i, w)| w / total * f64::from(at(first + i, 1)[j])).sum();
                        let found = f64::from(out[r * stride + head * width + j]);
                        prop_assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
                    }
                }
            }
        }
    }
}
