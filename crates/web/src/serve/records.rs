//! Things clients ask for once and come back to: fine-tuning jobs, batches.
//!
//! Each is one JSON file in a folder, and the file is the truth: what is in memory was read from it
//! or is about to be written to it. File names are made from ids that the server gave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::write_whole;
use super::refusal::Refusal;

/// Records kept of one kind.
const MOST: usize = 10_000;

/// One of the things.
pub(crate) trait Record: Clone + Serialize + DeserializeOwned {
    /// What it is, for people.
    const WHAT: &'static str;
    fn id(&self) -> &str;
    /// Order of arrival.
    fn number(&self) -> u64;
    fn set_number(&mut self, number: u64);
    fn is_done(&self) -> bool;
    /// Refuses what is done.
    fn check_open(&self) -> Result<(), Refusal> {
        if self.is_done() {
            let why = format!("the {} is done already", Self::WHAT);
            return Err(Refusal::request(why).coded("invalid_state"));
        }
        Ok(())
    }
}

/// All of one kind.
pub(crate) struct Records<T> {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, T>>,
}

impl<T: Record> Records<T> {
    /// Finds those there are.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match serde_json::from_slice::<T>(&fs::read(&path)?) {
                Ok(record) if path.file_stem().is_some_and(|stem| stem == record.id()) => {
                    all.insert(record.id().to_owned(), record);
                }
                // Of a newer owlet, or not ours: left as it is.
                _ => {}
            }
        }
        Ok(Self { folder, all: Mutex::new(all) })
    }

    /// Where they are kept, and what belongs to them.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All, newest first.
    pub(crate) fn all(&self) -> Vec<T> {
        let mut all: Vec<T> = self.lock().values().cloned().collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.number()));
        all
    }

    pub(crate) fn get(&self, id: &str) -> Result<T, Refusal> {
        self.lock().get(id).cloned().ok_or_else(|| Refusal::missing(T::WHAT, id))
    }

    /// The oldest that is not done.
    pub(crate) fn next(&self) -> Option<T> {
        let all = self.lock();
        all.values()
            .filter(|record| !record.is_done())
            .min_by_key(|record| record.number())
            .cloned()
    }

    /// Keeps a new one, numbered.
    pub(crate) fn add(&self, mut record: T) -> Result<T, Refusal> {
        let mut all = self.lock();
        if all.len() >= MOST {
            return Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("{MOST} of these are kept already: {}", T::WHAT),
            ));
        }
        record.set_number(all.values().map(|record| record.number() + 1).max().unwrap_or(0));
        self.keep(&record)?;
        all.insert(record.id().to_owned(), record.clone());
        Ok(record)
    }

    fn keep(&self, record: &T) -> std::io::Result<()> {
        let bytes = serde_json::to_vec_pretty(record)?;
        write_whole(&self.folder.join(format!("{}.json", record.id())), &bytes)
    }

    /// Changes one in memory alone: what a restart finds out anew.
    pub(crate) fn touch(&self, id: &str, change: impl FnOnce(&mut T)) {
        if let Some(record) = self.lock().get_mut(id) {
            change(record);
        }
    }

    /// Changes one, here and on disk, unless `change` refuses.
    pub(crate) fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut T) -> Result<(), Refusal>,
    ) -> Result<T, Refusal> {
        let mut all = self.lock();
        let record = all.get_mut(id).ok_or_else(|| Refusal::missing(T::WHAT, id))?;
        change(record)?;
        self.keep(record)?;
        Ok(record.clone())
    }
}
