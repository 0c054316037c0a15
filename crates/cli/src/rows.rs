//! JSON lines in: prompts, conversations and completions, with the line named where one is wrong.

use std::io::{self, Read};
use std::path::Path;

use owlet_engine::Message;
use owlet_lab::model::chat;
use serde::Deserialize;

use crate::arguments::stdin_is_typed;
use crate::error::{CliError, Result};

/// Largest input read into memory.
const LARGEST: u64 = 4 << 30;

/// A message as people write it down.
#[derive(Clone, Debug, Deserialize)]
struct Turn {
    role: String,
    content: String,
}

/// One line of input. Keys that are not asked for are left alone, so that rows of other tools work.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    prompt: Option<String>,
    messages: Option<Vec<Turn>>,
    completion: Option<String>,
    seed: Option<u64>,
}

/// A conversation with, perhaps, an answer.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Line in the input, from 1.
    pub(crate) line: usize,
    /// What was said before.
    pub(crate) messages: Vec<Message>,
    /// The answer.
    pub(crate) completion: Option<String>,
    /// A seed of its own.
    pub(crate) seed: Option<u64>,
}

impl Row {
    /// A single question.
    pub(crate) fn question(line: usize, text: &str) -> Self {
        let messages = vec![chat::message("user", text)];
        Self { line, messages, completion: None, seed: None }
    }

    /// The last thing that was said.
    pub(crate) fn prompt(&self) -> &str {
        self.messages.last().map_or("", |message| &message.content)
    }
}

/// How an input is called in errors.
pub(crate) fn origin(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// An error about a row, which says where the row stands; `None`: on the command line.
pub(crate) fn wrong(origin: Option<&Path>, row: &Row, reason: impl std::fmt::Display) -> CliError {
    match origin {
        Some(path) => {
            CliError::usage(format!("`{}`, line {}: {reason}", self::origin(path), row.line))
        }
        None => CliError::usage(reason),
    }
}

/// Fails if a row has more tokens than a model can read.
pub(crate) fn fits(origin: Option<&Path>, row: &Row, tokens: usize, context: usize) -> Result<()> {
    if tokens <= context {
        return Ok(());
    }
    let reason = format!("has {tokens} tokens, the model's context is {context}");
    Err(wrong(origin, row, reason).hinted("shorten the row or leave it out"))
}

/// Reads a file, or standard input for `-`, as text.
pub(crate) fn text(path: &Path) -> Result<String> {
    let name = origin(path);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        if stdin_is_typed() {
            return Err(CliError::usage("standard input is a terminal, expected rows")
                .hinted("name a file, or pipe rows in"));
        }
        io::stdin().lock().take(LARGEST).read_to_end(&mut bytes)?;
    } else {
        fs_err::File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 == LARGEST {
        return Err(CliError::usage(format!("`{name}` is larger than 4 GiB; split it")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = String::from_utf8_lossy(before).matches('\n').count();
        CliError::usage(format!("`{name}`, line {}: is not UTF-8 text", line + 1))
    })
}

/// Reads rows that have a `prompt` or `messages`. With `answered`, each must end in an answer: a
/// `completion`, or an assistant's message.
pub(crate) fn read(path: &Path, answered: bool) -> Result<Vec<Row>> {
    let name = origin(path);
    let rows = text(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            row(number + 1, line, answered).map_err(|reason| {
                CliError::usage(format!("`{name}`, line {}: {reason}", number + 1)).hinted(
                    if answered {
                        "a row is {\"prompt\": \"...\", \"completion\": \"...\"} or {\"messages\": [...]}"
                    } else {
                        "a row is {\"prompt\": \"...\"} or {\"messages\": [...]}"
                    },
                )
            })
        })
        .collect::<Result<Vec<Row>>>()?;
    if rows.is_empty() {
        return Err(CliError::usage(format!("`{name}` has no rows")));
    }
    Ok(rows)
}

fn row(number: usize, text: &str, answered: bool) -> std::result::Result<Row, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| {
        // The line is known better by the caller.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or(&text);
        format!("{text} at column {}", error.column())
    })?;
    let mut completion = line.completion;
    let mut messages: Vec<Message> = match (line.prompt, line.messages) {
        (Some(prompt), None) => vec![chat::message("user", &prompt)],
        (None, Some(turns)) => {
            turns.iter().map(|turn| chat::message(&turn.role, &turn.content)).collect()
        }
        (Some(_), Some(_)) => {
            return Err("has both `prompt` and `messages`, expected one".to_owned());
        }
        (None, None) => return Err("has neither `prompt` nor `messages`".to_owned()),
    };
    if answered && completion.is_none() {
        completion =
            messages.pop_if(|message| message.role == "assistant").map(|message| message.content);
    }
    if answered && completion.is_none() {
        return Err(
            "has no answer, expected `completion` or a last message by `assistant`".to_owned()
        );
    }
    if messages.is_empty() {
        return Err("has no message to answer".to_owned());
    }
    Ok(Row { line: number, messages, completion, seed: line.seed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_row_is_told_apart() {
        let reason = |text, answered| row(1, text, answered).unwrap_err();
        assert_eq!(reason("{}", false), "has neither `prompt` nor `messages`");
        assert_eq!(
            reason("{\"prompt\": 3}", false),
            "invalid type: integer `3`, expected a string at column 12"
        );
        assert!(reason("{\"prompt\": \"a\"}", true).starts_with("has no answer"));
        assert!(reason("{\"messages\": []}", false).starts_with("has no message"));
    }

    #[test]
    fn a_last_assistant_message_is_the_answer() {
        let text =
            r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;
        let row = row(1, text, true).unwrap();
        assert_eq!((row.messages.len(), row.completion.as_deref()), (1, Some("a")));
    }
}
