//! Tools, as a model is told of them and calls them: the same text for every model, whether it is asked,
//! trained or scored.
//!
//! A call is written `<tool_call>{"name": NAME, "arguments": {...}}</tool_call>`, the form of the Hermes and
//! Qwen families.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::object::{Object, Wrong, kind};

/// What a call stands between.
pub const CALL: [&str; 2] = ["<tool_call>", "</tool_call>"];
/// Tools of one conversation.
const MOST: usize = 256;

/// A function.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON schema of its arguments.
    pub parameters: Value,
}

/// A call as the model writes it, up to its arguments.
pub fn call_head(name: &str) -> String {
    format!("{{\"name\": {}, \"arguments\": ", Value::from(name))
}

/// A call as the model writes it.
pub fn call_text(name: &str, arguments: &str) -> String {
    format!("{}{}{arguments}}}{}", CALL[0], call_head(name), CALL[1])
}

impl Tool {
    /// Reads the tools that are the value of `path`; names of keys nobody knows are added to `ignored`.
    ///
    /// # Errors
    /// The first that is no function, has no usable name or another's.
    pub fn read(
        list: Vec<Value>,
        path: &str,
        ignored: &mut BTreeSet<String>,
    ) -> Result<Vec<Self>, Wrong> {
        if list.len() > MOST {
            let reason = format!("has {} tools, at most {MOST} are taken", list.len());
            return Err(Wrong::new(path, reason));
        }
        let mut names = BTreeSet::new();
        let mut read = |(at, value): (usize, Value)| {
            let mut tool = Object::nested(value, &format!("{path}[{at}]"))?;
            let sort = tool.need_text("type")?;
            if sort != "function" {
                let sort: String = sort.chars().take(40).collect();
                return Err(tool.wrong("type", format!("is `{sort}`, expected `function`")));
            }
            let function = tool.take("function").unwrap_or(Value::Null);
            let mut function = Object::nested(function, &tool.name("function"))?;
            let name = function.need_text("name")?;
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if name.is_empty() || name.len() > 128 || !name.chars().all(good) {
                let reason = "is not 1 to 128 letters, digits, `_`, `-` or `.`";
                return Err(function.wrong("name", reason));
            }
            if !names.insert(name.clone()) {
                return Err(function.wrong("name", format!("is `{name}`, as another tool's is")));
            }
            let description = function.text("description")?.unwrap_or_default();
            let parameters =
                function.take("parameters").unwrap_or_else(|| json!({"type": "object"}));
            if !parameters.is_object() {
                let reason = format!("is {}, expected a JSON schema", kind(&parameters));
                return Err(function.wrong("parameters", reason));
            }
            function.take("strict");
            function.leave(ignored);
            tool.leave(ignored);
            Ok(Self { name, description, parameters })
        };
        list.into_iter().enumerate().map(&mut read).collect()
    }

    /// The system text about `tools`; with `must` it asks for a call now.
    pub fn instructions(tools: &[Self], must: bool) -> String {
        let mut text = String::from(
            "You can call functions. These are available, one JSON object per line:\n<tools>\n",
        );
        for Self { name, description, parameters } in tools {
            let object =
                json!({ "name": name, "description": description, "parameters": parameters });
            text.push_str(&object.to_string());
            text.push('\n');
        }
        text.push_str("</tools>\nTo call one, answer with nothing but\n");
        text.push_str(&call_text("NAME", "{...}"));
        text.push_str(if must {
            "\nCall one now."
        } else {
            "\nCall one only if it helps; otherwise answer in plain words."
        });
        text
    }
}
