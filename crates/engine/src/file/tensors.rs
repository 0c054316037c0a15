//! From the tensors of any file to a decoder: every tensor is found and its shape checked before
//! memory is taken for any.

use std::collections::BTreeSet;

use super::names::Stored;
use crate::config::DecoderConfig;
use crate::decoder::Decoder;
use crate::error::{Error, Result};

/// A file, or several, that hold named tensors.
pub(super) trait Tensors {
    /// The row-major shape of a tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// How a tensor's numbers are stored, as its format calls it, and how many bytes they take.
    fn storage(&self, name: &str) -> Option<(&'static str, u64)>;

    /// Fills `bytes` with the stored ones of a tensor from its byte `start` on.
    fn raw(&mut self, name: &str, start: u64, bytes: &mut [u8]) -> Result<()>;

    /// The numbers that stored bytes of a tensor hold, whole rows of it.
    fn decode(&self, name: &str, bytes: &[u8]) -> Result<Vec<f32>>;

    /// The numbers of a tensor, as many as its shape says.
    fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let (_, size) = self.storage(name).ok_or_else(|| missing(name))?;
        let mut bytes = vec![0; size as usize];
        self.raw(name, 0, &mut bytes)?;
        self.decode(name, &bytes)
    }

    /// The numbers of these rows of a matrix, one after another.
    fn rows(&mut self, name: &str, rows: &[usize]) -> Result<Vec<f32>> {
        let (_, size) = self.storage(name).ok_or_else(|| missing(name))?;
        let count = self.shape(name).and_then(|shape| shape.first().copied()).unwrap_or(1);
        let width = size as usize / count;
        let mut bytes = vec![0; rows.len() * width];
        let mut done = 0;
        while done < rows.len() {
            // Rows that follow one another are one reading.
            let run = (done + 1..rows.len()).find(|&i| rows[i] != rows[i - 1] + 1);
            let end = run.unwrap_or(rows.len());
            let start = (rows[done] * width) as u64;
            self.raw(name, start, &mut bytes[done * width..end * width])?;
            done = end;
        }
        self.decode(name, &bytes)
    }
}

fn missing(name: &str) -> Error {
    Error::tensor(name, "is missing")
}

/// The names of all stored tensors that a decoder of this shape is made of.
pub(super) fn names(
    config: &DecoderConfig,
    stored: impl Fn(&DecoderConfig, &str) -> Stored,
) -> BTreeSet<String> {
    let layout = Decoder::layout(config);
    layout.spans().iter().map(|span| stored(config, &span.name).name).collect()
}

/// The decoder whose weights are in `tensors`, under the names that `stored` gives.
pub(super) fn decoder(
    config: DecoderConfig,
    tensors: &mut impl Tensors,
    stored: impl Fn(&DecoderConfig, &str) -> Stored,
) -> Result<Decoder> {
    let places = places(&config, tensors, stored)?;
    let mut decoder = Decoder::zeros(config)?;
    let mut places = places.into_iter();
    // Parts of one stored tensor follow one another, so remembering the last reads each once.
    let mut last: (String, Vec<f32>) = (String::new(), Vec::new());
    decoder.parameters.fill(|span| {
        let place = places.next().expect("there is a place for every span of the layout");
        if last.0 != place.name {
            last = (place.name.clone(), finite(&place.name, tensors.read(&place.name)?)?);
        }
        Ok(place.part.take(&last.1, &span.shape))
    })?;
    Ok(decoder)
}

/// The numbers, if they are all ones to compute with.
pub(super) fn finite(name: &str, values: Vec<f32>) -> Result<Vec<f32>> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(at) => {
            let reason = format!("number {at} is {}, expected finite numbers", values[at]);
            Err(Error::tensor(name, reason))
        }
    }
}

/// Where each tensor of the decoder's layout is stored; fails unless all are there in their shapes.
pub(super) fn places(
    config: &DecoderConfig,
    tensors: &impl Tensors,
    stored: impl Fn(&DecoderConfig, &str) -> Stored,
) -> Result<Vec<Stored>> {
    config.check()?;
    let layout = Decoder::layout(config);
    let mut places = Vec::with_capacity(layout.spans().len());
    for span in layout.spans() {
        let place = stored(config, &span.name);
        let expected = place.part.stored_shape(&span.shape);
        let reason = match tensors.shape(&place.name) {
            Some(shape) if shape == expected => {
                places.push(place);
                continue;
            }
            Some(shape) => format!("has shape {shape:?}, expected {expected:?}"),
            None => format!("is missing, expected shape {expected:?}"),
        };
        return Err(Error::tensor(place.name, reason));
    }
    Ok(places)
}
