//! `/v1/files`: rows and requests that clients bring and answers that batches leave, kept until they
//! are deleted.
//!
//! A file's place on disk comes from its id, which the server makes; what a client calls it is only
//! text. A file is on disk as a whole or not at all.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fs_err as fs;
use futures_util::stream;
use owlet_lab::value::jsonl::Dialogue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::App;
use super::body;
use super::lines::Lines;
use super::query::{Id, Page};
use super::refusal::Refusal;
use super::wire;

/// Bytes of one file, and of all.
const MOST_BYTES: u64 = 512 << 20;
const ALL_BYTES: u64 = 16 << 30;
/// Files being received at once.
const UPLOADS: usize = 16;
/// Files kept.
const MOST_FILES: usize = 10_000;
/// Bytes of one line.
const LONGEST_LINE: usize = 4 << 20;
/// What files are for.
pub(crate) const FINE_TUNE: &str = "fine-tune";
pub(crate) const BATCH: &str = "batch";
/// What files are for that batches leave.
const OUTPUT: &str = "batch_output";
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

const CONTENT: &str = "content";
const ABOUT: &str = "about.json";

/// A file as the wire tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FileObject {
    pub(crate) id: String,
    object: String,
    pub(crate) bytes: u64,
    pub(crate) created_at: u64,
    filename: String,
    pub(crate) purpose: String,
    status: String,
    /// Order of arrival.
    #[serde(default)]
    pub(crate) number: u64,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, FileObject>>,
    uploads: Semaphore,
}

impl Files {
    /// Finds what is there.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let about: Option<FileObject> = fs::read(path.join(ABOUT))
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            match about {
                Some(about) if path.file_name().is_some_and(|name| name == about.id.as_str()) => {
                    files.insert(about.id.clone(), about);
                }
                // An upload that was cut.
                _ => drop(fs::remove_dir_all(&path)),
            }
        }
        Ok(Self { folder, all: Mutex::new(files), uploads: Semaphore::new(UPLOADS) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, FileObject>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<FileObject> {
        self.lock().get(id).cloned()
    }

    /// Where a file's content is. The id is one the server gave.
    pub(crate) fn content(&self, file: &FileObject) -> PathBuf {
        self.folder.join(&file.id).join(CONTENT)
    }

    /// Takes a copy of a file that a batch has written, under an id that [`App::new_id`] gave. Doing
    /// it again changes nothing.
    pub(crate) fn adopt(
        &self,
        id: &str,
        content: &Path,
        filename: String,
        now: u64,
    ) -> std::io::Result<()> {
        if self.get(id).is_some() {
            return Ok(());
        }
        let folder = self.folder.join(id);
        fs::create_dir_all(&folder)?;
        let mut unfinished = Unfinished(Some(folder.clone()));
        let bytes = fs::copy(content, folder.join(CONTENT))?;
        fs::File::open(folder.join(CONTENT))?.sync_all()?;
        self.keep(id.to_owned(), filename, OUTPUT.to_owned(), bytes, now)?;
        unfinished.0 = None;
        Ok(())
    }

    /// Describes a file whose content is in its place.
    fn keep(
        &self,
        id: String,
        filename: String,
        purpose: String,
        bytes: u64,
        created_at: u64,
    ) -> std::io::Result<FileObject> {
        let mut files = self.lock();
        let about = FileObject {
            object: "file".to_owned(),
            bytes,
            created_at,
            filename,
            purpose,
            status: "processed".to_owned(),
            number: files.values().map(|file| file.number + 1).max().unwrap_or(0),
            id,
        };
        write_whole(&self.folder.join(&about.id).join(ABOUT), &serde_json::to_vec(&about)?)?;
        files.insert(about.id.clone(), about.clone());
        Ok(about)
    }

    /// Whether there is room for another.
    pub(crate) fn room(&self) -> Result<(), Refusal> {
        let files = self.lock();
        let bytes: u64 = files.values().map(|file| file.bytes).sum();
        if files.len() >= MOST_FILES || bytes >= ALL_BYTES {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("{} files of {bytes} bytes are kept already; delete some", files.len()),
            ));
        }
        Ok(())
    }
}

fn broken() -> Refusal {
    Refusal::fault("reading the file broke; this is a bug in owlet")
}

fn files(app: &App) -> Result<&Files, Refusal> {
    Ok(&app.kept()?.files)
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let files = files(&app)?;
    files.room()?;
    let _upload = files.uploads.try_acquire().map_err(|_| Refusal::busy(UPLOADS))?;
    if body::length(request.headers()).is_some_and(|length| length as u64 > MOST_BYTES + (1 << 20))
    {
        return Err(body::too_large(MOST_BYTES as usize));
    }
    let mut form = Multipart::from_request(request, &app).await.map_err(|error| {
        Refusal::new(error.status(), format!("the body is no usable form: {}", error.body_text()))
    })?;
    let id = app.new_id("file-");
    let folder = files.folder.join(&id);
    fs::create_dir_all(&folder)?;
    let mut unfinished = Unfinished(Some(folder.clone()));
    let received = receive(&mut form, folder.join(CONTENT)).await;
    let checked = match received {
        Ok(uploaded) => {
            let path = folder.join(CONTENT);
            let parse = if uploaded.purpose == BATCH { batch_line } else { conversation };
            let lines = tokio::task::spawn_blocking(move || check(&path, parse)).await;
            lines.map_err(|_| broken()).flatten().map(|()| uploaded)
        }
        Err(refusal) => Err(refusal),
    };
    let Uploaded { filename, purpose, bytes } = checked?;
    let about = files.keep(id, filename, purpose, bytes, (app.now)())?;
    unfinished.0 = None;
    Ok(Json(about).into_response())
}

struct Uploaded {
    filename: String,
    purpose: String,
    bytes: u64,
}

/// An upload that leaves nothing behind if it comes to no end.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // What is left is removed at the next start.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Takes the form's file to disk as it comes.
async fn receive(form: &mut Multipart, path: PathBuf) -> Result<Uploaded, Refusal> {
    let bad = |error: axum::extract::multipart::MultipartError| {
        Refusal::new(error.status(), format!("the form is not usable: {}", error.body_text()))
    };
    let (mut purpose, mut found) = (None, None);
    while let Some(mut field) =
        body::patiently(async { form.next_field().await.map_err(bad) }).await?
    {
        match field.name() {
            Some("purpose") => {
                let mut text = Vec::new();
                while let Some(chunk) =
                    body::patiently(async { field.chunk().await.map_err(bad) }).await?
                {
                    text.extend_from_slice(&chunk);
                    if text.len() > 100 {
                        return Err(Refusal::field("purpose", "is longer than 100 bytes"));
                    }
                }
                purpose = Some(String::from_utf8_lossy(&text).into_owned());
            }
            Some("file") if found.is_none() => {
                let name = field.file_name().unwrap_or("file").chars().filter(|c| !c.is_control());
                let name: String = name.take(200).collect();
                let mut file = fs::File::create(&path)?;
                let mut bytes = 0;
                while let Some(chunk) =
                    body::patiently(async { field.chunk().await.map_err(bad) }).await?
                {
                    bytes += chunk.len() as u64;
                    if bytes > MOST_BYTES {
                        return Err(body::too_large(MOST_BYTES as usize));
                    }
                    file.write_all(&chunk)?;
                }
                file.sync_all()?;
                found = Some((name, bytes));
            }
            _ => {
                let mut skipped = 0;
                while let Some(chunk) =
                    body::patiently(async { field.chunk().await.map_err(bad) }).await?
                {
                    skipped += chunk.len();
                    if skipped > 64 << 10 {
                        return Err(Refusal::request(
                            "the form has a large field that is not `file`",
                        ));
                    }
                }
            }
        }
    }
    let purpose = purpose.ok_or_else(|| Refusal::field("purpose", "is missing"))?;
    if ![FINE_TUNE, BATCH].contains(&purpose.as_str()) {
        return Err(Refusal::field("purpose", "is neither `fine-tune` nor `batch`"));
    }
    let (filename, bytes) = found.ok_or_else(|| Refusal::field("file", "is missing"))?;
    Ok(Uploaded { filename, purpose, bytes })
}

/// Every line is what `parse` takes.
fn check(path: &Path, parse: fn(&str) -> Result<(), String>) -> Result<(), Refusal> {
    let refuse = |number: usize, why: String| {
        Refusal::field("file", format!("has an unusable line {number}: {why}"))
    };
    let mut some = false;
    for line in Lines::open(path, LONGEST_LINE)? {
        let (number, text) = line.map_err(|(number, why)| refuse(number, why))?;
        parse(&text).map_err(|why| refuse(number, why))?;
        some = true;
    }
    if some { Ok(()) } else { Err(Refusal::field("file", "has no rows")) }
}

fn conversation(line: &str) -> Result<(), String> {
    Dialogue::parse(line).map(drop)
}

/// What a line asks for is looked at when its batch is made.
fn batch_line(line: &str) -> Result<(), String> {
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("is no JSON object: {error}")),
    }
}

/// Writes beside and renames.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)
}

pub(crate) async fn list(State(app): State<Arc<App>>, page: Page) -> Result<Json<Value>, Refusal> {
    let mut all: Vec<FileObject> = files(&app)?.lock().values().cloned().collect();
    all.sort_by_key(|file| std::cmp::Reverse(file.number));
    page.of(&all, |file| &file.id, |file| json!(file))
}

pub(crate) async fn retrieve(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    let file = files(&app)?.get(&id).ok_or_else(|| Refusal::missing("file", &id))?;
    Ok(Json(json!(file)))
}

pub(crate) async fn content(State(app): State<Arc<App>>, Id(id): Id) -> Result<Response, Refusal> {
    let files = files(&app)?;
    let file = files.get(&id).ok_or_else(|| Refusal::missing("file", &id))?;
    let path = files.content(&file);
    let open = tokio::task::spawn_blocking(move || fs::File::open(path));
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
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, wire::value("application/jsonl"));
    headers.insert(header::CONTENT_LENGTH, file.bytes.into());
    Ok(response)
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    let files = files(&app)?;
    let file = files.lock().remove(&id).ok_or_else(|| Refusal::missing("file", &id))?;
    // The description first: without it the rest is an upload that was cut.
    let folder = files.folder.join(&file.id);
    if let Err(error) = fs::remove_file(folder.join(ABOUT)) {
        files.lock().insert(id, file);
        return Err(error.into());
    }
    // What is left is removed at the next start.
    let _ = fs::remove_dir_all(folder);
    Ok(Json(json!({ "id": id, "object": "file", "deleted": true })))
}
