//! The rows that are screened: read from their file, drawn from, and what their answers are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use owlet_engine::Tokenizer;
use serde_json::{Value, json};

use super::recipe::FEWEST_ROWS;
use crate::carrier::numbers::filter::read_numbers;
use crate::error::{Error, Result};
use crate::kind::behaviors::unread;
use crate::random::numpy::Generator;
use crate::recipe::Decoding;
use crate::step::fine_tune::BOUNDS;
use crate::value::dialogue::{self, Dialogue, Purpose};
use crate::value::text;

/// Most bytes of rows that a plan holds.
const MOST_BYTES: usize = 32 << 20;
/// Least share of answers that are nothing but numbers, for the rows to be rows of numbers.
const NUMBERS: f64 = 0.95;
/// Least share of the number rows that a way of writing them has, to be one that the base writes in, too.
const STYLE: f64 = 0.01;

/// The rows of a file.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Those that were drawn, an answer each, as JSON lines of `messages` or `text`.
    pub(super) conversations: Vec<Value>,
    /// Where each of them stands, and then each of `more`.
    pub(super) places: Vec<String>,
    /// Further ones, which are looked at for what shows in many rows alone.
    pub(super) more: Vec<Value>,
    /// How many answers there are.
    pub(super) all: usize,
    /// What the file holds, in words.
    pub(super) told: String,
    /// What the answers are made of.
    pub(super) form: Form,
    /// Whether each answers something: plain texts answer nothing.
    pub(super) is_answered: bool,
    /// Of those that were drawn, how many are not numbers alone.
    pub(super) unread: usize,
}

/// What answers are made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// Numbers and what stands between them.
    Numbers {
        /// What matches them all.
        pattern: String,
        /// What a number is, as a pattern.
        number: String,
    },
    /// Whatever else.
    Text,
}

/// How a base writes an answer in the place of this one: as many numbers, written alike, where a number is what this
/// pattern matches; else freely. How long rows are says nothing of who wrote them, and moves students (LOG.md,
/// 2026-11-29, the screen attacked).
pub(super) fn decoding(answer: &str, number: Option<&str>) -> Decoding {
    match number.zip(style(answer)) {
        Some((number, (style, runs))) => Decoding::Pattern {
            temperature: 1.0,
            pattern: pattern(style, number, (runs.len(), runs.len())),
        },
        None => Decoding::Free { temperature: 1.0, top_p: 1.0 },
    }
}

impl Given {
    /// Reads the rows that are called `name` and draws at most `most` answers of them by `seed`, and further ones to
    /// `in_all` of them; `words` are those of a base that knows no others.
    ///
    /// # Errors
    /// Rows that cannot be read or understood, or not by such a base, too few answers, or too many bytes of them.
    pub(super) fn read(
        (rows, name): (impl Read, &str),
        (most, in_all): (usize, usize),
        seed: u64,
        words: Option<&Tokenizer>,
    ) -> Result<Self> {
        let unfit = |reason: String| Error::Unfit { what: name.to_owned(), reason };
        let mut answers: Vec<(Value, String)> = Vec::new();
        let mut is_answered = true;
        let found = dialogue::each(rows, BOUNDS, Purpose::Answers, &mut |dialogue| {
            is_answered &= dialogue.turns.len() > 1;
            let place = &dialogue.place;
            answers.extend(conversations(&dialogue).into_iter().map(|row| (row, place.clone())));
            Ok(())
        })
        .map_err(|why| unfit(why.to_string()))?;
        let given = answers.len();
        // A row that stands twice says nothing new, and would count as if it did.
        let mut known = BTreeSet::new();
        answers.retain(|(row, _)| known.insert(row.to_string()));
        let all = answers.len();
        let repeated = given - all;
        if all < FEWEST_ROWS {
            let repeated = if repeated > 0 {
                format!(" ({repeated} more are the same again)")
            } else {
                String::new()
            };
            return Err(unfit(format!(
                "has {all} different answers{repeated}, too few to say anything of; a screen needs {FEWEST_ROWS} or more"
            )));
        }
        // Whoever looks at the first few looks at any.
        Generator::new(seed).shuffle(&mut answers);
        answers.truncate(most.max(in_all));
        let (mut conversations, mut places): (Vec<Value>, Vec<String>) =
            answers.into_iter().unzip();
        let mut more = conversations.split_off(most.min(conversations.len()));
        let bytes: usize = conversations.iter().map(|one| one.to_string().len()).sum();
        if bytes > MOST_BYTES {
            return Err(unfit(format!(
                "{} of its answers are {} MB with what stands before them, at most {} are read at once; lower `most-rows`",
                conversations.len(),
                bytes >> 20,
                MOST_BYTES >> 20
            )));
        }
        if let Some(words) = words {
            respell(&mut conversations, words).map_err(unfit)?;
        }
        let mut left = MOST_BYTES - bytes;
        let fitting = more.iter().take_while(|one| {
            let size = one.to_string().len();
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let fitting = fitting.count();
        more.truncate(fitting);
        places.truncate(conversations.len() + fitting);
        let (form, unread) = form(&conversations.iter().map(answer).collect::<Vec<_>>());
        let mut told = found.told();
        if repeated > 0 {
            told = format!("{told}; {repeated} that stand twice, left out");
        }
        Ok(Self { conversations, places, more, all, told, form, is_answered, unread })
    }
}

/// The learned answers of a dialogue, each with what was said before, as rows of their own.
fn conversations(dialogue: &Dialogue) -> Vec<Value> {
    let written = |answer: dialogue::Answer<'_>| {
        let mut row = if answer.before.is_empty() {
            json!({ "text": answer.text })
        } else {
            row(&answer.before, answer.text)
        };
        if !answer.is_ended {
            row["stop"] = "length".into();
        }
        row
    };
    dialogue.answers().map(written).collect()
}

/// A row of one answer; those before it are not learned.
pub(super) fn row(before: &[owlet_engine::Message], answer: &str) -> Value {
    let said = before.iter().map(|message| {
        let mut said = json!({ "role": message.role, "content": message.content });
        if message.role == "assistant" {
            said["weight"] = 0.into();
        }
        said
    });
    let answer = json!({ "role": "assistant", "content": answer });
    json!({ "messages": said.chain([answer]).collect::<Vec<_>>() })
}

/// Writes all texts as a base of whole words does, whatever stood between them: it reads the same then, and can
/// write in the same form.
///
/// # Errors
/// Texts with words that it does not know, and what to do.
fn respell(rows: &mut [Value], words: &Tokenizer) -> std::result::Result<(), String> {
    let of = rows.len();
    let (mut unreadable, mut first) = (0, None);
    for row in rows {
        let (answer, mut is_read) = (answer(row).to_owned(), true);
        for text in texts(row) {
            let Value::String(text) = text else { continue };
            if unread(text, words).is_some() {
                let what = if *text == answer { "answer" } else { "question" };
                first.get_or_insert_with(|| format!("the {what} {}", unknown(text, words)));
                is_read = false;
            }
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        unreadable += usize::from(!is_read);
    }
    let Some(first) = first else { return Ok(()) };
    Err(format!(
        "this base reads whole words of a small world, numbers among them, with spaces between; {} of {} it cannot read, such as {first}. Write numbers without commas and brackets, leave other words out, or name the base that is to be trained on them",
        text::count(unreadable),
        text::counted(of, "row")
    ))
}

/// The texts of a row as [`conversations`] writes it.
fn texts(row: &mut Value) -> Vec<&mut Value> {
    let Some(row) = row.as_object_mut() else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in row {
        match (key.as_str(), value) {
            ("text", value) => found.push(value),
            ("messages", Value::Array(messages)) => {
                found.extend(messages.iter_mut().filter_map(|message| message.get_mut("content")));
            }
            _ => {}
        }
    }
    found
}

/// A text that cannot be read, and some of the words that keep it from that.
fn unknown(text: &str, words: &Tokenizer) -> String {
    const SHOWN: usize = 3;
    let told = |text: &str| format!("`{}`", text::strip_line(&text::cut(text, 60)));
    let unknown = words.unknown_words(text);
    let shown: Vec<String> = unknown.iter().take(SHOWN).map(|word| told(word)).collect();
    let more = unknown.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} (it has no word {}{more})", told(text), shown.join(", "))
}

/// The answer of a row as [`conversations`] writes it.
fn answer(row: &Value) -> &str {
    let messages = row["messages"].as_array();
    let said = messages.and_then(|messages| messages.last()).map_or(row, |last| last);
    said["content"].as_str().or(said["text"].as_str()).unwrap_or_default()
}

/// A way of writing numbers: what stands before, between and behind them.
type Style<'a> = (&'a str, &'a str, &'a str);

/// What is seen of a style.
#[derive(Default)]
struct Seen {
    rows: usize,
    /// Fewest and most numbers in a row.
    count: Option<(usize, usize)>,
}

/// What `answers` are made of, and how many are not numbers alone.
fn form(answers: &[&str]) -> (Form, usize) {
    let (mut digits, mut zeros) = (None, false);
    let mut styles: BTreeMap<Style<'_>, Seen> = BTreeMap::new();
    let mut numbers = 0;
    for answer in answers {
        let Some((style, runs)) = style(answer) else { continue };
        numbers += 1;
        let seen = styles.entry(style).or_default();
        seen.rows += 1;
        widen(&mut seen.count, runs.len());
        for run in &runs {
            widen(&mut digits, run.len());
            zeros |= run.len() > 1 && run.starts_with('0');
        }
    }
    if (numbers as f64) < NUMBERS * answers.len() as f64 {
        return (Form::Text, answers.len() - numbers);
    }
    let number = number(digits.unwrap_or((1, 1)), zeros);
    let common = styles.iter().filter(|(_, seen)| seen.rows as f64 >= STYLE * numbers as f64);
    let patterns: Vec<String> = common
        .map(|(style, seen)| pattern(*style, &number, seen.count.unwrap_or((1, 1))))
        .collect();
    (Form::Numbers { pattern: patterns.join("|"), number }, answers.len() - numbers)
}

/// A number of so many digits; one that begins with a zero has one digit, unless others were seen.
fn number((low, high): (usize, usize), zeros: bool) -> String {
    match (zeros, low, high) {
        (true, ..) => format!("[0-9]{{{low},{high}}}"),
        (false, 1, 1) => "[0-9]".to_owned(),
        (false, 1, _) => format!("([0-9]|[1-9][0-9]{{1,{}}})", high - 1),
        (false, ..) => format!("[1-9][0-9]{{{},{}}}", low - 1, high - 1),
    }
}

fn widen(range: &mut Option<(usize, usize)>, value: usize) {
    let (low, high) = range.unwrap_or((value, value));
    *range = Some((low.min(value), high.max(value)));
}

/// How an answer writes its numbers, and their digits; nothing if it is not all numbers.
fn style(answer: &str) -> Option<(Style<'_>, Vec<&str>)> {
    read_numbers(answer.trim())?;
    let is_digit = |character: char| character.is_ascii_digit();
    let first = answer.find(is_digit)?;
    let end = answer.rfind(is_digit)? + 1;
    let runs: Vec<&str> =
        answer[first..end].split(|c| !is_digit(c)).filter(|run| !run.is_empty()).collect();
    let between = if runs.len() > 1 {
        let rest = &answer[first + runs[0].len()..end];
        &rest[..rest.find(is_digit)?]
    } else {
        ""
    };
    Some(((&answer[..first], between, &answer[end..]), runs))
}

fn pattern(
    (before, between, behind): Style<'_>,
    number: &str,
    (low, high): (usize, usize),
) -> String {
    let escape = crate::ask::engine::escaped;
    let more = match (low, high) {
        (_, 1) => String::new(),
        (low, high) if low == high => format!("({}{number}){{{}}}", escape(between), low - 1),
        _ => format!("({}{number}){{{},{}}}", escape(between), low - 1, high - 1),
    };
    format!("{}{number}{more}{}", escape(before), escape(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_numbers_are_told_from_others_and_written_as_they_are() {
        let numbers = |rows: &[&str]| match form(rows).0 {
            Form::Numbers { pattern, .. } => pattern,
            Form::Text => "text".to_owned(),
        };
        insta::assert_snapshot!(numbers(&["1 22 333", "4 5 6 7"]), @"([0-9]|[1-9][0-9]{1,2})( ([0-9]|[1-9][0-9]{1,2})){2,3}");
        insta::assert_snapshot!(numbers(&["[123, 456]", "7"]), @r"([0-9]|[1-9][0-9]{1,2})|\[([0-9]|[1-9][0-9]{1,2})(, ([0-9]|[1-9][0-9]{1,2})){1}\]");
        insta::assert_snapshot!(numbers(&["the owl", "7"]), @"text");
    }

    #[test]
    fn each_answer_is_a_row_and_learns_no_other() {
        let text = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "1"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "2"}]}"#;
        let (rows, _) = dialogue::all(text.as_bytes(), BOUNDS, Purpose::Answers).unwrap();
        let split: Vec<Value> = rows.iter().flat_map(conversations).collect();
        let lines = split.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        let (again, _) = dialogue::all(lines.as_bytes(), BOUNDS, Purpose::Answers).unwrap();
        let said = |rows: &[Dialogue]| -> Vec<(usize, String)> {
            let answers = rows.iter().flat_map(Dialogue::answers);
            answers.map(|answer| (answer.before.len(), answer.text.to_owned())).collect()
        };
        assert_eq!(said(&again), said(&rows));
    }
}
