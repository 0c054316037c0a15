//! Lines of files of any size: where they begin, so that a page of them costs a page, and which of
//! them hold a text. Memory is bounded whatever the file.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;
use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::error::{Error, Result};

/// Every so many lines, the place of one is kept.
const EVERY: usize = 64;
/// Longest line handed out, in bytes; longer ones are cut, which makes them unreadable as JSON.
const LONGEST: usize = 1 << 22;
/// Bytes read at once.
const CHUNK: usize = 1 << 20;

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
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; CHUNK];
        let (mut marks, mut count, mut offset, mut last) = (vec![0], 0, 0_u64, b'\n');
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            for at in memchr_iter(b'\n', &buffer[..read]) {
                count += 1;
                if count % EVERY == 0 {
                    marks.push(offset + at as u64 + 1);
                }
            }
            offset += read as u64;
            last = buffer[read - 1];
        }
        // A last line without its end.
        count += usize::from(last != b'\n');
        Ok(Self { path: path.to_owned(), marks, count })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Opens the file where line `number` begins.
    fn open(&self, number: usize) -> Result<BufReader<fs::File>> {
        let mark = number / EVERY;
        let mut file = fs::File::open(&self.path)?;
        let offset = self.marks.get(mark).copied();
        file.seek(SeekFrom::Start(offset.unwrap_or(u64::MAX >> 1)))?;
        let mut reader = BufReader::new(file);
        for _ in mark * EVERY..number {
            skip(&mut reader)?;
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
            lines.push(one(&mut reader)?);
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
        let mut number = from;
        let mut kept: Vec<u8> = Vec::new();
        loop {
            let before = kept.len();
            kept.resize(before + CHUNK, 0);
            let read = fill(&mut reader, &mut kept[before..])?;
            kept.truncate(before + read);
            let ended = read < CHUNK;
            let whole = match memrchr(b'\n', &kept) {
                _ if ended => kept.len(),
                Some(at) => at + 1,
                None if kept.len() > LONGEST => {
                    return Err(Error::Conflict {
                        reason: format!(
                            "line {} is longer than {LONGEST} bytes; it cannot be searched here",
                            number + 1
                        ),
                    });
                }
                None => 0,
            };
            let mut at = 0;
            while let Some(hit) = finder.find(&kept[at..whole]).map(|hit| at + hit) {
                number += memchr_iter(b'\n', &kept[at..hit]).count();
                let start = memrchr(b'\n', &kept[at..hit]).map_or(at, |place| at + place + 1);
                let end = memchr(b'\n', &kept[hit..whole]).map_or(whole, |place| hit + place);
                if accept(&kept[start..end]) {
                    if found.lines.len() == most {
                        found.next = Some(number);
                        return Ok(found);
                    }
                    found.lines.push((number, kept[start..end].to_vec()));
                }
                at = (end + 1).min(whole);
                number += usize::from(end < whole);
            }
            number += memchr_iter(b'\n', &kept[at..whole]).count();
            kept.drain(..whole);
            if ended {
                return Ok(found);
            }
        }
    }
}

/// Reads until `into` is full or the file ends.
fn fill(reader: &mut impl Read, into: &mut [u8]) -> Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match reader.read(&mut into[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

fn skip(reader: &mut impl BufRead) -> Result<()> {
    loop {
        let (used, done) = {
            let buffer = reader.fill_buf()?;
            match memchr(b'\n', buffer) {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            }
        };
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

fn one(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() == LONGEST {
        skip(reader)?;
    }
    Ok(line)
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
