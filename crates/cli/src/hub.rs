//! Models of the Hugging Face hub: from its local cache, else over the network.
//!
//! The cache is the one of Hugging Face's own tools, in their layout: `refs` say which commit a
//! branch is, `snapshots` hold a commit's files as links into `blobs`, and `.no_exist` says which
//! files a commit lacks. A model is taken from one commit alone, and the commit that the cache knows
//! is kept: a name that moves on the hub does not move here. What is not whole is never linked.

mod download;
mod trouble;

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use self::download::Download;
pub(crate) use self::trouble::Trouble;
use crate::terminal::Terminal;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Files that belong to a model where its repository has them.
const OPTIONAL: [&str; 4] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// A model of the hub.
struct Name<'a> {
    /// `ORG/NAME`.
    repository: &'a str,
    /// A branch, tag or commit.
    revision: &'a str,
}

impl<'a> Name<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let (repository, revision) = id.split_once('@').unwrap_or((id, "main"));
        let (organisation, name) = repository.split_once('/')?;
        (is_part(organisation) && is_part(name) && is_part(revision))
            .then_some(Self { repository, revision })
    }
}

/// Whether this names a commit, which cannot move.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where the hub and its cache are, and who asks.
struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    is_offline: bool,
}

impl Hub {
    /// As the variables of Hugging Face's own tools say.
    fn from_environment() -> Self {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME")
                .unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache"));
            caches.join("huggingface")
        });
        let token_path = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = text("HF_TOKEN").or_else(|| fs::read_to_string(token_path).ok());
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let is_true = |value: &String| {
            ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
        };
        Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            cache: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token,
            is_offline: text("HF_HUB_OFFLINE").as_ref().is_some_and(is_true),
        }
    }
}

/// Returns the folder of `ORG/NAME` or `ORG/NAME@REVISION`, fetching what the cache lacks.
pub(crate) fn fetch(id: &str, terminal: &Terminal) -> Result<PathBuf, Trouble> {
    let name = Name::parse(id).ok_or_else(Trouble::no_name)?;
    let hub = Hub::from_environment();
    let shelf = Shelf::of(&hub, &name);
    let cached = shelf.find(name.revision);
    match cached {
        Some(Cached { folder, is_whole: true }) => return Ok(folder),
        Some(Cached { folder, .. }) if hub.is_offline => return Ok(folder),
        None if hub.is_offline => return Err(Trouble::offline(&hub.cache)),
        _ => {}
    }
    let agent = download::agent();
    let download = Download { hub: &hub, name: &name, shelf: &shelf, terminal, agent };
    let fetched = download.run();
    match (fetched, cached) {
        // Other tools fetch what they need; the rest of a model may never have been asked for.
        (Err(trouble), Some(Cached { folder, .. })) if trouble.is_unreachable() => {
            terminal.warn(format_args!(
                "`hf:{id}` is taken from the cache, which may lack a chat template; {}",
                trouble.message
            ));
            Ok(folder)
        }
        (fetched, _) => fetched,
    }
}

/// The folder of the cache that a model is kept in, with all its commits.
pub(crate) fn folder(id: &str) -> Option<PathBuf> {
    Some(Shelf::of(&Hub::from_environment(), &Name::parse(id)?).folder)
}

/// Whether the hub answers.
pub(crate) fn is_reachable() -> Result<(), Trouble> {
    download::ping(&Hub::from_environment())
}

/// The cache's folder and the names of the models in it.
pub(crate) fn cache() -> (PathBuf, Vec<String>) {
    let cache = Hub::from_environment().cache;
    let entries = cache.read_dir().into_iter().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        Some(name.strip_prefix("models--")?.replace("--", "/"))
    });
    let names = names.collect();
    (cache, names)
}

/// A model's folder in the cache.
struct Shelf {
    folder: PathBuf,
}

/// A commit in the cache that can be loaded.
struct Cached {
    folder: PathBuf,
    /// Whether every file of the model is there or known not to exist.
    is_whole: bool,
}

impl Shelf {
    fn of(hub: &Hub, name: &Name<'_>) -> Self {
        Self { folder: hub.cache.join(format!("models--{}", name.repository.replace('/', "--"))) }
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// An empty file here says that the commit lacks the file.
    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join(".no_exist").join(commit).join(file)
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    fn find(&self, revision: &str) -> Option<Cached> {
        let commit = if is_commit(revision) {
            revision.to_owned()
        } else {
            fs::read_to_string(self.reference(revision)).ok()?.trim().to_owned()
        };
        if !is_commit(&commit) {
            return None;
        }
        let folder = self.snapshot(&commit);
        let has = |file: &str| folder.join(file).exists();
        let has_weights = || {
            has(WEIGHTS)
                || shards(&folder.join(INDEX)).is_ok_and(|shards| shards.iter().all(|s| has(s)))
        };
        if !(has(CONFIG) && has(TOKENIZER) && has_weights()) {
            return None;
        }
        let is_known = |file: &&str| has(file) || self.absence(&commit, file).exists();
        Some(Cached { is_whole: OPTIONAL.iter().all(is_known), folder })
    }
}

/// The files that an index of weights names, or what is wrong with it.
fn shards(index: &Path) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let bytes = fs::read(index).map_err(|error| error.to_string())?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    // A name that leads elsewhere is none.
    match names.iter().find(|name| name.contains(['/', '\\']) || !name.ends_with(".safetensors")) {
        Some(name) => Err(format!("`weight_map` names `{name}`")),
        None if names.is_empty() => Err("`weight_map` is empty".to_owned()),
        None => Ok(names),
    }
}
