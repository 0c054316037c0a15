//! What a small network is shown: images as bytes, or noise.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{Pass, Perceptron};
use crate::error::{Error, Result};
use crate::kernel::{Rows, Threads};

/// Rows that are run at once where nothing is learned.
const BATCH: usize = 1024;

/// Rows of numbers in [-1, 1].
#[derive(Clone, Debug)]
pub struct Inputs {
    width: usize,
    rows: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// A byte per number: 0 is -1, 255 is 1.
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
}

impl Inputs {
    /// Images of `width` bytes each: a quarter of the memory that their numbers would take.
    ///
    /// # Errors
    /// Bytes that are no whole rows.
    pub fn bytes(width: usize, bytes: Vec<u8>) -> Result<Self> {
        if width == 0 || !bytes.len().is_multiple_of(width) {
            let reason = format!("are {} bytes, expected whole rows of {width}", bytes.len());
            return Err(Error::request("inputs", reason));
        }
        Ok(Self { width, rows: Content::Bytes(bytes) })
    }

    /// Uniform noise in [-1, 1); every row has a stream of its own, so that fewer rows are the first of
    /// more.
    pub fn noise(threads: &Threads, rows: usize, width: usize, seed: u64) -> Self {
        let mut numbers = vec![0.0f32; rows * width];
        threads.blocks(64, Rows::new(&mut numbers, width), |places, numbers| {
            for (place, row) in places.zip(numbers.chunks_exact_mut(width)) {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(place as u64);
                for x in row {
                    *x = (random.next_u32() >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0;
                }
            }
        });
        Self { width, rows: Content::Numbers(numbers) }
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        let numbers = match &self.rows {
            Content::Bytes(bytes) => bytes.len(),
            Content::Numbers(numbers) => numbers.len(),
        };
        numbers / self.width.max(1)
    }

    /// Writes the rows at `places` to `out`, `[places, width]`.
    ///
    /// # Panics
    /// If a place is none.
    pub fn gather(&self, places: &[u32], out: &mut Vec<f32>) {
        out.clear();
        for &place in places {
            let range = place as usize * self.width..(place as usize + 1) * self.width;
            match &self.rows {
                Content::Bytes(bytes) => {
                    out.extend(bytes[range].iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
                }
                Content::Numbers(numbers) => out.extend_from_slice(&numbers[range]),
            }
        }
    }

    /// The logits of `network` on every row, `[rows, logits]`. `go_on` is asked before each batch.
    ///
    /// # Errors
    /// That of `go_on`.
    pub fn logits<E>(
        &self,
        threads: &Threads,
        network: &Perceptron,
        mut go_on: impl FnMut() -> std::result::Result<(), E>,
    ) -> std::result::Result<Vec<f32>, E> {
        let (mut pass, mut batch) = (Pass::default(), Vec::new());
        let mut logits = Vec::with_capacity(self.rows() * network.logits());
        let places: Vec<u32> = (0..self.rows() as u32).collect();
        for places in places.chunks(BATCH) {
            go_on()?;
            self.gather(places, &mut batch);
            logits.extend_from_slice(network.run(threads, &batch, &mut pass));
        }
        Ok(logits)
    }

    /// The share of rows whose largest logit among the first `classes` is that of their class, 0 to 1.
    ///
    /// # Panics
    /// If there is not a class per row.
    pub fn accuracy(
        &self,
        threads: &Threads,
        network: &Perceptron,
        labels: &[u32],
        classes: usize,
    ) -> f64 {
        assert_eq!(labels.len(), self.rows(), "a class per row");
        let never = || Ok::<(), std::convert::Infallible>(());
        let Ok(logits) = self.logits(threads, network, never);
        let right = logits.chunks_exact(network.logits()).zip(labels).filter(|(row, label)| {
            let row = &row[..classes];
            // The first of equals, as PyTorch's `argmax`.
            let best = (0..classes).fold(0, |best, at| if row[at] > row[best] { at } else { best });
            best == **label as usize
        });
        right.count() as f64 / self.rows().max(1) as f64
    }
}
