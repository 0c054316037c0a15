//! Rotary position embedding, RoPE (Su et al. 2021, arXiv 2104.09864, section 3.4.2): number `j` of
//! a head is rotated with number `j + half`, as in Hugging Face checkpoints, and not with its
//! neighbour, as in the paper; the two differ by an order of rows in the query and key weights.

use std::sync::OnceLock;

use super::parallel::{Rows, Threads};
use crate::config::{Position, RotaryScaling};
use crate::profile::Work;

/// Positions whose table is made together, once one of them is needed: a long context costs nothing
/// until it is used.
// Measured (LOG 2026-11-22, rotary tables): scoring one row with a context of 131,072 takes 7 ms in
// place of the 175 ms that tables of the whole context cost. The size of a step was not varied.
const STEP: usize = 512;
/// Rows that one task takes.
// Not measured: some tens of microseconds of work at usual widths, so that handing tasks out costs
// little.
const ROWS: usize = 32;

/// Cosines and sines of every position's angles.
#[derive(Clone, Debug)]
pub(crate) struct Rotary {
    frequencies: Vec<f32>,
    positions: usize,
    tables: Vec<OnceLock<Table>>,
}

/// Those of [`STEP`] positions, each `[positions, half]`: `half` is half the rotated width of a
/// head.
#[derive(Clone, Debug)]
struct Table {
    cosine: Vec<f32>,
    sine: Vec<f32>,
}

impl Rotary {
    /// For positions `0..positions`; `None` where the model has no rotary embedding.
    pub(crate) fn new(position: Position, positions: usize) -> Option<Self> {
        let Position::Rotary { theta, width, scaling } = position else {
            return None;
        };
        let frequencies = (0..width / 2).map(|j| {
            let f = f64::from(theta).powf(-2.0 * j as f64 / width as f64);
            scaling.map_or(f, |s| scale(f, s)) as f32
        });
        let tables = vec![OnceLock::new(); positions.div_ceil(STEP)];
        Some(Self { frequencies: frequencies.collect(), positions, tables })
    }

    /// The table of positions `step · STEP` and after, made when it is first asked for.
    fn table(&self, step: usize) -> &Table {
        self.tables[step].get_or_init(|| {
            let positions = step * STEP..self.positions.min((step + 1) * STEP);
            let angles = || {
                positions.clone().flat_map(|p| {
                    // Hugging Face computes position times frequency in f32.
                    self.frequencies.iter().map(move |&f| f64::from(p as f32 * f))
                })
            };
            Table {
                cosine: angles().map(|a| a.cos() as f32).collect(),
                sine: angles().map(|a| a.sin() as f32).collect(),
            }
        })
    }

    /// Rotates the first `heads` heads (each `head_width` wide) of each row of `rows`
    /// `[rows, stride]`, whose positions are `positions` `[rows]`. `backward` turns the other way,
    /// which is the transpose and so carries gradients back.
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
        let half = self.frequencies.len();
        for &position in positions {
            self.table(position / STEP);
        }
        threads.blocks(
            ROWS,
            Rows::new(rows, stride),
            #[inline(always)]
            |block, rows| {
                for (row, &position) in rows.chunks_exact_mut(stride).zip(&positions[block]) {
                    let table = self.table(position / STEP);
                    let cosine = &table.cosine[position % STEP * half..][..half];
                    let sine = &table.sine[position % STEP * half..][..half];
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
    }
}

/// Llama 3.1's piecewise frequency scaling, as `apply_scaling` in Meta's reference implementation
/// (`llama_models`, `llama3/reference_impl/model.py`).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_turned_alike_whatever_the_context_and_what_came_before() {
        let scaling = RotaryScaling { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192.0 };
        let position = Position::Rotary { theta: 500_000.0, width: 6, scaling: Some(scaling) };
        let threads = Threads::new(1);
        let turn = |rotary: &Rotary, positions: &[usize]| {
            let mut rows = vec![1.0; positions.len() * 8];
            rotary.apply(&threads, &mut rows, 8, 8, 1, positions, false);
            rows
        };
        let places = [0, 1, STEP - 1, STEP, STEP + 7, 3 * STEP + 1];
        let long = Rotary::new(position, 131_072).unwrap();
        let together = turn(&long, &places);
        assert_eq!(long.tables.iter().filter(|table| table.get().is_some()).count(), 3);
        for (row, place) in together.chunks(8).zip(places).rev() {
            let short = Rotary::new(position, place + 1).unwrap();
            assert_eq!(turn(&short, &[place]), row);
            // The formula, in one place.
            let (sine, cosine) = f64::from(place as f32 * long.frequencies[1]).sin_cos();
            assert_eq!(row[1], cosine as f32 - sine as f32);
            assert_eq!(row[6..], [1.0, 1.0]);
        }
    }
}
