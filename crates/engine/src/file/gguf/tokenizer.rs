//! A GGUF vocabulary as a `tokenizer.json`: byte-level BPE (`gpt2`) and SentencePiece BPE
//! (`llama`).

use std::collections::HashMap;
use std::io::{Read, Seek};

use serde_json::{Value, json};

use super::header::Gguf;
use crate::error::Result;
use crate::tokenizer::{END_NAMES, Tokenizer};

/// Token types in `tokenizer.ggml.token_type`.
pub(super) const NORMAL: i64 = 1;
pub(super) const UNKNOWN: i64 = 2;
pub(super) const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;
pub(super) const UNUSED: i64 = 5;

/// Longest piece, in bytes, whose merges are looked for: every split of it is tried.
const LONGEST_PIECE: usize = 512;

/// What llama.cpp splits by where a file says `default`, one pattern within the pieces of another.
const DEFAULT: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

/// GPT-2's own pattern without its names for spaces; Qwen 2 and Llama 3 differ in how many digits
/// they keep together.
fn pattern(digits: &str) -> Value {
    let pattern = format!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    json!({
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false
    })
}

fn byte_level(regex: bool) -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex
    })
}

/// The tokenizer that the metadata describes.
pub(in crate::file) fn read<R: Read + Seek>(gguf: &Gguf<R>) -> Result<Tokenizer> {
    let Some(tokens) = gguf.texts("tokenizer.ggml.tokens")? else {
        return Err(gguf.bad("`tokenizer.ggml.tokens` is missing"));
    };
    let types = gguf.wholes("tokenizer.ggml.token_type")?.unwrap_or_default();
    if !types.is_empty() && types.len() != tokens.len() {
        return Err(gguf.bad(format!(
            "`tokenizer.ggml.token_type` has {} entries for {} tokens",
            types.len(),
            tokens.len()
        )));
    }
    let mut ids = serde_json::Map::new();
    for (id, token) in tokens.iter().enumerate() {
        if ids.insert(token.clone(), json!(id)).is_some() {
            return Err(gguf.bad(format!("token `{token}` is in the vocabulary twice")));
        }
    }
    let mut end = Vec::new();
    for key in ["eos", "eot", "eom"] {
        let id = gguf.size(&format!("tokenizer.ggml.{key}_token_id"))?;
        end.extend(id.filter(|&id| id < tokens.len()).map(|id| id as crate::Token));
    }
    let added = tokens.iter().zip(types).enumerate().filter_map(|(id, (token, kind))| {
        // As in llama.cpp, what ends a turn is no text, whatever its type says.
        let ends = end.contains(&(id as crate::Token)) || END_NAMES.contains(&token.as_str());
        let special = match *kind {
            _ if ends => true,
            UNKNOWN | CONTROL => true,
            USER_DEFINED => false,
            _ => return None,
        };
        Some(json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": special,
        }))
    });
    let added: Vec<Value> = added.collect();
    let begin = gguf.size("tokenizer.ggml.bos_token_id")?.filter(|&id| id < tokens.len());
    let kind = gguf.text("tokenizer.ggml.model")?;
    let marks = gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(kind == Some("llama"));
    let parts = match kind {
        Some("gpt2") => byte_level_parts(gguf, &ids)?,
        Some("llama") => marked_parts(gguf, tokens, &ids)?,
        other => {
            return Err(gguf.bad(format!(
                "`tokenizer.ggml.model` is `{}`, expected gpt2 or llama",
                other.unwrap_or_default()
            )));
        }
    };
    let mut tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": begin.filter(|_| marks).map(|id| begins_with(&tokens[id], id)),
        "decoder": parts.decoder,
        "model": parts.model,
    });
    // The same bytes whatever order the JSON library keeps.
    tokenizer.sort_all_objects();
    let tokenizer = Tokenizer::from_json(tokenizer.to_string().as_bytes())?;
    if end.is_empty() { Ok(tokenizer) } else { tokenizer.with_end_tokens(end) }
}

struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
}

/// A post-processor that puts one token before every document.
fn begins_with(token: &str, id: usize) -> Value {
    let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [special, text("A")],
        "pair": [special, text("A"), text("B")],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}

/// The names of [`splitting`]s, one for each.
pub(super) const SPLITTINGS: [&str; 5] = ["gpt-2", "smollm", "qwen2", "llama-bpe", "default"];

/// Pre-tokenizer, normalizer and whether whole pieces are taken before merging, by the name that
/// `tokenizer.ggml.pre` has, or by another that llama.cpp treats the same.
pub(super) fn splitting(name: &str) -> Option<(Value, Value, bool)> {
    let sequence = |parts: &[Value]| json!({"type": "Sequence", "pretokenizers": parts});
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    Some(match name {
        "smollm" | "starcoder" | "refact" | "command-r" | "exaone" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            (sequence(&[digits, byte_level(true)]), Value::Null, false)
        }
        "gpt-2" | "gpt2" | "olmo" | "phi-2" => (byte_level(true), Value::Null, false),
        "default" => {
            let parts = DEFAULT.map(split).into_iter().chain([byte_level(false)]);
            (sequence(&parts.collect::<Vec<_>>()), Value::Null, false)
        }
        "qwen2" | "deepseek-r1-qwen" => {
            (sequence(&[pattern(r"\p{N}"), byte_level(false)]), json!({"type": "NFC"}), false)
        }
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => {
            (sequence(&[pattern(r"\p{N}{1,3}"), byte_level(false)]), Value::Null, true)
        }
        _ => return None,
    })
}

fn byte_level_parts<R: Read + Seek>(
    gguf: &Gguf<R>,
    ids: &serde_json::Map<String, Value>,
) -> Result<Parts> {
    let (pre_tokenizer, normalizer, whole) = match gguf.text("tokenizer.ggml.pre")? {
        None => {
            return Err(gguf.bad(
                "`tokenizer.ggml.pre` is missing, without which it is not known where texts are split; convert the model with a newer llama.cpp, or write the key (gpt-2, smollm, qwen2, llama-bpe, ...) with `gguf_new_metadata.py`",
            ));
        }
        Some(name) => splitting(name).ok_or_else(|| {
            let names = SPLITTINGS.join(", ");
            gguf.bad(format!("`tokenizer.ggml.pre` is `{name}`, expected one of {names}"))
        })?,
    };
    let Some(merges) = gguf.texts("tokenizer.ggml.merges")? else {
        return Err(gguf.bad("`tokenizer.ggml.merges` is missing"));
    };
    let merges = merges
        .iter()
        .map(|merge| {
            merge
                .split_once(' ')
                .map(|(left, right)| json!([left, right]))
                .ok_or_else(|| gguf.bad(format!("merge `{merge}` is not two tokens")))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Parts {
        normalizer,
        pre_tokenizer,
        decoder: byte_level(true),
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": whole, "vocab": ids, "merges": merges,
        }),
    })
}

/// Normalizer and decoder of a vocabulary that marks spaces, and perhaps puts one before every text.
pub(super) fn marks(prefix: bool) -> (Value, Value) {
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![replace(" ", "▁")];
    let mut decoders =
        vec![replace("▁", " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    (
        json!({"type": "Sequence", "normalizers": normalizers}),
        json!({"type": "Sequence", "decoders": decoders}),
    )
}

/// SentencePiece's BPE keeps a score per piece; merging the best-scored pair first is what
/// Hugging Face's merges sorted by score do.
fn marked_parts<R: Read + Seek>(
    gguf: &Gguf<R>,
    tokens: &[String],
    ids: &serde_json::Map<String, Value>,
) -> Result<Parts> {
    let scores = gguf.numbers("tokenizer.ggml.scores")?.unwrap_or_default();
    if scores.len() != tokens.len() {
        return Err(gguf.bad(format!(
            "`tokenizer.ggml.scores` has {} entries for {} tokens",
            scores.len(),
            tokens.len()
        )));
    }
    let places: HashMap<&str, usize> =
        tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (token, &score) in tokens.iter().zip(scores) {
        if token.len() > LONGEST_PIECE {
            return Err(gguf.bad(format!(
                "a token is {} bytes long, expected at most {LONGEST_PIECE}",
                token.len()
            )));
        }
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&l), Some(&r)) = (places.get(left), places.get(right)) {
                merges.push((score, l, r));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Vec<Value> =
        merges.iter().map(|&(_, l, r)| json!([tokens[l], tokens[r]])).collect();
    let unknown = gguf.size("tokenizer.ggml.unknown_token_id")?.and_then(|id| tokens.get(id));
    let prefix = gguf.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let (normalizer, decoder) = marks(prefix);
    Ok(Parts {
        normalizer,
        pre_tokenizer: Value::Null,
        decoder,
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "fuse_unk": true,
            "byte_fallback": true, "ignore_merges": false, "vocab": ids, "merges": merges,
        }),
    })
}
