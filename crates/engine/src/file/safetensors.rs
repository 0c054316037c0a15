//! Safetensors files, read one tensor at a time and written in one pass
//! (<https://huggingface.co/docs/safetensors>).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype, Metadata, SafeTensorError, View};

use super::bytes;
use super::tensors::Tensors;
use super::{cannot_read, cannot_write};
use crate::error::{Error, Result};

/// Bytes before the header, which hold its length.
const LENGTH: u64 = 8;

/// Bytes of the longest header (the format's own bound).
const MOST_HEADER: u64 = 100_000_000;

/// How many bits a written number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: exactly what is in memory.
    F32,
    /// Half precision (IEEE 754 binary16): 11 bits of fraction, up to 65504.
    F16,
    /// Brain floating point: the range of single precision with 8 bits of fraction.
    Bf16,
}

fn bad(path: &Path, reason: impl Into<String>) -> Error {
    Error::format("safetensors file", path, reason)
}

/// The tensors of one or more files.
pub(super) struct Safetensors<R> {
    files: Vec<File<R>>,
    /// Which file each tensor is in.
    places: BTreeMap<String, usize>,
}

struct File<R> {
    path: PathBuf,
    reader: R,
    metadata: Metadata,
    data: u64,
}

impl<R: Read + Seek> Safetensors<R> {
    /// Reads the headers of `files`.
    pub(super) fn open(files: impl IntoIterator<Item = (PathBuf, R)>) -> Result<Self> {
        let mut tensors = Self { files: Vec::new(), places: BTreeMap::new() };
        for (number, (path, reader)) in files.into_iter().enumerate() {
            let file = File::open(path, reader)?;
            for name in file.metadata.offset_keys() {
                if tensors.places.insert(name.clone(), number).is_some() {
                    return Err(bad(&file.path, format!("tensor `{name}` is in two files")));
                }
            }
            tensors.files.push(file);
        }
        Ok(tensors)
    }

    /// The names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }
}

impl<R: Read + Seek> File<R> {
    fn open(path: PathBuf, mut reader: R) -> Result<Self> {
        let io = |source| cannot_read(&path, source);
        let size = reader.seek(SeekFrom::End(0)).map_err(io)?;
        reader.rewind().map_err(io)?;
        if size < LENGTH {
            return Err(bad(&path, format!("is {size} bytes long, too short for a header")));
        }
        let mut length = [0; LENGTH as usize];
        reader.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > size - LENGTH {
            let follow = size - LENGTH;
            return Err(bad(
                &path,
                format!(
                    "its header claims {length} bytes, but {follow} follow; the file is cut off or not safetensors"
                ),
            ));
        }
        if length > MOST_HEADER {
            return Err(bad(
                &path,
                format!("its header is {length} bytes long, expected at most {MOST_HEADER}"),
            ));
        }
        let mut header = vec![0; length as usize];
        reader.read_exact(&mut header).map_err(io)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| bad(&path, format!("its header cannot be used: {error}")))?;
        let data = LENGTH + length;
        let expected = metadata.data_len() as u64;
        if size - data != expected {
            let follow = size - data;
            return Err(bad(
                &path,
                format!(
                    "its tensors take {expected} bytes, but {follow} follow the header; the file is cut off or damaged"
                ),
            ));
        }
        Ok(Self { path, reader, metadata, data })
    }
}

impl<R: Read + Seek> Tensors for Safetensors<R> {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let file = &self.files[*self.places.get(name)?];
        file.metadata.info(name).map(|info| info.shape.clone())
    }

    fn storage(&self, name: &str) -> Option<(&'static str, u64)> {
        let info = self.files[*self.places.get(name)?].metadata.info(name)?;
        let (start, end) = info.data_offsets;
        let kind = match info.dtype {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            _ => "another",
        };
        Some((kind, (end - start) as u64))
    }

    fn raw(&mut self, name: &str, start: u64, bytes: &mut [u8]) -> Result<()> {
        let missing = || Error::tensor(name, "is missing");
        let file = &mut self.files[*self.places.get(name).ok_or_else(missing)?];
        let info = file.metadata.info(name).ok_or_else(missing)?;
        let place = file.data + info.data_offsets.0 as u64 + start;
        file.reader
            .seek(SeekFrom::Start(place))
            .and_then(|_| file.reader.read_exact(bytes))
            .map_err(|source| cannot_read(&file.path, source))
    }

    fn decode(&self, name: &str, bytes: &[u8]) -> Result<Vec<f32>> {
        let place = self.places.get(name);
        let info = place.and_then(|&place| self.files[place].metadata.info(name));
        match info.map(|info| info.dtype) {
            Some(Dtype::F32) => Ok(bytes::from_f32(bytes)),
            Some(Dtype::F16) => Ok(bytes::from_f16(bytes)),
            Some(Dtype::BF16) => Ok(bytes::from_bf16(bytes)),
            Some(other) => {
                let reason = format!("has type {other:?}, expected F32, F16 or BF16");
                Err(Error::tensor(name, reason))
            }
            None => Err(Error::tensor(name, "is missing")),
        }
    }
}

/// A tensor to be written.
pub(super) struct Written<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) precision: Precision,
    /// Its numbers, asked for once.
    pub(super) values: Box<dyn Fn() -> Cow<'a, [f32]> + 'a>,
}

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
            Precision::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = (self.values)();
        let halves = |narrow: fn(f32) -> u16| -> Vec<u8> {
            let mut bytes = vec![0; 2 * values.len()];
            for (two, &value) in bytes.as_chunks_mut().0.iter_mut().zip(&*values) {
                *two = narrow(value).to_le_bytes();
            }
            bytes
        };
        Cow::Owned(match self.precision {
            Precision::F32 => bytes::to_f32(&values),
            Precision::F16 => halves(bytes::f32_to_f16),
            Precision::Bf16 => halves(bytes::f32_to_bf16),
        })
    }

    fn data_len(&self) -> usize {
        let width = if self.precision == Precision::F32 { 4 } else { 2 };
        self.shape.iter().product::<usize>() * width
    }
}

/// Transformers refuses files that do not say what wrote them.
fn provenance() -> HashMap<String, String> {
    HashMap::from([("format".to_owned(), "pt".to_owned())])
}

/// The bytes of a file with these tensors.
pub(super) fn to_bytes(tensors: BTreeMap<String, Written<'_>>) -> Result<Vec<u8>> {
    ::safetensors::serialize(tensors, Some(provenance()))
        .map_err(|error| unwritable(Path::new(""), error))
}

/// Writes a file with these tensors, one at a time.
pub(super) fn write(path: &Path, tensors: BTreeMap<String, Written<'_>>) -> Result<()> {
    // The crate renames a file that only its owner may read over this one.
    let made = std::fs::File::create(path).and_then(|file| file.metadata());
    let permissions = made.map_err(|source| cannot_write(path, source))?.permissions();
    ::safetensors::serialize_to_file(tensors, Some(provenance()), path)
        .map_err(|error| unwritable(path, error))?;
    std::fs::set_permissions(path, permissions).map_err(|source| cannot_write(path, source))
}

fn unwritable(path: &Path, error: SafeTensorError) -> Error {
    match error {
        SafeTensorError::IoError(source) => cannot_write(path, source),
        other => bad(path, other.to_string()),
    }
}
