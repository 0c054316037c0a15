//! Rows in a file, one JSON object a line, and what each form of them says.
//!
//! [`read`] names the line of every fault in one way. A row of an experiment is a [`crate::value::row::Row`];
//! what comes from outside is a [`Dialogue`], as the field's fine-tuning services take it, or an
//! [`Prompted`]: a `prompt` or `messages`, with or without an answer.

use std::path::Path;

use owlet_engine::Message;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Reads every line that is not blank; `origin` names them in errors.
///
/// # Errors
/// The first line that is no UTF-8 or that `parse` refuses, by its number.
pub fn read<T>(
    bytes: &[u8],
    origin: &Path,
    parse: impl Fn(usize, &str) -> std::result::Result<T, String>,
) -> Result<Vec<T>> {
    let wrong = |line: usize, why: &str| Error::record(origin, format!("line {line}: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        wrong(before.matches('\n').count() + 1, "is not UTF-8 text")
    })?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| parse(at + 1, line).map_err(|why| wrong(at + 1, &why)))
        .collect()
}

/// Reads every line as `T`; `origin` names them in errors.
///
/// # Errors
/// As [`read`].
pub fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8], origin: &Path) -> Result<Vec<T>> {
    read(bytes, origin, |_, line| json(line))
}

/// Plain data, an item a line.
pub fn to_bytes<T: Serialize>(items: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        serde_json::to_writer(&mut bytes, item)
            .expect("plain data serialises because its maps have string keys");
        bytes.push(b'\n');
    }
    bytes
}

/// What stands between the last field of a sealed line and its digest.
const SEAL: &str = ",\"digest\":\"";

/// A line that tells whether it was changed: `item`, an object with a field or more, and behind its fields
/// the BLAKE3 digest of the line without it.
pub(crate) fn sealed<T: Serialize>(item: &T) -> Result<Vec<u8>> {
    let text = serde_json::to_string(item).map_err(|error| Error::record("line", error))?;
    let digest = blake3::hash(text.as_bytes()).to_hex();
    let fields = text.strip_suffix('}').unwrap_or(&text);
    Ok(format!("{fields}{SEAL}{digest}\"}}\n").into_bytes())
}

/// A sealed line as it was before; none of one that is cut, changed or was never sealed.
pub(crate) fn unsealed<T: for<'a> Deserialize<'a>>(line: &[u8]) -> Option<T> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\"}\n")?;
    let (fields, digest) = line.rsplit_once(SEAL)?;
    let text = format!("{fields}}}");
    let sound = blake3::hash(text.as_bytes()).to_hex().as_str() == digest;
    if sound { serde_json::from_str(&text).ok() } else { None }
}

/// A JSON line as `T`; the error says field and column, because the line is known better by the caller.
///
/// # Errors
/// What is wrong with it.
pub fn json<'a, T: Deserialize<'a>>(line: &'a str) -> std::result::Result<T, String> {
    let mut reader = serde_json::Deserializer::from_str(line);
    let told = |field: String, error: serde_json::Error| {
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or(&text);
        let field = if field == "." { String::new() } else { format!("`{field}`: ") };
        format!("{field}{text} at column {}", error.column())
    };
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| told(error.path().to_string(), error.into_inner()))?;
    reader.end().map_err(|error| told(".".to_owned(), error))?;
    Ok(value)
}

/// One conversation, every answer of which is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialogue {
    /// Its turns.
    pub messages: Vec<Turn>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
    /// 0: an answer that is not learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
}

impl Turn {
    pub(crate) fn is_learned(&self) -> bool {
        self.role == "assistant" && self.weight != Some(0)
    }

    pub(crate) fn message(&self) -> Message {
        Message { role: self.role.clone(), content: self.content.clone() }
    }
}

impl Dialogue {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> std::result::Result<Self, String> {
        let conversation: Self = json(line)?;
        for turn in &conversation.messages {
            if !matches!(turn.role.as_str(), "system" | "user" | "assistant") {
                let role: String = turn.role.chars().take(40).collect();
                return Err(format!("has the role `{role}`, expected system, user or assistant"));
            }
            if turn.weight.is_some_and(|weight| weight > 1) {
                return Err("has a weight that is neither 0 nor 1".to_owned());
            }
        }
        if conversation.messages.first().is_some_and(|turn| turn.role == "assistant") {
            return Err("begins with the assistant; there is nothing to answer".to_owned());
        }
        if !conversation.messages.iter().any(Turn::is_learned) {
            return Err("has no answer to learn".to_owned());
        }
        Ok(conversation)
    }

    /// Reads a file of them; `origin` names it in errors.
    ///
    /// # Errors
    /// The first line that cannot be used.
    pub fn read(bytes: &[u8], origin: &Path) -> Result<Vec<Self>> {
        read(bytes, origin, |_, line| Self::parse(line))
    }
}

/// What was asked, perhaps with an answer, from outside. Keys that are not asked for are left alone, so
/// that rows of other tools work.
#[derive(Clone, Debug)]
pub struct Prompted {
    /// Line in the input, from 1.
    pub line: usize,
    /// What was said before.
    pub messages: Vec<Message>,
    /// The answer.
    pub completion: Option<String>,
    /// A seed of its own.
    pub seed: Option<u64>,
}

#[derive(Deserialize)]
struct Line {
    prompt: Option<String>,
    messages: Option<Vec<Turn>>,
    completion: Option<String>,
    seed: Option<u64>,
}

impl Prompted {
    /// A single question.
    pub fn question(line: usize, text: &str) -> Self {
        let messages = vec![user(text)];
        Self { line, messages, completion: None, seed: None }
    }

    /// The last thing that was said.
    pub fn prompt(&self) -> &str {
        self.messages.last().map_or("", |message| &message.content)
    }

    /// Reads the line of this number, which has a `prompt` or `messages`. With `answered` it must end in
    /// an answer: a `completion`, or an assistant's message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(number: usize, line: &str, answered: bool) -> std::result::Result<Self, String> {
        let line: Line = json(line)?;
        let mut completion = line.completion;
        let mut messages: Vec<Message> = match (line.prompt, line.messages) {
            (Some(prompt), None) => vec![user(&prompt)],
            (None, Some(turns)) => turns.iter().map(Turn::message).collect(),
            (Some(_), Some(_)) => {
                return Err("has both `prompt` and `messages`, expected one".to_owned());
            }
            (None, None) => return Err("has neither `prompt` nor `messages`".to_owned()),
        };
        if answered && completion.is_none() {
            let last = messages.pop_if(|message| message.role == "assistant");
            completion = last.map(|message| message.content);
        }
        if answered && completion.is_none() {
            return Err(
                "has no answer, expected `completion` or a last message by `assistant`".to_owned()
            );
        }
        if messages.is_empty() {
            return Err("has no message to answer".to_owned());
        }
        Ok(Self { line: number, messages, completion, seed: line.seed })
    }
}

/// The completion of a line that holds one.
///
/// # Errors
/// What is wrong with it.
pub fn completion(line: &str) -> std::result::Result<String, String> {
    #[derive(Deserialize)]
    struct Line {
        completion: Option<String>,
    }
    let line: Line = json(line)?;
    line.completion.ok_or_else(|| "has no `completion`".to_owned())
}

fn user(text: &str) -> Message {
    Message { role: "user".to_owned(), content: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sealed_line_is_read_as_it_was_written_or_not_at_all(
            text: String, number: u64, at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index,
        ) {
            let item = serde_json::json!({"text": text, "number": number});
            let line = sealed(&item).unwrap();
            prop_assert_eq!(unsealed::<serde_json::Value>(&line), Some(item));
            prop_assert_eq!(unsealed::<serde_json::Value>(&line[..cut.index(line.len())]), None);
            let mut changed = line;
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            prop_assert_eq!(unsealed::<serde_json::Value>(&changed), None);
        }
    }

    #[test]
    fn unusable_lines_say_why() {
        let why = |line: &str| Dialogue::parse(line).unwrap_err();
        assert!(why("{").contains("EOF"));
        assert!(why(r#"{"messages": [{"role": "wizard", "content": ""}]}"#).contains("wizard"));
        assert!(why(r#"{"messages": [{"role": "user", "content": ""}]}"#).contains("no answer"));
        assert!(why(r#"{"messages": [{"role": "assistant", "content": ""}]}"#).contains("begins"));
    }

    #[test]
    fn faults_are_named_by_line() {
        let origin = Path::new("rows.jsonl");
        let why = |bytes: &[u8]| Dialogue::read(bytes, origin).unwrap_err().to_string();
        assert!(why(b"\n\n{}").starts_with("`rows.jsonl` line 3: missing field `messages`"));
        assert_eq!(why(b"\n\xff"), "`rows.jsonl` line 2: is not UTF-8 text");
    }

    #[test]
    fn a_wrong_row_is_told_apart() {
        let reason = |text, answered| Prompted::parse(1, text, answered).unwrap_err();
        assert_eq!(reason("{}", false), "has neither `prompt` nor `messages`");
        assert_eq!(
            reason("{\"prompt\": 3}", false),
            "`prompt`: invalid type: integer `3`, expected a string at column 12"
        );
        assert!(reason("{\"prompt\": \"a\"}", true).starts_with("has no answer"));
        assert!(reason("{\"messages\": []}", false).starts_with("has no message"));
    }

    #[test]
    fn a_last_assistant_message_is_the_answer() {
        let text =
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;
        let row = Prompted::parse(1, text, true).unwrap();
        assert_eq!((row.messages.len(), row.completion.as_deref()), (1, Some("a")));
    }
}
