//! What somebody does to a model so that it no longer looks like one it came from.

use std::sync::Arc;

use owlet_engine::{Decoder, Model};
use owlet_lab::random::numpy::Generator;

/// The same model with other numbers.
pub(crate) fn changed(model: &Model, change: impl FnOnce(&mut Decoder)) -> Model {
    let mut decoder = (*model.decoder).clone();
    change(&mut decoder);
    model.with_decoder(Arc::new(decoder))
}

/// Every matrix of the layers and the embedding by name, with its rows and columns.
fn matrices(decoder: &mut Decoder, mut each: impl FnMut(&str, usize, &mut [f32])) {
    let layout = Arc::clone(&decoder.parameters.layout);
    for span in layout.spans() {
        if let [_, columns] = span.shape[..] {
            each(&span.name, columns, &mut decoder.parameters.data[span.range.clone()]);
        }
    }
}

pub(crate) fn order(of: usize, seed: u64) -> Vec<usize> {
    let mut random = Generator::new(seed);
    let mut order: Vec<usize> = (0..of).collect();
    for last in (1..of).rev() {
        order.swap(last, random.integers(0, last as u64 + 1) as usize);
    }
    order
}

/// A draw from the standard normal distribution (Box and Muller 1958).
pub(crate) fn normal(random: &mut Generator) -> f64 {
    let mut uniform = || ((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let (radius, angle) = (uniform(), uniform());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

fn rows(values: &mut [f32], columns: usize, order: &[usize]) {
    let old = values.to_vec();
    for (row, &from) in values.chunks_exact_mut(columns).zip(order) {
        row.copy_from_slice(&old[from * columns..][..columns]);
    }
}

fn columns(values: &mut [f32], order: &[usize]) {
    for row in values.chunks_exact_mut(order.len()) {
        let old = row.to_vec();
        row.iter_mut().zip(order).for_each(|(value, &from)| *value = old[from]);
    }
}

/// Hidden units in another order in every layer; the model does the same.
pub(crate) fn hidden_permuted(decoder: &mut Decoder, seed: u64) {
    let layout = Arc::clone(&decoder.parameters.layout);
    for span in layout.spans() {
        let mut parts = span.name.split('.');
        let (Some("layers"), Some(layer), Some(module)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let order = order(decoder.config.hidden, seed + layer.parse::<u64>().unwrap_or(0));
        let values = &mut decoder.parameters.data[span.range.clone()];
        match (module, span.shape.len()) {
            ("up" | "gate", dimensions) => {
                rows(values, if dimensions == 2 { span.shape[1] } else { 1 }, &order);
            }
            ("down", 2) => columns(values, &order),
            _ => {}
        }
    }
}

/// Dimensions of the residual stream in another order; the model does the same.
pub(crate) fn residual_permuted(decoder: &mut Decoder, seed: u64) {
    let order = order(decoder.config.width, seed);
    let layout = Arc::clone(&decoder.parameters.layout);
    for span in layout.spans() {
        let values = &mut decoder.parameters.data[span.range.clone()];
        let module = span.name.rsplit('.').nth(1).unwrap_or_default();
        match (module, span.shape.len()) {
            ("o" | "down", 2) => rows(values, span.shape[1], &order),
            ("embed" | "position" | "head" | "q" | "k" | "v" | "up" | "gate", 2) => {
                columns(values, &order);
            }
            ("o" | "down" | "norm" | "norm1" | "norm2" | "post_norm1" | "post_norm2", 1) => {
                rows(values, 1, &order);
            }
            _ => {}
        }
    }
}

/// The residual stream permuted and mirrored at random planes, the gains of the normalisations taken into what reads
/// it; a model with RMSNorm and a tied head keeps doing the same but for the last norm's gain, which stays.
pub(crate) fn rotated(decoder: &mut Decoder, seed: u64) {
    let (width, layout) = (decoder.config.width, Arc::clone(&decoder.parameters.layout));
    let mut random = Generator::new(seed);
    for span in layout.spans() {
        let mut name = span.name.split('.').rev();
        let (module, layer) = (name.nth(1).unwrap_or_default(), name.next());
        let norm = match (module, layer) {
            ("q" | "k" | "v", Some(layer)) => format!("layers.{layer}.norm1.weight"),
            ("up" | "gate", Some(layer)) => format!("layers.{layer}.norm2.weight"),
            _ => continue,
        };
        let gain = decoder.parameters.tensor(&norm).unwrap_or_default().to_vec();
        if span.shape.len() == 2 {
            for row in decoder.parameters.data[span.range.clone()].chunks_exact_mut(width) {
                row.iter_mut().zip(&gain).for_each(|(value, gain)| *value *= gain);
            }
        }
    }
    for span in layout.spans().iter().filter(|span| {
        ["norm1.weight", "norm2.weight"].iter().any(|norm| span.name.ends_with(norm))
    }) {
        decoder.parameters.data[span.range.clone()].fill(1.0);
    }
    residual_permuted(decoder, seed);
    for _ in 0..8 {
        let mut plane: Vec<f64> = (0..width).map(|_| normal(&mut random)).collect();
        let length = plane.iter().map(|x| x * x).sum::<f64>().sqrt();
        for x in &mut plane {
            *x /= length;
        }
        matrices(decoder, |name, columns, values| {
            let module = name.rsplit('.').nth(1).unwrap_or_default();
            if ["o", "down"].contains(&module) {
                let mut along = vec![0.0; columns];
                for (row, plane) in values.chunks_exact(columns).zip(&plane) {
                    along.iter_mut().zip(row).for_each(|(a, x)| *a += plane * f64::from(*x));
                }
                for (row, plane) in values.chunks_exact_mut(columns).zip(&plane) {
                    row.iter_mut().zip(&along).for_each(|(x, a)| *x -= (2.0 * plane * a) as f32);
                }
            } else {
                for row in values.chunks_exact_mut(columns) {
                    let along: f64 = row.iter().zip(&plane).map(|(x, p)| f64::from(*x) * p).sum();
                    row.iter_mut().zip(&plane).for_each(|(x, p)| *x -= (2.0 * along * p) as f32);
                }
            }
        });
    }
}

/// Noise on every matrix, so many times its size.
pub(crate) fn noisy(decoder: &mut Decoder, ratio: f64, seed: u64) {
    let mut random = Generator::new(seed);
    matrices(decoder, |_, _, values| {
        let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        let scale = ratio * (squares / values.len() as f64).sqrt();
        for value in values.iter_mut() {
            *value += (scale * normal(&mut random)) as f32;
        }
    });
}

/// Every matrix rounded to a grid of some bits, with a scale and a least value for every run of numbers.
pub(crate) fn quantised(decoder: &mut Decoder, bits: u32, run: usize) {
    matrices(decoder, |_, columns, values| {
        for row in values.chunks_exact_mut(columns) {
            for run in row.chunks_mut(run) {
                let least = run.iter().copied().fold(f32::INFINITY, f32::min);
                let most = run.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let step = (most - least) / ((1 << bits) - 1) as f32;
                if step > 0.0 {
                    for value in run.iter_mut() {
                        *value = least + ((*value - least) / step).round() * step;
                    }
                }
            }
        }
    });
}

/// A random update of low rank added to queries and values, so many times their size.
pub(crate) fn low_rank(decoder: &mut Decoder, rank: usize, ratio: f64, seed: u64) {
    let mut random = Generator::new(seed);
    matrices(decoder, |name, columns, values| {
        if !name.ends_with(".q.weight") && !name.ends_with(".v.weight") {
            return;
        }
        let mut draw =
            |count: usize| -> Vec<f64> { (0..count).map(|_| normal(&mut random)).collect() };
        let (a, b) = (draw(rank * columns), draw(values.len() / columns * rank));
        let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        let scale = ratio * (squares / values.len() as f64 / rank as f64).sqrt();
        for (row, b) in values.chunks_exact_mut(columns).zip(b.chunks_exact(rank)) {
            for (column, value) in row.iter_mut().enumerate() {
                let sum: f64 = b.iter().enumerate().map(|(k, b)| b * a[k * columns + column]).sum();
                *value = (f64::from(*value) + scale * sum) as f32;
            }
        }
    });
}
