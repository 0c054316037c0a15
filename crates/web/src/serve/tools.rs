//! Tools: told to the model in its system text, called in a form that constrained decoding
//! guarantees, and read back.
//!
//! A call is written `<tool_call>{"name": NAME, "arguments": {...}}</tool_call>` (the form of the
//! Hermes and Qwen families). Whatever the model, what is read back parses and fits the schema: the
//! pattern allows nothing else, and an answer cut short is closed along the shortest way
//! (see [`super::pattern`]).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fields::{Fields, kind};
use super::pattern::{Builder, escaped};
use super::refusal::Refusal;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
/// Calls in one reply.
const MOST_CALLS: usize = 4;
/// Tools of one request.
const MOST_TOOLS: usize = 256;

/// One function.
#[derive(Clone, Debug)]
struct Tool {
    name: String,
    description: String,
    parameters: Value,
}

/// The tools of a request and what may be done with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    known: Vec<Tool>,
    /// The system text about them.
    pub(crate) instructions: Option<String>,
    /// What answers must look like.
    pub(crate) pattern: Option<String>,
    pub(crate) ignored: Vec<String>,
}

/// A call read back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// A call as the model writes it.
pub(crate) fn call_text(name: &str, arguments: &str) -> String {
    format!("{OPEN}{{\"name\": {}, \"arguments\": {arguments}}}{CLOSE}", Value::from(name))
}

enum Choice {
    Auto,
    Required,
    None,
    Named(String),
}

impl Tools {
    /// Takes `tools`, `tool_choice` and `parallel_tool_calls`; `plain` is the pattern of answers that
    /// are no calls, if they have one.
    pub(crate) fn take(fields: &mut Fields, plain: Option<&str>) -> Result<Self, Refusal> {
        let mut ignored = Vec::new();
        let tools = read_tools(fields, &mut ignored)?;
        let choice = read_choice(fields, &tools)?;
        let parallel = fields.take("parallel_tool_calls")?.unwrap_or(true);
        if tools.is_empty() || matches!(choice, Choice::None) {
            return Ok(Self { ignored, pattern: plain.map(str::to_owned), ..Self::default() });
        }
        let usable: Vec<&Tool> = tools
            .iter()
            .filter(|tool| match &choice {
                Choice::Named(name) => tool.name == *name,
                _ => true,
            })
            .collect();
        let mut builder = Builder::default();
        let mut forms = Vec::new();
        for tool in usable {
            let arguments =
                builder.schema(&tool.parameters, &tool.parameters, 0).map_err(|why| {
                    Refusal::field("tools", format!("has `{}`, whose parameters {why}", tool.name))
                })?;
            let name = escaped(&Value::from(tool.name.as_str()).to_string());
            forms.push(format!(r#"\{{"name": {name}, "arguments": {arguments}\}}"#));
        }
        let call = format!("{OPEN}(?:{}){CLOSE}", forms.join("|"));
        let calls = if parallel && !matches!(choice, Choice::Named(_)) {
            format!("{call}(?:\\n?{call}){{0,{}}}", MOST_CALLS - 1)
        } else {
            call
        };
        let pattern = match choice {
            Choice::Auto => match plain {
                Some(plain) => format!("(?:{calls}|{plain})"),
                None => format!("(?:{calls}|{})", not_beginning_with(OPEN)),
            },
            _ => calls,
        };
        let instructions = Some(instructions(&tools, &choice));
        Ok(Self { known: tools, instructions, pattern: Some(pattern), ignored })
    }

    /// Whether an answer's text is tool calls rather than text.
    pub(crate) fn is_call(&self, text: &str) -> bool {
        !self.known.is_empty() && text.starts_with(OPEN)
    }

    /// Whether what has come so far may still become a call.
    pub(crate) fn may_be_call(&self, text: &str) -> bool {
        !self.known.is_empty() && (OPEN.starts_with(text) || text.starts_with(OPEN))
    }

    /// The calls in an answer that matches the pattern.
    pub(crate) fn calls(&self, text: &str) -> Vec<Call> {
        text.split(OPEN)
            .filter_map(|part| {
                let inside = part.trim_end().strip_suffix(CLOSE)?;
                let value: Value = serde_json::from_str(inside).ok()?;
                let name = value.get("name")?.as_str()?.to_owned();
                self.known.iter().any(|tool| tool.name == name).then(|| Call {
                    name,
                    arguments: value.get("arguments").cloned().unwrap_or(json!({})).to_string(),
                })
            })
            .collect()
    }
}

fn read_tools(fields: &mut Fields, ignored: &mut Vec<String>) -> Result<Vec<Tool>, Refusal> {
    let list: Vec<Value> = fields.take("tools")?.unwrap_or_default();
    if list.len() > MOST_TOOLS {
        return Err(fields
            .refuse("tools", format!("has {} tools, at most {MOST_TOOLS} are taken", list.len())));
    }
    let mut tools = Vec::new();
    let mut names = BTreeSet::new();
    for (i, value) in list.into_iter().enumerate() {
        let mut tool = Fields::nested(value, &format!("tools[{i}]"))?;
        let kind: String = tool.require("type")?;
        if kind != "function" {
            let kind: String = kind.chars().take(40).collect();
            return Err(tool.refuse("type", format!("is `{kind}`, expected `function`")));
        }
        let function = tool.value("function").unwrap_or(Value::Null);
        let mut function = Fields::nested(function, &tool.name("function"))?;
        let name: String = function.require("name")?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 128 || !name.chars().all(good) {
            return Err(function.refuse("name", "is not 1 to 128 letters, digits, `_`, `-` or `.`"));
        }
        if !names.insert(name.clone()) {
            return Err(function.refuse("name", format!("is `{name}`, as another tool's is")));
        }
        let description = function.take("description")?.unwrap_or_default();
        let parameters = function.value("parameters").unwrap_or_else(|| json!({"type": "object"}));
        if !parameters.is_object() {
            return Err(function.refuse(
                "parameters",
                format!("is {}, expected a JSON schema", super::fields::kind(&parameters)),
            ));
        }
        function.value("strict");
        ignored.extend(function.rest());
        ignored.extend(tool.rest());
        tools.push(Tool { name, description, parameters });
    }
    Ok(tools)
}

fn read_choice(fields: &mut Fields, tools: &[Tool]) -> Result<Choice, Refusal> {
    let choice = match fields.value("tool_choice") {
        None => Choice::Auto,
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Choice::Auto,
            "none" => Choice::None,
            "required" | "any" => Choice::Required,
            _ => {
                return Err(
                    fields.refuse("tool_choice", "is not `auto`, `required`, `none` or a function")
                );
            }
        },
        Some(value @ Value::Object(_)) => {
            let mut choice = Fields::nested(value, "tool_choice")?;
            let function = choice.value("function").unwrap_or(Value::Null);
            let mut function = Fields::nested(function, "tool_choice.function")?;
            let name: String = function.require("name")?;
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(function.refuse("name", "names none of `tools`"));
            }
            Choice::Named(name)
        }
        Some(other) => {
            return Err(fields.refuse(
                "tool_choice",
                format!("is {}, expected a string or an object", kind(&other)),
            ));
        }
    };
    if tools.is_empty() && matches!(choice, Choice::Required) {
        return Err(fields.refuse("tool_choice", "asks for a call, but there are no `tools`"));
    }
    Ok(choice)
}

fn instructions(tools: &[Tool], choice: &Choice) -> String {
    let mut text = String::from(
        "You can call functions. These are available, one JSON object per line:\n<tools>\n",
    );
    for tool in tools {
        let object = json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters });
        text.push_str(&object.to_string());
        text.push('\n');
    }
    text.push_str("</tools>\nTo call one, answer with nothing but\n");
    text.push_str(&call_text("NAME", "{...}"));
    text.push_str(match choice {
        Choice::Required | Choice::Named(_) => "\nCall one now.",
        _ => "\nCall one only if it helps; otherwise answer in plain words.",
    });
    text
}

/// A pattern of all texts that do not begin with `word` (which is ASCII).
fn not_beginning_with(word: &str) -> String {
    let mut forms = Vec::new();
    for (i, c) in word.char_indices() {
        let begun = escaped(&word[..i]);
        forms.push(format!("{begun}(?:[^{}](?s:.)*)?", escaped(&c.to_string())));
    }
    forms.join("|")
}
