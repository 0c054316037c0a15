//! The output head where a loss or a sample is, fused with what is done to the logits: they exist
//! for a few rows at a time and are never stored whole.

use std::borrow::Cow;

use crate::Token;
use crate::kernel::Threads;
use crate::kernel::loss;
use crate::kernel::matrix::{View, ViewMut, product};
use crate::kernel::vector::add;
use crate::pass::Network;
use crate::profile::Work;

/// Logits held at once, in numbers: enough rows that reading the head for them is no burden.
const HELD: usize = 1 << 24;
/// Logits whose gradient goes to the head at once: the order of its sums.
const SUMMED: usize = 1 << 22;

/// What a loss does to the stream it reads and to the head's weights.
pub(crate) struct HeadGradient<'a> {
    /// Receives the gradient of the normed rows, `[rows, width]`.
    pub(crate) rows: &'a mut [f32],
    /// Adds the gradient of the head, `[vocabulary, width]`.
    pub(crate) head: Option<&'a mut [f32]>,
}

impl Network {
    /// Calls `work` with the logits of a few rows of `normed` at a time and the first row's number.
    pub(crate) fn logits(
        &self,
        threads: &Threads,
        normed: &[f32],
        work: impl FnMut(usize, &mut [f32]),
    ) {
        logits_of(threads, self.head(), self.config().width, normed, work);
    }

    /// Log-probability of each row's target; with `weights`, also the gradient of
    /// `Σ -weight·log p(target)`.
    pub(crate) fn cross_entropy(
        &self,
        threads: &Threads,
        normed: &[f32],
        targets: &[Token],
        mut weights: Option<(&[f32], HeadGradient)>,
    ) -> Vec<f32> {
        let vocabulary = self.config().vocabulary;
        let mut out = vec![0.0; targets.len()];
        self.logits(threads, normed, |first, logits| {
            let rows = first..first + logits.len() / vocabulary;
            loss::cross_entropy(
                threads,
                logits,
                &targets[rows.clone()],
                weights.as_ref().map(|(w, _)| &w[rows.clone()]),
                &mut out[rows],
            );
            if let Some((_, gradient)) = &mut weights {
                let width = self.config().width;
                logits_backward(threads, self.head(), width, normed, first, logits, gradient);
            }
        });
        out
    }

    /// Divergence from the teacher's distribution over `support` (all tokens where `None`) to this
    /// model's, per row, and its gradient times `weight`.
    pub(crate) fn distillation(
        &self,
        threads: &Threads,
        normed: &[f32],
        teacher: &Self,
        teacher_normed: &[f32],
        support: Option<&[Token]>,
        weight: f32,
        mut gradient: HeadGradient,
    ) -> Vec<f32> {
        let width = self.config().width;
        let (own, theirs) = (self.head_of(support), teacher.head_of(support));
        let count = own.len() / width;
        let mut out = vec![0.0; normed.len() / width];
        let mut goal = threads.lend(0);
        // The support's rows of the head's gradient, in the support's order.
        let mut part = (support.is_some() && gradient.head.is_some()).then(|| vec![0.0; own.len()]);
        logits_of(threads, &own, width, normed, |first, logits| {
            let rows = logits.len() / count;
            goal.reset(logits.len());
            let x = View::dense(&teacher_normed[first * width..], rows, width);
            let theirs = View::dense(&theirs, count, width);
            product(threads, x, theirs.t(), false, ViewMut::new(&mut goal, count));
            loss::distillation(threads, logits, &mut goal, weight, &mut out[first..first + rows]);
            let mut gradient = HeadGradient {
                rows: gradient.rows,
                head: part.as_deref_mut().or(gradient.head.as_deref_mut()),
            };
            logits_backward(threads, &own, width, normed, first, logits, &mut gradient);
        });
        if let (Some(part), Some(head), Some(support)) = (&part, gradient.head, support) {
            for (&token, row) in support.iter().zip(part.chunks_exact(width)) {
                add(&mut head[token as usize * width..][..width], row);
            }
        }
        out
    }

    /// The head's rows of some tokens, `[support, width]`; the whole head where `None`.
    fn head_of(&self, support: Option<&[Token]>) -> Cow<'_, [f32]> {
        let (head, width) = (self.head(), self.config().width);
        let Some(tokens) = support else { return Cow::Borrowed(head) };
        tokens.iter().flat_map(|&t| &head[t as usize * width..][..width]).copied().collect()
    }
}

/// Calls `work` with the logits of a few rows of `normed` at a time, one logit for each of `head`'s
/// rows of `width`, and the first row's number.
fn logits_of(
    threads: &Threads,
    head: &[f32],
    width: usize,
    normed: &[f32],
    mut work: impl FnMut(usize, &mut [f32]),
) {
    let _inside = threads.inside(Work::Head);
    let count = head.len() / width;
    let step = (HELD / count).clamp(8, 1024);
    let head = View::dense(head, count, width);
    let mut buffer = threads.lend(step.min(normed.len() / width) * count);
    for (i, chunk) in normed.chunks(step * width).enumerate() {
        let rows = chunk.len() / width;
        buffer.reset(rows * count);
        let x = View::dense(chunk, rows, width);
        product(threads, x, head.t(), false, ViewMut::new(&mut buffer, count));
        work(i * step, &mut buffer);
    }
}

/// Carries the gradient of some logits back to their rows and to the head.
fn logits_backward(
    threads: &Threads,
    head: &[f32],
    width: usize,
    normed: &[f32],
    first: usize,
    d_logits: &[f32],
    gradient: &mut HeadGradient,
) {
    let _inside = threads.inside(Work::Head);
    let count = head.len() / width;
    let rows = d_logits.len() / count;
    let d = View::dense(d_logits, rows, count);
    let out = &mut gradient.rows[first * width..(first + rows) * width];
    product(threads, d, View::dense(head, count, width), false, ViewMut::new(out, width));
    if let Some(d_head) = &mut gradient.head {
        let step = (SUMMED / count).clamp(8, 1024);
        let normed = normed[first * width..(first + rows) * width].chunks(step * width);
        for (x, d) in normed.zip(d_logits.chunks(step * count)) {
            let rows = x.len() / width;
            let (d, x) = (View::dense(d, rows, count), View::dense(x, rows, width));
            product(threads, d.t(), x, true, ViewMut::new(d_head, width));
        }
    }
}
