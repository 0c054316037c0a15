//! The feed-forward block's non-linearity, plain and gated (GLU variants: Shazeer 2020, arXiv
//! 2002.05202, section 2), forward and backward.

use super::parallel::{Rows, Threads};
use super::vector::exp;
use crate::config::Activation;
use crate::profile::Work;

/// Rows that one task takes.
// Not measured: some tens of microseconds of work at usual widths, so that handing tasks out costs
// little.
const ROWS: usize = 16;

/// SiLU, x·sigmoid(x) (Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2), and its derivative.
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = 1.0 / (1.0 + exp(-x));
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// GELU by its tanh approximation (the same paper and section), and the derivative of that.
#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    // sqrt(2 / pi)
    const ROOT: f32 = 0.797_884_6;
    let inner = ROOT * (x + 0.044_715 * x * x * x);
    let t = 1.0 - 2.0 / (exp(2.0 * inner) + 1.0);
    let slope = ROOT * (1.0 + 3.0 * 0.044_715 * x * x);
    (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
}

/// GELU, x times the standard normal's cumulative distribution (the same paper and section), and
/// its derivative.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let cdf = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    // 1 / sqrt(2·pi)
    let density = 0.398_942_3 * exp(-0.5 * x * x);
    (x * cdf, cdf + x * density)
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

/// Writes `activation(gate)·up` (gated) or `activation(up)` to `out` `[rows, hidden]`; `inner` is
/// `[rows, 2·hidden]`, gate before up, or `[rows, hidden]`.
pub(crate) fn forward(
    threads: &Threads,
    activation: Activation,
    gated: bool,
    hidden: usize,
    inner: &[f32],
    out: &mut [f32],
) {
    // One compiled loop for each non-linearity, so that each is vectorised.
    match activation {
        Activation::Silu => forward_by(silu, threads, gated, hidden, inner, out),
        Activation::Gelu => forward_by(gelu, threads, gated, hidden, inner, out),
        Activation::GeluTanh => forward_by(gelu_tanh, threads, gated, hidden, inner, out),
    }
}

#[inline(always)]
fn forward_by(
    at: impl Fn(f32) -> (f32, f32) + Sync,
    threads: &Threads,
    gated: bool,
    hidden: usize,
    inner: &[f32],
    out: &mut [f32],
) {
    let width = if gated { 2 * hidden } else { hidden };
    assert_eq!(inner.len() * hidden, out.len() * width, "feed-forward shapes agree");
    let _span =
        threads.span(Work::Elementwise, "activation", || (0, 4 * (inner.len() + out.len())));
    threads.blocks(
        ROWS,
        Rows::new(out, hidden),
        #[inline(always)]
        |rows, out| {
            for (r, out) in rows.zip(out.chunks_exact_mut(hidden)) {
                let row = &inner[r * width..][..width];
                let (first, second) = (&row[..hidden], &row[width - hidden..]);
                if gated {
                    for j in 0..hidden {
                        out[j] = at(first[j]).0 * second[j];
                    }
                } else {
                    for j in 0..hidden {
                        out[j] = at(first[j]).0;
                    }
                }
            }
        },
    );
}

/// Replaces `inner` (shaped as for [`forward`]) by its gradient, given that of `forward`'s output,
/// `d_out` `[rows, hidden]`.
pub(crate) fn backward(
    threads: &Threads,
    activation: Activation,
    gated: bool,
    hidden: usize,
    inner: &mut [f32],
    d_out: &[f32],
) {
    match activation {
        Activation::Silu => backward_by(silu, threads, gated, hidden, inner, d_out),
        Activation::Gelu => backward_by(gelu, threads, gated, hidden, inner, d_out),
        Activation::GeluTanh => backward_by(gelu_tanh, threads, gated, hidden, inner, d_out),
    }
}

#[inline(always)]
fn backward_by(
    at: impl Fn(f32) -> (f32, f32) + Sync,
    threads: &Threads,
    gated: bool,
    hidden: usize,
    inner: &mut [f32],
    d_out: &[f32],
) {
    let width = if gated { 2 * hidden } else { hidden };
    assert_eq!(inner.len() * hidden, d_out.len() * width, "feed-forward shapes agree");
    let _span = threads.span(Work::Elementwise, "activation backward", || {
        (0, 4 * (2 * inner.len() + d_out.len()))
    });
    threads.blocks(
        ROWS,
        Rows::new(inner, width),
        #[inline(always)]
        |rows, inner| {
            for (r, row) in rows.zip(inner.chunks_exact_mut(width)) {
                let d_out = &d_out[r * hidden..][..hidden];
                let (first, second) = row.split_at_mut(hidden);
                if gated {
                    for j in 0..hidden {
                        let (value, slope) = at(first[j]);
                        first[j] = d_out[j] * second[j] * slope;
                        second[j] = d_out[j] * value;
                    }
                } else {
                    for j in 0..hidden {
                        first[j] = d_out[j] * at(first[j]).1;
                    }
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_agree_with_finite_differences() {
        for (name, at) in
            [("silu", silu as fn(f32) -> (f32, f32)), ("gelu", gelu), ("gelu_tanh", gelu_tanh)]
        {
            for i in -60..60 {
                let x = i as f32 / 10.0;
                let difference = (at(x + 1e-2).0 - at(x - 1e-2).0) / 2e-2;
                assert!((difference - at(x).1).abs() < 1e-3, "{name} at {x}");
            }
        }
    }
}
