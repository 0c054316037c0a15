//! A request's messages, read and made into the prompt of a model.
//!
//! Templates know system, user and assistant turns with text. What else the wire has (developer,
//! tool results, tool calls, reasoning, parts) is written into those, the same way for every model.

use owlet_engine::{Message, Model, Token};
use serde_json::Value;

use super::fields::{Fields, kind};
use super::refusal::Refusal;
use super::texts;

/// Messages of one request.
const MOST_MESSAGES: usize = 20_000;

/// What a model writes its thoughts between.
pub(crate) const THINK: &str = "<think>";
pub(crate) const THOUGHT: &str = "</think>";

/// A conversation to be continued.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
    /// The beginning of the answer, where the client wrote it.
    pub(crate) prefill: Option<String>,
    /// End the prompt where the assistant is to speak.
    open: bool,
    /// Fields nobody knows.
    pub(crate) ignored: Vec<String>,
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
        let (mut messages, mut ignored) = (Vec::with_capacity(list.len()), Vec::new());
        for (i, value) in list.into_iter().enumerate() {
            read(value, &fields.name(&format!("messages[{i}]")), &mut messages, &mut ignored)?;
        }
        if let Some(system) = system
            && messages.iter().all(|message: &Message| message.role != "system")
        {
            messages.insert(0, message("system", system.to_owned()));
        }
        if let Some(instructions) = instructions {
            match messages.first_mut() {
                Some(first) if first.role == "system" => add(&mut first.content, instructions),
                _ => messages.insert(0, message("system", instructions.to_owned())),
            }
        }
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
        let mut text = self.render(model)?;
        if let Some(prefill) = &self.prefill {
            text.push_str(prefill);
        }
        check(text.len())?;
        let refuse = |error: owlet_engine::Error| {
            Refusal::field("messages", format!("cannot be encoded: {error}"))
        };
        let tokens = model.tokenizer.encode(&text).map_err(refuse)?;
        if tokens.is_empty() {
            return Err(Refusal::field("messages", "are empty under this model's chat template"));
        }
        Ok(tokens)
    }

    /// Templates that insist on turns that take turns, or know no system text, get that.
    fn render(&self, model: &Model) -> Result<String, Refusal> {
        let first = match model.template.render(&self.messages, self.open) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let merged = merged(&self.messages);
        if let Ok(text) = model.template.render(&merged, self.open) {
            return Ok(text);
        }
        if let Some((system, rest)) = merged.split_first()
            && system.role == "system"
        {
            let mut folded = vec![message("user", system.content.clone())];
            folded.extend_from_slice(rest);
            if let Ok(text) = model.template.render(&self::merged(&folded), self.open) {
                return Ok(text);
            }
        }
        Err(Refusal::field("messages", format!("cannot be rendered: {first}")))
    }
}

/// Neighbours of one role become one message.
fn merged(messages: &[Message]) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for next in messages {
        match merged.last_mut() {
            Some(last) if last.role == next.role => {
                add(&mut last.content, &next.content);
            }
            _ => merged.push(next.clone()),
        }
    }
    merged
}

/// A paragraph more; many messages may become one, so what is there stays in its place.
fn add(content: &mut String, paragraph: &str) {
    content.push_str("\n\n");
    content.push_str(paragraph);
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content }
}

/// Reads one message.
fn read(
    value: Value,
    path: &str,
    messages: &mut Vec<Message>,
    ignored: &mut Vec<String>,
) -> Result<(), Refusal> {
    let mut fields = Fields::nested(value, path)?;
    let role: String = fields.require("role")?;
    let content = fields.value("content");
    let mut content = text(content, &fields.name("content"))?;
    fields.value("name");
    match role.as_str() {
        "system" | "developer" => messages.push(message("system", content)),
        "user" => messages.push(message("user", content)),
        "assistant" => {
            if let Some(refusal) = fields.take::<String>("refusal")? {
                content.push_str(&refusal);
            }
            for name in ["reasoning_content", "reasoning"] {
                if let Some(reasoning) = fields.take::<String>(name)?
                    && !reasoning.is_empty()
                {
                    content = format!("{THINK}\n{}\n{THOUGHT}\n\n{content}", reasoning.trim());
                }
            }
            let calls: Vec<Value> = fields.take("tool_calls")?.unwrap_or_default();
            for (i, call) in calls.into_iter().enumerate() {
                let written = call_text(call, &fields.name(&format!("tool_calls[{i}]")))?;
                if !content.is_empty() {
                    content.push('\n');
                }
                content.push_str(&written);
            }
            for name in ["function_call", "audio", "annotations"] {
                fields.value(name);
            }
            messages.push(message("assistant", content));
        }
        "tool" | "function" => {
            fields.value("tool_call_id");
            let written = format!("<tool_response>\n{content}\n</tool_response>");
            match messages.last_mut() {
                // Several results of one turn are one turn.
                Some(last) if last.role == "user" && last.content.ends_with("</tool_response>") => {
                    last.content.push('\n');
                    last.content.push_str(&written);
                }
                _ => messages.push(message("user", written)),
            }
        }
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(fields.refuse(
                "role",
                format!("is `{other}`, expected system, developer, user, assistant or tool"),
            ));
        }
    }
    ignored.extend(fields.rest());
    Ok(())
}

/// A content's text: a string, nothing, or a list of text parts.
fn text(content: Option<Value>, path: &str) -> Result<String, Refusal> {
    match content {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let mut all = String::new();
            for (i, part) in parts.into_iter().enumerate() {
                if let Value::String(text) = part {
                    all.push_str(&text);
                    continue;
                }
                let mut part = Fields::nested(part, &format!("{path}[{i}]"))?;
                let kind: String = part.require("type")?;
                let field = match kind.as_str() {
                    "text" | "input_text" | "output_text" => "text",
                    "refusal" => "refusal",
                    other => {
                        let other: String = other.chars().take(40).collect();
                        return Err(
                            part.refuse("type", format!("is `{other}`; this server reads text"))
                        );
                    }
                };
                all.push_str(&part.require::<String>(field)?);
            }
            Ok(all)
        }
        Some(other) => Err(Refusal::field(
            path,
            format!("is {}, expected a string or a list of parts", kind(&other)),
        )),
    }
}

/// A past tool call, as the model is asked to write one.
fn call_text(call: Value, path: &str) -> Result<String, Refusal> {
    let mut call = Fields::nested(call, path)?;
    let mut function = call.need_object("function")?;
    let name: String = function.require("name")?;
    let arguments = match function.value("arguments") {
        None => "{}".to_owned(),
        Some(Value::String(text)) if text.trim().is_empty() => "{}".to_owned(),
        // What the model wrote, or another model: it is history, so it need not parse.
        Some(Value::String(text)) => text,
        Some(value) => value.to_string(),
    };
    Ok(super::tools::call_text(&name, &arguments))
}
