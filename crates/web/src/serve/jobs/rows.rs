//! The rows of an uploaded file as a model learns them: what cannot be learned is told by file, row and key before
//! anything is trained.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use fs_err as fs;
use owlet_engine::train::Example;
use owlet_lab::model::chat;
use owlet_lab::step::fine_tune;
use owlet_lab::value::dialogue::{self, Purpose, Unreadable};
use serde_json::Value;

use super::super::models::Served;
use super::{Jobs, Outcome};

/// Rows that are told with a note on many.
const TOLD: usize = 5;

/// What is learned.
pub(super) struct Taught {
    /// The answers.
    pub(super) answers: Vec<Example>,
    /// What each of them is preferred to, where preferences are learned.
    pub(super) rejected: Vec<Example>,
}

impl Taught {
    /// Tokens that go through the model in one pass over the rows.
    pub(super) fn tokens(&self) -> usize {
        self.answers.iter().chain(&self.rejected).map(|example| example.tokens.len()).sum()
    }
}

/// Rows of a file that cannot be learned.
#[derive(Debug)]
pub(super) struct Unfit {
    /// The field of the request that names the file.
    pub(super) field: &'static str,
    /// File, row, key and why.
    why: String,
}

impl Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unfit {}

impl Jobs {
    /// Reads the rows of the file that `field` of a request named, for a model, and tells what was found in them.
    pub(super) fn taught(
        &self,
        (field, file): (&'static str, &str),
        purpose: Purpose,
        served: &Served,
        tell: &dyn Fn(&str, Value),
    ) -> Outcome<Taught> {
        let content = self.sound(file).map_err(|why| Unfit { field, why: why.to_string() })?;
        let named = self.files.named(file);
        let unfit = |Unreadable { place, reason }: Unreadable| {
            let separator = if place.is_empty() { " " } else { ", " };
            let gap = if place.is_empty() { "" } else { ": " };
            Unfit { field, why: format!("{named}{separator}{place}{gap}{reason}") }
        };
        let mut taught = Taught { answers: Vec::new(), rejected: Vec::new() };
        let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let rows = dialogue::all(fs::File::open(content)?, fine_tune::BOUNDS, purpose);
        let (rows, found) = rows.map_err(unfit)?;
        tell(&format!("Read {named}: {}.", found.told()), Value::Null);
        for row in &rows {
            let mut learned = |answer: dialogue::Answer<'_>| -> Outcome<Example> {
                let placed = chat::learned(&served.model, chat::DEFAULT, row, &answer);
                let placed = placed.map_err(unfit)?;
                if let Some(end) = &placed.ends_within {
                    let place = format!("{} `{}`", row.place, answer.field);
                    ends.entry(end.clone()).or_default().push(place);
                }
                Ok(placed.example())
            };
            for answer in row.answers() {
                taught.answers.push(learned(answer)?);
            }
            taught.rejected.extend(row.rejected().map(learned).transpose()?);
        }
        for (end, places) in ends {
            let more = if places.len() > TOLD { ", ..." } else { "" };
            let first = places[..TOLD.min(places.len())].join(", ");
            let told = format!(
                "{named}: {} of the answers hold the text `{end}`, which the model reads as the end of a turn ({first}{more}).",
                places.len(),
            );
            tell(&told, Value::Null);
        }
        Ok(taught)
    }
}
