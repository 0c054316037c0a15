//! What clients leave here and come back to: files, fine-tuning jobs, batches.
//!
//! Each has a description in JSON in the folder of its kind: `ID.json`, or `about.json` in a folder `ID`.
//! Descriptions on disk are the truth: what is in memory was read from them or is about to be written to
//! them. Names on disk are made from ids that the server gave.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fs_err as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::query::{Id, Page};
use super::refusal::Refusal;
use super::{App, Kept};

/// Things kept of one kind.
pub(crate) const MOST: usize = 10_000;
/// The description in a thing's folder, where it has one.
const ABOUT: &str = "about.json";

/// One of the things.
pub(crate) trait Thing: Clone + Serialize + DeserializeOwned {
    /// What it is, for people.
    const WHAT: &'static str;
    /// It has a folder of its own, for more than its description.
    const FOLDER: bool = false;
    /// Where its like are kept.
    fn records(kept: &Kept) -> &Records<Self>;
    /// Nothing more will happen to it.
    fn is_done(&self) -> bool;
    /// As the wire tells it.
    fn json(this: &Stored<Self>) -> Value;
}

/// A thing with the id it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored<T> {
    pub(crate) id: String,
    /// Order of arrival.
    #[serde(default)]
    pub(crate) number: u64,
    #[serde(flatten)]
    thing: T,
}

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

impl<T> DerefMut for Stored<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing
    }
}

impl<T: Thing> Stored<T> {
    /// Refuses what is done.
    pub(crate) fn check_open(&self) -> Result<(), Refusal> {
        if self.is_done() {
            let why = format!("the {} is done already", T::WHAT);
            return Err(Refusal::request(why).coded("invalid_state"));
        }
        Ok(())
    }
}

/// All of one kind.
pub(crate) struct Records<T> {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, Stored<T>>>,
}

impl<T: Thing> Records<T> {
    /// Finds those there are; a folder without a description is what an interrupted upload left.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let description = if T::FOLDER { path.join(ABOUT) } else { path.clone() };
            let is_one = description.extension().is_some_and(|extension| extension == "json");
            if !is_one || path.is_dir() != T::FOLDER {
                continue;
            }
            let bytes = match fs::read(&description) {
                Err(error) if T::FOLDER && error.kind() == ErrorKind::NotFound => {
                    // One that stays takes room and nothing else.
                    let _ = fs::remove_dir_all(&path);
                    continue;
                }
                read => read?,
            };
            match serde_json::from_slice::<Stored<T>>(&bytes) {
                Ok(found) if path.file_stem().is_some_and(|stem| *stem == *found.id) => {
                    all.insert(found.id.clone(), found);
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

    fn description(&self, id: &str) -> PathBuf {
        if T::FOLDER {
            self.folder.join(id).join(ABOUT)
        } else {
            self.folder.join(format!("{id}.json"))
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stored<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All, newest first.
    pub(crate) fn all(&self) -> Vec<Stored<T>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|stored| std::cmp::Reverse(stored.number));
        all
    }

    pub(crate) fn get(&self, id: &str) -> Result<Stored<T>, Refusal> {
        self.lock().get(id).cloned().ok_or_else(|| Refusal::missing(T::WHAT, id))
    }

    /// The oldest that is not done.
    pub(crate) fn next(&self) -> Option<Stored<T>> {
        let all = self.lock();
        all.values().filter(|one| !one.is_done()).min_by_key(|one| one.number).cloned()
    }

    /// Whether there is room for another.
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        if self.lock().len() < MOST {
            return Ok(());
        }
        let why = format!("{MOST} of these are kept already: {}", T::WHAT);
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, why))
    }

    /// Keeps a new one under an id that [`App::new_id`] gave.
    pub(crate) fn add(&self, id: String, thing: T) -> std::io::Result<Stored<T>> {
        let mut all = self.lock();
        let number = all.values().map(|one| one.number + 1).max().unwrap_or(0);
        let stored = Stored { id, number, thing };
        self.write(&stored)?;
        all.insert(stored.id.clone(), stored.clone());
        Ok(stored)
    }

    /// Writes beside and renames.
    fn write(&self, stored: &Stored<T>) -> std::io::Result<()> {
        let path = self.description(&stored.id);
        let part = path.with_extension("part");
        let mut file = fs::File::create(&part)?;
        file.write_all(&serde_json::to_vec_pretty(stored)?)?;
        file.sync_all()?;
        fs::rename(part, path)
    }

    /// Changes one in memory alone: what a restart finds out anew.
    pub(crate) fn touch(&self, id: &str, change: impl FnOnce(&mut T)) {
        if let Some(stored) = self.lock().get_mut(id) {
            change(stored);
        }
    }

    /// Changes one, here and on disk, unless `change` refuses.
    pub(crate) fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Stored<T>) -> Result<(), Refusal>,
    ) -> Result<Stored<T>, Refusal> {
        let mut all = self.lock();
        let stored = all.get_mut(id).ok_or_else(|| Refusal::missing(T::WHAT, id))?;
        change(stored)?;
        self.write(stored)?;
        Ok(stored.clone())
    }

    /// Changes one that is not done.
    pub(crate) fn change_open(
        &self,
        id: &str,
        change: impl FnOnce(&mut T),
    ) -> Result<Stored<T>, Refusal> {
        self.change(id, |stored| {
            stored.check_open()?;
            change(stored);
            Ok(())
        })
    }

    /// Forgets one. Its description goes first: without it the rest is nothing.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Refusal> {
        let mut all = self.lock();
        if !all.contains_key(id) {
            return Err(Refusal::missing(T::WHAT, id));
        }
        fs::remove_file(self.description(id))?;
        all.remove(id);
        Ok(())
    }
}

pub(crate) async fn list<T: Thing>(
    State(app): State<Arc<App>>,
    page: Page,
) -> Result<Json<Value>, Refusal> {
    page.of(T::records(app.kept()?).all().iter().map(T::json))
}

pub(crate) async fn retrieve<T: Thing>(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(T::json(&T::records(app.kept()?).get(&id)?)))
}

#[cfg(test)]
mod tests {
    use super::super::files::File;
    use super::*;

    #[test]
    fn what_was_kept_is_found_again_and_what_was_cut_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = |id: &str| folder.path().join(id);
        for id in ["file-1", "file-2", "file-3"] {
            fs::create_dir(place(id)).unwrap();
        }
        let about = r#"{
            "id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a",
            "purpose": "batch", "status": "processed", "number": 4
        }"#;
        fs::write(place("file-1").join(ABOUT), about).unwrap();
        fs::write(place("file-3").join(ABOUT), "of a newer owlet").unwrap();
        let records = Records::<File>::open(folder.path().to_owned()).unwrap();
        let found: Vec<Value> = records.all().iter().map(File::json).collect();
        assert_eq!(found, [serde_json::from_str::<Value>(about).unwrap()]);
        assert_eq!(
            ["file-1", "file-2", "file-3"].map(|id| place(id).exists()),
            [true, false, true]
        );
        records.remove("file-1").unwrap();
        assert_eq!(records.remove("file-1").unwrap_err().status, StatusCode::NOT_FOUND);
    }
}
