//! `/v1/files`: rows and requests that clients bring and answers that batches leave, kept until they
//! are deleted.
//!
//! A file's place on disk comes from its id, which the server makes; what a client calls it is only
//! text. A file is on disk as a whole or not at all.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fs_err as fs;
use futures_util::stream;
use owlet_lab::step::fine_tune;
use owlet_lab::value::dialogue::{self, Form, Found, Purpose, Unreadable};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::lines::Lines;
use super::query::Id;
use super::records::{self, Records, Stored, Thing};
use super::refusal::Refusal;
use super::{App, Kept, body};

/// Bytes of one file, and of all.
const MOST_BYTES: u64 = 512 << 20;
const ALL_BYTES: u64 = 16 << 30;
/// Files being received at once.
const UPLOADS: usize = 16;
/// Bytes of one line.
const LONGEST_LINE: usize = 4 << 20;
/// What files are for.
pub(crate) const FINE_TUNE: &str = "fine-tune";
pub(crate) const BATCH: &str = "batch";
/// What files are for that batches and jobs leave.
pub(crate) const OUTPUT: &str = "batch_output";
pub(crate) const RESULTS: &str = "fine-tune-results";
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

const CONTENT: &str = "content";

/// A file, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct File {
    bytes: u64,
    created_at: u64,
    filename: String,
    pub(crate) purpose: String,
    /// BLAKE3 of the content; older ones have none.
    #[serde(default)]
    digest: Option<String>,
    /// Whether it holds rows that are preferences.
    #[serde(default)]
    pub(crate) preferences: bool,
}

/// BLAKE3 of a file.
fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

impl Thing for File {
    const WHAT: &'static str = "file";
    const FOLDER: bool = true;

    fn records(kept: &Kept) -> &Records<Self> {
        &kept.files.records
    }

    fn is_done(&self) -> bool {
        true
    }

    fn flaw(&self, folder: &Path) -> Option<String> {
        let content = folder.join(CONTENT);
        let length = match fs::metadata(&content) {
            Ok(content) => content.len(),
            Err(error) => return Some(format!("has no content: {error}")),
        };
        let found = match digest(&content) {
            Ok(found) => found,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        let changed = length != self.bytes || self.digest.as_ref().is_some_and(|own| *own != found);
        changed.then(|| "was changed after it was uploaded".to_owned())
    }

    fn json(this: &Stored<Self>) -> Value {
        json!({
            "id": this.id,
            "object": "file",
            "bytes": this.bytes,
            "created_at": this.created_at,
            "filename": this.filename,
            "purpose": this.purpose,
            "status": "processed",
            "number": this.number,
        })
    }
}

/// All files.
pub(crate) struct Files {
    records: Records<File>,
    uploads: Semaphore,
}

impl Files {
    /// Finds what is there.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        Ok(Self { records: Records::open(folder)?, uploads: Semaphore::new(UPLOADS) })
    }

    /// The file with this id, if it holds rows to be learned.
    pub(crate) fn rows(&self, id: &str) -> Option<Stored<File>> {
        self.records.get(id).ok().filter(|file| file.purpose == FINE_TUNE)
    }

    /// A file as messages name it.
    pub(crate) fn named(&self, id: &str) -> String {
        let name = self.records.get(id).map(|file| format!(" (`{}`)", file.filename));
        format!("file `{id}`{}", name.unwrap_or_default())
    }

    /// The content of a file, if there is one with this id for this purpose.
    pub(crate) fn content(&self, id: &str, purpose: &str) -> Option<PathBuf> {
        let file = self.records.get(id).ok().filter(|file| file.purpose == purpose)?;
        Some(self.place(&file.id).join(CONTENT))
    }

    /// What is wrong with a file's content, if anything is.
    pub(crate) fn flaw(&self, id: &str) -> Option<String> {
        self.records.get(id).ok()?.flaw(&self.place(id))
    }

    /// A file's folder. The id is one the server gave.
    fn place(&self, id: &str) -> PathBuf {
        self.records.folder().join(id)
    }

    /// A folder for content that is to come; it is removed unless it is kept.
    fn begin(&self) -> std::io::Result<TempDir> {
        tempfile::tempdir_in(self.records.folder())
    }

    /// Keeps a folder with its content.
    fn keep(&self, id: String, folder: TempDir, file: File) -> std::io::Result<Stored<File>> {
        fs::rename(folder.keep(), self.place(&id))?;
        self.records.add(id, file)
    }

    /// Takes a copy of a file that a batch or job has written, under an id that [`App::new_id`] gave. Doing
    /// it again changes nothing.
    pub(crate) fn adopt(
        &self,
        id: &str,
        content: &Path,
        filename: String,
        purpose: &str,
        created_at: u64,
    ) -> std::io::Result<()> {
        if self.records.get(id).is_ok() {
            return Ok(());
        }
        let folder = self.begin()?;
        let copy = folder.path().join(CONTENT);
        let bytes = fs::copy(content, &copy)?;
        fs::File::open(copy)?.sync_all()?;
        let digest = Some(digest(content)?);
        let purpose = purpose.to_owned();
        let file = File { bytes, created_at, filename, purpose, digest, preferences: false };
        self.keep(id.to_owned(), folder, file).map(drop)
    }

    /// Whether there is room for another.
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        let files = self.records.all();
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        if files.len() < records::MOST && bytes < ALL_BYTES {
            return Ok(());
        }
        let why = format!("{} files of {bytes} bytes are kept already; delete some", files.len());
        Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why))
    }
}

fn broken() -> Refusal {
    Refusal::fault("reading the file broke; this is a bug in owlet")
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let files = &app.kept()?.files;
    files.check_room()?;
    let _upload = files.uploads.try_acquire().map_err(|_| Refusal::busy(UPLOADS))?;
    if body::length(request.headers()).is_some_and(|length| length as u64 > MOST_BYTES + (1 << 20))
    {
        return Err(body::too_large(MOST_BYTES as usize));
    }
    let mut form = Multipart::from_request(request, &app).await.map_err(|error| {
        Refusal::new(error.status(), format!("the body is no usable form: {}", error.body_text()))
    })?;
    let folder = files.begin()?;
    let content = folder.path().join(CONTENT);
    let mut file = receive(&mut form, &content, app.now()).await?;
    let check = if file.purpose == BATCH { check_requests } else { check_rows };
    let checked = tokio::task::spawn_blocking(move || check(&content));
    file.preferences = checked.await.map_err(|_| broken())??;
    let kept = files.keep(app.new_id("file-"), folder, file)?;
    Ok(Json(File::json(&kept)))
}

/// Takes the form's file to disk as it comes.
async fn receive(form: &mut Multipart, path: &Path, now: u64) -> Result<File, Refusal> {
    let (mut purpose, mut found) = (None, None);
    while let Some(mut field) =
        body::patiently(async { form.next_field().await.map_err(unusable) }).await?
    {
        match field.name() {
            Some("purpose") => {
                let mut text = Vec::new();
                let long = || Refusal::field("purpose", "is longer than 100 bytes");
                take(&mut field, &mut text, 100, long).await?;
                purpose = Some(String::from_utf8_lossy(&text).into_owned());
            }
            Some("file") if found.is_none() => {
                let name = field.file_name().unwrap_or("file").chars().filter(|c| !c.is_control());
                let name: String = name.take(200).collect();
                let mut file =
                    Digested { file: fs::File::create(path)?, hasher: blake3::Hasher::default() };
                let long = || body::too_large(MOST_BYTES as usize);
                let bytes = take(&mut field, &mut file, MOST_BYTES, long).await?;
                file.file.sync_all()?;
                found = Some((name, bytes, file.hasher.finalize().to_hex().to_string()));
            }
            _ => {
                let long = || Refusal::request("the form has a large field that is not `file`");
                take(&mut field, &mut std::io::sink(), 64 << 10, long).await?;
            }
        }
    }
    let purpose = purpose.ok_or_else(|| Refusal::field("purpose", "is missing"))?;
    if ![FINE_TUNE, BATCH].contains(&purpose.as_str()) {
        return Err(Refusal::field("purpose", "is neither `fine-tune` nor `batch`"));
    }
    let (filename, bytes, digest) = found.ok_or_else(|| Refusal::field("file", "is missing"))?;
    let digest = Some(digest);
    Ok(File { bytes, created_at: now, filename, purpose, digest, preferences: false })
}

/// A file and the BLAKE3 of what is written to it.
struct Digested {
    file: fs::File,
    hasher: blake3::Hasher,
}

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Takes a field as it comes, up to `most` bytes; returns how many there were.
async fn take(
    field: &mut Field<'_>,
    into: &mut (impl Write + Send),
    most: u64,
    too_long: impl Fn() -> Refusal,
) -> Result<u64, Refusal> {
    let mut bytes = 0;
    while let Some(chunk) = body::patiently(async { field.chunk().await.map_err(unusable) }).await?
    {
        bytes += chunk.len() as u64;
        if bytes > most {
            return Err(too_long());
        }
        into.write_all(&chunk)?;
    }
    Ok(bytes)
}

fn unusable(error: MultipartError) -> Refusal {
    Refusal::new(error.status(), format!("the form is not usable: {}", error.body_text()))
}

/// Every row is one that fine-tuning takes; whether they are preferences.
fn check_rows(path: &Path) -> Result<bool, Refusal> {
    let file = fs::File::open(path)?;
    let found = dialogue::each(file, fine_tune::BOUNDS, Purpose::Either, &mut |_| Ok(()));
    let are_preferences = |found: Found| matches!(found.kind, Some((_, Form::Preference)));
    found.map(are_preferences).map_err(|Unreadable { place, reason }| {
        let why =
            if place.is_empty() { reason } else { format!("has an unusable {place}: {reason}") };
        Refusal::field("file", why)
    })
}

/// Every line is a JSON object; what it asks for is looked at when its batch is made. None is a preference.
fn check_requests(path: &Path) -> Result<bool, Refusal> {
    let refuse = |number: usize, why: String| {
        Refusal::field("file", format!("has an unusable line {number}: {why}"))
    };
    let mut some = false;
    for line in Lines::open(path, LONGEST_LINE)? {
        let (number, text) = line.map_err(|(number, why)| refuse(number, why))?;
        serde_json::from_str::<Map<String, Value>>(&text)
            .map_err(|error| refuse(number, format!("is no JSON object: {error}")))?;
        some = true;
    }
    if some { Ok(false) } else { Err(Refusal::field("file", "has no rows")) }
}

pub(crate) async fn content(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response, Refusal> {
    let files = &app.kept()?.files;
    let file = files.records.get(&id)?;
    let (folder, kept) = (files.place(&file.id), file.clone());
    let open = tokio::task::spawn_blocking(move || {
        if let Some(flaw) = kept.flaw(&folder) {
            let why = format!("file `{}` {flaw}; upload it again", kept.id);
            return Err(Refusal::request(why).coded("invalid_state"));
        }
        Ok(fs::File::open(folder.join(CONTENT))?)
    });
    let content = open.await.map_err(|_| broken())??;
    // A client that reads slowly holds one chunk.
    let chunks = stream::try_unfold(content, |mut content| async {
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let read = content.read(&mut chunk)?;
            chunk.truncate(read);
            Ok((read > 0).then_some((chunk, content)))
        });
        read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl")),
        (header::CONTENT_LENGTH, file.bytes.into()),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    let kept = app.kept()?;
    if let Some(user) = kept.jobs.reads(&id).or_else(|| kept.batches.reads(&id)) {
        let why = format!("file `{id}` is read by `{user}`, which is not done; cancel it first");
        return Err(Refusal::new(StatusCode::CONFLICT, why));
    }
    let files = &kept.files;
    files.records.remove(&id)?;
    // What is left is removed at the next start.
    let _ = fs::remove_dir_all(files.place(&id));
    Ok(Json(json!({ "id": id, "object": "file", "deleted": true })))
}
