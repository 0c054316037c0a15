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

    /// The numbers of a tensor, as many as its shape says.
    fn read(&mut self, name: &str) -> Result<Vec<f32>>;
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
    config.check()?;
    let layout = Decoder::layout(&config);
    let mut places = Vec::with_capacity(layout.spans().len());
    for span in layout.spans() {
        let place = stored(&config, &span.name);
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
    let mut decoder = Decoder::zeros(config)?;
    let mut places = places.into_iter();
    // Parts of one stored tensor follow one another, so remembering the last reads each once.
    let mut last: (String, Vec<f32>) = (String::new(), Vec::new());
    decoder.parameters.fill(|span| {
        let place = places.next().expect("there is a place for every span of the layout");
        if last.0 != place.name {
            last = (place.name.clone(), tensors.read(&place.name)?);
            if let Some(at) = last.1.iter().position(|value| !value.is_finite()) {
                let reason = format!("number {at} is {}, expected finite numbers", last.1[at]);
                return Err(Error::tensor(place.name, reason));
            }
        }
        Ok(place.part.take(&last.1, &span.shape))
    })?;
    Ok(decoder)
}
