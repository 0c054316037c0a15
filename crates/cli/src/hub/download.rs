//! Fetching a model's files over HTTP into the cache, whole or not at all.
//!
//! First the hub says which commit is meant and which files it has; then each file is asked for at
//! that commit: its name in the cache (the ETag) and length by HEAD, its content by GET, from where
//! an earlier try broke off. A file gets its name once its length is right and, where the hub says
//! it, its SHA-256; the branch's reference comes last.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE,
};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use super::{CONFIG, Hub, INDEX, Name, OPTIONAL, Shelf, TOKENIZER, Trouble, WEIGHTS};
use crate::progress::Progress;
use crate::terminal::{Terminal, bytes, duration};

/// Tries of a file in a row without a byte of progress.
const TRIES: u32 = 4;
/// Pause after the first of them; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest silence of a server.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest answer about a repository.
const LONGEST_ANSWER: u64 = 32 << 20;
/// Redirects within the hub before it says where a file is.
const HOPS: usize = 5;

/// One model on its way into the cache.
pub(super) struct Download<'a> {
    pub(super) hub: &'a Hub,
    pub(super) name: &'a Name<'a>,
    pub(super) shelf: &'a Shelf,
    pub(super) terminal: &'a Terminal,
    pub(super) agent: Agent,
}

/// What the hub says about a revision.
#[derive(Deserialize)]
struct Repository {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// What the hub says about a file.
struct Entry {
    url: String,
    /// Its name in the cache: a digest of its content.
    id: String,
    size: u64,
}

pub(super) fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A store of files elsewhere must not see the token.
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .user_agent(concat!("owlet/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(SILENCE / 2))
        .timeout_per_read(Some(SILENCE))
        .build();
    config.into()
}

/// Whether the hub answers at all.
pub(super) fn ping(hub: &Hub) -> Result<(), Trouble> {
    let url = format!("{}/api/models?limit=1", hub.endpoint);
    let answer = agent().get(&url).call().map_err(|error| Trouble::unreached(hub, error))?;
    match answer.status().as_u16() {
        status @ 500.. => Err(Trouble::unanswered(hub, format_args!("status {status}"))),
        _ => Ok(()),
    }
}

impl Download<'_> {
    /// Fetches what the cache lacks and returns the folder of the commit.
    pub(super) fn run(&self) -> Result<PathBuf, Trouble> {
        let found = self.repository()?;
        let has = |name: &str| found.siblings.iter().any(|file| file.rfilename == name);
        if !has(CONFIG) || !has(TOKENIZER) {
            let ends = |end: &str| found.siblings.iter().any(|file| file.rfilename.ends_with(end));
            return Err(Trouble::lacks(if ends(".gguf") {
                "has no model folder, only GGUF files".to_owned()
            } else {
                format!("has no `{}`", if has(CONFIG) { TOKENIZER } else { CONFIG })
            }));
        }
        if !has(WEIGHTS) && !has(INDEX) {
            return Err(Trouble::lacks("has no weights as safetensors"));
        }
        self.terminal.say(format_args!(
            "fetching hf:{}, commit {}, into `{}`",
            self.name.repository,
            &found.sha[..12],
            self.hub.cache.display()
        ));
        for file in [CONFIG, TOKENIZER].into_iter().chain(OPTIONAL) {
            if has(file) {
                self.fetch(&found.sha, file)?;
            } else {
                let absence = self.shelf.absence(&found.sha, file);
                Self::write(&absence, b"")?;
            }
        }
        if has(WEIGHTS) {
            self.fetch(&found.sha, WEIGHTS)?;
        } else {
            let index = self.fetch(&found.sha, INDEX)?;
            let shards = super::shards(&index)
                .map_err(|why| Trouble::lacks(format!("has a broken `{INDEX}`: {why}")))?;
            if let Some(absent) = shards.iter().find(|shard| !has(shard)) {
                return Err(Trouble::lacks(format!("has no `{absent}`, which `{INDEX}` names")));
            }
            for shard in &shards {
                self.fetch(&found.sha, shard)?;
            }
        }
        if !super::is_commit(self.name.revision) {
            Self::write(&self.shelf.reference(self.name.revision), found.sha.as_bytes())?;
        }
        Ok(self.shelf.snapshot(&found.sha))
    }

    fn repository(&self) -> Result<Repository, Trouble> {
        let Name { repository, revision } = self.name;
        let url = format!("{}/api/models/{repository}/revision/{revision}", self.hub.endpoint);
        let mut last = None;
        for n in 0..TRIES {
            if n > 0 {
                std::thread::sleep(PAUSE * (1 << n));
            }
            let answer = self.call(self.agent.get(&url))?;
            match self.good(answer, None) {
                Ok(answer) => return self.read(answer),
                Err(trouble) if trouble.is_unreachable() => last = Some(trouble),
                Err(trouble) => return Err(trouble),
            }
        }
        Err(last.unwrap_or_else(|| Trouble::unanswered(self.hub, "no answer")))
    }

    fn read(&self, answer: Response<Body>) -> Result<Repository, Trouble> {
        let odd = |why: String| Trouble::odd(self.hub, why);
        let mut body = Vec::new();
        let mut reader = answer.into_body().into_reader().take(LONGEST_ANSWER);
        reader.read_to_end(&mut body).map_err(|e| Trouble::unanswered(self.hub, e))?;
        let found: Repository = serde_json::from_slice(&body).map_err(|error| {
            odd(format!("what it says about the repository is not JSON: {error}"))
        })?;
        if super::is_commit(&found.sha) {
            Ok(found)
        } else {
            Err(odd("it names no commit".to_owned()))
        }
    }

    /// Sends a request with what all of them have.
    fn call(&self, request: Request) -> Result<Response<Body>, Trouble> {
        let mut request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(token) = &self.hub.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(|error| Trouble::unreached(self.hub, error))
    }

    /// The answer if its status is one of success.
    fn good(&self, answer: Response<Body>, file: Option<&str>) -> Result<Response<Body>, Trouble> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let error = header(&answer, "x-error-code").unwrap_or_default();
        let said = header(&answer, "x-error-message").unwrap_or_default();
        Err(Trouble::refused(self.hub, self.name, file, status.as_u16(), &error, &said))
    }

    /// Asks what a file is called in the cache and how long it is.
    fn entry(&self, commit: &str, file: &str) -> Result<Entry, Trouble> {
        let odd = |why: String| Trouble::odd(self.hub, why);
        let url = format!("{}/{}/resolve/{commit}/{file}", self.hub.endpoint, self.name.repository);
        let mut asked = url.clone();
        for _ in 0..HOPS {
            let answer = self.call(self.agent.head(&asked).config().max_redirects(0).build())?;
            // A redirect within the hub is followed; one to a store of files brings the answer.
            let location = header(&answer, LOCATION.as_str());
            if answer.status().is_redirection()
                && header(&answer, "x-linked-etag").is_none()
                && let Some(location) = location
            {
                asked = self.within(&location).ok_or_else(|| {
                    odd(format!("it sends elsewhere for `{file}` without an ETag"))
                })?;
                continue;
            }
            let answer = if answer.status().is_redirection() {
                answer
            } else {
                self.good(answer, Some(file))?
            };
            let either = |names: [&str; 2]| names.iter().find_map(|name| header(&answer, name));
            let id = either(["x-linked-etag", ETAG.as_str()]).unwrap_or_default();
            let id = id.trim_start_matches("W/").trim_matches('"').to_owned();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if id.is_empty() || id.len() > 200 || id.starts_with('.') || !id.chars().all(plain) {
                return Err(odd(format!("it gives no usable ETag for `{file}`")));
            }
            let size = either(["x-linked-size", CONTENT_LENGTH.as_str()]);
            let size = size
                .and_then(|size| size.parse().ok())
                .ok_or_else(|| odd(format!("it does not say how long `{file}` is")))?;
            return Ok(Entry { url, id, size });
        }
        Err(odd(format!("it redirects `{file}` in circles")))
    }

    /// The address that a redirect within the hub leads to.
    fn within(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let endpoint: Uri = self.hub.endpoint.parse().ok()?;
            return Some(format!("{}://{}{location}", endpoint.scheme()?, endpoint.authority()?));
        }
        location.strip_prefix(&self.hub.endpoint)?.starts_with('/').then(|| location.to_owned())
    }

    /// Brings a file into the snapshot of `commit`, unless it is there, and returns its path.
    fn fetch(&self, commit: &str, file: &str) -> Result<PathBuf, Trouble> {
        let path = self.shelf.snapshot(commit).join(file);
        if path.exists() {
            return Ok(path);
        }
        let entry = self.entry(commit, file)?;
        let blob = self.shelf.folder.join("blobs").join(&entry.id);
        self.blob(file, &entry, &blob)?;
        let disk = |error: io::Error| Trouble::disk(&error, None);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).map_err(disk)?;
        link(&entry.id, &blob, &path).map_err(disk)?;
        Ok(path)
    }

    fn blob(&self, file: &str, entry: &Entry, blob: &Path) -> Result<(), Trouble> {
        let is_there = || fs::metadata(blob).is_ok_and(|found| found.len() == entry.size);
        if is_there() {
            return Ok(());
        }
        let missing = |arrived: u64| Some(bytes(entry.size.saturating_sub(arrived)));
        let disk = |error: io::Error| Trouble::disk(&error, missing(0));
        fs::create_dir_all(blob.parent().unwrap_or(Path::new(""))).map_err(disk)?;
        let part = blob.with_file_name(format!("{}.owlet-part", entry.id));
        let mut options = fs::OpenOptions::new();
        let mut to = options.read(true).append(true).create(true).open(&part).map_err(disk)?;
        // Another owlet may be fetching the same; when it is done, there is nothing to do.
        to.file().lock().map_err(disk)?;
        if is_there() {
            return Ok(());
        }
        let mut progress = Progress::new(self.terminal);
        let mut tries = 0;
        loop {
            let before = to.metadata().map_err(disk)?.len();
            let broken = match self.receive(file, entry, &mut to, before, &mut progress) {
                Ok(()) => break,
                // Another try may bring the rest.
                Err(trouble) if trouble.is_unreachable() => trouble,
                Err(trouble) => return Err(trouble),
            };
            let went_on = to.metadata().map_err(disk)?.len() > before;
            tries = if went_on { 1 } else { tries + 1 };
            if tries >= TRIES {
                return Err(broken);
            }
            std::thread::sleep(PAUSE * (1 << tries));
        }
        if entry.id.len() == 64 && entry.id.bytes().all(|b| b.is_ascii_hexdigit()) {
            progress.show(|_| format!("{file} · checking"));
            let found = sha256(&mut to).map_err(disk)?;
            if !found.eq_ignore_ascii_case(&entry.id) {
                to.set_len(0).map_err(disk)?;
                return Err(Trouble::damaged(file, "its SHA-256 is not what the hub says"));
            }
        }
        to.sync_all().map_err(disk)?;
        fs::rename(&part, blob).map_err(disk)
    }

    /// Receives what is missing of a file after its first `start` bytes.
    fn receive(
        &self,
        file: &str,
        entry: &Entry,
        to: &mut fs::File,
        start: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(), Trouble> {
        if start == entry.size {
            return Ok(());
        }
        let anew = |to: &fs::File| to.set_len(0).map_err(|error| Trouble::disk(&error, None));
        if start > entry.size {
            anew(to)?;
            return self.receive(file, entry, to, 0, progress);
        }
        let request = self.agent.get(&entry.url);
        let range = |request: Request| request.header(RANGE, format!("bytes={start}-"));
        let answer = self.call(if start > 0 { range(request) } else { request })?;
        if answer.status() == 416 && start > 0 {
            // The server has no such range.
            anew(to)?;
            return self.receive(file, entry, to, 0, progress);
        }
        let answer = self.good(answer, Some(file))?;
        let goes_on = answer.status() == 206
            && header(&answer, CONTENT_RANGE.as_str())
                .is_some_and(|range| range.starts_with(&format!("bytes {start}-")));
        let mut arrived = start;
        if start > 0 && !goes_on {
            // A server that knows no ranges sends all of it.
            anew(to)?;
            arrived = 0;
        }
        progress.start_at(arrived as usize);
        let mut reader = answer.into_body().into_reader();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let cut_off = |why: &dyn std::fmt::Display| {
                let (arrived, size) = (bytes(arrived), bytes(entry.size));
                Trouble::cut_off(file, &arrived, &size, why)
            };
            let read = match reader.read(&mut buffer) {
                Ok(0) if arrived == entry.size => return Ok(()),
                Ok(0) => return Err(cut_off(&"the connection was closed")),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cut_off(&error)),
            };
            if arrived + read as u64 > entry.size {
                anew(to)?;
                let why = format!("it is longer than the {} bytes the hub says", entry.size);
                return Err(Trouble::damaged(file, why));
            }
            io::Write::write_all(to, &buffer[..read]).map_err(|error| {
                let there = to.metadata().map_or(arrived, |metadata| metadata.len());
                Trouble::disk(&error, Some(bytes(entry.size.saturating_sub(there))))
            })?;
            arrived += read as u64;
            progress.show(|pace| {
                let left = duration(pace.left(arrived as usize, entry.size as usize));
                format!("{file} · {} of {} · eta {left}", bytes(arrived), bytes(entry.size))
            });
        }
    }

    /// Writes a small file at once, with its folder.
    fn write(path: &Path, content: &[u8]) -> Result<(), Trouble> {
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
            let beside = path.with_extension(format!("owlet-{}", std::process::id()));
            fs::write(&beside, content)?;
            fs::rename(&beside, path)
        };
        write().map_err(|error| Trouble::disk(&error, None))
    }
}

type Request = ureq::RequestBuilder<ureq::typestate::WithoutBody>;

fn header(answer: &Response<Body>, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

fn sha256(file: &mut fs::File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    io::copy(file, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// Makes the blob a file of the snapshot; a link that leads nowhere is replaced.
fn link(id: &str, blob: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    let made = {
        let _ = blob;
        fs::os::unix::fs::symlink(Path::new("../../blobs").join(id), path)
    };
    #[cfg(not(unix))]
    let made = {
        let _ = id;
        fs::copy(blob, path).map(drop)
    };
    match made {
        // Another owlet was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
