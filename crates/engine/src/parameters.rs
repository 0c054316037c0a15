//! One flat `f32` buffer with named, shaped spans: weights, gradients and optimiser state share
//! a layout, so an update, a norm or a cosine similarity is one pass over one slice.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernel::Buffer;

/// One tensor's place in a flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Canonical name, e.g. `layers.0.q.weight`.
    pub name: String,
    /// Row-major shape: `[rows, columns]` or `[length]`.
    pub shape: Vec<usize>,
    /// Where it lies, in elements.
    pub range: Range<usize>,
}

/// The order and place of every tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    spans: Vec<Span>,
    index: BTreeMap<String, usize>,
    len: usize,
}

impl Layout {
    /// Appends a tensor and returns its place.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) -> Range<usize> {
        let name = name.into();
        let range = self.len..self.len + shape.iter().product::<usize>();
        self.len = range.end;
        self.index.insert(name.clone(), self.spans.len());
        self.spans.push(Span { name, shape: shape.to_vec(), range: range.clone() });
        range
    }

    /// All tensors, in storage order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Span> {
        self.index.get(name).map(|&i| &self.spans[i])
    }

    /// Elements in all tensors together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// A buffer of numbers in a layout.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Names and places.
    pub layout: Arc<Layout>,
    /// The numbers.
    pub data: Buffer,
}

impl Parameters {
    /// All zeros.
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let data = Buffer::zeros(layout.len());
        Self { layout, data }
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.layout.get(name).map(|span| &self.data[span.range.clone()])
    }

    /// Fills every tensor from `source`, which gives the numbers for a canonical name.
    ///
    /// Fails on a tensor that is missing or of the wrong size.
    pub fn fill(&mut self, mut source: impl FnMut(&Span) -> Result<Vec<f32>>) -> Result<()> {
        let layout = Arc::clone(&self.layout);
        for span in layout.spans() {
            let values = source(span)?;
            let (found, expected) = (values.len(), span.range.len());
            if found != expected {
                let shape = &span.shape;
                let reason = format!("has {found} numbers, expected {expected} (shape {shape:?})");
                return Err(Error::tensor(&span.name, reason));
            }
            self.data[span.range.clone()].copy_from_slice(&values);
        }
        Ok(())
    }
}
