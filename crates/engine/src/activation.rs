//! Reading the residual stream and adding to it, at a named layer and position.
//!
//! Layers are counted by how many the stream has passed: 0 is the embedding, the model's number of
//! layers is what the final norm reads. A model with a [`Steering`] carries it into sampling, scoring
//! and training alike (a constant has no gradient, what it changes has); files do not keep it.

use std::ops::Range;
use std::sync::Arc;

use crate::Token;
use crate::error::{Error, Result};
use crate::generate::check_prompt;
use crate::kernel::Threads;
use crate::kernel::vector::add;
use crate::model::Model;
use crate::pass::{Activations, Network, Packing};

/// A vector added to the residual stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition {
    /// After how many layers.
    pub layer: usize,
    /// At which positions of a sequence, the first token's being 0; `0..usize::MAX` is everywhere.
    pub positions: Range<usize>,
    /// What is added, as wide as the model.
    pub vector: Vec<f32>,
}

/// Everything that is added to a model's stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steering {
    additions: Vec<Addition>,
}

impl Steering {
    /// Adds what stands after `layer` layers to rows of `x` at `positions`.
    pub(crate) fn apply(&self, layer: usize, positions: &[usize], x: &mut [f32]) {
        for addition in self.additions.iter().filter(|addition| addition.layer == layer) {
            for (&position, row) in positions.iter().zip(x.chunks_exact_mut(addition.vector.len()))
            {
                if addition.positions.contains(&position) {
                    add(row, &addition.vector);
                }
            }
        }
    }
}

impl Model {
    /// The same model with `additions` (and none else) to its residual stream.
    ///
    /// Fails on a layer the model does not have and a vector of the wrong width.
    pub fn steered(&self, additions: Vec<Addition>) -> Result<Self> {
        let config = &self.decoder.config;
        for (i, Addition { layer, vector, .. }) in additions.iter().enumerate() {
            let fail = |reason| Err(Error::Request { item: format!("addition {}", i + 1), reason });
            check_layer(|| format!("addition {}", i + 1), *layer, self)?;
            if vector.len() != config.width {
                let (found, width) = (vector.len(), config.width);
                return fail(format!("has {found} numbers, the model's stream is {width} wide"));
            }
            if !vector.iter().all(|x| x.is_finite()) {
                return fail("has a number that is not finite".to_owned());
            }
        }
        Ok(Self { steering: Some(Arc::new(Steering { additions })), ..self.clone() })
    }
}

fn check_layer(item: impl Fn() -> String, layer: usize, model: &Model) -> Result<()> {
    let most = model.decoder.config.layers;
    if layer > most {
        let reason = format!("names layer {layer}, expected 0 (the embedding) to {most}");
        return Err(Error::Request { item: item(), reason });
    }
    Ok(())
}

/// At which tokens of a sequence the stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// At every token.
    All,
    /// At the last one.
    Last,
}

/// Tokens that go through the model at once.
const PASS: usize = 2048;

/// The residual stream of whole sequences: for each sequence and each of `layers` its rows,
/// `[positions, width]`. What is added there by the model's steering is part of it.
pub fn capture(
    model: &Model,
    sequences: &[Vec<Token>],
    layers: &[usize],
    positions: Positions,
    threads: &Threads,
) -> Result<Vec<Vec<Vec<f32>>>> {
    for (i, sequence) in sequences.iter().enumerate() {
        check_prompt(|| format!("sequence {}", i + 1), sequence, model)?;
    }
    for &layer in layers {
        check_layer(|| "capture".to_owned(), layer, model)?;
    }
    let network = Network::new(model);
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
        let activations = network.forward_training(threads, Packing::apart(&part), memory);
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
