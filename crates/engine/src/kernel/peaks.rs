//! What the machine can do at most, to compare measured rates with.

use super::vector::{sum_by, wide};

/// What this machine can do on one core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Multiplications and additions in registers, per second.
    pub operations: f64,
    /// Bytes read from memory, per second.
    pub bytes: f64,
}

impl Peaks {
    /// Measures for about a third of a second: the best of several short runs.
    pub fn measure() -> Self {
        Self { operations: operations(), bytes: bytes() }
    }
}

/// Floating-point operations per second of independent fused multiply-adds in registers.
fn operations() -> f64 {
    // Enough independent sums to hide the latency of a multiply-add, few enough to stay in
    // registers.
    const SUMS: usize = 12;
    const ROUNDS: usize = 1 << 20;
    let seconds = fastest(|| {
        wide(
            #[inline(always)]
            || {
                let mut sums = [[1.0f32; 16]; SUMS];
                let (factor, term) =
                    (std::hint::black_box([0.5f32; 16]), std::hint::black_box([0.25f32; 16]));
                for _ in 0..ROUNDS {
                    for sum in &mut sums {
                        for lane in 0..16 {
                            sum[lane] = factor[lane].mul_add(sum[lane], term[lane]);
                        }
                    }
                }
                std::hint::black_box(sums);
            },
        );
    });
    (2 * 16 * SUMS * ROUNDS) as f64 / seconds
}

/// Bytes per second of reading memory that is in no cache: 256 MiB, more than any cache holds.
fn bytes() -> f64 {
    let memory = vec![1.0f32; 1 << 26];
    let seconds = fastest(|| {
        std::hint::black_box(wide(
            #[inline(always)]
            || sum_by(memory.len(), |i| memory[i]),
        ));
    });
    (4 * memory.len()) as f64 / seconds
}

/// Seconds of the fastest of a few runs.
fn fastest(run: impl Fn()) -> f64 {
    let runs = (0..4).map(|_| {
        let start = std::time::Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    runs.fold(f64::INFINITY, f64::min)
}
