//! What a job tells while it runs: a file of events that only grows.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use fs_err as fs;
use serde_json::{Value, json};

use super::super::App;
use super::super::job::{Job, Status};
use super::super::records::Stored;
use super::Jobs;

/// What a job told before it was cut.
pub(super) struct Told {
    messages: BTreeSet<String>,
    /// The last update that was told of; 0: none.
    pub(super) step: usize,
}

impl Told {
    pub(super) fn has(&self, message: &str) -> bool {
        self.messages.contains(message)
    }
}

impl Jobs {
    fn events_path(&self, id: &str) -> PathBuf {
        self.records.folder().join(format!("{id}.events.jsonl"))
    }

    /// A job's events as the wire tells them, newest first. A line that a crash cut short is no event.
    pub(crate) fn events(&self, id: &str) -> Vec<Value> {
        let bytes = fs::read(self.events_path(id)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
        lines
            .map(|mut event: Value| {
                let kind = if event["data"].is_null() { "message" } else { "metrics" };
                event["object"] = "fine_tuning.job.event".into();
                event["type"] = kind.into();
                event
            })
            .collect()
    }

    /// What a job told so far; a line that a crash cut short is ended, so that the next stands on its own.
    pub(super) fn told(&self, id: &str) -> std::io::Result<Told> {
        let path = self.events_path(id);
        match fs::read(&path) {
            Ok(bytes) if bytes.last().is_some_and(|last| *last != b'\n') => {
                fs::OpenOptions::new().append(true).open(&path)?.write_all(b"\n")?;
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut told = Told { messages: BTreeSet::new(), step: 0 };
        for event in self.events(id) {
            if !event["data"]["train_loss"].is_null() {
                told.step = told.step.max(event["data"]["step"].as_u64().unwrap_or(0) as usize);
            }
            told.messages.extend(event["message"].as_str().map(str::to_owned));
        }
        Ok(told)
    }

    /// Tells how a job ended, as far as it was not told: whoever is killed between a job's end and its last words
    /// says them at the next start.
    pub(super) fn tell_end(&self, app: &App, job: &Stored<Job>) -> std::io::Result<()> {
        let words = match job.status {
            Status::Succeeded => vec![
                format!("New fine-tuned model created: {}", job.model_name()),
                "The job has successfully completed.".to_owned(),
            ],
            Status::Cancelled => vec!["The job was cancelled.".to_owned()],
            // What failed is told before it has failed, and the others have no end yet.
            Status::Failed | Status::Queued | Status::Running => return Ok(()),
        };
        let told = self.told(&job.id)?;
        let at = job.finished_at.unwrap_or_else(|| app.now());
        for message in words.iter().filter(|message| !told.has(message)) {
            self.tell_at(app, at, &job.id, "info", message, Value::Null);
        }
        Ok(())
    }

    pub(super) fn tell(&self, app: &App, id: &str, level: &str, message: &str, data: Value) {
        self.tell_at(app, app.now(), id, level, message, data);
    }

    fn tell_at(&self, app: &App, at: u64, id: &str, level: &str, message: &str, data: Value) {
        let event = json!({
            "id": app.new_id("ftevent-"),
            "created_at": at,
            "level": level,
            "message": message,
            "data": data,
        });
        let file = fs::OpenOptions::new().create(true).append(true).open(self.events_path(id));
        // Events are talk; the job goes on without.
        let _ = file.and_then(|mut file| file.write_all(format!("{event}\n").as_bytes()));
    }
}
