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
use owlet_store::{Problem, ProblemKind};
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
    /// What is wrong with what lies beside its description, in its folder or that of its kind.
    fn flaw(&self, _folder: &Path) -> Option<String> {
        None
    }
    /// As the wire tells it.
    fn json(this: &Stored<Self>) -> Value;
}

/// The version of descriptions.
const FORMAT: u32 = 1;

/// A thing with the id it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored<T> {
    pub(crate) id: String,
    #[serde(default)]
    format: u32,
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

/// What lies in a folder of things.
enum Found<T> {
    Thing(Stored<T>),
    /// Begun by an upload that never came to its end.
    Begun(PathBuf),
    /// Nothing that can be read, and why.
    Strange(PathBuf, ProblemKind, String),
}

/// Looks through a folder; nothing is changed.
fn look<T: Thing>(folder: &Path) -> std::io::Result<Vec<Found<T>>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let description = if T::FOLDER { path.join(ABOUT) } else { path.clone() };
        // What a thing has beside its description: events, answers, a description on its way.
        let kind = path.extension();
        let beside = !T::FOLDER && path.is_file() && kind.is_some_and(|kind| kind != "json");
        if beside {
            continue;
        }
        let strange = |kind, why: String| Found::Strange(path.clone(), kind, why);
        all.push(match fs::read(&description) {
            Err(error) if error.kind() == ErrorKind::NotFound && is_begun(&path) => {
                Found::Begun(path)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                strange(ProblemKind::Foreign, "does not belong here".to_owned())
            }
            Err(error) => strange(ProblemKind::Unreadable, format!("cannot be read: {error}")),
            Ok(bytes) => {
                // The version first: of a newer one nothing else need be as it is here.
                let any = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
                match (any["format"].as_u64(), serde_json::from_slice::<Stored<T>>(&bytes)) {
                    (Some(newer), _) if newer > u64::from(FORMAT) => {
                        let why = format!("has format {newer}, which this build does not read");
                        strange(ProblemKind::Newer, why)
                    }
                    (_, Ok(one)) if path.file_stem().is_some_and(|stem| *stem == *one.id) => {
                        Found::Thing(one)
                    }
                    (_, Ok(_)) => strange(ProblemKind::Damaged, "has another's id".to_owned()),
                    (_, Err(error)) => strange(
                        ProblemKind::Damaged,
                        format!("has an unusable description: {error}"),
                    ),
                }
            }
        });
    }
    Ok(all)
}

/// Whether a folder without a description has the name and the content that an upload gives it.
fn is_begun(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let id = name.strip_prefix("file-").is_some_and(|id| id.bytes().all(|b| b.is_ascii_hexdigit()));
    let own = ["content".as_ref(), Path::new(ABOUT).with_extension("part").as_os_str()]
        .map(std::ffi::OsStr::to_os_string);
    (id || name.starts_with(".tmp"))
        && fs::read_dir(path).is_ok_and(|mut inside| {
            inside.all(|entry| entry.is_ok_and(|entry| own.contains(&entry.file_name())))
        })
}

/// What is wrong in the folder of a kind of things, with paths below `root`.
pub(crate) fn verify<T: Thing>(folder: &Path, root: &Path) -> std::io::Result<Vec<Problem>> {
    let found = match look::<T>(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let problem = |path: &Path, kind, why| Problem {
        path: path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/"),
        kind,
        why,
    };
    let flaw = |one: Found<T>| match one {
        Found::Thing(one) => {
            let flaw = one.flaw(&folder.join(&one.id))?;
            Some(problem(&folder.join(&one.id), ProblemKind::Damaged, flaw))
        }
        Found::Strange(path, kind, why) => Some(problem(&path, kind, why)),
        Found::Begun(_) => None,
    };
    Ok(found.into_iter().filter_map(flaw).collect())
}

/// All things in the folder of a kind.
///
/// # Errors
/// One that cannot be read.
pub(crate) fn read<T: Thing>(folder: &Path) -> std::io::Result<Vec<Stored<T>>> {
    let found = match look::<T>(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let mut things = Vec::new();
    for one in found {
        match one {
            Found::Thing(one) => things.push(one),
            Found::Begun(_) | Found::Strange(_, ProblemKind::Foreign, _) => {}
            Found::Strange(path, _, why) => {
                return Err(std::io::Error::other(format!("`{}` {why}", path.display())));
            }
        }
    }
    Ok(things)
}

/// All of one kind.
pub(crate) struct Records<T> {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, Stored<T>>>,
}

impl<T: Thing> Records<T> {
    /// Finds those there are. What an interrupted upload left is removed; what cannot be read, or is of a newer
    /// owlet, or not ours, is left as it is.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut all = BTreeMap::new();
        for found in look::<T>(&folder)? {
            match found {
                Found::Thing(one) => {
                    all.insert(one.id.clone(), one);
                }
                // One that stays takes room and nothing else.
                Found::Begun(path) => drop(fs::remove_dir_all(path)),
                Found::Strange(..) => {}
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
        let stored = Stored { id, format: FORMAT, number, thing };
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
    fn only_what_an_upload_left_is_removed_and_what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let about = |id: &str, more: &str| {
            format!(
                r#"{{"id": "{id}", "object": "file", "bytes": 3, "created_at": 1, "filename": "a",
                "purpose": "batch", "status": "processed", "number": 4{more}}}"#
            )
        };
        write("file-1/about.json", &about("file-1", ""));
        write("file-1/content", "abc");
        write("file-2/content", "cut");
        write("file-3/about.json", &about("file-3", "")[..40]);
        write("file-4/about.json", &about("file-4", r#", "format": 2"#));
        write("file-5/about.json", &about("file-5", ""));
        write("file-5/content", "longer");
        write("file-6/notes.txt", "somebody's");
        write("mine/content", "somebody's");
        let records = Records::<File>::open(folder.path().to_owned()).unwrap();
        let found: Vec<String> = records.all().iter().map(|one| one.id.clone()).collect();
        assert_eq!(found, ["file-1", "file-5"]);
        let is_there = |id: &str| folder.path().join(id).exists();
        assert!(!is_there("file-2"));
        assert!(["file-3", "file-4", "file-6", "mine"].iter().all(|id| is_there(id)));
        let mut told: Vec<String> = verify::<File>(folder.path(), folder.path())
            .unwrap()
            .iter()
            .map(|problem| format!("{:?} {problem}", problem.kind))
            .collect();
        told.sort();
        insta::assert_snapshot!(told.join("\n"), @r"
        Damaged `file-3` has an unusable description: EOF while parsing a string at line 1 column 40
        Damaged `file-5` was changed after it was uploaded
        Foreign `file-6` does not belong here
        Foreign `mine` does not belong here
        Newer `file-4` has format 2, which this build does not read
        ");
        records.remove("file-1").unwrap();
        assert_eq!(records.remove("file-1").unwrap_err().status, StatusCode::NOT_FOUND);
    }
}
