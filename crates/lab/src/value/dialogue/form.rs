//! The forms in which the field writes rows, told apart by their keys.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::object::{Object, kind};
use super::preference;
use super::turn::{self, Around, Calls, Read, Turn, around, calling, instruct, said, unlearned};
use super::{Dialogue, Purpose};

/// What a row's keys say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `messages`, as OpenAI's API and files have them; perhaps a `completion` behind them.
    Messages,
    /// `prompt` and `completion`: texts, or lists of messages as TRL has them.
    Prompt,
    /// `prompt`, `chosen` and `rejected` as TRL has them, or OpenAI's `input`, `preferred_output` and
    /// `non_preferred_output`.
    Preference,
    /// `conversations` of `from` and `value`.
    ShareGpt,
    /// `instruction`, perhaps `input`, and `output`.
    Alpaca,
    /// `text`, learned as it is.
    Text,
}

/// Keys of a row that say something which is not read.
const REFUSED: [(&str, &str); 5] = [
    ("history", "write what was said before as `messages`"),
    ("system_prompt", "call it `system`"),
    ("documents", "write them into a message"),
    ("function_call", "a call stands in its message, as `tool_calls`"),
    ("chat_template_kwargs", "`--chat-template-kwargs` gives them for all rows"),
];
const WEIGHT: &str = "`weight` 0 in a message by `assistant` leaves that answer out";

/// Keys that owlet itself writes beside a prompt and its answer.
const OWN: [&str; 7] =
    ["index", "arm", "log-probability", "log-probabilities", "reasons", "sum", "tokens"];

impl Form {
    /// All that are known, in words.
    pub const KNOWN: &str = "`messages` (OpenAI chat), `prompt` and `completion` (texts, or messages as TRL has them), \
                             `conversations` (ShareGPT), `instruction`, `input` and `output` (Alpaca), `text`, \
                             and of preferences `prompt`, `chosen` and `rejected` (TRL) or `input`, \
                             `preferred_output` and `non_preferred_output` (OpenAI)";

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "`messages` (OpenAI chat)",
            Self::Prompt => "`prompt` and `completion`",
            Self::Preference => "`chosen` and `rejected` (preferences)",
            Self::ShareGpt => "`conversations` (ShareGPT)",
            Self::Alpaca => "`instruction` and `output` (Alpaca)",
            Self::Text => "`text`",
        }
    }

    /// The form that has these keys, if it is one.
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let keys: BTreeSet<&str> = keys.collect();
        let has = |key: &str| keys.contains(key);
        let is_preference = preference::OUTPUTS.iter().flatten().any(|key| has(key));
        let found: Vec<Self> = [
            (has("messages"), Self::Messages),
            (has("conversations") || has("conversation"), Self::ShareGpt),
            (is_preference, Self::Preference),
            (has("prompt") && !is_preference, Self::Prompt),
            (has("instruction"), Self::Alpaca),
        ]
        .into_iter()
        .filter_map(|(is, form)| is.then_some(form))
        .collect();
        match found[..] {
            [form] => Ok(form),
            [] if has("text") => Ok(Self::Text),
            [] => {
                let shown: Vec<String> = keys
                    .iter()
                    .take(12)
                    .map(|key| format!("`{}`", key.chars().take(40).collect::<String>()))
                    .collect();
                let shown = if shown.is_empty() {
                    "no keys".to_owned()
                } else {
                    "the keys ".to_owned() + &shown.join(", ")
                };
                Err(format!("has {shown}; known are {}", Self::KNOWN))
            }
            [one, other, ..] => {
                Err(format!("is both {} and {}; leave one of them out", one.name(), other.name()))
            }
        }
    }

    /// The turns of a row of this form.
    pub(super) fn dialogue(
        self,
        place: &str,
        map: Map<String, Value>,
        purpose: Purpose,
        ignored: &mut BTreeSet<String>,
    ) -> Result<Dialogue, String> {
        let mut row = Object::of(map);
        let wrong = |wrong: super::Wrong| wrong.to_string();
        row.refuse_foreign("a row is learned, or left out of the file").map_err(wrong)?;
        match row.take("weight") {
            Some(weight) if weight.as_f64() != Some(1.0) => {
                return Err(format!("`weight` is not read here: {WEIGHT}"));
            }
            _ => {}
        }
        row.refuse(&REFUSED).map_err(wrong)?;
        let seed = match row.take("seed") {
            None => None,
            Some(seed) => Some(seed.as_u64().ok_or_else(|| {
                format!("`seed` is {}, expected a whole number of 64 bits", kind(&seed))
            })?),
        };
        // An answer that `owlet` itself says was cut has no end to learn.
        let stop = row.take("stop");
        let is_ended = !["length", "stop", "pattern"]
            .iter()
            .any(|cut| stop.as_ref().and_then(Value::as_str) == Some(cut));
        let Read { mut turns, rejected, around: Around { system, tools } } =
            self.read(&mut row, purpose, ignored).map_err(wrong)?;
        if let Some(system) = system {
            if turns.first().is_some_and(|first| first.message.role == "system") {
                return Err(
                    "`system` stands beside a message by `system`; leave one out".to_owned()
                );
            }
            turns.insert(0, Turn::new("system", system));
        }
        if let Some(tools) = tools {
            instruct(&mut turns, &tools);
        }
        for own in OWN {
            row.take(own);
        }
        row.leave(ignored);
        Ok(Dialogue { place: place.to_owned(), turns, rejected, seed, is_ended })
    }

    /// What the row's own keys hold.
    fn read(
        self,
        row: &mut Object,
        purpose: Purpose,
        ignored: &mut BTreeSet<String>,
    ) -> Result<Read, super::Wrong> {
        let turns = match self {
            Self::Preference => return preference::read(row, purpose, ignored),
            Self::Messages => {
                let list = row.list("messages")?.unwrap_or_default();
                let answer = row.text("completion")?;
                let calls = if answer.is_some() { Calls::AsTheyAre } else { Calls::Whole };
                let mut all = calling(list, "messages", calls, ignored)?;
                if let Some(answer) = answer {
                    all = unlearned(all);
                    all.push(Turn::new("assistant", answer).at("completion"));
                }
                all
            }
            Self::ShareGpt => {
                let key = if row.has("conversations") { "conversations" } else { "conversation" };
                let list = row.list(key)?.unwrap_or_default();
                calling(list, key, Calls::Whole, ignored)?
            }
            Self::Prompt => {
                // What `owlet sample` writes calls the answer `text`.
                let is_own =
                    row.has("log-probability") && row.has("text") && !row.has("completion");
                let mut all = unlearned(said(row, "prompt", ("user", Calls::AsTheyAre), ignored)?);
                let key = if is_own { "text" } else { "completion" };
                all.extend(said(row, key, ("assistant", Calls::Whole), ignored)?);
                all
            }
            Self::Alpaca => {
                let (instruction, input) = (row.need_text("instruction")?, row.text("input")?);
                let input = input.filter(|input| !input.is_empty());
                // Joined as LLaMA-Factory joins them.
                let asked =
                    input.map_or(instruction.clone(), |input| format!("{instruction}\n{input}"));
                if !row.has("output") && row.has("response") {
                    return Err(row.wrong("response", "is not read: call it `output`"));
                }
                let mut all = vec![Turn::new("user", asked)];
                let answer = |output| Turn::new("assistant", output).at("output");
                all.extend(row.text("output")?.map(answer));
                all
            }
            Self::Text => {
                let content = row.take("text").unwrap_or_default();
                vec![Turn::new("assistant", turn::text(content, "text")?).at("text")]
            }
        };
        Ok(Read { turns, rejected: None, around: around(row, ignored)? })
    }
}
