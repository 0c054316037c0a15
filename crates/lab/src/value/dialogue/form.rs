//! The forms in which the field writes rows, told apart by their keys.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Dialogue;
use super::object::{Object, kind};
use super::tools::Tool;
use super::turn::{self, Turn, instruct, turns};

/// What a row's keys say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `messages`, as OpenAI's API and files have them; perhaps a `completion` behind them.
    Messages,
    /// `prompt` and `completion`: texts, or lists of messages as TRL has them.
    Prompt,
    /// `prompt`, `chosen` and `rejected`.
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
                             `conversations` (ShareGPT), `instruction`, `input` and `output` (Alpaca), `text`";

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
        let found: Vec<Self> = [
            (has("messages"), Self::Messages),
            (has("conversations") || has("conversation"), Self::ShareGpt),
            (has("chosen") || has("rejected"), Self::Preference),
            (has("prompt") && !has("chosen") && !has("rejected"), Self::Prompt),
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
        let (system, tools) = around(&mut row, ignored).map_err(wrong)?;
        let mut turns = self.turns(&mut row, ignored).map_err(wrong)?;
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
        Ok(Dialogue { place: place.to_owned(), turns, seed, is_ended })
    }

    fn turns(
        self,
        row: &mut Object,
        ignored: &mut BTreeSet<String>,
    ) -> Result<Vec<Turn>, super::Wrong> {
        let mut said = |row: &mut Object, key: &str, role: &str| match row.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => turns(list, key, ignored),
            Some(Value::String(text)) => Ok(vec![Turn::new(role, text)]),
            Some(other) => {
                let reason = format!("is {}, expected a text or a list of messages", kind(&other));
                Err(row.wrong(key, reason))
            }
        };
        let unlearned = |mut turns: Vec<Turn>| {
            for turn in &mut turns {
                turn.is_learned = false;
            }
            turns
        };
        Ok(match self {
            Self::Messages => {
                let list = row.list("messages")?.unwrap_or_default();
                let answer = row.text("completion")?;
                let mut all = turns(list, "messages", ignored)?;
                if let Some(answer) = answer {
                    all = unlearned(all);
                    all.push(Turn::new("assistant", answer));
                }
                all
            }
            Self::ShareGpt => {
                let key = if row.has("conversations") { "conversations" } else { "conversation" };
                let list = row.list(key)?.unwrap_or_default();
                turns(list, key, ignored)?
            }
            Self::Prompt => {
                // What `owlet sample` writes calls the answer `text`.
                let is_own =
                    row.has("log-probability") && row.has("text") && !row.has("completion");
                let mut all = unlearned(said(row, "prompt", "user")?);
                all.extend(said(row, if is_own { "text" } else { "completion" }, "assistant")?);
                all
            }
            Self::Preference => {
                let asked = unlearned(said(row, "prompt", "user")?);
                for key in ["chosen", "rejected"] {
                    row.take(key);
                }
                asked
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
                all.extend(row.text("output")?.map(|output| Turn::new("assistant", output)));
                all
            }
            Self::Text => {
                let content = row.take("text").unwrap_or_default();
                vec![Turn::new("assistant", turn::text(content, "text")?)]
            }
        })
    }
}

/// The system text beside a conversation, and what is said of its tools.
fn around(
    row: &mut Object,
    ignored: &mut BTreeSet<String>,
) -> Result<(Option<String>, Option<String>), super::Wrong> {
    let mut list = row.list("tools")?.unwrap_or_default();
    // As OpenAI had them before there were tools.
    let functions = row.list("functions")?.unwrap_or_default();
    list.extend(functions.into_iter().map(|one| json!({ "type": "function", "function": one })));
    let tools = Tool::read(list, "tools", ignored)?;
    row.take("parallel_tool_calls");
    let told = (!tools.is_empty()).then(|| Tool::instructions(&tools, false));
    Ok((row.text("system")?.filter(|text| !text.is_empty()), told))
}
