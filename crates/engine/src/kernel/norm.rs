//! RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467, equation 4) and LayerNorm (Ba et al. 2016,
//! arXiv 1607.06450, equation 4), forward and backward, over rows.

use super::parallel::{Rows, Threads};
use super::vector::{sum_by, wide};
use crate::config::NormConfig;
use crate::profile::Work;

/// Rows that one task takes.
// Not measured: some tens of microseconds of work at usual widths, so that handing tasks out costs
// little.
const ROWS: usize = 32;

/// What `backward` needs of a row: its mean (zero for RMSNorm) and inverse deviation.
pub(crate) type Moments = [f32; 2];

/// A norm's weight `[width]` and, centred, bias `[width]`.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) config: NormConfig,
    pub(crate) weight: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
}

impl Norm<'_> {
    /// Normalises the rows of `x` `[rows, width]` into `y` `[rows, width]`; keeps their moments,
    /// `[rows]`.
    pub(crate) fn forward(
        &self,
        threads: &Threads,
        x: &[f32],
        y: &mut [f32],
        moments: &mut [Moments],
    ) {
        let width = self.weight.len();
        assert_eq!(x.len(), y.len(), "norm shapes agree");
        let _span = threads.span(Work::Elementwise, "norm", || (0, 4 * (x.len() + y.len())));
        threads.blocks(
            ROWS,
            (Rows::new(y, width), Rows::new(moments, 1)),
            #[inline(always)]
            |rows, (y, moments)| {
                let x = x[rows.start * width..].chunks_exact(width);
                for ((x, y), moments) in x.zip(y.chunks_exact_mut(width)).zip(moments) {
                    *moments = self.row(x, y);
                }
            },
        );
    }

    /// Normalises one row, `x` and `y` `[width]`.
    #[inline(always)]
    pub(crate) fn row(&self, x: &[f32], y: &mut [f32]) -> Moments {
        let width = x.len();
        let count = width as f32;
        let mean = if self.config.centered { sum_by(width, |j| x[j]) / count } else { 0.0 };
        let variance = sum_by(width, |j| (x[j] - mean) * (x[j] - mean)) / count;
        let inverse = 1.0 / (variance + self.config.epsilon).sqrt();
        let (weight, offset) = (&self.weight[..width], self.offset());
        let y = &mut y[..width];
        for j in 0..width {
            y[j] = (x[j] - mean) * inverse * (weight[j] + offset);
        }
        if let Some(bias) = self.bias {
            super::vector::add(y, bias);
        }
        [mean, inverse]
    }

    /// What the stored weight leaves out: Gemma's norms scale by `1 + weight`.
    #[inline(always)]
    fn offset(&self) -> f32 {
        if self.config.unit_offset { 1.0 } else { 0.0 }
    }

    /// Adds to `dx` the gradient through the norm of `dy`; `x`, `dy` and `dx` are `[rows, width]`,
    /// `moments` `[rows]`.
    pub(crate) fn backward(
        &self,
        threads: &Threads,
        x: &[f32],
        moments: &[Moments],
        dy: &[f32],
        dx: &mut [f32],
    ) {
        let width = self.weight.len();
        assert!(x.len() == dy.len() && x.len() == dx.len() && x.len() == moments.len() * width);
        let _span = threads.span(Work::Elementwise, "norm backward", || {
            (0, 4 * (x.len() + dy.len() + 2 * dx.len()))
        });
        threads.blocks(
            ROWS,
            Rows::new(dx, width),
            #[inline(always)]
            |rows, dx| {
                for (r, dx) in rows.zip(dx.chunks_exact_mut(width)) {
                    let row = r * width..(r + 1) * width;
                    self.row_backward(&x[row.clone()], moments[r], &dy[row], dx);
                }
            },
        );
    }

    /// [`Norm::backward`] for one row, `x`, `dy` and `dx` `[width]`.
    #[inline(always)]
    pub(crate) fn row_backward(
        &self,
        x: &[f32],
        [mean, inverse]: Moments,
        dy: &[f32],
        dx: &mut [f32],
    ) {
        let width = self.weight.len();
        let (x, dy, weight) = (&x[..width], &dy[..width], &self.weight[..width]);
        let offset = self.offset();
        let g = |j: usize| dy[j] * (weight[j] + offset);
        let count = width as f32;
        let along = sum_by(width, |j| g(j) * (x[j] - mean)) * inverse * inverse / count;
        let shift = if self.config.centered { sum_by(width, g) / count } else { 0.0 };
        for j in 0..width {
            dx[j] += inverse * (g(j) - shift - (x[j] - mean) * along);
        }
    }

    /// Adds the gradients of weight and bias, both `[width]`; `x` and `dy` are `[rows, width]`.
    pub(crate) fn backward_parameters(
        &self,
        x: &[f32],
        moments: &[Moments],
        dy: &[f32],
        d_weight: &mut [f32],
        d_bias: Option<&mut [f32]>,
    ) {
        let width = self.weight.len();
        wide(
            #[inline(always)]
            || {
                for (r, [mean, inverse]) in moments.iter().enumerate() {
                    let (x, dy) = (&x[r * width..][..width], &dy[r * width..][..width]);
                    let d_weight = &mut d_weight[..width];
                    for j in 0..width {
                        d_weight[j] += dy[j] * (x[j] - mean) * inverse;
                    }
                }
            },
        );
        if let Some(d_bias) = d_bias {
            add_rows(dy, d_bias);
        }
    }
}

/// `total += ` the sum of `rows`; `rows` is `[rows, width]`, `total` `[width]`.
pub(crate) fn add_rows(rows: &[f32], total: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            for row in rows.chunks_exact(total.len()) {
                super::vector::add(total, row);
            }
        },
    );
}
