//! What was answered, one line each, in a file that only grows.
//!
//! A line is written whole, in one piece and with its digest, before the answer is used; a line that a crash
//! cut short or that somebody changed is no answer. Two processes may write into one file: each reads what the other added when it looks for
//! something it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::wire;
use crate::ask::Usage;
use crate::error::Result;
use crate::value::jsonl;

/// Answers survive a killed process at once, and a power cut after this.
const SYNC: Duration = Duration::from_secs(1);

/// A line.
#[derive(Default, Serialize, Deserialize)]
struct Line {
    /// Digest of endpoint, path and body of the request.
    request: String,
    /// What was asked, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    path: String,
    /// The answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// The request is about to be sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    begun: bool,
    /// What the answer began came to nothing: it is to be asked anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
    /// Tokens spent on what was asked for, beside those the answer tells itself.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    spent: Usage,
}

/// All answers of one endpoint in one workspace.
#[derive(Debug)]
pub(super) struct Answers {
    path: PathBuf,
    file: fs::File,
    /// Where the answer to each request lies.
    known: BTreeMap<String, (u64, u64)>,
    begun: BTreeSet<String>,
    failures: BTreeMap<String, usize>,
    /// Bytes read.
    read: u64,
    usage: Usage,
    synced: Instant,
}

impl Answers {
    /// Opens the file of `name` in `folder`, made where there is none.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{name}.jsonl"));
        let mut file = fs::OpenOptions::new().create(true).append(true).read(true).open(&path)?;
        let end = file.seek(SeekFrom::End(0))?;
        if end > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(end - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A line was cut short; what follows begins on its own.
                file.write_all(b"\n")?;
            }
        }
        let mut answers = Self {
            path,
            file,
            known: BTreeMap::new(),
            begun: BTreeSet::new(),
            failures: BTreeMap::new(),
            read: 0,
            usage: Usage::default(),
            synced: Instant::now(),
        };
        answers.catch_up()?;
        Ok(answers)
    }

    /// Reads what was added since.
    fn catch_up(&mut self) -> Result<()> {
        if self.file.metadata()?.len() <= self.read {
            return Ok(());
        }
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::new(file);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let length = reader.read_until(b'\n', &mut bytes)? as u64;
            if length == 0 || bytes.last() != Some(&b'\n') {
                // Another process is writing, or was killed while it did.
                return Ok(());
            }
            let start = self.read;
            self.read += length;
            if let Some(line) = jsonl::unsealed(&bytes) {
                self.take(line, (start, length));
            }
        }
    }

    fn take(&mut self, line: Line, place: (u64, u64)) {
        self.usage.add(line.spent);
        if line.failed {
            self.known.remove(&line.request);
            self.begun.remove(&line.request);
            *self.failures.entry(line.request).or_default() += 1;
            return;
        }
        if let Some(answer) = line.answer {
            self.usage.add(wire::usage(&answer).unwrap_or_default());
            self.known.insert(line.request, place);
        } else if line.begun {
            self.begun.insert(line.request);
        }
    }

    /// The answer to a request, if there is one.
    pub(super) fn get(&mut self, request: &str) -> Result<Option<String>> {
        if !self.known.contains_key(request) {
            self.catch_up()?;
        }
        let Some(&(start, length)) = self.known.get(request) else {
            return Ok(None);
        };
        let mut bytes = vec![0; length as usize];
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        // Changed since it was read, it is no answer either.
        Ok(jsonl::unsealed(&bytes).and_then(|line: Line| line.answer))
    }

    /// Whether a request may have been sent.
    pub(super) fn has_begun(&self, request: &str) -> bool {
        self.begun.contains(request)
    }

    /// How often what the request began came to nothing.
    pub(super) fn failures(&self, request: &str) -> usize {
        self.failures.get(request).copied().unwrap_or(0)
    }

    /// Tokens spent so far.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Writes down that a request is about to be sent.
    pub(super) fn begin(&mut self, request: &str, path: &str) -> Result<()> {
        self.append(request, path, Line { begun: true, ..Line::default() }, true)
    }

    /// Writes an answer down. One that costs much to have again is on the disk when this returns.
    pub(super) fn put(
        &mut self,
        request: &str,
        path: &str,
        answer: &str,
        precious: bool,
        spent: Usage,
    ) -> Result<()> {
        let answer = Some(answer.to_owned());
        self.append(request, path, Line { answer, spent, ..Line::default() }, precious)
    }

    /// Writes down that what the request began came to nothing.
    pub(super) fn fail(&mut self, request: &str, path: &str) -> Result<()> {
        self.append(request, path, Line { failed: true, ..Line::default() }, true)
    }

    fn append(&mut self, request: &str, path: &str, what: Line, now: bool) -> Result<()> {
        let line = Line { request: request.to_owned(), path: path.to_owned(), ..what };
        self.file.write_all(&jsonl::sealed(&line)?)?;
        if now || self.synced.elapsed() >= SYNC {
            self.file.sync_data()?;
            self.synced = Instant::now();
        }
        self.catch_up()
    }
}
