//! Tokenizer and chat template of a folder, put together from its small files as Transformers does:
//! special tokens have names that templates write, and some stand in `tokenizer_config.json`,
//! `special_tokens_map.json` or `added_tokens.json` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::folder::Texts;
use super::json::Fields;
use super::opened::optional;
use crate::Token;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::template::Template;
use crate::tokenizer::Tokenizer;

pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
pub(super) const ADDED_TOKENS: &str = "added_tokens.json";
pub(super) const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The names that all tokenizers know, as Transformers lists them.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// How a token stands in text: flags of `added_tokens_decoder` and of `tokenizer.json`.
const FLAGS: [&str; 5] = ["single_word", "lstrip", "rstrip", "normalized", "special"];

/// A token that a small file names.
struct Added {
    file: &'static str,
    text: String,
    id: Option<usize>,
    flags: [bool; 5],
}

/// Whether a `tokenizer.json` splits texts by bytes with a space put before them; none where it splits them
/// otherwise.
fn prefixes(tokenizer: &[u8]) -> Option<bool> {
    let json: Value = serde_json::from_slice(tokenizer).ok()?;
    let splits = &json["pre_tokenizer"];
    let each =
        splits["pretokenizers"].as_array().map_or(std::slice::from_ref(splits), Vec::as_slice);
    each.iter().find(|one| one["type"] == "ByteLevel")?["add_prefix_space"].as_bool()
}

/// What the small files say.
struct Language {
    named: BTreeMap<String, String>,
    added: Vec<Added>,
    source: Option<String>,
}

/// The tokenizer and template of `folder` (for messages) for a model of `vocabulary` ids; `end` are ids
/// that other files say end a turn.
pub(super) fn read(
    folder: &Path,
    texts: &Texts,
    mut end: BTreeSet<usize>,
    vocabulary: usize,
) -> Result<(Tokenizer, Template)> {
    let Language { named, added, source } = Language::read(folder, texts)?;
    let tokenizer = with_added(
        &texts.tokenizer,
        &added,
        vocabulary,
        |text, name| {
            let writes = |word: &str| source.as_ref().is_some_and(|source| source.contains(word));
            writes(text) || name.is_some_and(writes)
        },
        &named,
    )?;
    end.extend(named.get("eos_token").and_then(|text| tokenizer.token(text)).map(|id| id as usize));
    // Configurations keep their class's default ids, which small vocabularies do not reach.
    let known = end.into_iter().filter(|&id| id < tokenizer.vocabulary());
    let end: Vec<Token> = known.map(|id| id as Token).collect();
    let tokenizer = if end.is_empty() { tokenizer } else { tokenizer.with_end_tokens(end)? };
    let template = match source {
        Some(source) => Template::new(&source)?,
        None => Template::fallback(&tokenizer)?,
    };
    Ok((tokenizer, template.with_named(named)))
}

/// A model with the tokenizer and chat template that stand in a folder beside its adapter, for that is
/// what it was trained with; what does not stand there stays.
pub(super) fn beside(folder: &Path, model: Model) -> Result<Model> {
    let own = optional(&folder.join(TOKENIZER))?;
    let mut texts = Texts::around(folder)?;
    if own.is_none() && texts.tokenizer_config.is_none() && texts.template.is_none() {
        return Ok(model);
    }
    texts.tokenizer = own.unwrap_or_else(|| model.tokenizer.json().to_vec());
    let end = model.tokenizer.end_tokens().iter().map(|&id| id as usize).collect();
    let vocabulary = model.decoder.config.vocabulary;
    let (tokenizer, template) = read(folder, &texts, end, vocabulary)?;
    if tokenizer.vocabulary() > vocabulary {
        return Err(Error::Adapter(format!(
            "its tokenizer has {} ids and its base {vocabulary}; enlarge the base as it was for training",
            tokenizer.vocabulary()
        )));
    }
    let has_template = Language::read(folder, &texts)?.source.is_some();
    let mut named = model.template.tokens().clone();
    named.extend(template.tokens().clone());
    let template = if has_template { template } else { (*model.template).clone() };
    let template = Arc::new(template.with_named(named));
    Ok(Model { tokenizer: Arc::new(tokenizer), template, ..model })
}

impl Language {
    fn read(folder: &Path, texts: &Texts) -> Result<Self> {
        let parse = |name: &str, bytes: &Option<Vec<u8>>| {
            let bytes = bytes.as_deref().unwrap_or(b"{}");
            Fields::parse("tokenizer configuration", &folder.join(name), bytes)
        };
        let config = parse(TOKENIZER_CONFIG, &texts.tokenizer_config)?;
        if config.flag("split_special_tokens", false)? {
            return Err(config.bad("`split_special_tokens` is set, which is not supported"));
        }
        if let Some(said) = config.value("add_prefix_space").and_then(Value::as_bool)
            && prefixes(&texts.tokenizer).is_some_and(|does| does != said)
        {
            return Err(config.bad(format!(
                "`add_prefix_space` is {said} and `tokenizer.json` says {}; make them agree",
                !said
            )));
        }
        let decoder = config.value("added_tokens_decoder").and_then(Value::as_object);
        let mut named = names(&config)?;
        let mut special = lists(&config);
        let mut added = Vec::new();
        if let Some(decoder) = decoder {
            for (id, token) in decoder {
                let text = token["content"].as_str().filter(|text| !text.is_empty());
                let (Some(text), Ok(id)) = (text, id.parse()) else {
                    return Err(config.bad(format!(
                        "`added_tokens_decoder` has `{id}` without a `content`, expected ids with tokens"
                    )));
                };
                let is_named = named.values().any(|other| other == text);
                let flag = |name: &str| token[name].as_bool();
                let is_special = flag("special").unwrap_or(false) || is_named;
                let flags = FLAGS.map(|name| match name {
                    "special" => is_special,
                    "normalized" => flag(name).unwrap_or(!is_special),
                    _ => flag(name).unwrap_or(false),
                });
                let file = TOKENIZER_CONFIG;
                added.push(Added { file, text: text.to_owned(), id: Some(id), flags });
            }
            added.sort_by_key(|token| token.id);
        } else {
            // Files from before `added_tokens_decoder`; the map has the last word.
            let map = parse(SPECIAL_TOKENS, &texts.special_tokens)?;
            named.extend(names(&map)?);
            special.extend(lists(&map));
            let ids = parse(ADDED_TOKENS, &texts.added_tokens)?;
            for (text, id) in ids.entries() {
                let Some(id) = id.as_u64() else {
                    return Err(ids.bad(format!("`{text}` is {id}, expected an id")));
                };
                let is_special = named.values().chain(&special).any(|other| other == text);
                let flags = [false, false, false, !is_special, is_special];
                let (file, id) = (ADDED_TOKENS, Some(id as usize));
                added.push(Added { file, text: text.clone(), id, flags });
            }
        }
        for text in named.values().chain(&special) {
            if !text.is_empty() && !added.iter().any(|token| token.text == *text) {
                let flags = [false, false, false, false, true];
                added.push(Added { file: TOKENIZER_CONFIG, text: text.clone(), id: None, flags });
            }
        }
        let source = match &texts.template {
            Some(bytes) => Some(String::from_utf8(bytes.clone()).map_err(|error| {
                Error::format("chat template", folder.join(CHAT_TEMPLATE), error.to_string())
            })?),
            None => chat_template(&config)?,
        };
        Ok(Self { named, added, source })
    }
}

/// Special tokens by name: those all tokenizers have, and a model's own.
fn names(fields: &Fields) -> Result<BTreeMap<String, String>> {
    let mut named = BTreeMap::new();
    for name in NAMES {
        named.extend(fields.token(name)?.map(|text| (name.to_owned(), text.to_owned())));
    }
    let extra = fields.value("extra_special_tokens").and_then(Value::as_object);
    let own = fields.entries().filter(|(name, _)| name.ends_with("_token"));
    for (name, value) in own.chain(extra.into_iter().flatten()) {
        if let Some(text) = value.as_str().or_else(|| value["content"].as_str()) {
            named.insert(name.clone(), text.to_owned());
        }
    }
    Ok(named)
}

/// Special tokens without a name.
fn lists(fields: &Fields) -> Vec<String> {
    let lists = ["additional_special_tokens", "extra_special_tokens"];
    let tokens = lists.iter().filter_map(|list| fields.value(list)?.as_array()).flatten();
    let text =
        |token: &Value| token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned);
    tokens.filter_map(text).collect()
}

/// The template in a `tokenizer_config.json`: a text, or the one called `default` of several.
fn chat_template(fields: &Fields) -> Result<Option<String>> {
    let named = |name: &Value, source: &Value| {
        (*name == "default").then(|| source.as_str().map(str::to_owned)).flatten()
    };
    let found = match fields.value("chat_template") {
        None => return Ok(None),
        Some(Value::String(source)) => return Ok(Some(source.clone())),
        Some(Value::Array(several)) => {
            several.iter().find_map(|one| named(&one["name"], &one["template"]))
        }
        Some(Value::Object(several)) => {
            several.get("default").and_then(|one| named(&json!("default"), one))
        }
        Some(_) => return Err(fields.bad("`chat_template` is neither a text nor a list of them")),
    };
    found.map(Some).ok_or_else(|| {
        fields
            .bad("`chat_template` names several and none of them `default`, which is the one used")
    })
}

/// The tokenizer in `bytes` with the tokens of other files. `written` says whether the chat template
/// writes a token, given its text and name.
fn with_added(
    bytes: &[u8],
    added: &[Added],
    vocabulary: usize,
    written: impl Fn(&str, Option<&str>) -> bool,
    named: &BTreeMap<String, String>,
) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::from_json(bytes)?;
    let known = tokenizer.added();
    let known: BTreeMap<&str, _> =
        known.values().map(|token| (token.content.as_str(), token)).collect();
    let mut next = tokenizer.vocabulary();
    let mut changes: Vec<(usize, &Added)> = Vec::new();
    for token in added {
        let name =
            named.iter().find(|(_, text)| **text == token.text).map(|(name, _)| name.as_str());
        let has_room = next < vocabulary;
        let Some(at) = place(&tokenizer, token, next, has_room, || written(&token.text, name))?
        else {
            continue;
        };
        let stays = known.get(token.text.as_str()).is_some_and(|own| {
            let flags = [own.single_word, own.lstrip, own.rstrip, own.normalized, own.special];
            // Where only a name is given, or an older file, what `tokenizer.json` says of it stays.
            token.id.is_none() || token.file == ADDED_TOKENS || flags == token.flags
        });
        if !stays {
            next += usize::from(at == next);
            changes.push((at, token));
        }
    }
    if changes.is_empty() {
        return Ok(tokenizer);
    }
    let tokenizer = Tokenizer::from_json(&changed(bytes, &changes)?)?;
    match changes.iter().find(|(id, token)| tokenizer.token(&token.text) != Some(*id as Token)) {
        None => Ok(tokenizer),
        Some((id, token)) => {
            Err(bad(format!("`{}` of `{}` cannot be token {id}", token.text, token.file)))
        }
    }
}

fn bad(reason: String) -> Error {
    Error::Text { what: "tokenizer", reason }
}

/// The id of a token that another file names; `None` for one that the model has no room for and nothing
/// writes.
fn place(
    tokenizer: &Tokenizer,
    Added { text, file, id, .. }: &Added,
    next: usize,
    has_room: bool,
    is_written: impl Fn() -> bool,
) -> Result<Option<usize>> {
    let own = tokenizer.token(text).map(|id| id as usize);
    match (own, *id) {
        (Some(own), Some(id)) if own != id => {
            Err(bad(format!("`{text}` has id {id} in `{file}` and {own} in `{TOKENIZER}`")))
        }
        (Some(own), _) => Ok(Some(own)),
        (None, Some(id)) if id != next => {
            let why = match tokenizer.name(id as Token) {
                Some(other) => format!("that is `{other}` in `{TOKENIZER}`"),
                None => format!("the next id is {next}"),
            };
            Err(bad(format!("`{text}` has id {id} in `{file}`, but {why}")))
        }
        (None, _) if has_room => Ok(Some(next)),
        (None, None) if !is_written() => Ok(None),
        (None, _) => Err(bad(format!(
            "`{text}` of `{file}` is not in `{TOKENIZER}`, and the model has no embedding for another token"
        ))),
    }
}

/// A `tokenizer.json` with these tokens added, or changed.
fn changed(bytes: &[u8], changes: &[(usize, &Added)]) -> Result<Vec<u8>> {
    let mut json: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    let mut list = match json.remove("added_tokens") {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    for &(id, token) in changes {
        let mut entry = json!({ "id": id, "content": token.text });
        for (name, flag) in FLAGS.iter().zip(token.flags) {
            entry[*name] = json!(flag);
        }
        match list.iter_mut().find(|other| other["content"] == token.text) {
            Some(other) => *other = entry,
            None => list.push(entry),
        }
    }
    list.sort_by_key(|entry| entry["id"].as_u64());
    json.insert("added_tokens".to_owned(), Value::Array(list));
    let mut json = Value::Object(json);
    // The same bytes whatever order the JSON library keeps.
    json.sort_all_objects();
    Ok(json.to_string().into_bytes())
}
