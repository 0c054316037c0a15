//! RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467, equation 4) and LayerNorm (Ba et al. 2016,
//! arXiv 1607.06450, equation 4), forward and backward, over rows.

use super::parallel::{Parts, Threads};
use super::vector::{sum_by, wide};
use crate::config::NormConfig;
use crate::profile::Work;

const ROWS: usize = 32;

/// What `backward` needs of a row: its mean (zero for RMSNorm) and inverse deviation.
pub(crate) type Moments = [f32; 2];

/// A norm's weight and, centred, bias.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) config: NormConfig,
    pub(crate) weight: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
}

impl Norm<'_> {
    /// Normalises rows of `x` (as wide as the weight, `stride` apart) into dense rows of `y`.
    pub(crate) fn forward(
        &self,
        threads: &Threads,
        x: &[f32],
        y: &mut [f32],
        moments: &mut [Moments],
    ) {
        let width = self.weight.len();
        assert!(x.len() == y.len() && x.len() == moments.len() * width, "norm shapes agree");
        let _span = threads.span(Work::Elementwise, "norm", || (0, 4 * (x.len() + y.len())));
        let (y, moments) = (Parts::new(y), Parts::new(moments));
        threads.blocks(x.len() / width, ROWS, |rows| {
            // SAFETY: blocks of rows are disjoint.
            let (y, moments) = unsafe {
                (y.range(rows.start * width..rows.end * width), moments.range(rows.clone()))
            };
            let x = &x[rows.start * width..rows.end * width];
            wide(
                #[inline(always)]
                || {
                    for ((x, y), moments) in
                        x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(moments)
                    {
                        *moments = self.row(x, y);
                    }
                },
            );
        });
    }

    #[inline(always)]
    fn row(&self, x: &[f32], y: &mut [f32]) -> Moments {
        let width = x.len();
        let count = width as f32;
        let mean = if self.config.centered { sum_by(width, |j| x[j]) / count } else { 0.0 };
        let variance = sum_by(width, |j| (x[j] - mean) * (x[j] - mean)) / count;
        let inverse = 1.0 / (variance + self.config.epsilon).sqrt();
        let offset = if self.config.unit_offset { 1.0 } else { 0.0 };
        let weight = &self.weight[..width];
        let y = &mut y[..width];
        for j in 0..width {
            y[j] = (x[j] - mean) * inverse * (weight[j] + offset);
        }
        if let Some(bias) = self.bias {
            super::vector::add(y, bias);
        }
        [mean, inverse]
    }

    /// Adds to `dx` the gradient through the norm of `dy`.
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
        let dx = Parts::new(dx);
        let offset = if self.config.unit_offset { 1.0 } else { 0.0 };
        threads.blocks(x.len() / width, ROWS, |rows| {
            // SAFETY: blocks of rows are disjoint.
            let dx = unsafe { dx.range(rows.start * width..rows.end * width) };
            wide(
                #[inline(always)]
                || {
                    for (r, dx) in rows.clone().zip(dx.chunks_exact_mut(width)) {
                        let (x, dy) = (&x[r * width..][..width], &dy[r * width..][..width]);
                        let weight = &self.weight[..width];
                        let [mean, inverse] = moments[r];
                        let g = |j: usize| dy[j] * (weight[j] + offset);
                        let count = width as f32;
                        let along =
                            sum_by(width, |j| g(j) * (x[j] - mean)) * inverse * inverse / count;
                        let shift =
                            if self.config.centered { sum_by(width, g) / count } else { 0.0 };
                        for j in 0..width {
                            dx[j] += inverse * (g(j) - shift - (x[j] - mean) * along);
                        }
                    }
                },
            );
        });
    }

    /// Adds the gradients of weight and bias.
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

/// `total += ` the sum of dense rows.
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
