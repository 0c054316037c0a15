//! `/v1/files`: rows that clients bring, kept until they are deleted.
//!
//! A file's place on disk comes from its id, which the server makes; what a client calls it is only
//! text. A file is on disk as a whole or not at all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fs_err as fs;
use owlet_lab::step::fine_tune::Conversation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::App;
use super::body;
use super::query::{Id, Page};
use super::refusal::Refusal;
use super::wire;

/// Bytes of one file, and of all.
const MOST_BYTES: u64 = 512 << 20;
const ALL_BYTES: u64 = 16 << 30;
/// Files at once.
const MOST_FILES: usize = 10_000;
/// Bytes of one line.
const LONGEST_LINE: usize = 4 << 20;
/// What files are for.
const PURPOSES: [&str; 1] = ["fine-tune"];

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
    purpose: String,
    status: String,
    /// Order of arrival.
    #[serde(default)]
    pub(crate) number: u64,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    files: Mutex<BTreeMap<String, FileObject>>,
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
        Ok(Self { folder, files: Mutex::new(files) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, FileObject>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &str) -> Option<FileObject> {
        self.lock().get(id).cloned()
    }

    /// Where a file's content is. The id is one the server gave.
    pub(crate) fn content(&self, file: &FileObject) -> PathBuf {
        self.folder.join(&file.id).join(CONTENT)
    }

    fn room(&self) -> Result<(), Refusal> {
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

fn files(app: &App) -> Result<&Files, Refusal> {
    app.jobs.as_ref().map(|jobs| &*jobs.files).ok_or_else(super::jobs::none)
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let files = files(&app)?;
    files.room()?;
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
        Ok((name, bytes)) => {
            let path = folder.join(CONTENT);
            let lines = tokio::task::spawn_blocking(move || check(&path)).await;
            lines
                .map_err(|_| Refusal::fault("reading the file broke; this is a bug in owlet"))
                .flatten()
                .map(|()| (name, bytes))
        }
        Err(refusal) => Err(refusal),
    };
    let (filename, bytes) = checked?;
    let about = FileObject {
        id,
        object: "file".to_owned(),
        bytes,
        created_at: (app.now)(),
        filename,
        purpose: PURPOSES[0].to_owned(),
        status: "processed".to_owned(),
        number: files.lock().values().map(|file| file.number + 1).max().unwrap_or(0),
    };
    write_whole(&folder.join(ABOUT), &serde_json::to_vec(&about).unwrap_or_default())?;
    unfinished.0 = None;
    files.lock().insert(about.id.clone(), about.clone());
    Ok(Json(about).into_response())
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

/// Takes the form's file to disk as it comes; returns its name and size.
async fn receive(form: &mut Multipart, path: PathBuf) -> Result<(String, u64), Refusal> {
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
    match purpose.as_deref() {
        None => return Err(Refusal::field("purpose", "is missing")),
        Some(purpose) if !PURPOSES.contains(&purpose) => {
            return Err(Refusal::field("purpose", "is not `fine-tune`, the only one there is"));
        }
        Some(_) => {}
    }
    found.ok_or_else(|| Refusal::field("file", "is missing"))
}

/// Every line is a conversation.
fn check(path: &Path) -> Result<(), Refusal> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let (mut line, mut number, mut some) = (Vec::new(), 0, false);
    loop {
        line.clear();
        number += 1;
        let read =
            std::io::Read::take(&mut reader, LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let refuse =
            |why: String| Refusal::field("file", format!("has an unusable line {number}: {why}"));
        if read == LONGEST_LINE && line.last() != Some(&b'\n') {
            return Err(refuse(format!("is longer than {LONGEST_LINE} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| refuse("is not UTF-8".to_owned()))?;
        if !text.trim().is_empty() {
            Conversation::parse(text).map_err(refuse)?;
            some = true;
        }
    }
    if some { Ok(()) } else { Err(Refusal::field("file", "has no rows")) }
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
    let memory = body::memory(&app, file.bytes as usize).await?;
    let path = files.content(&file);
    let bytes = tokio::task::spawn_blocking(move || fs::read(path))
        .await
        .map_err(|_| Refusal::fault("reading the file broke; this is a bug in owlet"))??;
    drop(memory);
    Ok(([(header::CONTENT_TYPE, wire::value("application/jsonl"))], bytes).into_response())
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    let files = files(&app)?;
    let file = files.lock().remove(&id).ok_or_else(|| Refusal::missing("file", &id))?;
    // The description first: without it the rest is an upload that was cut.
    let folder = files.folder.join(&file.id);
    fs::remove_file(folder.join(ABOUT))?;
    fs::remove_dir_all(folder)?;
    Ok(Json(json!({ "id": id, "object": "file", "deleted": true })))
}
