//! Runs: one folder for each execution of a recipe.
//!
//! A run's folder holds `run.json` (written once), `events.jsonl` (appended to, one JSON object a
//! line), `seal.json` (the digests of the others) and whatever files the caller puts there, each replaced as
//! a whole. What a run made is not in it: that is in artifacts and steps.

mod seal;

use std::fmt;
use std::fs::TryLockError;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::seal::{SEAL, Seal};
use crate::document::{self, Format};
use crate::name::check_file_name;
use crate::{Error, Hold, Result, RunId, Store, disk};

const HEADER: &str = "run.json";
const EVENTS: &str = "events.jsonl";
const LOCK: &str = "lock";
const STOP: &str = "stop";
const RUN_FORMAT: Format =
    Format { what: "run header", version: 2, context: "owlet run header seal 1" };
/// Largest file read into memory from a run.
const LARGEST_FILE: u64 = 1 << 30;

/// What is known of a run when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHeader {
    /// Version of the header's format: [`RunHeader::FORMAT`].
    pub format: u32,
    /// The run's id.
    pub id: RunId,
    /// What the recipe calls itself.
    pub name: String,
    /// When it started, as an RFC 3339 timestamp.
    pub started: String,
    /// The machine's name.
    pub host: String,
    /// The version of owlet.
    pub version: String,
    /// Whatever else the caller wants to keep: the command line, the layers of configuration.
    pub about: Value,
}

impl RunHeader {
    /// The version of the header's format that this build writes.
    pub const FORMAT: u32 = RUN_FORMAT.version;
}

/// The folder of one run.
pub struct RunDirectory {
    store: Store,
    id: RunId,
    folder: PathBuf,
    events: Mutex<Option<fs::File>>,
}

impl fmt::Debug for RunDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunDirectory").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Creates the folder of a run.
    ///
    /// # Errors
    /// [`Error::RunExists`] when the id is taken: try again with another nonce.
    pub fn create_run(&self, id: &RunId, header: &RunHeader) -> Result<RunDirectory> {
        if header.id != *id {
            let why = format!("its id is `{}` but the run's is `{id}`", header.id);
            return Err(Error::Unwritable { what: RUN_FORMAT.what, why });
        }
        let bytes = document::render(RUN_FORMAT, header)?;
        let temporary = self.temporary()?.path();
        fs::create_dir(&temporary)?;
        disk::write_synced(&temporary.join(HEADER), &bytes)?;
        disk::write_synced(&temporary.join(SEAL), &Seal::new().render()?)?;
        disk::sync_folder(&temporary)?;
        let folder = self.run_folder(id);
        disk::create_folder(&self.root().join("runs"))?;
        // A folder with something in it is never replaced by a rename, so one of two wins.
        if let Err(error) = disk::rename_synced(&temporary, &folder) {
            let _ = fs::remove_dir_all(&temporary);
            if fs::symlink_metadata(&folder).is_ok() {
                return Err(Error::RunExists { id: id.clone() });
            }
            return Err(error.into());
        }
        Ok(self.run_directory(id))
    }

    /// Opens the folder of a run.
    pub fn open_run(&self, id: &RunId) -> Result<RunDirectory> {
        if !self.run_folder(id).is_dir() {
            return Err(Error::MissingRun { id: id.clone() });
        }
        Ok(self.run_directory(id))
    }

    /// Lists all runs, oldest first.
    pub fn runs(&self) -> Result<Vec<RunDirectory>> {
        Ok(self.run_ids()?.iter().map(|id| self.run_directory(id)).collect())
    }

    fn run_directory(&self, id: &RunId) -> RunDirectory {
        self.run_at(id, self.run_folder(id))
    }

    /// The run whose files are in `folder`.
    pub(crate) fn run_at(&self, id: &RunId, folder: PathBuf) -> RunDirectory {
        RunDirectory { store: self.clone(), id: id.clone(), folder, events: Mutex::default() }
    }
}

impl RunDirectory {
    /// Returns the run's id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns the run's folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Reads what was known when the run started.
    pub fn header(&self) -> Result<RunHeader> {
        let path = self.folder.join(HEADER);
        let damaged =
            |why: String| Error::DamagedRecord { what: RUN_FORMAT.what, path: path.clone(), why };
        match document::read_record::<RunHeader>(RUN_FORMAT, &path)? {
            Some(Ok(header)) if header.id == self.id => Ok(header),
            Some(Ok(header)) => Err(damaged(format!("describes run `{}`", header.id))),
            Some(Err(why)) => Err(damaged(why)),
            None => Err(damaged("is missing".to_owned())),
        }
    }

    /// Takes hold of the run for this process; `None` while another process has it.
    pub fn hold(&self) -> Result<Option<Hold>> {
        Hold::take(&self.folder.join(LOCK))
    }

    /// Returns whether a process is executing the run now. Writes nothing.
    pub fn is_held(&self) -> Result<bool> {
        let lock = disk::if_there(fs::File::open(self.folder.join(LOCK)))?;
        Ok(lock.is_some_and(|lock| {
            matches!(lock.file().try_lock_shared(), Err(TryLockError::WouldBlock))
        }))
    }

    /// Asks whoever executes the run to stop.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.replace(&self.folder.join(STOP), b"")
    }

    /// Forgets that somebody asked: whoever goes on with a run that was stopped says so before it does.
    pub fn go_on(&self) -> Result<()> {
        disk::if_there(fs::remove_file(self.folder.join(STOP)))?;
        Ok(())
    }

    /// Returns whether somebody asked the run to stop.
    pub fn is_asked_to_stop(&self) -> bool {
        fs::symlink_metadata(self.folder.join(STOP)).is_ok()
    }

    /// Appends an event, a JSON object, as one line.
    ///
    /// The line reaches the system at once and so survives the end of the process, not a power cut.
    pub fn append_event(&self, event: &Value) -> Result<()> {
        if !event.is_object() {
            let why = "an event is a JSON object".to_owned();
            return Err(Error::Unwritable { what: "event", why });
        }
        let mut slot = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = String::new();
        let file = match &mut *slot {
            Some(file) => file,
            empty => {
                let path = self.folder.join(EVENTS);
                let mut file =
                    fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
                if is_torn(&mut file)? {
                    line.push('\n');
                }
                empty.insert(file)
            }
        };
        line.push_str(&event.to_string());
        line.push('\n');
        // One write for the whole line, so that lines of several processes do not mix.
        if let Err(error) = file.write_all(line.as_bytes()) {
            // Looks again at the next event whether half a line was written.
            *slot = None;
            return Err(error.into());
        }
        Ok(())
    }

    /// Reads all events.
    ///
    /// Lines that a crash cut short are skipped.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] naming the line that is neither whole nor cut short.
    pub fn events(&self) -> Result<Vec<Value>> {
        self.events_from(0).map(|(events, _)| events)
    }

    /// Reads the events from a byte offset on, and returns the offset to continue from: the way to
    /// follow a run in progress. A last line without its end is left for the next time.
    pub fn events_from(&self, offset: u64) -> Result<(Vec<Value>, u64)> {
        let path = self.folder.join(EVENTS);
        let Some(mut file) = disk::if_there(fs::File::open(&path))? else {
            return Ok((Vec::new(), offset));
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |index| index + 1);
        let mut events = Vec::new();
        let mut start = offset;
        for line in bytes[..end].split_inclusive(|&byte| byte == b'\n') {
            match read_event(line) {
                Ok(event) => events.extend(event),
                Err(why) => {
                    let why = format!("the line at byte {start} {why}");
                    return Err(Error::DamagedRecord { what: "event log", path, why });
                }
            }
            start += line.len() as u64;
        }
        Ok((events, offset + end as u64))
    }

    /// Writes a file of the run as a whole: readers see the old content or the new.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for names that lead outside or that the run itself uses.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.file(name)?;
        if [HEADER, EVENTS, SEAL, LOCK, STOP].contains(&name) {
            let why = "the run itself writes it";
            return Err(Error::InvalidName { what: "run file name", name: name.to_owned(), why });
        }
        // One at a time, or one's seal would know nothing of the other's file.
        let _lock = self.store.lock_names()?;
        self.seal_file(name, bytes)?;
        self.replace(&path, bytes)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.store.write_atomically(path, bytes)
    }

    /// Reads a file of the run, as it was written.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] for one that was changed since.
    pub fn read_file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.file(name)?;
        let mut before = None;
        loop {
            let bytes = disk::read_bounded(&path, LARGEST_FILE)?.ok_or_else(|| {
                let why = format!("no file `{name}` in run `{}`", self.id);
                io::Error::new(io::ErrorKind::NotFound, why)
            })?;
            // It may have been replaced since it was read, and the seal with it.
            match self.check_sealed(name, &bytes) {
                Err(Error::DamagedRecord { .. }) if before.as_ref() != Some(&bytes) => {
                    before = Some(bytes);
                }
                checked => return checked.map(|()| bytes),
            }
        }
    }

    /// Lists the names of the run's files, sorted.
    pub fn files(&self) -> Result<Vec<String>> {
        Ok(disk::walk(&self.folder)?.into_iter().map(|found| found.name).collect())
    }

    fn file(&self, name: &str) -> Result<PathBuf> {
        check_file_name(name).map_err(|why| Error::InvalidName {
            what: "run file name",
            name: name.chars().take(120).collect(),
            why,
        })?;
        Ok(self.folder.join(name))
    }
}

/// Returns whether a file ends in the middle of a line.
fn is_torn(file: &mut fs::File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Reads one line; `None` for one that a crash cut short, an error for one that is damaged.
///
/// A cut line is the beginning of an object: its JSON ends too early. After a power cut some file
/// systems fill what was not written with zeros.
fn read_event(line: &[u8]) -> Result<Option<Value>, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let zeros = line.iter().rev().take_while(|&&byte| byte == 0).count();
    let line = &line[..line.len() - zeros];
    if line.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(event) if event.is_object() => Ok(Some(event)),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(error) if error.is_eof() => Ok(None),
        Err(error) => Err(format!("is not JSON (column {})", error.column())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_cut_anywhere_is_skipped_and_never_an_error(
            text: String, number: f64, cut: prop::sample::Index,
        ) {
            let line = serde_json::json!({"text": text, "number": number, "list": [1, null, true]});
            let line = format!("{line}\n").into_bytes();
            let cut = cut.index(line.len() - 1);
            prop_assert_eq!(read_event(&line[..cut]), Ok(None));
            prop_assert!(read_event(&line).unwrap().is_some());
        }
    }

    #[test]
    fn a_changed_line_is_an_error() {
        insta::assert_snapshot!(
            read_event(b"{\"kind\": \"step\"; \"n\": 1}\n").unwrap_err(),
            @"is not JSON (column 16)"
        );
        assert!(read_event(b"17\n").is_err());
        assert_eq!(read_event(b"{\"kind\"\0\0\0\n"), Ok(None));
    }
}
