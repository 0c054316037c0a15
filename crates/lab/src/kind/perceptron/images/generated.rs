//! Ten simple figures, drawn: a toy that runs where there are no files. Every image is a figure of lines whose
//! corners, turn, size, slant, place, thickness, brightness and noise are drawn anew.
//!
//! Only additions, products, quotients and square roots are used, which every machine rounds alike, so that
//! one seed draws the same bytes everywhere.

use super::idx::{Labels, Pixels};
use super::{CLASSES, Split};
use crate::error::Result;
use crate::random::derive_seed;
use crate::random::numpy::Generator;
use crate::step::StepContext;

/// What they are called.
pub(super) const NAME: &str = "generated figures";
/// What they are.
pub(super) const TOLD: &str = "Ten figures of lines, drawn by owlet, each image turned, bent, moved and noisy in its \
                               own way: a toy that stands in where there are no files, easier or harder than \
                               digits by how it is drawn.";

/// Length of a side, as MNIST's.
const SIDE: usize = 28;
/// Images between two looks at a wish to stop.
const BETWEEN: usize = 1000;

// How much images of a figure differ: chosen so that a teacher reaches about what the paper's reaches on
// digits, on other seeds than those reported (LOG.md, 2026-11-29).
const BEND: f64 = 0.05;
const TURN: f64 = 0.18;
const SIZES: (f64, f64) = (0.75, 1.05);
const SLANT: f64 = 0.2;
const SHIFT: f64 = 0.09;
const THICKNESS: (f64, f64) = (0.04, 0.08);
const BRIGHTNESS: (f64, f64) = (0.6, 1.0);
const NOISE: f64 = 0.12;
/// How far the edge of a line fades.
const EDGE: f64 = 0.05;

type Point = (f64, f64);

/// Lines through these points, in the square from -1 to 1.
const FIGURES: [&[&[Point]]; CLASSES] = [
    // A square.
    &[&[(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7), (-0.7, -0.7)]],
    // A triangle.
    &[&[(0.0, -0.8), (0.8, 0.7), (-0.8, 0.7), (0.0, -0.8)]],
    // A cross.
    &[&[(0.0, -0.8), (0.0, 0.8)], &[(-0.8, 0.0), (0.8, 0.0)]],
    // A saltire.
    &[&[(-0.7, -0.7), (0.7, 0.7)], &[(0.7, -0.7), (-0.7, 0.7)]],
    // A zigzag.
    &[&[(-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7), (0.7, 0.7)]],
    // A gallows.
    &[&[(-0.6, 0.8), (-0.6, -0.8), (0.6, -0.8), (0.6, -0.1)]],
    // A chair.
    &[&[(-0.6, -0.8), (-0.6, 0.8)], &[(-0.6, 0.0), (0.6, 0.0), (0.6, 0.8)]],
    // A fork.
    &[&[(-0.6, -0.8), (-0.6, -0.1), (0.6, -0.1), (0.6, -0.8)], &[(0.0, -0.1), (0.0, 0.8)]],
    // An arrow.
    &[&[(-0.8, 0.0), (0.8, 0.0)], &[(0.2, -0.6), (0.8, 0.0), (0.2, 0.6)]],
    // A hash of three lines.
    &[&[(-0.8, -0.5), (0.8, -0.5)], &[(-0.8, 0.0), (0.8, 0.0)], &[(-0.8, 0.5), (0.8, 0.5)]],
];

/// Draws `count` images of a set by `seed`; figures follow each other in turn.
///
/// # Errors
/// A wish to stop.
pub(super) fn draw(seed: u64, set: u64, count: usize, context: &StepContext<'_>) -> Result<Split> {
    let mut bytes = Vec::with_capacity(count * SIDE * SIDE);
    let mut labels = Vec::with_capacity(count);
    for place in 0..count {
        if place.is_multiple_of(BETWEEN) {
            context.interrupt.check()?;
            context.report(place, count, "images", None);
        }
        let class = place % CLASSES;
        let seed = derive_seed(seed, &["image".into(), set.into(), (place as u64).into()]);
        bytes.extend_from_slice(&image(class, &mut Generator::new(seed)));
        labels.push(class as u8);
    }
    let pixels = Pixels { rows: SIDE, columns: SIDE, bytes };
    Ok(Split { pixels, labels: Labels(labels) })
}

/// Uniform in [0, 1).
fn unit(random: &mut Generator) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn within(random: &mut Generator, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * unit(random)
}

fn around(random: &mut Generator, size: f64) -> f64 {
    within(random, (-size, size))
}

/// An image of a figure, `[SIDE, SIDE]`.
fn image(class: usize, random: &mut Generator) -> [u8; SIDE * SIDE] {
    // A turn by twice the arc tangent of `half`, without sine and cosine, which libraries round differently.
    let half = around(random, TURN);
    let (cosine, sine) =
        ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
    let (size, slant) = (within(random, SIZES), around(random, SLANT));
    let shift = (around(random, SHIFT), around(random, SHIFT));
    let place = |(x, y): Point, random: &mut Generator| {
        let (x, y) = (x + around(random, 2.0 * BEND), y + around(random, 2.0 * BEND));
        let x = x + slant * y;
        (
            size * (cosine * x - sine * y) + 2.0 * shift.0,
            size * (sine * x + cosine * y) + 2.0 * shift.1,
        )
    };
    let mut ink = [0.0f64; SIDE * SIDE];
    let thickness = within(random, THICKNESS);
    for line in FIGURES[class] {
        let points: Vec<Point> = line.iter().map(|&point| place(point, random)).collect();
        for ends in points.windows(2) {
            stroke(&mut ink, ends[0], ends[1], thickness);
        }
    }
    let brightness = within(random, BRIGHTNESS);
    // A sum of four uniform numbers is near enough to a normal one.
    let mut noise = || (0..4).map(|_| around(random, 1.0)).sum::<f64>() * (NOISE / 1.154_7);
    ink.map(|ink| (255.0 * (brightness * ink + noise()).clamp(0.0, 1.0)).round() as u8)
}

/// Adds a line, `[SIDE, SIDE]`: full within its thickness, fading over its edge.
fn stroke(ink: &mut [f64; SIDE * SIDE], from: Point, to: Point, thickness: f64) {
    let reach = thickness + EDGE;
    let scale = SIDE as f64 / 2.4;
    let cell = |at: f64| ((at + 1.2) * scale).clamp(0.0, SIDE as f64) as usize;
    let span = |one: f64, other: f64| {
        cell(one.min(other) - reach)..cell(one.max(other) + reach + 0.1).min(SIDE)
    };
    let (along, length) = ((to.0 - from.0, to.1 - from.1), {
        let (x, y) = (to.0 - from.0, to.1 - from.1);
        (x * x + y * y).max(1e-12)
    });
    for row in span(from.1, to.1) {
        for column in span(from.0, to.0) {
            let (x, y) = ((column as f64 + 0.5) / scale - 1.2, (row as f64 + 0.5) / scale - 1.2);
            let (dx, dy) = (x - from.0, y - from.1);
            let share = ((dx * along.0 + dy * along.1) / length).clamp(0.0, 1.0);
            let (dx, dy) = (dx - share * along.0, dy - share * along.1);
            let away = (dx * dx + dy * dy).sqrt();
            let strength = (1.0 - (away - thickness) / EDGE).clamp(0.0, 1.0);
            let pixel = &mut ink[row * SIDE + column];
            *pixel = pixel.max(strength);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_draws_the_same_bytes_for_ever() {
        let mut hasher = blake3::Hasher::new();
        for class in 0..CLASSES {
            hasher.update(&image(class, &mut Generator::new(class as u64)));
        }
        insta::assert_snapshot!(&hasher.finalize().to_hex()[..16], @"0110063e705f8bdd");
    }

    #[test]
    fn images_of_a_figure_differ_and_are_figures() {
        for class in 0..CLASSES {
            let [one, other] = [1, 2].map(|seed| image(class, &mut Generator::new(seed)));
            assert_ne!(one, other, "{class}");
            let bright = one.iter().filter(|&&byte| byte > 128).count();
            assert!((30..400).contains(&bright), "{class}: {bright} bright of 784");
        }
    }
}
