//! Rows from outside: conversations that are learned, scored or gone on with.
//!
//! Read here for every door alike: a file's container ([`Container`]) and form ([`Form`]) are found by what is in
//! it, each row becomes a [`Dialogue`], and what is not understood is refused by line and key.

mod container;
mod form;
mod object;
pub mod tools;
mod turn;

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io::{Read, Write};

pub use container::Container;
pub use form::Form;
pub use object::{Wrong, kind};
use owlet_engine::Message;
pub use turn::{THOUGHT, Turn, instruct, turns};

use super::jsonl;

/// One row: what was said, and which of it is learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialogue {
    /// Where it stands in its file, such as `line 3`; empty: in none.
    pub place: String,
    /// Its turns; a plain text is an answer to nothing.
    pub turns: Vec<Turn>,
    /// A seed of its own.
    pub seed: Option<u64>,
    /// Whether the last answer ends where it ends, and was not cut.
    pub is_ended: bool,
}

/// An answer, and what was said before.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// What was said before; nothing: a plain text.
    pub before: Vec<Message>,
    /// The answer.
    pub text: &'a str,
    /// Whether it ends where it ends, and was not cut.
    pub is_ended: bool,
}

impl Dialogue {
    /// A single question.
    pub fn question(text: &str) -> Self {
        let turns = vec![Turn::new("user", text.to_owned())];
        Self { place: String::new(), turns, seed: None, is_ended: true }
    }

    /// The answers that are learned and scored, each with all that was said before.
    pub fn answers(&self) -> impl Iterator<Item = Answer<'_>> {
        let learned = self.turns.iter().enumerate().filter(|(_, turn)| turn.is_learned);
        learned.map(|(at, turn)| Answer {
            before: self.turns[..at].iter().map(|turn| turn.message.clone()).collect(),
            text: &turn.message.content,
            is_ended: self.is_ended || at + 1 < self.turns.len(),
        })
    }

    /// What is to be answered: all that was said, without an answer at its end.
    pub fn asked(&self) -> Vec<Message> {
        let answered = self.turns.iter().rev().take_while(|turn| turn.is_answer()).count();
        let asked = &self.turns[..self.turns.len() - answered];
        asked.iter().map(|turn| turn.message.clone()).collect()
    }
}

/// How much of a file is read.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of it, unpacked.
    pub bytes: u64,
    /// Bytes of a row.
    pub row: u64,
}

/// A file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where, such as `line 3`; empty: as a whole.
    pub place: String,
    /// Why, and what to do.
    pub reason: String,
}

impl Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.place.is_empty() { "" } else { ": " };
        write!(f, "{}{separator}{}", self.place, self.reason)
    }
}

/// What rows are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be learned or scored: each ends in an answer.
    Answers,
    /// To be answered.
    Questions,
}

/// What was found in a file beside its rows.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// How many rows there are.
    pub rows: usize,
    /// What the rows stand in, and their form, if there are any.
    pub kind: Option<(Container, Form)>,
    /// Keys that mean nothing here.
    pub ignored: BTreeSet<String>,
    /// How many rows have nothing to learn, and where the first few stand.
    pub without: (usize, Vec<String>),
}

/// Places that are told.
const TOLD: usize = 5;

impl Found {
    /// Whether somebody should hear of it beforehand: another kind than JSON lines of the two usual forms, or
    /// something that is left out.
    pub fn is_notable(&self) -> bool {
        let usual = [Form::Messages, Form::Prompt].map(|form| Some((Container::Lines, form)));
        !usual.contains(&self.kind) || !self.ignored.is_empty() || self.without.0 > 0
    }

    /// In words, such as "3 rows of `messages` (OpenAI chat), JSON lines".
    pub fn told(&self) -> String {
        let rows = if self.rows == 1 { "row" } else { "rows" };
        let (container, form) = self.kind.map_or(("", ""), |(of, form)| (of.name(), form.name()));
        let mut text = format!("{} {rows} of {form}, {container}", self.rows);
        let (count, places) = &self.without;
        if *count > 0 {
            let more = if *count > places.len() { ", ..." } else { "" };
            let places = places.join(", ");
            text = format!("{text}; {count} without an answer to learn, left out ({places}{more})");
        }
        if !self.ignored.is_empty() {
            let names: Vec<String> = self.ignored.iter().map(|name| format!("`{name}`")).collect();
            text = format!("{text}; keys that are not read: {}", names.join(", "));
        }
        text
    }
}

/// Hands on every row of a file, as it comes. Rows with nothing to learn are counted and left out.
///
/// # Errors
/// The first row that cannot be read; a file without rows, or with nothing to learn in any.
pub fn each(
    input: impl Read,
    bounds: Bounds,
    purpose: Purpose,
    take: &mut dyn FnMut(Dialogue) -> Result<(), String>,
) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    let mut form = None;
    let container = container::each(input, bounds, &mut |place, row| {
        let keys = row.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str());
        let own = Form::of(keys)?;
        let first = *form.get_or_insert(own);
        if first != own {
            return Err(format!(
                "is of the form {}, the rows before it are {}; write one form a file",
                own.name(),
                first.name()
            ));
        }
        let dialogue = own.dialogue(&place, row, &mut found.ignored)?;
        check(&dialogue, own, purpose)?;
        found.rows += 1;
        if purpose == Purpose::Answers && dialogue.answers().next().is_none() {
            found.without.0 += 1;
            if found.without.1.len() < TOLD {
                found.without.1.push(place);
            }
            return Ok(());
        }
        take(dialogue)
    })?;
    let whole = |reason: &str| Unreadable { place: String::new(), reason: reason.to_owned() };
    let Some(form) = form else { return Err(whole("has no rows")) };
    if found.without.0 == found.rows {
        let reason = "has no answer to learn: every one has the weight 0, or stands in a prompt";
        return Err(whole(reason));
    }
    found.kind = Some((container, form));
    Ok(found)
}

/// Writes the rows of a file as JSON lines, whatever they stand in.
///
/// # Errors
/// The first that is no object, and what cannot be written.
pub fn to_lines(
    input: impl Read,
    bounds: Bounds,
    output: &mut dyn Write,
) -> Result<(), Unreadable> {
    container::each(input, bounds, &mut |_, row| {
        output.write_all(&jsonl::to_bytes(&[row])).map_err(|error| error.to_string())
    })
    .map(drop)
}

/// Reads all rows of a file.
///
/// # Errors
/// As [`each`].
pub fn all(
    input: impl Read,
    bounds: Bounds,
    purpose: Purpose,
) -> Result<(Vec<Dialogue>, Found), Unreadable> {
    let mut rows = Vec::new();
    let found = each(input, bounds, purpose, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    Ok((rows, found))
}

/// Refuses a row that is not fit for its purpose.
fn check(dialogue: &Dialogue, form: Form, purpose: Purpose) -> Result<(), String> {
    let wrong = |reason: &str| Err(reason.to_owned());
    match (purpose, form) {
        (Purpose::Questions, Form::Text) => {
            wrong("is a `text`, which nothing asks for; call what is to be answered `prompt`")
        }
        (Purpose::Questions, _) if dialogue.asked().is_empty() => wrong("has no message to answer"),
        (Purpose::Questions, _) => Ok(()),
        (Purpose::Answers, Form::Preference) => wrong(
            "is a preference (`chosen`, `rejected`), and one answer a row is learned here; call the answer to learn `completion`",
        ),
        (Purpose::Answers, Form::Text) if dialogue.turns[0].message.content.is_empty() => {
            wrong("has an empty `text`; there is nothing to learn")
        }
        (Purpose::Answers, Form::Text) => Ok(()),
        (Purpose::Answers, _) if !dialogue.turns.iter().any(Turn::is_answer) => {
            wrong("has no answer, expected `completion` or a message by `assistant`")
        }
        (Purpose::Answers, _) if dialogue.turns[0].is_answer() => {
            wrong("begins with the assistant; there is nothing to answer")
        }
        (Purpose::Answers, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
