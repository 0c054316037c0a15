//! Models of the Hugging Face hub: from its local cache, else over the network.

use std::path::PathBuf;
use std::result::Result;

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use serde::Deserialize;

/// What to do when it does not work.
pub(crate) const HINT: &str = "check the name and the network (`owlet doctor --hub`), or give a model folder \
                               or .gguf file; HF_HOME names the local cache, HF_ENDPOINT a mirror, HF_TOKEN opens gated models";

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Files that make a model beside its weights; those a repository lacks are left out.
const WANTED: [&str; 6] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// Returns the folder of `ORG/NAME` or `ORG/NAME@REVISION`, fetching what the cache lacks.
pub(crate) fn fetch(id: &str) -> Result<PathBuf, String> {
    let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if !name.split_once('/').is_some_and(|(org, name)| is_name(org) && is_name(name)) {
        return Err("is not a name of the hub, expected `hf:ORG/NAME`".to_owned());
    }
    let repo = || Repo::with_revision(name.to_owned(), RepoType::Model, revision.to_owned());
    if let Some(folder) = cached(&Cache::from_env().repo(repo())) {
        return Ok(folder);
    }
    if std::env::var_os("HF_HUB_OFFLINE").is_some_and(|value| value != "0") {
        return Err("is not in the local cache, and HF_HUB_OFFLINE forbids to fetch it".to_owned());
    }
    let api = ApiBuilder::from_env().with_progress(false).build().map_err(|error| said(&error))?;
    download(&api.repo(repo())).map_err(|error| said(&error))
}

/// Whether the hub answers.
pub(crate) fn is_reachable() -> Result<(), String> {
    let api = ApiBuilder::from_env().with_progress(false).build().map_err(|error| said(&error))?;
    let repo = api.model("HuggingFaceTB/SmolLM2-135M-Instruct".to_owned());
    repo.info().map(drop).map_err(|error| said(&error))
}

fn said(error: &ApiError) -> String {
    format!("the hub did not give it: {error}")
}

/// The folder of a model that the cache has whole.
fn cached(cache: &CacheRepo) -> Option<PathBuf> {
    let config = cache.get(CONFIG)?;
    cache.get("tokenizer.json")?;
    if cache.get(WEIGHTS).is_none() {
        for shard in shards(&fs_err::read(cache.get(INDEX)?).ok()?) {
            cache.get(&shard)?;
        }
    }
    Some(config.parent()?.to_owned())
}

fn download(repo: &ApiRepo) -> Result<PathBuf, ApiError> {
    let files: Vec<String> = repo.info()?.siblings.into_iter().map(|file| file.rfilename).collect();
    let has = |name: &str| files.iter().any(|file| file == name);
    for name in WANTED.into_iter().filter(|name| has(name)) {
        repo.get(name)?;
    }
    if has(WEIGHTS) {
        repo.get(WEIGHTS)?;
    } else if has(INDEX) {
        let index = repo.get(INDEX)?;
        for shard in shards(&fs_err::read(index)?) {
            repo.get(&shard)?;
        }
    }
    let config = repo.get(CONFIG)?;
    Ok(config.parent().unwrap_or(&config).to_owned())
}

/// The files an index of weights names.
fn shards(index: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let mut names: Vec<String> = serde_json::from_slice::<Index>(index)
        .map(|index| index.weight_map.into_values().collect())
        .unwrap_or_default();
    names.sort_unstable();
    names.dedup();
    // A name that leads elsewhere is none.
    names.retain(|name| !name.contains(['/', '\\']) && name.ends_with(".safetensors"));
    names
}
