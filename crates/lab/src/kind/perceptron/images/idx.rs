//! IDX files of bytes: a magic number, the lengths of the axes, the numbers (LeCun, Cortes & Burges, the MNIST
//! database, "file formats"). Everything is bounded before it is read.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use fs_err as fs;

use crate::error::{Error, Result};

/// Two zeros, `8` for bytes, and the number of axes.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
/// How a packed file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Most images, and the longest side of one.
const MOST_IMAGES: usize = 1_000_000;
const LONGEST_SIDE: usize = 64;
/// Most bytes of a file, unpacked: MNIST's training images are 47 MB.
const MOST_BYTES: u64 = 1 << 29;

/// Images of one size, row by row.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `[images, rows, columns]`
    pub(super) bytes: Vec<u8>,
}

/// A class per image.
#[derive(Clone, Debug)]
pub(super) struct Labels(pub(super) Vec<u8>);

impl Pixels {
    /// Bytes of an image.
    pub(super) fn size(&self) -> usize {
        self.rows * self.columns
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.bytes.len() / self.size()
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::parse(content(path)?, path)
    }

    /// # Errors
    /// Another magic number, sizes beyond the bounds, fewer or more bytes than the counts say.
    pub(super) fn parse(mut bytes: Vec<u8>, path: &Path) -> Result<Self> {
        let [count, rows, columns] = header(&bytes, IMAGES, "images", path)?;
        let sides = 1..=LONGEST_SIDE;
        if !sides.contains(&rows) || !sides.contains(&columns) {
            let reason = format!(
                "says its images are {rows} by {columns}, expected at most {LONGEST_SIDE} by {LONGEST_SIDE}"
            );
            return Err(Error::record(path, reason));
        }
        body(&mut bytes, 16, count, rows * columns, path)?;
        Ok(Self { rows, columns, bytes })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let counts = [self.count(), self.rows, self.columns];
        let head = [IMAGES].into_iter().chain(counts.map(|count| count as u32));
        head.flat_map(u32::to_be_bytes).chain(self.bytes.iter().copied()).collect()
    }
}

impl Labels {
    pub(super) fn read(path: &Path, classes: usize) -> Result<Self> {
        Self::parse(content(path)?, classes, path)
    }

    /// # Errors
    /// As those of images, and a class that is none of `classes`.
    pub(super) fn parse(mut bytes: Vec<u8>, classes: usize, path: &Path) -> Result<Self> {
        let [count] = header(&bytes, LABELS, "labels", path)?;
        body(&mut bytes, 8, count, 1, path)?;
        if let Some(place) = bytes.iter().position(|&label| usize::from(label) >= classes) {
            let reason = format!(
                "label {} is {}, expected one of {classes} classes from 0",
                place + 1,
                bytes[place]
            );
            return Err(Error::record(path, reason));
        }
        Ok(Self(bytes))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let head = [LABELS, self.0.len() as u32].into_iter().flat_map(u32::to_be_bytes);
        head.chain(self.0.iter().copied()).collect()
    }
}

/// The content of a file, unpacked where it is packed, no further than files may be long.
fn content(path: &Path) -> Result<Vec<u8>> {
    let wrong = |reason: String| Error::record(path, reason);
    let mut file = BufReader::new(fs::File::open(path)?);
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start)?;
    let is_packed = start == GZIP;
    let whole = start.as_slice().chain(file);
    let mut bytes = Vec::new();
    let read = if is_packed {
        GzDecoder::new(whole).take(MOST_BYTES + 1).read_to_end(&mut bytes)
    } else {
        whole.take(MOST_BYTES + 1).read_to_end(&mut bytes)
    };
    read.map_err(|error| wrong(format!("cannot be read to its end: {error}; get it again")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong(format!("is longer than {MOST_BYTES} bytes, expected at most that")));
    }
    Ok(bytes)
}

/// The lengths of the axes after the magic number.
fn header<const N: usize>(bytes: &[u8], magic: u32, what: &str, path: &Path) -> Result<[usize; N]> {
    let number = |place: usize| {
        let four = bytes.get(4 * place..4 * place + 4)?;
        Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    };
    let Some(found) = number(0) else {
        let reason = format!("is {} bytes long, too short for an IDX file", bytes.len());
        return Err(Error::record(path, reason));
    };
    if found != magic {
        let reason = format!(
            "begins with {found:#010x}, expected {magic:#010x}: it is no IDX file of {what}"
        );
        return Err(Error::record(path, reason));
    }
    let mut counts = [0; N];
    for (place, count) in counts.iter_mut().enumerate() {
        let cut = || Error::record(path, "ends within its header; it is cut off");
        *count = number(place + 1).ok_or_else(cut)? as usize;
    }
    if !(1..=MOST_IMAGES).contains(&counts[0]) {
        let reason = format!("says it holds {} {what}, expected 1 to {MOST_IMAGES}", counts[0]);
        return Err(Error::record(path, reason));
    }
    Ok(counts)
}

/// Takes the header off what must then be `count` times `size` bytes.
fn body(bytes: &mut Vec<u8>, header: usize, count: usize, size: usize, path: &Path) -> Result<()> {
    let (found, expected) = (bytes.len() - header, count * size);
    if found != expected {
        let why =
            if found < expected { "it is cut off" } else { "more follows than belongs to it" };
        let reason =
            format!("says {count} times {size} bytes, {expected}, but {found} follow: {why}");
        return Err(Error::record(path, reason));
    }
    bytes.drain(..header);
    Ok(())
}
