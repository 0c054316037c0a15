//! Turning one model's residual stream into another's, by the embeddings of tokens that both know.

use std::collections::HashMap;

use owlet_engine::{Threads, linear};

use super::{Compared, Settings, units};
use crate::error::Result;

/// Token embeddings per dimension of the stream.
const TOKENS: usize = 2;
/// Steps of the iteration below. Each multiplies small singular values by 3.4, so that eight lift what is
/// 20,000 times smaller than the matrix itself.
const STEPS: usize = 8;

/// The turn of the second model's rows into the first one's basis (`[width, width]`), or why there is none.
pub(super) fn turn(
    first: &mut Compared,
    second: &mut Compared,
    settings: &Settings,
) -> Result<std::result::Result<Vec<f32>, String>> {
    let width = first.weights.config().width;
    let mut shared = match shared(first, second) {
        Ok(shared) => shared,
        Err(why) => return Ok(Err(why)),
    };
    if shared.len() < width {
        return Ok(Err(format!(
            "the tokenizers have {} tokens in common, expected at least {width}, one for each dimension",
            shared.len()
        )));
    }
    let chosen = units::sample(shared.len(), TOKENS * width, settings.seed, "tokens");
    shared = chosen.into_iter().map(|place| shared[place]).collect();
    let [mut ours, mut theirs]: [Vec<usize>; 2] = Default::default();
    for (own, other) in &shared {
        ours.push(*own);
        theirs.push(*other);
    }
    let ours = centred(first.weights.rows("embed.weight", &ours)?, width);
    let theirs = centred(second.weights.rows("embed.weight", &theirs)?, width);
    for (model, rows) in [(&first, &ours), (&second, &theirs)] {
        if rows.iter().all(|value| *value == 0.0) {
            return Ok(Err(format!(
                "the embeddings of `{}` are the same for all tokens in common",
                model.name
            )));
        }
    }
    let covariance = linear::covariance(&settings.threads, &theirs, &ours, shared.len());
    Ok(Ok(orthogonal(&settings.threads, covariance, width)))
}

/// Ids of tokens of the same text, by the first model's ids; an error in words.
fn shared(
    first: &mut Compared,
    second: &mut Compared,
) -> std::result::Result<Vec<(usize, usize)>, String> {
    tokens(first)?;
    tokens(second)?;
    let own = first.tokens.as_deref().unwrap_or_default();
    let other = second.tokens.as_deref().unwrap_or_default();
    let places: HashMap<&str, usize> =
        other.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let both = own.iter().enumerate();
    Ok(both.filter_map(|(id, token)| Some((id, *places.get(token.as_str())?))).collect())
}

/// Reads a model's tokens, once.
fn tokens(model: &mut Compared) -> std::result::Result<(), String> {
    if model.tokens.is_none() {
        let tokenizer = model.weights.tokenizer();
        let tokenizer = tokenizer.map_err(|error| {
            format!("the tokenizer of `{}` cannot be read: {error}", model.name)
        })?;
        let rows = model.weights.config().vocabulary.min(tokenizer.vocabulary());
        model.tokens = Some((0..rows as u32).filter_map(|id| tokenizer.name(id)).collect());
    }
    Ok(())
}

fn centred(mut rows: Vec<f32>, width: usize) -> Vec<f32> {
    let count = rows.len() / width;
    let mut mean = vec![0.0_f64; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value) / count as f64);
    }
    for row in rows.chunks_exact_mut(width) {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= *mean as f32);
    }
    rows
}

/// Nearly the orthogonal factor of a square matrix, the solution of Procrustes' problem (Schönemann 1966),
/// by a Newton-Schulz iteration with the coefficients of Jordan et al. 2024 (Muon), which need no inverse
/// and bring all singular values that are not tiny to between 0.7 and 1.2. That suffices: whatever this
/// matrix is, it knows nothing of the order of hidden units, so the test after it stays exact.
fn orthogonal(threads: &Threads, mut matrix: Vec<f32>, width: usize) -> Vec<f32> {
    let squares: f64 = matrix.iter().map(|&value| f64::from(value).powi(2)).sum();
    let scale = (1.0 / squares.sqrt().max(f64::MIN_POSITIVE)) as f32;
    for value in &mut matrix {
        *value *= scale;
    }
    for _ in 0..STEPS {
        let gram = linear::covariance(threads, &matrix, &matrix, width);
        let mut factor = linear::transformed(threads, &gram, &gram, width);
        for (place, (value, gram)) in factor.iter_mut().zip(&gram).enumerate() {
            let diagonal = if place % (width + 1) == 0 { 3.4445 } else { 0.0 };
            *value = 2.0315 * *value - 4.7750 * gram + diagonal;
        }
        matrix = linear::transformed(threads, &matrix, &factor, width);
    }
    matrix
}
