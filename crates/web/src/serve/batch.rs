//! A batch as it is kept and told, and the lines of requests it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Kept;
use super::lines::Lines;
use super::records::{Records, Stored, Thing};

/// Requests of one batch.
const MOST_REQUESTS: usize = 50_000;
/// Bytes of one request.
pub(crate) const LONGEST_REQUEST: usize = 1 << 20;
/// Characters of a request's own name.
const LONGEST_ID: usize = 512;
/// Mistakes told of.
const MOST_MISTAKES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Cancelling,
    Cancelled,
}

/// What a batch's requests go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Endpoint {
    #[serde(rename = "/v1/chat/completions")]
    Chat,
    #[serde(rename = "/v1/completions")]
    Completions,
    #[serde(rename = "/v1/responses")]
    Responses,
}

/// Why a batch cannot be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mistake {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) line: Option<usize>,
    pub(crate) param: Option<String>,
}

/// Why a batch cannot be done at all.
pub(crate) fn failure(code: &str, message: impl Into<String>) -> Vec<Mistake> {
    vec![Mistake { code: code.to_owned(), message: message.into(), line: None, param: None }]
}

/// A batch, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) endpoint: Endpoint,
    pub(crate) input_file: String,
    pub(crate) status: Status,
    /// When it came to a status.
    pub(crate) moments: BTreeMap<Status, u64>,
    pub(crate) total: usize,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) mistakes: Vec<Mistake>,
    /// Ids of the files it leaves, chosen before there are any.
    pub(crate) output_file: String,
    pub(crate) error_file: String,
    pub(crate) metadata: Option<Value>,
}

impl Batch {
    /// Comes to a status.
    pub(crate) fn enter(&mut self, status: Status, now: u64) {
        self.status = status;
        self.moments.insert(status, now);
    }
}

impl Thing for Batch {
    const WHAT: &'static str = "batch";

    fn records(kept: &Kept) -> &Records<Self> {
        &kept.batches.records
    }

    fn is_done(&self) -> bool {
        matches!(self.status, Status::Completed | Status::Failed | Status::Cancelled)
    }

    fn json(this: &Stored<Self>) -> Value {
        let at = |status| this.moments.get(&status);
        let file = |id: &str, some: usize| (this.is_done() && some > 0).then(|| id.to_owned());
        let errors = json!({ "object": "list", "data": this.mistakes });
        json!({
            "id": this.id,
            "object": "batch",
            "endpoint": this.endpoint,
            "errors": if this.mistakes.is_empty() { Value::Null } else { errors },
            "input_file_id": this.input_file,
            "completion_window": "24h",
            "status": this.status,
            "output_file_id": file(&this.output_file, this.completed),
            "error_file_id": file(&this.error_file, this.failed),
            "created_at": at(Status::Validating),
            "in_progress_at": at(Status::InProgress),
            "expires_at": null,
            "finalizing_at": at(Status::Finalizing),
            "completed_at": at(Status::Completed),
            "failed_at": at(Status::Failed),
            "expired_at": null,
            "cancelling_at": at(Status::Cancelling),
            "cancelled_at": at(Status::Cancelled),
            "request_counts": {
                "total": this.total,
                "completed": this.completed,
                "failed": this.failed,
            },
            "metadata": this.metadata,
        })
    }
}

/// One request of a batch.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) custom_id: String,
    method: String,
    url: String,
    pub(crate) body: Map<String, Value>,
}

impl Line {
    /// Reads a line for an endpoint; or what is wrong, and with which field.
    pub(crate) fn parse(text: &str, endpoint: Endpoint) -> Result<Self, (&'static str, String)> {
        let line: Self = serde_json::from_str(text)
            .map_err(|error| ("", format!("the line is no request: {error}")))?;
        if line.custom_id.is_empty() || line.custom_id.chars().count() > LONGEST_ID {
            return Err(("custom_id", format!("is not of 1 to {LONGEST_ID} characters")));
        }
        if line.method != "POST" {
            return Err(("method", "is not `POST`".to_owned()));
        }
        if json!(endpoint) != line.url {
            return Err(("url", "is not the batch's `endpoint`".to_owned()));
        }
        if line.body.get("stream").is_some_and(|stream| stream != &Value::Bool(false)) {
            return Err(("body.stream", "is set; a batch has nobody to stream to".to_owned()));
        }
        Ok(line)
    }
}

/// Counts a file's requests, or tells what is wrong with them.
pub(crate) fn check(path: &Path, endpoint: Endpoint) -> Result<usize, Vec<Mistake>> {
    let lines = Lines::open(path, LONGEST_REQUEST)
        .map_err(|error| failure("unreadable_file", error.to_string()))?;
    let (mut ids, mut mistakes, mut count) = (BTreeSet::new(), Vec::new(), 0);
    for line in lines {
        let mut wrong = |number: usize, param: &str, why: String| {
            let message = if param.is_empty() { why } else { format!("`{param}` {why}") };
            mistakes.push(Mistake {
                code: "invalid_request".to_owned(),
                message,
                line: Some(number),
                param: (!param.is_empty()).then(|| param.to_owned()),
            });
        };
        match line {
            Err((number, why)) => wrong(number, "", format!("the line {why}")),
            Ok((number, text)) => match Line::parse(&text, endpoint) {
                Err((param, why)) => wrong(number, param, why),
                Ok(line) => {
                    if !ids.insert(line.custom_id) {
                        wrong(number, "custom_id", "is that of an earlier line".to_owned());
                    }
                }
            },
        }
        count += 1;
        if count > MOST_REQUESTS {
            let message = format!("the file has more than {MOST_REQUESTS} requests");
            mistakes.extend(failure("too_many_requests", message));
        }
        if mistakes.len() >= MOST_MISTAKES || count > MOST_REQUESTS {
            break;
        }
    }
    if mistakes.is_empty() { Ok(count) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_by_line_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests");
        let line = |id: &str, url: &str, more: &str| {
            format!(
                r#"{{"custom_id":"{id}","method":"POST","url":"{url}","body":{{"prompt":"owl"{more}}}}}"#
            )
        };
        let (right, wrong) = ("/v1/completions", "/v1/chat/completions");
        let text = [
            line("1", right, ""),
            line("2", wrong, ""),
            line("1", right, ""),
            line("3", right, r#","stream":true"#),
            r#"{"custom_id":"4"}"#.to_owned(),
            line("", right, ""),
        ];
        fs_err::write(&path, text.join("\n")).unwrap();
        let mistakes = check(&path, Endpoint::Completions).unwrap_err();
        let found: Vec<_> = mistakes.iter().map(|m| (m.line, m.param.as_deref())).collect();
        assert_eq!(
            found,
            [
                (Some(2), Some("url")),
                (Some(3), Some("custom_id")),
                (Some(4), Some("body.stream")),
                (Some(5), None),
                (Some(6), Some("custom_id")),
            ]
        );
        fs_err::write(&path, &text[0]).unwrap();
        assert_eq!(check(&path, Endpoint::Completions), Ok(1));
    }
}
