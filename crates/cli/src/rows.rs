//! Rows in: prompts, conversations and completions, with the line named where one is wrong.

use std::io::{self, Read};
use std::path::Path;

use owlet_engine::Model;
use owlet_lab::ask::Demonstration;
use owlet_lab::model::chat::Placed;
use owlet_lab::value::dialogue::{self, Bounds, Found, Purpose, Unreadable};

use crate::error::{CliError, Result};
use crate::terminal::{Terminal, plain, stdin_is_typed};

/// How much of an input is read.
const BOUNDS: Bounds = Bounds { bytes: 4 << 30, row: 64 << 20 };

/// A conversation with, perhaps, answers.
pub(crate) use owlet_lab::value::dialogue::Dialogue as Row;

/// How an input is called in errors.
pub(crate) fn origin(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// An error about a row, which says where the row stands; `None`: on the command line.
pub(crate) fn wrong(origin: Option<&Path>, row: &Row, reason: impl std::fmt::Display) -> CliError {
    match origin {
        Some(path) => CliError::usage(format!("`{}`, {}: {reason}", self::origin(path), row.place)),
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

/// Opens a file, or standard input for `-`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>> {
    if path != Path::new("-") {
        // What is not there says so best when it is opened.
        if fs_err::metadata(path).is_ok_and(|found| found.is_dir()) {
            return Err(CliError::usage(format!(
                "`{}` is a folder, expected a file",
                origin(path)
            )));
        }
        return Ok(Box::new(fs_err::File::open(path)?));
    }
    if stdin_is_typed() {
        return Err(CliError::usage("standard input is a terminal, expected rows")
            .hinted("name a file, or pipe rows in"));
    }
    Ok(Box::new(io::stdin().lock()))
}

/// Reads a file, or standard input for `-`, as text.
pub(crate) fn text(path: &Path) -> Result<String> {
    text_within(path, BOUNDS.bytes, "4 GiB; split it")
}

/// Reads a recipe, from a file or, for `-`, from standard input. A device may have no end.
pub(crate) fn recipe(path: &Path) -> Result<String> {
    text_within(path, 16 << 20, "16 MiB, which no recipe is")
}

fn text_within(path: &Path, most: u64, too_large: &str) -> Result<String> {
    let name = origin(path);
    let mut bytes = Vec::new();
    open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == most {
        return Err(CliError::usage(format!("`{name}` is larger than {too_large}")));
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        bytes.drain(.."\u{feff}".len());
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = String::from_utf8_lossy(before).matches('\n').count();
        CliError::usage(format!("`{name}`, line {}: is not UTF-8 text", line + 1))
    })
}

/// Reads the rows of a file, or of standard input for `-`, with what was found in it.
pub(crate) fn read(path: &Path, purpose: Purpose) -> Result<(Vec<Row>, Found)> {
    dialogue::all(open(path)?, BOUNDS, purpose).map_err(|fault| unreadable(path, &fault))
}

/// Says what was found in a file, where that is notable.
pub(crate) fn note(path: &Path, found: &Found, terminal: &Terminal) {
    if found.is_notable() {
        terminal.say(format_args!("`{}`: {}", origin(path), plain(&found.told())));
    }
}

/// The answers of a row that are learned and scored, as tokens of `model`.
pub(crate) fn placed(
    model: &Model,
    system: &str,
    row: &Row,
    origin: &Path,
    terminal: &Terminal,
) -> Result<Vec<Placed>> {
    let answers = Demonstration::of(row, system);
    let place = |demonstration: &Demonstration| {
        let placed =
            demonstration.placed(model).map_err(|error| wrong(Some(origin), row, error))?;
        warn_of_end(&placed, row, origin, terminal);
        Ok(placed)
    };
    answers.iter().map(place).collect()
}

/// Says that an answer holds what the model reads as the end of a turn, if it does.
pub(crate) fn warn_of_end(placed: &Placed, row: &Row, origin: &Path, terminal: &Terminal) {
    if let Some(end) = &placed.ends_within {
        terminal.warn(format_args!(
            "`{}`, {}: the answer holds the text `{end}`, which this model reads as the end of a turn",
            self::origin(origin),
            row.place
        ));
    }
}

/// An error about a file that cannot be read, or a row of it that cannot be learned.
pub(crate) fn unreadable(path: &Path, fault: &Unreadable) -> CliError {
    let separator = if fault.place.is_empty() { " " } else { ", " };
    CliError::usage(format!("`{}`{separator}{fault}", origin(path)))
}
