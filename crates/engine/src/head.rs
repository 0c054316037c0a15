//! The output head where a loss or a sample is, fused with what is done to the logits: they exist
//! for a few rows at a time and are never stored whole.

use crate::Token;
use crate::kernel::Threads;
use crate::kernel::loss;
use crate::kernel::matrix::{View, ViewMut, product};
use crate::pass::Network;
use crate::profile::Work;

/// Logits held at once, in numbers.
const HELD: usize = 1 << 22;

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
        mut work: impl FnMut(usize, &mut [f32]),
    ) {
        let _inside = threads.inside(Work::Head);
        let (width, vocabulary) = (self.config().width, self.config().vocabulary);
        let step = (HELD / vocabulary).clamp(8, 1024);
        let head = View::dense(self.head(), vocabulary, width);
        let mut buffer = Vec::new();
        for (i, chunk) in normed.chunks(step * width).enumerate() {
            let rows = chunk.len() / width;
            buffer.resize(rows * vocabulary, 0.0);
            let x = View::dense(chunk, rows, width);
            product(threads, x, head.t(), false, ViewMut::new(&mut buffer, vocabulary));
            work(i * step, &mut buffer);
        }
    }

    /// Carries the gradient of some logits back to their rows and to the head.
    fn logits_backward(
        &self,
        threads: &Threads,
        normed: &[f32],
        first: usize,
        d_logits: &[f32],
        gradient: &mut HeadGradient,
    ) {
        let (width, vocabulary) = (self.config().width, self.config().vocabulary);
        let rows = d_logits.len() / vocabulary;
        let d = View::dense(d_logits, rows, vocabulary);
        let head = View::dense(self.head(), vocabulary, width);
        let out = &mut gradient.rows[first * width..(first + rows) * width];
        product(threads, d, head, false, ViewMut::new(out, width));
        if let Some(d_head) = &mut gradient.head {
            let x = View::dense(&normed[first * width..], rows, width);
            product(threads, d.t(), x, true, ViewMut::new(d_head, width));
        }
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
                self.logits_backward(threads, normed, first, logits, gradient);
            }
        });
        out
    }

    /// Divergence from the teacher's distribution to this model's, per row, and its gradient times
    /// `weight`.
    pub(crate) fn distillation(
        &self,
        threads: &Threads,
        normed: &[f32],
        teacher: &Self,
        teacher_normed: &[f32],
        weight: f32,
        mut gradient: HeadGradient,
    ) -> Vec<f32> {
        let (vocabulary, width) = (self.config().vocabulary, teacher.config().width);
        let mut out = vec![0.0; normed.len() / self.config().width];
        let teacher_head = View::dense(teacher.head(), vocabulary, width);
        let mut goal = Vec::new();
        self.logits(threads, normed, |first, logits| {
            let rows = logits.len() / vocabulary;
            goal.resize(logits.len(), 0.0);
            let x = View::dense(&teacher_normed[first * width..], rows, width);
            product(threads, x, teacher_head.t(), false, ViewMut::new(&mut goal, vocabulary));
            loss::distillation(threads, logits, &mut goal, weight, &mut out[first..first + rows]);
            self.logits_backward(threads, normed, first, logits, &mut gradient);
        });
        out
    }
}
