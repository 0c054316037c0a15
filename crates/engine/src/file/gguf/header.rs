//! The part of a GGUF file before the weights: key-value metadata and tensor descriptions.
//!
//! Every count and length is checked against the bytes that are left before anything of that size
//! is taken, so a hostile header cannot ask for more memory than a small multiple of its file.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::blocks::Kind;
use crate::error::{Error, Result};
use crate::file::cannot_read;
use crate::file::tensors::Tensors;

/// Bytes of the shortest key-value pair (empty key, one byte) and tensor description.
const LEAST_PAIR: u64 = 8 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;
const MOST_DIMENSIONS: u32 = 4;

/// Bytes of the longest key (the format's own bound) and of the longest text (a chat template has some
/// 20,000), and entries of the longest list (merges of large vocabularies are half a million).
const MOST_KEY: u64 = 0xFFFF;
const MOST_TEXT: u64 = 16 << 20;
const MOST_ENTRIES: u64 = 1 << 24;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(i128),
    Number(f64),
    Flag(bool),
    Text(String),
    Wholes(Vec<i64>),
    Bytes(Vec<u8>),
    Numbers(Vec<f32>),
    Texts(Vec<String>),
}

/// A tensor's place in the file.
#[derive(Clone, Debug)]
struct Described {
    /// Row-major: the reverse of what the file says.
    shape: Vec<usize>,
    kind: Kind,
    /// Which of the files it is in.
    file: usize,
    /// First byte, from the start of the file, and how many there are.
    start: u64,
    size: u64,
}

/// An opened GGUF file, with the further parts of a split one.
pub(in crate::file) struct Gguf<R> {
    path: PathBuf,
    readers: Vec<BufReader<R>>,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Described>,
}

/// Reads forward and knows how much is left.
struct Cursor<'a, R> {
    path: &'a Path,
    reader: &'a mut BufReader<R>,
    size: u64,
    left: u64,
}

impl<R: Read> Cursor<'_, R> {
    fn bad(&self, reason: impl std::fmt::Display) -> Error {
        let reason = format!("at byte {}: {reason}", self.size - self.left);
        Error::format("GGUF file", self.path, reason)
    }

    /// Fails unless `count` things of at least `each` bytes can still follow.
    fn expect(&self, count: u64, each: u64, what: &str) -> Result<()> {
        if count.checked_mul(each).is_none_or(|bytes| bytes > self.left) {
            let left = self.left;
            return Err(self.bad(format!("{count} {what} cannot fit in the {left} bytes left")));
        }
        Ok(())
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.expect(count, 1, "bytes")?;
        let mut bytes = vec![0; count as usize];
        self.reader.read_exact(&mut bytes).map_err(|source| cannot_read(self.path, source))?;
        self.left -= count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.expect(N as u64, 1, "bytes")?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|source| cannot_read(self.path, source))?;
        self.left -= N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn key(&mut self) -> Result<String> {
        self.text_up_to(MOST_KEY, "a key")
    }

    fn text(&mut self) -> Result<String> {
        self.text_up_to(MOST_TEXT, "a text")
    }

    fn text_up_to(&mut self, most: u64, what: &str) -> Result<String> {
        let length = self.u64()?;
        if length > most {
            return Err(
                self.bad(format!("{what} is too long, {length} bytes, expected at most {most}"))
            );
        }
        let bytes = self.bytes(length)?;
        String::from_utf8(bytes).map_err(|error| self.bad(format!("a text is not UTF-8: {error}")))
    }

    fn value(&mut self) -> Result<Value> {
        let kind = self.u32()?;
        if kind == ARRAY {
            let (kind, count) = (self.u32()?, self.u64()?);
            return self.values(kind, count);
        }
        Ok(match kind {
            FLOAT32 => Value::Number(f64::from(f32::from_le_bytes(self.array()?))),
            FLOAT64 => Value::Number(f64::from_le_bytes(self.array()?)),
            BOOL => Value::Flag(self.array::<1>()? != [0]),
            STRING => Value::Text(self.text()?),
            _ => Value::Whole(self.whole(kind)?),
        })
    }

    fn whole(&mut self, kind: u32) -> Result<i128> {
        Ok(match kind {
            UINT8 => u8::from_le_bytes(self.array()?).into(),
            INT8 => i8::from_le_bytes(self.array()?).into(),
            UINT16 => u16::from_le_bytes(self.array()?).into(),
            INT16 => i16::from_le_bytes(self.array()?).into(),
            UINT32 => self.u32()?.into(),
            INT32 => i32::from_le_bytes(self.array()?).into(),
            UINT64 => self.u64()?.into(),
            INT64 => i64::from_le_bytes(self.array()?).into(),
            other => return Err(self.bad(format!("{other} is not a metadata type"))),
        })
    }

    fn values(&mut self, kind: u32, count: u64) -> Result<Value> {
        let width = match kind {
            UINT8 | INT8 | BOOL => 1,
            UINT16 | INT16 => 2,
            UINT32 | INT32 | FLOAT32 => 4,
            UINT64 | INT64 | FLOAT64 | STRING => 8,
            ARRAY => return Err(self.bad("arrays of arrays are not supported")),
            other => return Err(self.bad(format!("{other} is not a metadata type"))),
        };
        self.expect(count, width, "array elements")?;
        if count > MOST_ENTRIES {
            return Err(
                self.bad(format!("a list has {count} entries, expected at most {MOST_ENTRIES}"))
            );
        }
        Ok(match kind {
            UINT8 | INT8 | BOOL => Value::Bytes(self.bytes(count)?),
            FLOAT32 => {
                Value::Numbers(self.list(count, |own| Ok(f32::from_le_bytes(own.array()?)))?)
            }
            FLOAT64 => {
                Value::Numbers(self.list(count, |own| Ok(f64::from_le_bytes(own.array()?) as f32))?)
            }
            STRING => Value::Texts(self.list(count, Self::text)?),
            _ => Value::Wholes(self.list(count, |own| {
                let whole = own.whole(kind)?;
                i64::try_from(whole).map_err(|_| own.bad(format!("{whole} is out of range")))
            })?),
        })
    }

    fn list<T>(&mut self, count: u64, read: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        (0..count).map(|_| read(self)).collect()
    }
}

/// Type numbers of metadata values.
pub(super) const UINT8: u32 = 0;
const INT8: u32 = 1;
const UINT16: u32 = 2;
const INT16: u32 = 3;
pub(super) const UINT32: u32 = 4;
pub(super) const INT32: u32 = 5;
pub(super) const FLOAT32: u32 = 6;
pub(super) const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;
const UINT64: u32 = 10;
const INT64: u32 = 11;
const FLOAT64: u32 = 12;

impl<R: Read + Seek> Gguf<R> {
    /// Reads everything but the weights.
    pub(super) fn open(path: &Path, mut reader: R) -> Result<Self> {
        let io = |source| cannot_read(path, source);
        let size = reader.seek(SeekFrom::End(0)).map_err(io)?;
        reader.rewind().map_err(io)?;
        let mut reader = BufReader::new(reader);
        let mut cursor = Cursor { path, reader: &mut reader, size, left: size };
        if &cursor.array::<4>()? != b"GGUF" {
            return Err(cursor.bad("expected the letters GGUF"));
        }
        match cursor.u32()? {
            2 | 3 => {}
            version if version.swap_bytes() < 0x1_0000 && version >= 0x1_0000 => {
                return Err(cursor.bad("a big-endian file; convert it to little-endian"));
            }
            version => {
                return Err(cursor.bad(format!("version {version}, expected 2 or 3")));
            }
        }
        let (tensors, pairs) = (cursor.u64()?, cursor.u64()?);
        cursor.expect(pairs, LEAST_PAIR, "metadata pairs")?;
        cursor.expect(tensors, LEAST_TENSOR, "tensors")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let key = cursor.key()?;
            let value = cursor.value()?;
            if metadata.contains_key(&key) {
                return Err(cursor.bad(format!("`{key}` is there twice")));
            }
            metadata.insert(key, value);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Whole(alignment @ 1..=0x1_0000)) if *alignment % 8 == 0 => {
                *alignment as u64
            }
            Some(_) => {
                return Err(cursor.bad("`general.alignment` is not a multiple of 8 up to 65536"));
            }
        };
        let tensors = described(&mut cursor, tensors, alignment)?;
        Ok(Self { path: path.to_owned(), readers: vec![reader], metadata, tensors })
    }

    /// Which part of how many this file is, counted from zero, where a model was split.
    pub(super) fn part(&self) -> Result<(usize, usize)> {
        let count = self.size("split.count")?.unwrap_or(1).max(1);
        Ok((self.size("split.no")?.unwrap_or(0), count))
    }

    /// Adds the tensors of another part.
    pub(super) fn join(&mut self, other: Self) -> Result<()> {
        let files = self.readers.len();
        for (name, mut tensor) in other.tensors {
            tensor.file += files;
            if self.tensors.insert(name.clone(), tensor).is_some() {
                return Err(self.bad(format!("tensor `{name}` is in two of its parts")));
            }
        }
        self.readers.extend(other.readers);
        Ok(())
    }

    /// The names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All metadata, sorted by key.
    pub(super) fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// An error about this file.
    pub(super) fn bad(&self, reason: impl Into<String>) -> Error {
        Error::format("GGUF file", &self.path, reason)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.metadata.get(key) else {
            return Ok(None);
        };
        read(value).map(Some).ok_or_else(|| self.bad(format!("`{key}` is not {expected}")))
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number, zero or more.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a whole number", |value| match value {
            Value::Whole(whole) => usize::try_from(*whole).ok(),
            _ => None,
        })
    }

    /// A number.
    pub(super) fn number(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a number", |value| match value {
            Value::Number(number) => Some(*number as f32),
            Value::Whole(whole) => Some(*whole as f32),
            _ => None,
        })
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<&[String]>> {
        self.typed(key, "a list of texts", |value| match value {
            Value::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// A list of whole numbers.
    pub(super) fn wholes(&self, key: &str) -> Result<Option<&[i64]>> {
        self.typed(key, "a list of whole numbers", |value| match value {
            Value::Wholes(wholes) => Some(wholes.as_slice()),
            _ => None,
        })
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<&[f32]>> {
        self.typed(key, "a list of numbers", |value| match value {
            Value::Numbers(numbers) => Some(numbers.as_slice()),
            _ => None,
        })
    }
}

/// Reads the tensor descriptions and checks that each lies in the file, aligned, and apart from the
/// others.
fn described<R: Read>(
    cursor: &mut Cursor<'_, R>,
    count: u64,
    alignment: u64,
) -> Result<BTreeMap<String, Described>> {
    let mut tensors: BTreeMap<String, Described> = BTreeMap::new();
    for _ in 0..count {
        let name = cursor.key()?;
        let dimensions = cursor.u32()?;
        if dimensions == 0 || dimensions > MOST_DIMENSIONS {
            return Err(cursor.bad(format!(
                "tensor `{name}` has {dimensions} dimensions, expected 1 to {MOST_DIMENSIONS}"
            )));
        }
        let mut shape = Vec::new();
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let length = cursor.u64()?;
            elements = elements
                .checked_mul(length)
                .filter(|&elements| elements > 0 && elements <= usize::MAX as u64 / 8)
                .ok_or_else(|| cursor.bad(format!("tensor `{name}` has an impossible size")))?;
            shape.push(length as usize);
        }
        let number = cursor.u32()?;
        let kind = Kind::of(number).ok_or_else(|| {
            cursor.bad(format!(
                "tensor `{name}` has type {number}, expected F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 or Q2_K to Q6_K"
            ))
        })?;
        let (block, width) = (kind.block() as u64, kind.bytes() as u64);
        if !(shape[0] as u64).is_multiple_of(block) {
            return Err(cursor.bad(format!(
                "tensor `{name}` has rows of {}, not a multiple of its block of {block}",
                shape[0]
            )));
        }
        shape.reverse();
        let start = cursor.u64()?;
        if !start.is_multiple_of(alignment) {
            return Err(cursor
                .bad(format!("tensor `{name}` begins at {start}, not a multiple of {alignment}")));
        }
        let size = (elements / block)
            .checked_mul(width)
            .ok_or_else(|| cursor.bad(format!("tensor `{name}` has an impossible size")))?;
        if tensors.contains_key(&name) {
            return Err(cursor.bad(format!("tensor `{name}` is there twice")));
        }
        tensors.insert(name, Described { shape, kind, file: 0, start, size });
    }
    let data = (cursor.size - cursor.left).next_multiple_of(alignment);
    let mut places: Vec<(u64, u64, &str)> = Vec::with_capacity(tensors.len());
    for (name, tensor) in &tensors {
        let end = data
            .checked_add(tensor.start)
            .and_then(|start| start.checked_add(tensor.size))
            .filter(|&end| end <= cursor.size)
            .ok_or_else(|| {
                cursor.bad(format!(
                    "tensor `{name}` reaches beyond the end of the file; it is cut off or damaged"
                ))
            })?;
        places.push((data + tensor.start, end, name));
    }
    places.sort_unstable();
    // Tensors that share bytes would let a small file fill a large memory.
    if let Some(pair) = places.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        return Err(cursor.bad(format!("tensors `{}` and `{}` overlap", pair[0].2, pair[1].2)));
    }
    for tensor in tensors.values_mut() {
        tensor.start += data;
    }
    Ok(tensors)
}

impl<R: Read + Seek> Tensors for Gguf<R> {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|tensor| tensor.shape.clone())
    }

    fn storage(&self, name: &str) -> Option<(&'static str, u64)> {
        self.tensors.get(name).map(|tensor| (tensor.kind.name(), tensor.size))
    }

    fn raw(&mut self, name: &str, start: u64, bytes: &mut [u8]) -> Result<()> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(Error::tensor(name, "is missing"));
        };
        let reader = &mut self.readers[tensor.file];
        reader
            .seek(SeekFrom::Start(tensor.start + start))
            .and_then(|_| reader.read_exact(bytes))
            .map_err(|source| cannot_read(&self.path, source))
    }

    fn decode(&self, name: &str, bytes: &[u8]) -> Result<Vec<f32>> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor.kind.decode(bytes)),
            None => Err(Error::tensor(name, "is missing")),
        }
    }
}
