//! `/v1/batches`: files of requests answered in the background, one batch at a time.
//!
//! Requests of a batch go the way of any other, with less right to the engine. Answers are written
//! beside the batch in the order of its requests, so what is there says where a server that was
//! stopped goes on: nothing that was answered is asked again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fs_err as fs;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::batch::{self, Batch, Endpoint, LONGEST_REQUEST, Line, Mistake, Status, failure};
use super::fields::{Fields, Ignored};
use super::files::{BATCH, Files, OUTPUT};
use super::lines::Lines;
use super::query::Id;
use super::records::{Records, Stored, Thing};
use super::refusal::Refusal;
use super::runner::Runner;
use super::{App, chat, completions, responses};

/// Requests of a batch under way or answered and waiting for those before them.
const WINDOW: usize = 64;

/// All batches.
pub(crate) struct Batches {
    pub(crate) records: Records<Batch>,
    files: Arc<Files>,
    /// There is a new batch, or the one under way is to stop.
    news: Notify,
}

/// A request's answer as a line of one of the two files.
struct Answered {
    line: Vec<u8>,
    well: bool,
}

impl Batches {
    /// Finds the batches there are; `files` has what they ask.
    pub(crate) fn open(folder: PathBuf, files: Arc<Files>) -> std::io::Result<Self> {
        Ok(Self { records: Records::open(folder)?, files, news: Notify::new() })
    }

    /// Works through batches for ever; to be dropped at any moment.
    pub(crate) async fn work(self: Arc<Self>, app: Arc<App>) {
        let runner = app.runner.background();
        loop {
            let Some(batch) = self.records.next() else {
                self.news.notified().await;
                continue;
            };
            let done = AssertUnwindSafe(self.run(&app, &runner, &batch)).catch_unwind().await;
            let mistakes = match done {
                Ok(Ok(())) => continue,
                Ok(Err(mistakes)) => mistakes,
                Err(_) => {
                    failure("server_error", "the batch broke the server; this is a bug in owlet")
                }
            };
            let failed = self.records.change_open(&batch.id, |batch| {
                batch.enter(Status::Failed, app.now());
                batch.mistakes = mistakes;
            });
            // In memory it has failed even if the disk takes nothing.
            drop(failed);
        }
    }

    /// The file of a batch's answers, or of its refusals, while they come.
    fn part(&self, id: &str, well: bool) -> PathBuf {
        self.records.folder().join(format!("{id}.{}.jsonl", if well { "output" } else { "error" }))
    }

    /// Brings a batch to its end, or as far as it comes before it is cancelled.
    async fn run(
        &self,
        app: &App,
        runner: &Runner,
        batch: &Stored<Batch>,
    ) -> Result<(), Vec<Mistake>> {
        let refused = |refusal: Refusal| failure("server_error", refusal.message);
        if matches!(batch.status, Status::Validating | Status::InProgress) {
            let input = self.files.content(&batch.input_file, BATCH).ok_or_else(|| {
                failure("file_not_found", "the input file was deleted before the batch was done")
            })?;
            if batch.status == Status::Validating {
                let (path, endpoint) = (input.clone(), batch.endpoint);
                let (files, id) = (Arc::clone(&self.files), batch.input_file.clone());
                let checked = tokio::task::spawn_blocking(move || match files.flaw(&id) {
                    Some(flaw) => Err(failure("invalid_file", format!("the input file {flaw}"))),
                    None => batch::check(&path, endpoint),
                });
                let total = checked
                    .await
                    .map_err(|error| refused(std::io::Error::from(error).into()))??;
                let begun = self.records.change_open(&batch.id, |batch| {
                    batch.total = total;
                    batch.enter(Status::InProgress, app.now());
                });
                if self.records.get(&batch.id).is_ok_and(|batch| batch.is_done()) {
                    return Ok(());
                }
                begun.map_err(refused)?;
            }
            let answered = self.answer(app, runner, batch, &input).await;
            answered.map_err(|error| refused(error.into()))?;
        }
        tokio::task::block_in_place(|| self.finish(app, &batch.id)).map_err(refused)
    }

    /// Asks what was not answered yet, until all is or the batch is cancelled.
    async fn answer(
        &self,
        app: &App,
        runner: &Runner,
        batch: &Stored<Batch>,
        input: &Path,
    ) -> std::io::Result<()> {
        let (well, ill) = (self.part(&batch.id, true), self.part(&batch.id, false));
        let count = || std::io::Result::Ok((whole_lines(&well)?, whole_lines(&ill)?));
        let (completed, failed) = tokio::task::block_in_place(count)?;
        self.records.touch(&batch.id, |batch| {
            (batch.completed, batch.failed) = (completed, failed);
        });
        let append = |path: &Path| fs::OpenOptions::new().create(true).append(true).open(path);
        let (mut well, mut ill) = (append(&well)?, append(&ill)?);
        let endpoint = batch.endpoint;
        let lines = Lines::open(input, LONGEST_REQUEST)?.skip(completed + failed);
        let answers = stream::iter(lines)
            .map(|line| one(app, runner, endpoint, line.map(|(_, text)| text)))
            .buffered(WINDOW);
        tokio::pin!(answers);
        loop {
            let answered = tokio::select! {
                answered = answers.next() => answered,
                () = self.news.notified() => {
                    let status = self.records.get(&batch.id).map(|batch| batch.status);
                    if status.is_ok_and(|status| status == Status::Cancelling) {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(Answered { line, well: is_well }) = answered else { return Ok(()) };
            if is_well { well.write_all(&line) } else { ill.write_all(&line) }?;
            self.records.touch(&batch.id, |batch| {
                *(if is_well { &mut batch.completed } else { &mut batch.failed }) += 1;
            });
        }
    }

    /// Makes files of the answers there are. Cut at any place, it is done again.
    fn finish(&self, app: &App, id: &str) -> Result<(), Refusal> {
        let batch = self.records.change(id, |batch| {
            if batch.status == Status::InProgress {
                batch.enter(Status::Finalizing, app.now());
            }
            Ok(())
        })?;
        let adopt = |well: bool, file: &str| {
            let part = self.part(id, well);
            let count = whole_lines(&part)?;
            if count > 0 {
                let kind = if well { "output" } else { "error" };
                let name = format!("{id}_{kind}.jsonl");
                self.files.adopt(file, &part, name, OUTPUT, app.now())?;
            }
            std::io::Result::Ok(count)
        };
        let completed = adopt(true, &batch.output_file)?;
        let failed = adopt(false, &batch.error_file)?;
        self.records.change(id, |batch| {
            let cancelled = batch.status == Status::Cancelling;
            let last = if cancelled { Status::Cancelled } else { Status::Completed };
            batch.enter(last, app.now());
            (batch.completed, batch.failed) = (completed, failed);
            Ok(())
        })?;
        for well in [true, false] {
            // What is left of them takes room and nothing else.
            let _ = fs::remove_file(self.part(id, well));
        }
        Ok(())
    }

    /// The batch under way, or waiting, that reads a file.
    pub(crate) fn reads(&self, file: &str) -> Option<String> {
        let is_read = |batch: &Stored<Batch>| !batch.is_done() && batch.input_file == file;
        self.records.all().into_iter().find(is_read).map(|batch| batch.id.clone())
    }

    /// Takes back a batch that is not done; what was answered is kept.
    fn cancel(&self, app: &App, id: &str) -> Result<Stored<Batch>, Refusal> {
        let batch = self.records.change_open(id, |batch| match batch.status {
            Status::Validating => batch.enter(Status::Cancelled, app.now()),
            Status::InProgress => batch.enter(Status::Cancelling, app.now()),
            _ => {}
        })?;
        self.news.notify_one();
        Ok(batch)
    }
}

/// Counts the lines of a file, after taking off one that was cut short.
fn whole_lines(path: &Path) -> std::io::Result<usize> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut reader = BufReader::new(file);
    let (mut count, mut whole, mut line) = (0, 0, Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.last() != Some(&b'\n') {
            fs::OpenOptions::new().write(true).open(path)?.set_len(whole)?;
            break;
        }
        count += 1;
        whole += line.len() as u64;
        line.clear();
    }
    Ok(count)
}

/// Answers one line.
async fn one(
    app: &App,
    runner: &Runner,
    endpoint: Endpoint,
    line: Result<String, super::lines::Unusable>,
) -> Answered {
    // Lines were looked at before: one that is wrong now was changed on disk.
    let line = line.map_err(|(_, why)| why).and_then(|text| {
        Line::parse(&text, endpoint).map_err(|(field, why)| format!("{field} {why}"))
    });
    let (custom_id, response) = match line {
        Ok(line) => {
            let fields = Fields::of(line.body);
            let answering = async {
                match endpoint {
                    Endpoint::Chat => chat::respond(app, runner, fields).await,
                    Endpoint::Completions => completions::respond(app, runner, fields).await,
                    Endpoint::Responses => responses::respond(app, runner, fields).await,
                }
            };
            let response = AssertUnwindSafe(answering).catch_unwind().await;
            (Value::from(line.custom_id), response.unwrap_or_else(|_| Err(Refusal::broke())))
        }
        Err(why) => (Value::Null, Err(Refusal::request(why))),
    };
    let response: Response = response.unwrap_or_else(IntoResponse::into_response);
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    let object = json!({
        "id": app.new_id("batch_req_"),
        "custom_id": custom_id,
        "response": {
            "status_code": status.as_u16(),
            "request_id": app.new_id("req_"),
            "body": serde_json::from_slice::<Value>(&body).unwrap_or_default(),
        },
        "error": null,
    });
    Answered { line: format!("{object}\n").into_bytes(), well: status.is_success() }
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<(Ignored, Json<Value>), Refusal> {
    let batches = &app.kept()?.batches;
    batches.files.check_room()?;
    batches.records.check_room()?;
    let input_file: String = fields.require("input_file_id")?;
    if batches.files.content(&input_file, BATCH).is_none() {
        return Err(fields.refuse("input_file_id", "is the id of no file here that is for batches"));
    }
    let endpoint: Endpoint = fields.require("endpoint")?;
    let window: String = fields.require("completion_window")?;
    if window != "24h" {
        return Err(fields.refuse("completion_window", "is not `24h`, the only one there is"));
    }
    let metadata = fields.value("metadata");
    let ignored = fields.unknown();
    let batch = Batch {
        endpoint,
        input_file,
        status: Status::Validating,
        moments: BTreeMap::from([(Status::Validating, app.now())]),
        total: 0,
        completed: 0,
        failed: 0,
        mistakes: Vec::new(),
        output_file: app.new_id("file-"),
        error_file: app.new_id("file-"),
        metadata,
    };
    let batch = batches.records.add(app.new_id("batch_"), batch)?;
    batches.news.notify_one();
    Ok((Ignored(ignored), Json(Batch::json(&batch))))
}

pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(Batch::json(&app.kept()?.batches.cancel(&app, &id)?)))
}
