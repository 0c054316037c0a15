//! Numbers in a layout as a safetensors file: for networks that are no decoders.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use super::safetensors::{Precision, Safetensors, Written, to_bytes};
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::parameters::Parameters;

/// The bytes of a file that holds every tensor, in single precision.
pub(crate) fn write(parameters: &Parameters) -> Result<Vec<u8>> {
    let tensor = |span: &crate::parameters::Span| {
        let range = span.range.clone();
        let values = Box::new(move || Cow::Borrowed(&parameters.data[range.clone()]));
        let written = Written { shape: span.shape.clone(), precision: Precision::F32, values };
        (span.name.clone(), written)
    };
    to_bytes(parameters.layout.spans().iter().map(tensor).collect::<BTreeMap<_, _>>())
}

/// Fills every tensor from the bytes of such a file.
///
/// # Errors
/// Bytes that are no such file, and a tensor that is missing or of another shape.
pub(crate) fn read(parameters: &mut Parameters, bytes: &[u8]) -> Result<()> {
    let path = PathBuf::from("network.safetensors");
    let mut tensors = Safetensors::open([(path, Cursor::new(bytes))])?;
    parameters.fill(|span| {
        let shape = tensors.shape(&span.name);
        if shape.as_ref() != Some(&span.shape) {
            let found =
                shape.map_or("is missing".to_owned(), |shape| format!("has shape {shape:?}"));
            return Err(Error::tensor(&span.name, format!("{found}, expected {:?}", span.shape)));
        }
        tensors.read(&span.name)
    })
}
