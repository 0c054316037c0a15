//! The feed-forward block's non-linearity, plain and gated, forward and backward.

use super::parallel::{Parts, Threads};
use super::vector::{exp, wide};
use crate::config::Activation;
use crate::profile::Work;

const ROWS: usize = 16;

/// Value and derivative at `x`.
#[inline(always)]
fn at(activation: Activation, x: f32) -> (f32, f32) {
    match activation {
        Activation::Silu => {
            let s = 1.0 / (1.0 + exp(-x));
            (x * s, s * (1.0 + x * (1.0 - s)))
        }
        Activation::GeluTanh => {
            // Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2.
            const ROOT: f32 = 0.797_884_6;
            let inner = ROOT * (x + 0.044_715 * x * x * x);
            let t = 1.0 - 2.0 / (exp(2.0 * inner) + 1.0);
            let slope = ROOT * (1.0 + 3.0 * 0.044_715 * x * x);
            (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
        }
        Activation::Gelu => {
            let cdf = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
            let density = 0.398_942_3 * exp(-0.5 * x * x);
            (x * cdf, cdf + x * density)
        }
    }
}

/// The error function to 1.5e-7 (Abramowitz & Stegun, formula 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / 0.327_591_1_f32.mul_add(a, 1.0);
    let p = 1.061_405_4_f32
        .mul_add(t, -1.453_152)
        .mul_add(t, 1.421_413_7)
        .mul_add(t, -0.284_496_74)
        .mul_add(t, 0.254_829_6);
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

/// `inner` holds rows of `[gate, up]` (gated) or `up`, each `hidden` wide; writes rows of
/// `activation(gate)·up` or `activation(up)`.
pub(crate) fn forward(
    threads: &Threads,
    activation: Activation,
    gated: bool,
    hidden: usize,
    inner: &[f32],
    out: &mut [f32],
) {
    let width = if gated { 2 * hidden } else { hidden };
    let rows = out.len() / hidden;
    assert_eq!(inner.len(), rows * width, "feed-forward shapes agree");
    let _span =
        threads.span(Work::Elementwise, "activation", || (0, 4 * (inner.len() + out.len())));
    let out = Parts::new(out);
    threads.blocks(rows, ROWS, |block| {
        // SAFETY: blocks of rows are disjoint.
        let out = unsafe { out.range(block.start * hidden..block.end * hidden) };
        wide(
            #[inline(always)]
            || {
                for (r, out) in block.clone().zip(out.chunks_exact_mut(hidden)) {
                    let row = &inner[r * width..][..width];
                    let (first, second) = (&row[..hidden], &row[width - hidden..]);
                    // The match stands outside the loop so that each arm vectorises.
                    macro_rules! fill {
                        ($kind:expr) => {
                            if gated {
                                for j in 0..hidden {
                                    out[j] = at($kind, first[j]).0 * second[j];
                                }
                            } else {
                                for j in 0..hidden {
                                    out[j] = at($kind, first[j]).0;
                                }
                            }
                        };
                    }
                    match activation {
                        Activation::Silu => fill!(Activation::Silu),
                        Activation::Gelu => fill!(Activation::Gelu),
                        Activation::GeluTanh => fill!(Activation::GeluTanh),
                    }
                }
            },
        );
    });
}

/// Replaces `inner` by its gradient, given the gradient of `forward`'s output.
pub(crate) fn backward(
    threads: &Threads,
    activation: Activation,
    gated: bool,
    hidden: usize,
    inner: &mut [f32],
    d_out: &[f32],
) {
    let width = if gated { 2 * hidden } else { hidden };
    let rows = d_out.len() / hidden;
    assert_eq!(inner.len(), rows * width, "feed-forward shapes agree");
    let _span = threads.span(Work::Elementwise, "activation backward", || {
        (0, 4 * (2 * inner.len() + d_out.len()))
    });
    let inner = Parts::new(inner);
    threads.blocks(rows, ROWS, |block| {
        // SAFETY: blocks of rows are disjoint.
        let inner = unsafe { inner.range(block.start * width..block.end * width) };
        wide(
            #[inline(always)]
            || {
                for (r, row) in block.clone().zip(inner.chunks_exact_mut(width)) {
                    let d_out = &d_out[r * hidden..][..hidden];
                    let (first, second) = row.split_at_mut(hidden);
                    macro_rules! fill {
                        ($kind:expr) => {
                            if gated {
                                for j in 0..hidden {
                                    let (value, slope) = at($kind, first[j]);
                                    first[j] = d_out[j] * second[j] * slope;
                                    second[j] = d_out[j] * value;
                                }
                            } else {
                                for j in 0..hidden {
                                    first[j] = d_out[j] * at($kind, first[j]).1;
                                }
                            }
                        };
                    }
                    match activation {
                        Activation::Silu => fill!(Activation::Silu),
                        Activation::Gelu => fill!(Activation::Gelu),
                        Activation::GeluTanh => fill!(Activation::GeluTanh),
                    }
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_agree_with_finite_differences() {
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
            for i in -60..60 {
                let x = i as f32 / 10.0;
                let difference = (at(activation, x + 1e-2).0 - at(activation, x - 1e-2).0) / 2e-2;
                assert!((difference - at(activation, x).1).abs() < 1e-3, "{activation:?} at {x}");
            }
        }
    }
}
