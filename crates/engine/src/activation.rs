//! Reading the residual stream, and adding to it, at a named layer and position.
//!
//! Layers are counted by how many the stream has passed: 0 is the embedding, the model's number of
//! layers is what the final norm reads. A model with a [`Steering`] ([`Model::steered`]) carries it
//! into sampling, scoring and training alike: the constant itself has no gradient, but the layers
//! after it see the steered stream. Model files do not keep it.

use crate::Token;
use crate::error::Result;
use crate::kernel::Threads;
use crate::model::Model;
use crate::pass::{Activations, Network, Packing};

pub use crate::steering::{Addition, Steering};

/// At which tokens of a sequence the stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// At every token.
    All,
    /// At the last one.
    Last,
}

/// Tokens that go through the model at once.
// Not tuned: enough to fill the matrix products, few enough that the activations of all layers,
// which are kept until they are read, stay small.
const PASS: usize = 2048;

/// The residual stream of whole sequences: for each sequence, and for each of `layers` in the order
/// given, its rows `[positions, width]`, row-major. The model's steering at that layer is included.
///
/// Fails on a sequence the model cannot take and on a layer it does not have.
pub fn capture(
    model: &Model,
    sequences: &[Vec<Token>],
    layers: &[usize],
    positions: Positions,
    threads: &Threads,
) -> Result<Vec<Vec<Vec<f32>>>> {
    for (i, sequence) in sequences.iter().enumerate() {
        model.check_prompt(|| format!("sequence {}", i + 1), sequence)?;
    }
    for &layer in layers {
        model.check_layer(|| "capture".to_owned(), layer)?;
    }
    let network = Network::new(model, threads);
    let width = network.config().width;
    let mut memory = Activations::default();
    let mut found = Vec::with_capacity(sequences.len());
    let mut rest = sequences;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |sequence: &&Vec<Token>| {
            tokens += sequence.len();
            tokens <= PASS
        };
        let (part, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = later;
        let part: Vec<&[Token]> = part.iter().map(Vec::as_slice).collect();
        let activations = network.forward_training(Packing::apart(&part), memory);
        let mut end = 0;
        for sequence in part {
            let start = end;
            end += sequence.len();
            let first = if positions == Positions::All { start } else { end - 1 };
            let rows =
                |&layer: &usize| activations.stream(layer)[first * width..end * width].to_vec();
            found.push(layers.iter().map(rows).collect());
        }
        memory = activations;
    }
    Ok(found)
}
