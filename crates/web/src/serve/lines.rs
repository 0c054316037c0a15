//! Lines of JSON that clients brought: one at a time, bounded, numbered for complaints.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use fs_err::File;

/// A line that cannot be used, and why.
pub(crate) type Unusable = (usize, String);

/// The lines of a file that are not blank, each with its number from 1; an unusable one is the last.
pub(crate) struct Lines {
    reader: BufReader<File>,
    longest: usize,
    number: usize,
    line: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Lines of at most `longest` bytes.
    pub(crate) fn open(path: &Path, longest: usize) -> std::io::Result<Self> {
        let reader = BufReader::new(File::open(path)?);
        Ok(Self { reader, longest, number: 0, line: Vec::new(), ended: false })
    }

    fn read(&mut self) -> Result<Option<String>, String> {
        self.line.clear();
        self.number += 1;
        let most = self.longest as u64 + 1;
        let read = Read::take(&mut self.reader, most)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(None);
        }
        if read > self.longest && self.line.last() != Some(&b'\n') {
            return Err(format!("is longer than {} bytes", self.longest));
        }
        let text = std::str::from_utf8(&self.line).map_err(|_| "is not UTF-8")?;
        // A byte order mark is no part of the first request.
        let text = if self.number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        Ok(Some(text.trim().to_owned()))
    }
}

impl Iterator for Lines {
    type Item = Result<(usize, String), Unusable>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.read() {
                Ok(Some(text)) if text.is_empty() => {}
                Ok(Some(text)) => return Some(Ok((self.number, text))),
                Ok(None) => self.ended = true,
                Err(why) => {
                    self.ended = true;
                    return Some(Err((self.number, why)));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_numbered_with_the_blank_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let found = |bytes: &[u8]| -> Vec<_> {
            fs_err::write(&path, bytes).unwrap();
            Lines::open(&path, 4).unwrap().collect()
        };
        let line = |number, text: &str| Ok((number, text.to_owned()));
        assert_eq!(found(b"abcd\n\n  e \nf"), [line(1, "abcd"), line(3, "e"), line(4, "f")]);
        let long = Err((2, "is longer than 4 bytes".to_owned()));
        assert_eq!(found(b"a\nabcde\nf"), [line(1, "a"), long]);
        assert_eq!(found(b"\xff\nf"), [Err((1, "is not UTF-8".to_owned()))]);
        assert_eq!(found(b""), []);
    }
}
