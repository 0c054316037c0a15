//! Lines of files of any size: where they begin, so that a page of them costs a page, and which of
//! them hold a text. Memory is bounded whatever the file.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use memchr::memmem;

use super::error::Result;

/// Every so many lines, the place of one is kept.
const EVERY: usize = 64;
/// Longest line handed out, in bytes; longer ones are cut, which makes them unreadable as JSON.
const LONGEST: usize = 1 << 22;
/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// Where the lines of a file begin. The file never changes: it is an artifact's.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    marks: Vec<u64>,
    count: usize,
}

/// Lines that hold a text.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// Number from 0, and the line.
    pub(super) lines: Vec<(usize, Vec<u8>)>,
    /// Where to go on.
    pub(super) next: Option<usize>,
}

impl Lines {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let mut reader = BufReader::with_capacity(CHUNK, fs::File::open(path)?);
        let (mut marks, mut count, mut offset) = (Vec::new(), 0, 0);
        loop {
            if count % EVERY == 0 {
                marks.push(offset);
            }
            match reader.skip_until(b'\n')? {
                0 => return Ok(Self { path: path.to_owned(), marks, count }),
                read => offset += read as u64,
            }
            count += 1;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Opens the file where line `number`, of those there are, begins.
    fn open(&self, number: usize) -> Result<BufReader<fs::File>> {
        let mark = number / EVERY;
        let mut reader = BufReader::with_capacity(CHUNK, fs::File::open(&self.path)?);
        reader.seek(SeekFrom::Start(self.marks[mark]))?;
        for _ in mark * EVERY..number {
            reader.skip_until(b'\n')?;
        }
        Ok(reader)
    }

    /// Up to `most` lines from number `start` (from 0) on, without their ends.
    pub(super) fn read(&self, start: usize, most: usize) -> Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        if start >= self.count {
            return Ok(lines);
        }
        let mut reader = self.open(start)?;
        for _ in start..self.count.min(start + most) {
            let mut line = Vec::new();
            one(&mut reader, &mut line)?;
            lines.push(line);
        }
        Ok(lines)
    }

    /// Up to `most` lines from number `from` on that hold `needle` and that `accept` takes.
    pub(super) fn find(
        &self,
        needle: &[u8],
        from: usize,
        most: usize,
        accept: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Found> {
        let mut found = Found { lines: Vec::new(), next: None };
        if from >= self.count {
            return Ok(found);
        }
        let mut reader = self.open(from)?;
        let finder = memmem::Finder::new(needle);
        let mut line = Vec::new();
        for number in from..self.count {
            one(&mut reader, &mut line)?;
            if finder.find(&line).is_none() || !accept(&line) {
                continue;
            }
            if found.lines.len() == most {
                found.next = Some(number);
                break;
            }
            found.lines.push((number, line.clone()));
        }
        Ok(found)
    }
}

/// Reads the next line, without its end, into `line`.
fn one(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<()> {
    line.clear();
    reader.by_ref().take(LONGEST as u64).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() == LONGEST {
        reader.skip_until(b'\n')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, Lines) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let lines = Lines::new(file.path()).unwrap();
        (file, lines)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_part_of_any_file_is_what_its_lines_are(
            texts in prop::collection::vec("[a-c]{0,4}", 0..300), ended: bool,
            start in 0_usize..320, most in 0_usize..90,
        ) {
            let mut text = texts.join("\n");
            if ended && !text.is_empty() { text.push('\n'); }
            let expected: Vec<&str> = text.lines().collect();
            let (_file, lines) = file(text.as_bytes());
            prop_assert_eq!(lines.count(), expected.len());
            let read = lines.read(start, most).unwrap();
            let wanted: Vec<Vec<u8>> = expected.iter().skip(start).take(most).map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(read, wanted);
            let found = lines.find(b"ab", start, most, &|line| line.len() != 3).unwrap();
            let mut hits = expected.iter().enumerate().skip(start)
                .filter(|(_, line)| line.contains("ab") && line.len() != 3)
                .map(|(number, line)| (number, line.as_bytes().to_vec()));
            let wanted: Vec<(usize, Vec<u8>)> = hits.by_ref().take(most).collect();
            prop_assert_eq!(found.lines, wanted);
            prop_assert_eq!(found.next, hits.next().map(|(number, _)| number));
        }
    }

    #[test]
    fn lines_across_chunks_are_found_with_their_numbers() {
        let line = |number| format!("{{\"n\": {number}, \"fill\": \"{}\"}}\n", "0".repeat(31));
        let text: String = (0..60_000).map(line).collect::<Vec<_>>().concat();
        let (_file, lines) = file(text.as_bytes());
        let found = lines.find(b"\"n\": 5999", 0, 3, &|_| true).unwrap();
        let numbers: Vec<usize> = found.lines.iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers, found.next), (vec![5999, 59_990, 59_991], Some(59_992)));
        let line = lines.read(43_210, 1).unwrap().remove(0);
        assert!(line.starts_with(b"{\"n\": 43210,"));
    }
}
