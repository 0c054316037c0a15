//! JSON lines in: prompts, conversations and completions, with the line named where one is wrong.

use std::io::{self, Read};
use std::path::Path;

use crate::error::{CliError, Result};
use crate::terminal::stdin_is_typed;

/// Largest input read into memory.
const LARGEST: u64 = 4 << 30;

/// A conversation with, perhaps, an answer.
pub(crate) use owlet_lab::value::jsonl::Prompted as Row;

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
            Row::parse(number + 1, line, answered).map_err(|reason| {
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
