//! A hub on this machine that speaks what the real one does: repositories at commits, ETags,
//! redirects to a store of large files elsewhere, ranges, and refusals in its words; and that fails
//! where a test wants it to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use sha2::{Digest, Sha256};

/// The commit that `main` is at first.
pub(crate) const FIRST: &str = "1111111111111111111111111111111111111111";
/// A later one.
pub(crate) const SECOND: &str = "2222222222222222222222222222222222222222";
/// What a token that may read looks like.
pub(crate) const TOKEN: &str = "hf_right";

/// Files of a commit by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What goes wrong with large files.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Every body ends after this many bytes.
    Cut(usize),
    /// The first one does.
    CutOnce(usize),
    /// The same without a length that would give it away.
    CutUnannounced(usize),
    /// Bytes are not those promised.
    Damaged,
    /// More bytes than promised.
    Longer,
    /// Requests for a part are answered with all.
    NoRanges,
    /// Requests for a part are refused.
    Unsatisfiable,
}

/// What the hub has and does.
pub(crate) struct State {
    /// Repositories, by `ORG/NAME` and commit.
    pub(crate) commits: BTreeMap<(String, String), Files>,
    /// Branches, by `ORG/NAME` and name.
    pub(crate) branches: BTreeMap<(String, String), String>,
    pub(crate) is_gated: bool,
    pub(crate) is_private: bool,
    /// Answers everything with this status.
    pub(crate) status: Option<u16>,
    /// Answers everything with this page.
    pub(crate) page: Option<&'static str>,
    pub(crate) fault: Fault,
    /// Requests so far: method, path, `Range` and whether there was a token.
    pub(crate) asked: Vec<String>,
}

/// The server.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Serves `files` as the first commit of `test/tiny`.
    pub(crate) fn start(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let name = "test/tiny".to_owned();
        let state = Arc::new(Mutex::new(State {
            commits: BTreeMap::from([((name.clone(), FIRST.to_owned()), files)]),
            branches: BTreeMap::from([((name, "main".to_owned()), FIRST.to_owned())]),
            is_gated: false,
            is_private: false,
            status: None,
            page: None,
            fault: Fault::None,
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || answer(stream.unwrap(), &shared, port));
            }
        });
        Self { endpoint: format!("http://127.0.0.1:{port}"), state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Requests since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are sent.
    sent: usize,
    is_announced: bool,
}

impl Answer {
    fn new(status: u16, body: &[u8]) -> Self {
        let (body, sent) = (body.to_vec(), body.len());
        Self { status, headers: Vec::new(), body, sent, is_announced: true }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, message.as_bytes())
            .with("X-Error-Code", code)
            .with("X-Error-Message", message)
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, port: u16) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let mut state = state.lock().unwrap();
    let token = header("authorization");
    let range = header("range");
    state.asked.push(format!(
        "{method} {path}{}{}",
        range.as_deref().map(|range| format!(" {range}")).unwrap_or_default(),
        if token.is_some() { " token" } else { "" }
    ));
    let answer = state.answer(path, token.as_deref(), range.as_deref(), port);
    drop(state);
    let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if answer.is_announced {
        write!(text, "Content-Length: {}\r\n", answer.body.len()).unwrap();
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&answer.body[..answer.sent]);
    }
}

impl State {
    fn answer(
        &mut self,
        path: &str,
        token: Option<&str>,
        range: Option<&str>,
        port: u16,
    ) -> Answer {
        if let Some(status) = self.status {
            return Answer::new(status, b"");
        }
        if let Some(page) = self.page {
            return Answer::new(200, page.as_bytes());
        }
        if let Some(digest) = path.strip_prefix("/store/") {
            return self.large(digest, range);
        }
        let is_known = token == Some(&format!("Bearer {TOKEN}"));
        if token.is_some_and(|token| token == "Bearer hf_wrong") {
            return Answer::refusal(401, "", "Invalid credentials in Authorization header");
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (name, revision, file) = match parts[..] {
            ["api", "models", org, name, "revision", revision] => {
                (format!("{org}/{name}"), revision, None)
            }
            ["api", "resolve-cache", "models", org, name, revision, file]
            | [org, name, "resolve", revision, file] => {
                (format!("{org}/{name}"), revision, Some(file))
            }
            _ => return Answer::refusal(404, "", "Not found"),
        };
        let is_there = self.commits.keys().any(|(known, _)| *known == name);
        if !is_there || (self.is_private && !is_known) {
            return Answer::refusal(401, "RepoNotFound", "Repository not found");
        }
        let branch = self.branches.get(&(name.clone(), revision.to_owned()));
        let commit = branch.cloned().unwrap_or_else(|| revision.to_owned());
        let Some(files) = self.commits.get(&(name, commit.clone())) else {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        };
        let Some(file) = file else {
            let siblings: Vec<_> =
                files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let body = serde_json::json!({ "sha": commit, "siblings": siblings, "private": false });
            return Answer::new(200, body.to_string().as_bytes());
        };
        if self.is_gated && !is_known {
            let status = if token.is_some() { 403 } else { 401 };
            return Answer::refusal(status, "GatedRepo", "Access to model is restricted");
        }
        let Some(content) = files.get(file) else {
            return Answer::refusal(404, "EntryNotFound", "Entry not found");
        };
        let digest = sha256(content);
        if file.ends_with(".safetensors") {
            return Answer::new(302, b"")
                .with("Location", format!("http://localhost:{port}/store/{digest}"))
                .with("X-Repo-Commit", commit)
                .with("X-Linked-Size", content.len().to_string())
                .with("X-Linked-ETag", format!("\"{digest}\""));
        }
        if !path.starts_with("/api/") {
            return Answer::new(307, b"").with(
                "Location",
                format!("/api/resolve-cache/models/{}/{}/{commit}/{file}", parts[0], parts[1]),
            );
        }
        // Small files are named by their Git id, which has forty digits.
        Answer::new(200, content).with("ETag", format!("\"{}\"", &digest[..40]))
    }

    fn large(&mut self, digest: &str, range: Option<&str>) -> Answer {
        let known = self.commits.values().flat_map(BTreeMap::values);
        let mut content =
            known.into_iter().find(|content| sha256(content) == digest).unwrap().clone();
        match self.fault {
            Fault::Damaged => content[1000] ^= 1,
            Fault::Longer => content.extend([0; 9]),
            _ => {}
        }
        let start: usize = range.map_or(0, |range| {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
        });
        let mut answer = match self.fault {
            Fault::NoRanges => Answer::new(200, &content),
            Fault::Unsatisfiable if range.is_some() => Answer::new(416, b""),
            _ if range.is_some() => Answer::new(206, &content[start..]).with(
                "Content-Range",
                format!("bytes {start}-{}/{}", content.len() - 1, content.len()),
            ),
            _ => Answer::new(200, &content),
        };
        match self.fault {
            Fault::Cut(most) => answer.sent = most.min(answer.sent),
            Fault::CutOnce(most) => {
                answer.sent = most;
                self.fault = Fault::None;
            }
            Fault::CutUnannounced(most) => {
                answer.sent = most.min(answer.sent);
                answer.is_announced = false;
            }
            _ => {}
        }
        answer
    }
}
