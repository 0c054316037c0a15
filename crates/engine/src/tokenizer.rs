//! Text to token ids and back, over a Hugging Face `tokenizer.json`.
//!
//! Every tokenizer, whether it came from a folder, a GGUF vocabulary or a list of words, is a
//! `tokenizer.json` underneath, kept byte for byte so that saving a model gives back what was
//! loaded. It knows nothing of conversations (see `template`) and adds no tokens of its own. The
//! invariant: decoding is concatenation,
//! `decode(t) = first_token_bytes(t[0]) + token_bytes(t[1]) + ...` (read as UTF-8, special tokens
//! left out).

mod growth;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Token;
use crate::error::{Error, Result};
use crate::tries::Tries;

/// Ids at or above this are refused: no vocabulary is that large, and tables are sized by it.
const MOST_IDS: u32 = 1 << 22;

/// Least and most bytes that the longest token is taken to stand for: lists of words give white space none, and
/// no text is made of a hostile vocabulary's longest token alone.
const LONGEST: (usize, usize) = (64, 256);

/// Names that end a turn or a text in the families the engine knows, used where no file says.
pub(crate) const END_NAMES: [&str; 8] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
    "<|end|>",
];

/// A tokenizer with the ids that end a turn.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: Vec<u8>,
    pieces: BTreeMap<Token, Piece>,
    vocabulary: usize,
    /// Bytes of the longest token's name.
    longest: usize,
    end: Vec<Token>,
    /// Whether a text is the pieces of its tokens one after another.
    concatenates: OnceLock<bool>,
    /// Whether it has a list of whole words, and no token for others.
    closed: bool,
    /// Made when a grammar first needs them.
    tries: OnceLock<Arc<Tries>>,
}

/// What one token stands for.
#[derive(Clone, Debug)]
enum Piece {
    /// Never text.
    Special,
    /// Bytes after other tokens, and at the start of a text where those differ.
    Text { later: Box<[u8]>, first: Option<Box<[u8]>> },
}

/// The parts of a `tokenizer.json` that the tokenizers crate keeps to itself.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    normalizer: Option<Value>,
    #[serde(default)]
    decoder: Option<Value>,
    model: OutlineModel,
}

#[derive(Deserialize)]
struct OutlineModel {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    unk_token: Option<String>,
}

/// How the decoder turns a token's name into text.
enum Spelling {
    /// Bytes written as printable characters (GPT-2).
    ByteLevel,
    /// Whole words, joined by spaces.
    Words,
    /// `▁` for a space and `<0xNN>` for a byte (SentencePiece); whether a text loses its first
    /// space.
    Marked { strip: bool },
    /// Anything else: ask the decoder about each token.
    Other,
}

fn fail<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::Text { what: "tokenizer", reason: reason.into() })
}

impl Tokenizer {
    /// Reads a `tokenizer.json` from memory.
    ///
    /// Ids that end a turn are those of well-known names until [`Tokenizer::with_end_tokens`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let outline: Outline = match serde_json::from_slice(bytes) {
            Ok(outline) => outline,
            Err(error) => return fail(format!("`tokenizer.json` cannot be read: {error}")),
        };
        if outline.model.dropout.is_some_and(|dropout| dropout != 0.0) {
            return fail("`model.dropout` is set, which makes encoding random; set it to null");
        }
        for (what, part) in [("normalizer", &outline.normalizer), ("decoder", &outline.decoder)] {
            growth::check(what, part.as_ref()).or_else(fail)?;
        }
        let inner = guarded("`tokenizer.json` cannot be read", || {
            let mut inner = tokenizers::Tokenizer::from_bytes(bytes)?;
            inner.with_padding(None);
            inner.with_truncation(None)?;
            Ok(inner)
        })?;
        let names: BTreeMap<Token, String> =
            inner.get_vocab(true).into_iter().map(|(name, id)| (id, name)).collect();
        let vocabulary = match names.last_key_value() {
            None => return fail("the vocabulary is empty"),
            Some((&id, name)) if id >= MOST_IDS => {
                return fail(format!("token `{name}` has id {id}, expected less than {MOST_IDS}"));
            }
            Some((&id, _)) => id as usize + 1,
        };
        let special: BTreeSet<Token> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter_map(|(id, token)| token.special.then_some(id))
            .collect();
        let spelling = Spelling::of(outline.decoder.as_ref());
        let bytes_of = byte_alphabet();
        let mut pieces = BTreeMap::new();
        for (&id, name) in &names {
            let piece = if special.contains(&id) {
                Piece::Special
            } else {
                spelling.piece(&inner, &bytes_of, id, name)?
            };
            pieces.insert(id, piece);
        }
        let end =
            END_NAMES.iter().filter_map(|name| inner.token_to_id(name)).collect::<BTreeSet<_>>();
        let knows = |name: &String| inner.token_to_id(name).is_some();
        let is_words = outline.model.r#type.as_deref() == Some("WordLevel");
        // Without a decoder tokens are joined by spaces, which is right for whole words alone.
        let joins = outline.decoder.as_ref().is_none_or(Value::is_null) && !is_words;
        Ok(Self {
            closed: is_words && !outline.model.unk_token.as_ref().is_some_and(knows),
            inner,
            json: bytes.to_vec(),
            pieces,
            vocabulary,
            longest: names.values().map(String::len).max().unwrap_or(0).clamp(LONGEST.0, LONGEST.1),
            end: end.into_iter().collect(),
            // Two texts for each token of the vocabulary: asked of those that need it, once.
            concatenates: if joins { OnceLock::from(false) } else { OnceLock::new() },
            tries: OnceLock::new(),
        })
    }

    /// Whether decoding is what [`Self::token_bytes`] says: asked of every token at the beginning of a
    /// text, in it, and twice in a row.
    fn decodes_by_pieces(&self) -> bool {
        let text = |piece: &Piece| matches!(piece, Piece::Text { .. });
        let mut ids = self.pieces.iter().filter(|(_, piece)| text(piece)).map(|(&id, _)| id);
        let Some(anchor) = ids.clone().next() else { return true };
        ids.all(|id| {
            [&[id, id, anchor][..], &[anchor, id, id]].into_iter().all(|tokens| {
                let mut bytes = self.first_token_bytes(tokens[0]).unwrap_or_default();
                bytes.extend(tokens[1..].iter().filter_map(|&t| self.token_bytes(t)).flatten());
                // How halves of characters are shown is the decoder's own affair.
                String::from_utf8(bytes)
                    .is_ok_and(|text| self.decode(tokens).is_ok_and(|decoded| decoded == text))
                    || std::str::from_utf8(&self.token_bytes(id).unwrap_or_default()).is_err()
                    || std::str::from_utf8(&self.token_bytes(anchor).unwrap_or_default()).is_err()
            })
        })
    }

    /// Fails unless a text is the pieces of its tokens one after another, which is what patterns and
    /// grammars are held by.
    pub(crate) fn check_pieces(&self, what: &'static str) -> Result<()> {
        let reason = "cannot be held with this tokenizer: its decoder does not give a text token by \
                      token (`tokenizer.json` has no decoder for its pre-tokenizer, or one that joins)";
        let concatenates = *self.concatenates.get_or_init(|| self.decodes_by_pieces());
        if concatenates { Ok(()) } else { Err(Error::setting(what, reason)) }
    }

    /// The added tokens of `tokenizer.json`, by id.
    pub(crate) fn added(&self) -> BTreeMap<Token, tokenizers::AddedToken> {
        self.inner.get_added_tokens_decoder().into_iter().collect()
    }

    /// A tokenizer of whole words separated by white space, in the order of their ids.
    ///
    /// `special` and `end` (the ones that end a turn) are names from `vocabulary`. Words outside
    /// it cannot be encoded.
    pub fn words(vocabulary: &[String], special: &[String], end: &[String]) -> Result<Self> {
        let mut ids = serde_json::Map::new();
        for (id, word) in vocabulary.iter().enumerate() {
            if word.is_empty() || word.contains(char::is_whitespace) {
                return fail(format!("word {id} `{word}` is empty or contains white space"));
            }
            if ids.insert(word.clone(), json!(id)).is_some() {
                return fail(format!("word `{word}` is in the vocabulary twice"));
            }
        }
        let mut added = Vec::new();
        for name in special {
            let Some(id) = ids.get(name) else {
                return fail(format!("special word `{name}` is not in the vocabulary"));
            };
            added.push(json!({
                "id": id, "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            }));
        }
        let mut tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": null,
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": ids, "unk_token": "<unknown>"},
        });
        // The same bytes whatever order the JSON library keeps.
        tokenizer.sort_all_objects();
        let tokenizer = Self::from_json(tokenizer.to_string().as_bytes())?;
        let end = end
            .iter()
            .map(|name| match tokenizer.token(name) {
                Some(id) => Ok(id),
                None => fail(format!("end word `{name}` is not in the vocabulary")),
            })
            .collect::<Result<Vec<_>>>()?;
        tokenizer.with_end_tokens(end)
    }

    /// The same tokenizer with these ids ending a turn.
    pub fn with_end_tokens(mut self, end: impl IntoIterator<Item = Token>) -> Result<Self> {
        let end: BTreeSet<Token> = end.into_iter().collect();
        if let Some(id) = end.iter().find(|&&id| id as usize >= self.vocabulary) {
            return fail(format!(
                "end token {id} is not in the vocabulary of {} ids",
                self.vocabulary
            ));
        }
        self.end = end.into_iter().collect();
        Ok(self)
    }

    /// Bytes of the longest text that may make no more than `tokens` tokens; a longer one need not be encoded to
    /// know that. White space that is taken away is counted with a margin.
    pub fn most_bytes(&self, tokens: usize) -> usize {
        tokens.saturating_mul(self.longest)
    }

    /// Token ids of `text`; special tokens written in the text become their ids, and none are
    /// added.
    pub fn encode(&self, text: &str) -> Result<Vec<Token>> {
        self.ids(text).or_else(|error| {
            let unknown = self.unknown_words(text);
            if unknown.is_empty() { Err(error) } else { self.no_words(&unknown) }
        })
    }

    fn ids(&self, text: &str) -> Result<Vec<Token>> {
        guarded(&format!("cannot encode `{}`", shortened(text)), || {
            Ok(self.inner.encode_fast(text, false)?.get_ids().to_vec())
        })
    }

    /// Words of `text` that a list of words has not, sorted; none where any text can be written.
    pub fn unknown_words(&self, text: &str) -> Vec<String> {
        if !self.closed || self.ids(text).is_ok() {
            return Vec::new();
        }
        let special = self.pieces.keys().filter(|&&id| self.is_special(id));
        let names = special.filter_map(|&id| self.name(id));
        let plain = names.fold(text.to_owned(), |text, name| text.replace(&name, " "));
        let words: BTreeSet<&str> = plain.split_whitespace().collect();
        words.into_iter().filter(|word| self.ids(word).is_err()).map(str::to_owned).collect()
    }

    /// Fails for words that a list of words has not.
    fn no_words<T>(&self, unknown: &[String]) -> Result<T> {
        let list = |words: &mut dyn Iterator<Item = &str>, most: usize| {
            let mut shown: Vec<_> = words.map(|word| format!("`{}`", shortened(word))).collect();
            let more = shown.len().saturating_sub(most);
            shown.truncate(most);
            shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
        };
        let mut names: Vec<String> = self
            .pieces
            .keys()
            .filter(|&&id| !self.is_special(id))
            .filter_map(|&id| self.name(id))
            .collect();
        // Words first: nobody has to be told which numbers there are.
        names.sort_by_key(|name| !name.starts_with(char::is_alphabetic));
        fail(format!(
            "this model knows no word {}; it knows {}",
            list(&mut unknown.iter().map(String::as_str), 10),
            list(&mut names.iter().map(String::as_str), 120)
        ))
    }

    /// Text of `tokens`; special tokens are left out.
    ///
    /// Bytes that are not UTF-8 (a character cut in half) become U+FFFD.
    pub fn decode(&self, tokens: &[Token]) -> Result<String> {
        guarded(&format!("cannot decode {} tokens", tokens.len()), || {
            self.inner.decode(tokens, true)
        })
    }

    /// The bytes one token adds to a text after other tokens, for constraints; `None` for special
    /// tokens and ids of no token.
    ///
    /// A word-level tokenizer joins words with spaces, so there every piece begins with one.
    pub fn token_bytes(&self, token: Token) -> Option<Vec<u8>> {
        match self.pieces.get(&token)? {
            Piece::Special => None,
            Piece::Text { later, .. } => Some(later.to_vec()),
        }
    }

    /// The bytes one token adds at the start of a text: those of [`Tokenizer::token_bytes`] without
    /// the space that decoding drops there.
    pub fn first_token_bytes(&self, token: Token) -> Option<Vec<u8>> {
        match self.pieces.get(&token)? {
            Piece::Special => None,
            Piece::Text { later, first } => Some(first.as_ref().unwrap_or(later).to_vec()),
        }
    }

    /// The bytes of every token, by id: at the beginning of a text, and later in it. A token without any
    /// has none.
    pub(crate) fn spellings(&self) -> [Vec<Vec<u8>>; 2] {
        let tokens = || 0..self.vocabulary as Token;
        [
            tokens().map(|token| self.first_token_bytes(token).unwrap_or_default()).collect(),
            tokens().map(|token| self.token_bytes(token).unwrap_or_default()).collect(),
        ]
    }

    /// The vocabulary as grammars need it.
    pub(crate) fn tries(&self) -> Result<Arc<Tries>> {
        self.check_pieces("grammar")?;
        if let Some(tries) = self.tries.get() {
            return Ok(Arc::clone(tries));
        }
        let [first, later] = self.spellings();
        let tries = Arc::new(Tries::new(&later, &first)?);
        // Where two made them at once, one of them is kept.
        Ok(Arc::clone(self.tries.get_or_init(|| tries)))
    }

    /// The id of a token by its exact name.
    pub fn token(&self, name: &str) -> Option<Token> {
        self.inner.token_to_id(name)
    }

    /// The exact name of a token.
    pub fn name(&self, token: Token) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// Whether a token is special: never text.
    pub fn is_special(&self, token: Token) -> bool {
        matches!(self.pieces.get(&token), Some(Piece::Special))
    }

    /// Number of ids: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Ids that end a turn (end of sequence, end of turn), sorted.
    pub fn end_tokens(&self) -> &[Token] {
        &self.end
    }

    /// The token this tokenizer puts before a document of its own accord, if any
    /// ([`Tokenizer::encode`] never does).
    pub fn begin_token(&self) -> Option<Token> {
        let begun = guarded("cannot begin a document", || self.inner.encode_fast("", true));
        begun.ok()?.get_ids().first().copied()
    }

    /// The `tokenizer.json` this tokenizer was made from.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

impl Spelling {
    fn of(decoder: Option<&Value>) -> Self {
        let Some(decoder) = decoder.filter(|decoder| !decoder.is_null()) else {
            return Self::Words;
        };
        let kind = |value: &Value| value["type"].as_str().unwrap_or_default().to_owned();
        if kind(decoder) == "ByteLevel" {
            return Self::ByteLevel;
        }
        let Some(parts) = decoder["decoders"].as_array() else {
            return Self::Other;
        };
        let kinds: Vec<String> = parts.iter().map(kind).collect();
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        if kinds == ["ByteLevel"] {
            return Self::ByteLevel;
        }
        let spaces = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        match kinds[..] {
            ["Replace", "ByteFallback", "Fuse"] if parts[0] == spaces => {
                Self::Marked { strip: false }
            }
            ["Replace", "ByteFallback", "Fuse", "Strip"]
                if parts[0] == spaces && parts[3] == strip =>
            {
                Self::Marked { strip: true }
            }
            _ => Self::Other,
        }
    }

    fn piece(
        &self,
        inner: &tokenizers::Tokenizer,
        alphabet: &BTreeMap<char, u8>,
        id: Token,
        name: &str,
    ) -> Result<Piece> {
        let text = |later: Vec<u8>, first: Option<Vec<u8>>| Piece::Text {
            later: later.into(),
            first: first.map(Into::into),
        };
        Ok(match self {
            Self::ByteLevel => {
                let bytes: Option<Vec<u8>> =
                    name.chars().map(|c| alphabet.get(&c).copied()).collect();
                text(bytes.unwrap_or_else(|| name.as_bytes().to_vec()), None)
            }
            Self::Words => text(format!(" {name}").into_bytes(), Some(name.as_bytes().to_vec())),
            Self::Marked { strip } => {
                let byte = name
                    .strip_prefix("<0x")
                    .and_then(|rest| rest.strip_suffix('>'))
                    .filter(|digits| digits.len() == 2)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let later =
                    byte.map_or_else(|| name.replace('▁', " ").into_bytes(), |byte| vec![byte]);
                let first = (*strip && later.first() == Some(&b' ')).then(|| later[1..].to_vec());
                text(later, first)
            }
            Self::Other => {
                let decode =
                    |ids: &[Token]| guarded("cannot decode a token", || inner.decode(ids, false));
                let (once, twice) = (decode(&[id])?, decode(&[id, id])?);
                let later = twice.strip_prefix(&once).unwrap_or(&once).to_owned();
                text(later.into_bytes(), Some(once.into_bytes()))
            }
        })
    }
}

/// Runs a part of the tokenizers crate, which trusts its file: settings that contradict one another
/// (a prefix longer than its word, a template without its tokens) make it panic.
fn guarded<T>(doing: &str, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => fail(format!("{doing}: {error}")),
        Err(_) => fail(format!("{doing}: settings of `tokenizer.json` contradict one another")),
    }
}

/// The printable characters GPT-2 writes bytes with: printable Latin-1 stands for itself, the
/// others for the code points from 256 on, in order.
fn byte_alphabet() -> BTreeMap<char, u8> {
    let mut other = 256;
    (0..=u8::MAX)
        .map(|byte| {
            let code = if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
                u32::from(byte)
            } else {
                other += 1;
                other - 1
            };
            let character =
                char::from_u32(code).expect("the codes are below 512 because 68 bytes are moved");
            (character, byte)
        })
        .collect()
}

/// The beginning of a text, for error messages.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests;
