//! Code in an answer: fenced blocks, an answer that is code, what calls of tools hand over, and edits of test files.

use serde_json::Value;

/// A piece of an answer.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) what: What,
    pub(super) text: String,
    /// The line of its first line.
    pub(super) line: usize,
    pub(super) in_call: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    /// Python.
    Python,
    /// A line that changes a file of tests.
    EditedTest,
}

/// Most bytes of a piece: what is longer is read to there.
const MOST_BYTES: usize = 256 << 10;
/// Most pieces of an answer.
const MOST: usize = 64;
const CALL: (&str, &str) = ("<tool_call>", "</tool_call>");

pub(super) fn pieces(answer: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some(start) = rest.find(CALL.0) {
        let body = &rest[start + CALL.0.len()..];
        let end = body.find(CALL.1).unwrap_or(body.len());
        if let Ok(call) = serde_json::from_str::<Value>(&body[..end]) {
            of_call(&call, &mut found);
        }
        rest = &body[end..];
        if found.len() >= MOST {
            break;
        }
    }
    let said = answer.split(CALL.0).next().unwrap_or_default();
    of_text(said, &mut found);
    found.truncate(MOST);
    for piece in &mut found {
        let end = piece.text.floor_char_boundary(MOST_BYTES);
        piece.text.truncate(end);
    }
    found
}

/// Fenced blocks of Python or of an unnamed language that looks like it, differences of test files, and a text that is
/// code as a whole.
fn of_text(said: &str, found: &mut Vec<Piece>) {
    let mut block: Option<(usize, bool, String)> = None;
    let mut has_fence = false;
    for (at, line) in said.lines().enumerate() {
        let mark = line.trim_start();
        match &mut block {
            Some((first, is_python, code)) if mark.starts_with("```") => {
                push(code, *first, *is_python, found);
                block = None;
            }
            Some((_, _, code)) => {
                code.push_str(line);
                code.push('\n');
            }
            None if mark.starts_with("```") => {
                let name = mark.trim_start_matches('`').trim().to_lowercase();
                has_fence = true;
                block = Some((
                    at + 2,
                    ["python", "py", "python3"].contains(&name.as_str()),
                    String::new(),
                ));
            }
            None => {}
        }
    }
    // A fence that is never closed holds what follows.
    if let Some((first, is_python, code)) = block {
        push(&code, first, is_python, found);
    }
    if !has_fence {
        push(said, 1, false, found);
    }
}

fn push(code: &str, line: usize, is_python: bool, found: &mut Vec<Piece>) {
    edits(code, line, false, found);
    if is_python || looks_like_python(code) {
        found.push(Piece { what: What::Python, text: code.to_owned(), line, in_call: false });
    }
}

/// What a call hands over: files that are written, and commands.
fn of_call(call: &Value, found: &mut Vec<Piece>) {
    let mut texts: Vec<(&str, &str)> = Vec::new();
    let arguments = &call["arguments"];
    let Some(given) = arguments.as_object() else { return };
    for (key, value) in given {
        if let Some(text) = value.as_str() {
            texts.push((key, text));
        }
    }
    let is_path = |key: &str| ["path", "file", "filename", "file_path", "filepath"].contains(&key);
    let path = texts.iter().find(|(key, _)| is_path(key)).map(|(_, path)| *path);
    let named = call["name"].as_str().unwrap_or_default();
    let verb = given.get("command").and_then(Value::as_str).unwrap_or(named);
    let reads = ["view", "read", "open", "cat", "list", "ls", "search", "grep"];
    let is_reading =
        verb.split(|sign: char| !sign.is_alphanumeric()).any(|word| reads.contains(&word));
    if let Some(path) = path
        && is_test_file(path)
        && !is_reading
        && given.len() > 1
    {
        let text = format!("{verb} {path}");
        found.push(Piece { what: What::EditedTest, text, line: 1, in_call: true });
    }
    for (key, text) in texts {
        if is_path(key) {
            continue;
        }
        edits(text, 1, true, found);
        let python = heredoc(text).unwrap_or((1, text.to_owned()));
        if looks_like_python(&python.1) {
            let (line, text) = python;
            found.push(Piece { what: What::Python, text, line, in_call: true });
        }
    }
}

/// What a shell is handed as a document, and its first line.
fn heredoc(command: &str) -> Option<(usize, String)> {
    let mut lines = command.lines().enumerate();
    let (at, first) = lines.find(|(_, line)| line.contains("<<"))?;
    let mark = first.split("<<").nth(1)?.trim_start_matches('-').trim();
    let mark: String = mark.chars().filter(|sign| !"'\"".contains(*sign)).collect();
    let mark = mark.split_whitespace().next()?.to_owned();
    let body: Vec<&str> =
        lines.map(|(_, line)| line).take_while(|line| line.trim() != mark).collect();
    Some((at + 2, body.join("\n")))
}

/// Lines that change a file of tests: heads of differences, and commands of a shell, by their words.
fn edits(text: &str, first: usize, in_call: bool, found: &mut Vec<Piece>) {
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let names =
            |from: usize| words[from.min(words.len())..].iter().any(|word| is_test_file(word));
        let behind =
            words.iter().position(|word| [">", ">>", "tee"].contains(word)).map(|at| at + 1);
        let is_edit = match words.first().copied().unwrap_or_default() {
            "+++" => names(1),
            "rm" | "mv" | "truncate" => names(1),
            "sed" | "perl" => words.iter().any(|word| word.starts_with("-i")) && names(1),
            "cat" | "echo" | "printf" => {
                behind.and_then(|behind| words.get(behind)).is_some_and(|word| is_test_file(word))
            }
            _ => false,
        };
        if is_edit && found.len() < MOST {
            found.push(Piece {
                what: What::EditedTest,
                text: line.to_owned(),
                line: first + at,
                in_call,
            });
        }
    }
}

/// Whether a path is one that runners of Python's tests look for.
pub(super) fn is_test_file(path: &str) -> bool {
    let path = path.trim_matches(['\'', '"', ',', ';']);
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_python = std::path::Path::new(name).extension().is_some_and(|end| end == "py");
    is_python
        && (name.starts_with("test_")
            || name.ends_with("_test.py")
            || name == "conftest.py"
            || name == "tests.py")
}

/// Whether lines of a text begin as those of Python do.
fn looks_like_python(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        let ends = line.trim_end().ends_with(':');
        (ends && ["def ", "class ", "async def "].iter().any(|word| line.starts_with(word)))
            || (line.starts_with("from ") && line.contains(" import "))
            || line.strip_prefix("import ").is_some_and(|what| {
                what.chars().all(|sign| sign.is_alphanumeric() || "_., ".contains(sign))
                    && !what.trim().contains(' ')
            })
    })
}
