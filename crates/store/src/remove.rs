//! Removal on purpose: artifacts lose their files and runs leave the list; what they were stays known.
//!
//! ```text
//! removed/artifacts/ab/<id>.json   what a removed artifact said of itself, and when it was removed
//! removed/runs/<run id>/           the folder of a removed run, as it was
//! ```
//!
//! Step records stay where they are, so lineage goes on telling who made what from what. An artifact is
//! noted before it loses its name, and its files go last: a process killed in between leaves either a sound
//! artifact (whose note counts for nothing) or a removed one. Making it anew takes the note away.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{self, Format};
use crate::manifest::Manifest;
use crate::{
    ArtifactHeader, ArtifactId, Error, FileEntry, Result, RunDirectory, RunId, StepKey, Store, disk,
};

/// The folder of what was removed.
const FOLDER: &str = "removed";
const NOTE_FORMAT: Format =
    Format { what: "note of removal", version: 1, context: "owlet note of removal seal 1" };
/// Held shared by whoever makes or uses artifacts, alone by whoever takes their files away.
const LOCK: &str = "work.lock";
/// Time between two looks whether somebody still takes files away.
const PAUSE: Duration = Duration::from_millis(20);

/// What is known of an artifact whose files were removed on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removed {
    /// Version of the note's format.
    format: u32,
    /// The artifact's id.
    pub id: ArtifactId,
    /// What it was, in one word.
    pub kind: String,
    /// What its maker said about it.
    pub about: Value,
    /// The files it had, sorted by name.
    pub files: Vec<FileEntry>,
    /// When, as an RFC 3339 timestamp.
    pub removed: String,
}

impl Removed {
    /// Total size of the files it had, in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |total, entry| total.saturating_add(entry.size))
    }

    /// Refuses a note that does not describe the artifact it is called after.
    fn check(self, id: &ArtifactId) -> Result<Self, String> {
        let Self { kind, about, files, .. } = self.clone();
        let manifest = Manifest { format: self.format, id: self.id, kind, about, files };
        manifest.check(id).map(|_| self)
    }
}

/// The sign that artifacts are being made or used; while anybody has it, no files are taken away.
#[derive(Debug)]
pub struct AtWork {
    _lock: fs::File,
}

/// The sign that nobody makes or uses artifacts; while somebody has it, whoever wants to waits.
#[derive(Debug)]
pub struct Alone {
    _lock: fs::File,
}

/// What nobody will name again, with its size in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOver {
    /// Unfinished work of steps, to go on from.
    pub scratch: Vec<(StepKey, u64)>,
    /// Damaged things that were set aside, by name.
    pub damaged: Vec<(String, u64)>,
}

impl Store {
    /// Says that artifacts are made or used here until the sign is dropped. Waits while files are taken away,
    /// which takes moments.
    pub fn at_work(&self) -> Result<AtWork> {
        let path = self.lock_of_work()?;
        loop {
            if let Some(lock) = disk::try_lock_shared(&path)? {
                return Ok(AtWork { _lock: lock });
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Claims the workspace for taking files away; `None` while somebody makes or uses artifacts.
    pub fn alone(&self) -> Result<Option<Alone>> {
        Ok(disk::try_lock(&self.lock_of_work()?)?.map(|lock| Alone { _lock: lock }))
    }

    fn lock_of_work(&self) -> Result<PathBuf> {
        disk::create_folder(&self.leases())?;
        Ok(self.leases().join(LOCK))
    }

    pub(crate) fn note_path(&self, id: &ArtifactId) -> PathBuf {
        let name = id.to_string();
        let notes = self.root().join(FOLDER).join("artifacts");
        notes.join(&name[..2]).join(format!("{name}.json"))
    }

    pub(crate) fn removed_runs_folder(&self) -> PathBuf {
        self.root().join(FOLDER).join("runs")
    }

    /// Takes away an artifact's files; what it said of itself stays. `now` is an RFC 3339 timestamp.
    /// Returns how many bytes its files had; 0 where it is not there.
    ///
    /// Who needs it is for the caller to know. One whose manifest cannot be read is left alone.
    pub fn remove_artifact(&self, _alone: &Alone, id: &ArtifactId, now: &str) -> Result<u64> {
        let Some(ArtifactHeader { kind, about, files, size, .. }) = self.artifact_header(id) else {
            return Ok(0);
        };
        let removed = now.to_owned();
        let note = Removed { format: NOTE_FORMAT.version, id: *id, kind, about, files, removed };
        self.write_atomically(&self.note_path(id), &document::render(NOTE_FORMAT, &note)?)?;
        self.verified().remove(id);
        let _names = self.lock_names()?;
        self.discard(&self.artifact_folder(id))?;
        Ok(size)
    }

    /// Takes away a thing's name and then its files, so that a kill leaves it whole or without a name.
    fn discard(&self, path: &Path) -> Result<()> {
        let temporary = self.temporary()?.path();
        if disk::if_there(disk::rename_synced(path, &temporary))?.is_none() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            disk::sync_folder(folder)?;
        }
        let is_folder = fs::symlink_metadata(&temporary)?.is_dir();
        Ok(if is_folder { fs::remove_dir_all(&temporary) } else { fs::remove_file(&temporary) }?)
    }

    /// Forgets that an artifact was removed, because it was made anew.
    pub(crate) fn forget_removal(&self, id: &ArtifactId) -> Result<()> {
        disk::if_there(fs::remove_file(self.note_path(id)))?;
        Ok(())
    }

    /// What an artifact was whose files were removed on purpose; `None` of one that is there, of one that was
    /// never removed, and where the note cannot be read.
    pub fn removed(&self, id: &ArtifactId) -> Option<Removed> {
        if fs::symlink_metadata(self.artifact_folder(id)).is_ok() {
            return None;
        }
        self.read_note(id).ok()?.and_then(Result::ok)
    }

    /// Reads a note; the inner error says what is wrong with a damaged one.
    pub(crate) fn read_note(&self, id: &ArtifactId) -> Result<Option<Result<Removed, String>>> {
        let note = document::read_record::<Removed>(NOTE_FORMAT, &self.note_path(id))?;
        Ok(note.map(|note| note?.check(id)))
    }

    /// Lists the ids of all artifacts that were removed on purpose and not made anew, sorted.
    pub fn removed_ids(&self) -> Result<Vec<ArtifactId>> {
        let mut ids = self.shelved_notes()?.0;
        ids.retain(|id| fs::symlink_metadata(self.artifact_folder(id)).is_err());
        Ok(ids)
    }

    pub(crate) fn shelved_notes(&self) -> Result<(Vec<ArtifactId>, Vec<String>)> {
        self.shelved("removed/artifacts", |name| name.strip_suffix(".json")?.parse().ok())
    }

    /// Names below `removed/` that the layout does not know.
    pub(crate) fn foreign_among_removed(&self) -> Result<Vec<String>> {
        let mut foreign = disk::names(&self.root().join(FOLDER))?;
        foreign.retain(|name| !["artifacts", "runs"].contains(&name.as_str()));
        let runs = disk::names(&self.removed_runs_folder())?;
        let strangers = runs.iter().filter(|name| name.parse::<RunId>().is_err());
        foreign.extend(strangers.map(|name| format!("runs/{name}")));
        let mut foreign: Vec<String> =
            foreign.into_iter().map(|name| format!("{FOLDER}/{name}")).collect();
        foreign.extend(self.shelved_notes()?.1);
        Ok(foreign)
    }

    /// Takes a run off the list. Its folder is kept as it is, away from the others; what it made is not touched.
    ///
    /// # Errors
    /// [`Error::MissingRun`], and [`Error::RunAtWork`] while a process executes it.
    pub fn remove_run(&self, id: &RunId) -> Result<()> {
        let run = self.open_run(id)?;
        disk::create_folder(&self.removed_runs_folder())?;
        let _names = self.lock_names()?;
        if run.is_held()? {
            return Err(Error::RunAtWork { id: id.clone() });
        }
        let target = self.removed_runs_folder().join(id.as_str());
        disk::rename_synced(run.path(), &target)?;
        Ok(disk::sync_folder(&self.root().join("runs"))?)
    }

    /// Puts a removed run back on the list.
    ///
    /// # Errors
    /// [`Error::MissingRun`] where none of this id was removed, [`Error::RunExists`] where one is on the list.
    pub fn restore_run(&self, id: &RunId) -> Result<()> {
        let folder = self.removed_runs_folder().join(id.as_str());
        if !folder.is_dir() {
            return Err(Error::MissingRun { id: id.clone() });
        }
        disk::create_folder(&self.root().join("runs"))?;
        let _names = self.lock_names()?;
        if self.run_folder(id).exists() {
            return Err(Error::RunExists { id: id.clone() });
        }
        disk::rename_synced(&folder, &self.run_folder(id))?;
        Ok(disk::sync_folder(&self.removed_runs_folder())?)
    }

    /// Lists the runs that were removed, oldest first.
    pub fn removed_runs(&self) -> Result<Vec<RunDirectory>> {
        let names = disk::names(&self.removed_runs_folder())?;
        let ids = names.iter().filter_map(|name| name.parse::<RunId>().ok());
        Ok(ids.map(|id| self.run_at(&id, self.removed_runs_folder().join(id.as_str()))).collect())
    }

    /// What steps left unfinished and what was set aside, with their sizes.
    pub fn left_over(&self) -> Result<LeftOver> {
        let sized = |folder: &str, name: &str| disk::size(&self.root().join(folder).join(name));
        let mut left = LeftOver::default();
        for name in disk::names(&self.root().join("scratch"))? {
            if let Ok(key) = name.parse() {
                left.scratch.push((key, sized("scratch", &name)?));
            }
        }
        for name in disk::names(&self.root().join("damaged"))? {
            let size = sized("damaged", &name)?;
            left.damaged.push((name, size));
        }
        Ok(left)
    }

    /// Takes away a damaged thing that was set aside.
    pub fn discard_damaged(&self, _alone: &Alone, name: &str) -> Result<()> {
        self.discard(&self.root().join("damaged").join(name))
    }
}
