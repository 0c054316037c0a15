//! A request's messages, read and made into the prompt of a model as rows are.

use std::collections::BTreeSet;

use owlet_engine::{Message, Model, Token};
use owlet_lab::model::chat;
use owlet_lab::value::dialogue::{instruct, kind, turns};
use serde_json::Value;

use super::fields::Fields;
use super::refusal::Refusal;
use super::texts;

/// Messages of one request.
const MOST_MESSAGES: usize = 20_000;

/// A conversation to be continued.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
    /// The beginning of the answer, where the client wrote it.
    pub(crate) prefill: Option<String>,
    /// End the prompt where the assistant is to speak.
    open: bool,
    /// Fields nobody knows.
    pub(crate) ignored: BTreeSet<String>,
}

impl Conversation {
    /// Takes `messages` and the fields about them; `system` stands before a conversation without a
    /// system text, `instructions` (about tools) are added to the system text.
    pub(crate) fn take(
        fields: &mut Fields,
        system: Option<&str>,
        instructions: Option<&str>,
    ) -> Result<Self, Refusal> {
        let Some(value) = fields.value("messages") else {
            return Err(fields.refuse("messages", "is missing"));
        };
        let Value::Array(list) = value else {
            return Err(
                fields.refuse("messages", format!("is {}, expected an array", kind(&value)))
            );
        };
        if list.is_empty() || list.len() > MOST_MESSAGES {
            return Err(fields.refuse(
                "messages",
                format!("has {} messages, expected 1 to {MOST_MESSAGES}", list.len()),
            ));
        }
        let (path, mut ignored) = (fields.name("messages"), BTreeSet::new());
        let mut turns = turns(list, &path, &mut ignored)?;
        if let Some(system) = system
            && turns.iter().all(|turn| turn.message.role != "system")
        {
            instruct(&mut turns, system);
        }
        if let Some(instructions) = instructions {
            instruct(&mut turns, instructions);
        }
        let mut messages: Vec<Message> = turns.into_iter().map(|turn| turn.message).collect();
        let continued: Option<bool> = fields.take("continue_final_message")?;
        let open: Option<bool> = fields.take("add_generation_prompt")?;
        if continued == Some(true) && open == Some(true) {
            return Err(fields.refuse(
                "continue_final_message",
                "is true, so `add_generation_prompt` must be false",
            ));
        }
        let assistant_last = messages.last().is_some_and(|message| message.role == "assistant");
        if continued == Some(true) && !assistant_last {
            return Err(fields.refuse(
                "continue_final_message",
                "is true, but the last message is not the assistant's",
            ));
        }
        // A new turn after the assistant's is possible, but has to be asked for.
        let prefilled = assistant_last && continued != Some(false) && open != Some(true);
        let prefill = if prefilled { messages.pop().map(|last| last.content) } else { None };
        let open = prefill.is_some() || open.unwrap_or(true);
        Ok(Self { messages, prefill, open, ignored })
    }

    /// Bytes of what was said.
    pub(crate) fn bytes(&self) -> usize {
        let said: usize = self.messages.iter().map(|message| message.content.len()).sum();
        said + self.prefill.as_ref().map_or(0, String::len)
    }

    /// The tokens up to where the model goes on.
    pub(crate) fn prompt(&self, model: &Model) -> Result<Vec<Token>, Refusal> {
        let most = model.tokenizer.most_bytes(model.decoder.config.context);
        let check = |bytes: usize| match bytes {
            bytes if bytes <= most => Ok(()),
            bytes => Err(Refusal::field("messages", texts::too_long(bytes, most))
                .coded("context_length_exceeded")),
        };
        check(self.bytes())?;
        let refuse = |error: owlet_lab::Error| {
            Refusal::field("messages", format!("cannot be rendered: {error}"))
        };
        let tokens = if self.open {
            let prefill = self.prefill.as_deref().unwrap_or_default();
            chat::opened(model, chat::DEFAULT, &self.messages, prefill)
        } else {
            chat::render(model, chat::DEFAULT, &self.messages, false)
                .and_then(|text| Ok(model.tokenizer.encode(&text)?))
        };
        let tokens = tokens.map_err(refuse)?;
        if tokens.is_empty() {
            return Err(Refusal::field("messages", "are empty under this model's chat template"));
        }
        Ok(tokens)
    }
}
