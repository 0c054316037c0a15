//! Tools: told to the model in its system text, called in a form that constrained decoding
//! guarantees, and read back.
//!
//! Whatever the model, a call that is whole parses and fits the schema; one
//! that ran out of tokens is told as far as it came.

use std::collections::BTreeSet;
use std::sync::Arc;

use owlet_engine::{Error, Grammar, Tokenizer};
use owlet_lab::value::dialogue::kind;
use owlet_lab::value::dialogue::tools::{CALL, Tool, call_head};
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::fields::Fields;
use super::refusal::Refusal;

const OPEN: &str = CALL[0];
const CLOSE: &str = CALL[1];
/// Calls in one reply.
const MOST_CALLS: usize = 4;

/// The tools of a request and what may be done with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tools {
    known: Vec<Tool>,
    /// The system text about them.
    pub(crate) instructions: Option<String>,
    /// What answers must look like.
    pub(crate) form: Option<Form>,
    pub(crate) ignored: BTreeSet<String>,
}

/// A form of answers, to be compiled for a model.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// The field it comes from.
    field: Arc<str>,
    rules: String,
    schemas: Vec<Value>,
}

impl Form {
    /// JSON that fits the schema of `response_format`.
    pub(crate) fn json(schema: Value) -> Self {
        Self {
            field: "response_format".into(),
            rules: "start: @schema0".to_owned(),
            schemas: vec![schema],
        }
    }

    /// One of these texts.
    pub(crate) fn choice(field: &str, texts: &[String]) -> Self {
        let texts: Vec<String> = texts.iter().map(|text| literal(text)).collect();
        let rules = format!("start: {}", texts.join(" | "));
        Self { field: field.into(), rules, schemas: Vec::new() }
    }

    /// Text that a regular expression matches as a whole.
    pub(crate) fn regex(field: &str, pattern: &str) -> Self {
        let rules = format!("start: /{}/", Grammar::pattern(pattern));
        Self { field: field.into(), rules, schemas: Vec::new() }
    }

    /// The same form, told of as another field's.
    pub(crate) fn of(self, field: &str) -> Self {
        Self { field: field.into(), ..self }
    }

    /// The grammar, and the field it comes from. Takes up to a second, for hostile schemas.
    pub(crate) fn compile(&self, tokenizer: &Tokenizer) -> Result<(Arc<str>, Grammar), Refusal> {
        let made = Grammar::new(tokenizer, &self.rules, self.schemas.clone());
        let grammar = made.map_err(|error| match error {
            Error::Setting { reason, .. } => Refusal::field(&self.field, reason),
            error => error.into(),
        })?;
        Ok((Arc::clone(&self.field), grammar))
    }
}

/// A call read back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

enum Choice {
    Auto,
    Required,
    None,
    Named(String),
}

impl Tools {
    /// Takes `tools`, `tool_choice` and `parallel_tool_calls`; `plain` is the form of answers that are
    /// no calls, if they have one.
    pub(crate) fn take(fields: &mut Fields, plain: Option<Form>) -> Result<Self, Refusal> {
        let mut ignored = BTreeSet::new();
        let list: Vec<Value> = fields.take("tools")?.unwrap_or_default();
        let tools = Tool::read(list, &fields.name("tools"), &mut ignored)?;
        let choice = read_choice(fields, &tools)?;
        let parallel = fields.take("parallel_tool_calls")?.unwrap_or(true);
        if tools.is_empty() || matches!(choice, Choice::None) {
            return Ok(Self { ignored, form: plain, ..Self::default() });
        }
        match &plain {
            // Calls and text are told apart by their beginnings, which such a form may not have.
            Some(form) if form.schemas.is_empty() => {
                let why = "cannot be held beside `tools`; leave one of them out";
                return Err(Refusal::field(&form.field, why));
            }
            Some(form) if !matches!(choice, Choice::Auto) => {
                ignored.insert(form.field.to_string());
            }
            _ => {}
        }
        let (mut calls, mut schemas) = (Vec::new(), Vec::new());
        for tool in &tools {
            if matches!(&choice, Choice::Named(name) if tool.name != *name) {
                continue;
            }
            calls.push(format!("{} @schema{}", literal(&call_head(&tool.name)), schemas.len()));
            schemas.push(tool.parameters.clone());
        }
        let several = parallel && !matches!(choice, Choice::Named(_));
        let more =
            if several { format!(" (/\\n?/ call){{0,{}}}", MOST_CALLS - 1) } else { String::new() };
        let others = match (&choice, plain) {
            (Choice::Auto, Some(plain)) => {
                schemas.extend(plain.schemas);
                format!(" | @schema{}", schemas.len() - 1)
            }
            (Choice::Auto, None) => " | TEXT |".to_owned(),
            _ => String::new(),
        };
        let (open, close) = (literal(OPEN), literal(&format!("}}{CLOSE}")));
        let rules = format!(
            "start: calls{others}\ncalls: call{more}\ncall: {open} ({}) {close}\n\
             TEXT: /(?s:.+)/ & ~/(?s:{OPEN}.*)/\n",
            calls.join(" | ")
        );
        let must = matches!(choice, Choice::Required | Choice::Named(_));
        let instructions = Some(Tool::instructions(&tools, must));
        let form = Some(Form { field: "tools".into(), rules, schemas });
        Ok(Self { known: tools, instructions, form, ignored })
    }

    /// Whether an answer's text is tool calls rather than text.
    pub(crate) fn is_call(&self, text: &str) -> bool {
        !self.known.is_empty() && text.starts_with(OPEN)
    }

    /// Whether what has come so far may still become a call.
    pub(crate) fn may_be_call(&self, text: &str) -> bool {
        !self.known.is_empty() && (OPEN.starts_with(text) || text.starts_with(OPEN))
    }

    /// The calls in an answer of the form asked for, which may be cut anywhere.
    pub(crate) fn calls(&self, mut text: &str) -> Vec<Call> {
        let mut calls = Vec::new();
        while let Some(inside) = text.trim_start().strip_prefix(OPEN) {
            let named = self.known.iter().find_map(|tool| {
                inside.strip_prefix(&call_head(&tool.name)).map(|rest| (&tool.name, rest))
            });
            let Some((name, rest)) = named else { break };
            let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
            let whole = matches!(values.next(), Some(Ok(_)));
            let end = if whole { values.byte_offset() } else { rest.len() };
            calls.push(Call { name: name.clone(), arguments: rest[..end].to_owned() });
            text = rest[end..].strip_prefix('}').and_then(|t| t.strip_prefix(CLOSE)).unwrap_or("");
        }
        calls
    }
}

/// Text in quotes, as rules have it.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
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
            let mut function = choice.need_object("function")?;
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

#[cfg(test)]
mod tests {
    use owlet_lab::value::dialogue::tools::call_text;
    use serde_json::json;

    use super::*;

    /// Every printable character is a token.
    fn tokenizer() -> Tokenizer {
        let characters = ('!'..='~').chain(['\u{120}', '\u{10a}']);
        let vocabulary: serde_json::Map<String, Value> =
            characters.enumerate().map(|(id, c)| (c.to_string(), id.into())).collect();
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
        let json = json!({
            "added_tokens": [], "pre_tokenizer": bytes, "decoder": bytes,
            "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
        });
        Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
    }

    fn taken(extra: Value) -> Tools {
        let parameters = json!({ "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters } });
        let mut body = json!({ "tools": [tool("f"), tool("g")] });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let plain = Form::json(json!({ "type": "boolean" }));
        let plain = body.get("plain").map(|_| plain);
        Tools::take(&mut Fields::parse(body.to_string().as_bytes()).unwrap(), plain).unwrap()
    }

    #[test]
    fn every_choice_has_a_form_that_compiles() {
        let tokenizer = tokenizer();
        let named = json!({ "type": "function", "function": { "name": "g" } });
        for extra in [
            json!({}),
            json!({ "plain": true }),
            json!({ "tool_choice": "none", "plain": true }),
            json!({ "tool_choice": "required" }),
            json!({ "tool_choice": "required", "parallel_tool_calls": false }),
            json!({ "tool_choice": named }),
        ] {
            taken(extra).form.unwrap().compile(&tokenizer).unwrap();
        }
    }

    #[test]
    fn calls_are_read_back_wherever_they_are_cut() {
        let tools = taken(json!({}));
        let text = format!("{}\n{}", call_text("f", r#"{"n": 1}"#), call_text("g", r#"{"n": 2}"#));
        let call = |name: &str, arguments: &str| Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let both = [call("f", r#"{"n": 1}"#), call("g", r#"{"n": 2}"#)];
        assert_eq!(tools.calls(&text), both);
        assert_eq!(tools.calls(&text[..text.len() - 5]), both);
        assert_eq!(
            tools.calls(&text[..text.len() - 14]),
            [both[0].clone(), call("g", r#"{"n": 2"#)]
        );
        for end in 0..text.len() {
            for found in tools.calls(&text[..end]) {
                assert!(
                    both.iter()
                        .any(|b| b.name == found.name && b.arguments.starts_with(&found.arguments))
                );
            }
        }
        assert_eq!(tools.calls("plain words"), []);
    }
}
