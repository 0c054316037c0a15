//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864, section 3.4.2), halves rotated
//! together as in Hugging Face checkpoints.

use super::parallel::{Parts, Threads};
use super::vector::wide;
use crate::config::{Position, RotaryScaling};
use crate::profile::Work;

/// Cosines and sines per position.
#[derive(Clone, Debug)]
pub(crate) struct Rotary {
    half: usize,
    cosine: Vec<f32>,
    sine: Vec<f32>,
}

impl Rotary {
    /// Tables for positions `0..positions`; `None` where the model has no rotary embedding.
    pub(crate) fn new(position: Position, positions: usize) -> Option<Self> {
        let Position::Rotary { theta, width, scaling } = position else {
            return None;
        };
        let half = width / 2;
        let frequencies: Vec<f64> = (0..half)
            .map(|j| {
                let f = f64::from(theta).powf(-2.0 * j as f64 / width as f64);
                scaling.map_or(f, |s| scale(f, s))
            })
            .collect();
        let angles = || {
            (0..positions).flat_map(|p| {
                // Hugging Face computes position times frequency in f32.
                frequencies.iter().map(move |&f| f64::from(p as f32 * f as f32))
            })
        };
        let cosine = angles().map(|a| a.cos() as f32).collect();
        let sine = angles().map(|a| a.sin() as f32).collect();
        Some(Self { half, cosine, sine })
    }

    /// Rotates the first `heads` heads of each row; `backward` turns the other way.
    pub(crate) fn apply(
        &self,
        threads: &Threads,
        rows: &mut [f32],
        stride: usize,
        head_width: usize,
        heads: usize,
        positions: &[usize],
        backward: bool,
    ) {
        assert!(rows.len() == positions.len() * stride && heads * head_width <= stride);
        let _span = threads.span(Work::Elementwise, "rotary", || {
            (0, 4 * (2 * positions.len() * heads * head_width))
        });
        let sign = if backward { -1.0 } else { 1.0 };
        let parts = Parts::new(rows);
        let half = self.half;
        threads.blocks(positions.len(), 32, |block| {
            // SAFETY: blocks of rows are disjoint.
            let rows = unsafe { parts.range(block.start * stride..block.end * stride) };
            wide(
                #[inline(always)]
                || {
                    for (row, &position) in
                        rows.chunks_exact_mut(stride).zip(&positions[block.clone()])
                    {
                        let cosine = &self.cosine[position * half..][..half];
                        let sine = &self.sine[position * half..][..half];
                        for head in row[..heads * head_width].chunks_exact_mut(head_width) {
                            let (low, rest) = head.split_at_mut(half);
                            let high = &mut rest[..half];
                            for j in 0..half {
                                let (x, y, s) = (low[j], high[j], sine[j] * sign);
                                low[j] = x * cosine[j] - y * s;
                                high[j] = y * cosine[j] + x * s;
                            }
                        }
                    }
                },
            );
        });
    }
}

/// Llama 3.1's piecewise frequency scaling, as in its reference implementation.
fn scale(frequency: f64, scaling: RotaryScaling) -> f64 {
    let wavelength = 2.0 * std::f64::consts::PI / frequency;
    let (low, high) = (f64::from(scaling.low), f64::from(scaling.high));
    let (context, factor) = (f64::from(scaling.original_context), f64::from(scaling.factor));
    if wavelength > context / low {
        frequency / factor
    } else if wavelength < context / high {
        frequency
    } else {
        let smooth = (context / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}
