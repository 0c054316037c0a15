//! Whether one model is another rounded to a grid: few evenly spaced levels in every run of some numbers.

use serde::{Deserialize, Serialize};

/// Lengths of runs that share a scale, from long to short; a whole row is tried before.
const RUNS: [usize; 5] = [256, 128, 64, 32, 16];
/// Most levels of a grid: eight bits.
const LEVELS: f64 = 256.0;
/// How far from a level a number may be, and from the middle between two, in steps: rounding of the grid
/// itself to 16 bits moves numbers by less.
const SLACK: f64 = 0.03;
/// The share of runs that must be on a grid.
const SHARE: f64 = 0.95;
/// Rows of each matrix that are looked at.
const ROWS: usize = 16;

/// A grid that one of two models lies on and the other does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grid {
    /// Whether it is the second model that lies on it.
    pub second: bool,
    /// Bits that number the levels; of numbers rounded to a shorter float, bits of its fraction.
    pub bits: u32,
    /// How many numbers share a scale; 0: a whole row; `None`: the grid is that of a shorter float.
    pub run: Option<usize>,
    /// The share of numbers of the other model within half a step of their level.
    pub within: f64,
}

/// Runs looked at, by their length, for each of two models.
#[derive(Default)]
pub(super) struct Search {
    runs: [[Runs; RUNS.len() + 1]; 2],
    floats: [Floats; 2],
}

#[derive(Clone, Copy, Default)]
struct Runs {
    on: usize,
    of: usize,
    levels: f64,
    within: usize,
    numbers: usize,
}

/// Numbers of one model as the rounded ones of the other.
#[derive(Clone, Copy)]
struct Floats {
    /// Zeros at the end of all.
    zeros: u32,
    /// By how many bits are cut, those that are the other's rounded.
    same: [usize; FLOATS.len()],
    numbers: usize,
}

/// Bits of a 32-bit float that a shorter one has not: binary16 and bfloat16.
const FLOATS: [u32; 2] = [13, 16];

impl Default for Floats {
    fn default() -> Self {
        Self { zeros: u32::MAX, same: [0; FLOATS.len()], numbers: 0 }
    }
}

impl Search {
    /// Looks at numbers of both models at the same places, in rows of `width`.
    pub(super) fn add(&mut self, ours: &[f32], theirs: &[f32], width: usize) {
        for (side, (own, other)) in [(ours, theirs), (theirs, ours)].into_iter().enumerate() {
            self.floats[side].add(own, other);
            let rows = own.chunks_exact(width).zip(other.chunks_exact(width)).take(ROWS);
            for (own, other) in rows {
                for (place, runs) in self.runs[side].iter_mut().enumerate() {
                    let run = place.checked_sub(1).map_or(width, |place| RUNS[place]);
                    let each = own.chunks_exact(run).zip(other.chunks_exact(run));
                    each.for_each(|(own, other)| runs.add(own, other));
                }
            }
        }
    }

    /// The grid of the model that has the coarser one.
    pub(super) fn found(&self) -> Option<Grid> {
        let sides = (0..2).filter_map(|side| {
            let on = |runs: &&Runs| runs.of > 0 && runs.on as f64 >= SHARE * runs.of as f64;
            let place = self.runs[side].iter().position(|runs| on(&runs))?;
            let runs = self.runs[side][place];
            Some(Grid {
                second: side == 1,
                bits: (runs.levels - 0.5).log2().ceil() as u32,
                run: Some(place.checked_sub(1).map_or(0, |place| RUNS[place])),
                within: runs.within as f64 / runs.numbers as f64,
            })
        });
        sides.min_by_key(|grid| grid.bits).or_else(|| self.shorter())
    }

    fn shorter(&self) -> Option<Grid> {
        let side = usize::from(self.floats[1].zeros > self.floats[0].zeros);
        let floats = self.floats[side];
        let place = FLOATS.iter().rposition(|&bits| floats.zeros >= bits)?;
        let within = floats.same[place] as f64 / floats.numbers as f64;
        let grid = Grid { second: side == 1, bits: 23 - FLOATS[place], run: None, within };
        (self.floats[1 - side].zeros < floats.zeros && within >= SHARE).then_some(grid)
    }
}

impl Floats {
    fn add(&mut self, own: &[f32], other: &[f32]) {
        for (own, other) in own.iter().zip(other) {
            if *own != 0.0 {
                self.zeros = self.zeros.min(own.to_bits().trailing_zeros());
            }
            for (same, bits) in self.same.iter_mut().zip(FLOATS) {
                let (value, half) = (other.to_bits(), 1_u32 << (bits - 1));
                let rounded = value.wrapping_add(half - 1 + (value >> bits & 1)) >> bits << bits;
                *same += usize::from(rounded == own.to_bits());
            }
        }
        self.numbers += own.len();
    }
}

impl Runs {
    fn add(&mut self, own: &[f32], other: &[f32]) {
        let mut sorted: Vec<f64> = own.iter().map(|&value| f64::from(value)).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        // Rounding of the last places makes one level two numbers.
        let same = 1e-5 * (most - least);
        sorted.dedup_by(|next, kept| *next - *kept <= same);
        if sorted.len() < 3 {
            return;
        }
        self.of += 1;
        let Some(step) = step(&sorted) else { return };
        self.on += 1;
        self.levels = self.levels.max((most - least) / step + 1.0);
        self.numbers += own.len();
        let within =
            |(own, other): &(&f32, &f32)| f64::from(**other - **own).abs() <= (0.5 + SLACK) * step;
        self.within += own.iter().zip(other).filter(within).count();
    }
}

/// The step of the grid that sorted numbers lie on, if they do: the smallest gap, or a part of it.
fn step(sorted: &[f64]) -> Option<f64> {
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    let gap = sorted.windows(2).map(|pair| pair[1] - pair[0]).min_by(f64::total_cmp)?;
    (1..=4).map(|part| gap / f64::from(part)).find(|step| {
        let levels = (most - least) / step;
        levels < LEVELS
            && sorted.iter().all(|value| {
                let level = (value - least) / step;
                (level - level.round()).abs() <= SLACK
            })
    })
}
