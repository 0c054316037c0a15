//! Chat templates: messages to the text a model was trained on (Jinja, as Hugging Face stores it).
//!
//! A template is a program from an untrusted file: it runs with bounded work, recursion and output,
//! and sees nothing but the messages and a fixed date, so that the same messages always give the
//! same text.

mod bounds;
mod source;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, Value};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// Instructions one rendering may execute, besides those granted per message: a bound on hostile
/// templates, far above what those of the families need.
const FUEL: u64 = 1_000_000;
const FUEL_PER_MESSAGE: u64 = 10_000;

/// Bytes one rendering may write, besides those granted per byte of the messages: likewise.
const OUTPUT: usize = 1 << 20;
const OUTPUT_PER_BYTE: usize = 16;

/// Each message between `<|im_start|>` and `<|im_end|>` (OpenAI's ChatML).
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// `User: ...` and `Assistant: ...` on lines of their own; an assistant's turn ends with the end
/// token, if the tokenizer has one.
const PLAIN: &str = "{{ bos_token }}{% for message in messages %}\
{{ message['role'] | capitalize }}: {{ message['content'] }}\
{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\n' }}{% endfor %}\
{% if add_generation_prompt %}Assistant:{% endif %}";

/// A chat template.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    /// Special tokens by the names that templates know them by, such as `bos_token`.
    tokens: BTreeMap<String, String>,
    /// What else it was given, by name.
    values: BTreeMap<String, serde_json::Value>,
    environment: Arc<Environment<'static>>,
}

/// Names in a template that stand for what is said, not for how it is written.
const GIVEN: [&str; 4] = ["messages", "add_generation_prompt", "tools", "documents"];
/// Bytes of the values a template is given.
const MOST_VALUES: usize = 64 << 10;
/// Values by which templates let a model think before it answers.
const THINKING: [&str; 2] = ["enable_thinking", "thinking"];

fn fail(error: &minijinja::Error) -> Error {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Error::Text { what: "chat template", reason }
}

impl Template {
    /// Compiles a Jinja source.
    pub fn new(source: &str) -> Result<Self> {
        let mut environment = Environment::new();
        // What Hugging Face sets: block tags leave no white space behind, undefined is falsy.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(|error| fail(&error))?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_recursion_limit(100);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime);
        bounds::keep_plain(&mut environment);
        // What compiling knows of; rendering puts its own in.
        bounds::put_into(&mut environment, 0);
        environment
            .add_template_owned("chat", source::prepared(source)?)
            .map_err(|error| fail(&error))?;
        Ok(Self {
            source: source.into(),
            tokens: BTreeMap::new(),
            values: BTreeMap::new(),
            environment: Arc::new(environment),
        })
    }

    /// The template for a model whose files have none: ChatML where its tokens exist, else plain
    /// `User: ...` and `Assistant: ...` lines.
    pub fn fallback(tokenizer: &Tokenizer) -> Result<Self> {
        let chatml =
            ["<|im_start|>", "<|im_end|>"].iter().all(|name| tokenizer.token(name).is_some());
        Self::new(if chatml { CHATML } else { PLAIN })
    }

    /// The same template with these texts as `bos_token` and `eos_token`; an empty one is none.
    #[must_use]
    pub fn with_tokens(self, begin: &str, end: &str) -> Self {
        let named = [("bos_token", begin), ("eos_token", end)];
        let named = named.into_iter().filter(|(_, text)| !text.is_empty());
        self.with_named(named.map(|(name, text)| (name.to_owned(), text.to_owned())))
    }

    /// The same template with these special tokens under these names, which end in `_token`.
    #[must_use]
    pub fn with_named(mut self, tokens: impl IntoIterator<Item = (String, String)>) -> Self {
        self.tokens.extend(tokens);
        self
    }

    /// The same template with these values under these names (what Hugging Face calls
    /// `chat_template_kwargs`, such as `enable_thinking`).
    ///
    /// Fails on a name that the template never reads.
    pub fn with_values(
        mut self,
        values: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self> {
        let fail = |reason: String| Err(Error::Text { what: "chat template", reason });
        let template = self.environment.get_template("chat").map_err(|e| self::fail(&e))?;
        let mut read: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        read.retain(|name| !GIVEN.contains(&&**name) && !name.ends_with("_token"));
        read.retain(|name| {
            !["raise_exception", "strftime_now", "range", "namespace", "dict"].contains(&&**name)
        });
        read.sort();
        if let Some(name) = values.keys().find(|name| !read.contains(name)) {
            let name: String = name.chars().take(40).collect();
            let read: Vec<String> = read.iter().map(|name| format!("`{name}`")).collect();
            let read = if read.is_empty() { "none".to_owned() } else { read.join(", ") };
            return fail(format!("it reads no value `{name}`; those that it reads: {read}"));
        }
        self.values.extend(values);
        if serde_json::to_vec(&self.values).is_ok_and(|text| text.len() > MOST_VALUES) {
            return fail(format!("its values take more than {MOST_VALUES} bytes"));
        }
        Ok(self)
    }

    /// Whether it was given a value that lets a model think before it answers.
    pub fn lets_think(&self) -> bool {
        THINKING.iter().any(|name| self.values.get(*name) == Some(&serde_json::Value::Bool(true)))
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of `bos_token`, empty if there is none.
    pub fn begin(&self) -> &str {
        self.tokens.get("bos_token").map_or("", String::as_str)
    }

    /// The text of `eos_token`, empty if there is none.
    pub fn end(&self) -> &str {
        self.tokens.get("eos_token").map_or("", String::as_str)
    }

    /// All special tokens by their names.
    pub fn tokens(&self) -> &BTreeMap<String, String> {
        &self.tokens
    }

    /// The text of `messages`, ending where the assistant is to speak if `open`.
    pub fn render(&self, messages: &[Message], open: bool) -> Result<String> {
        let mut environment = (*self.environment).clone();
        environment.set_fuel(Some(FUEL + FUEL_PER_MESSAGE * messages.len() as u64));
        let said: usize =
            messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        bounds::put_into(&mut environment, said);
        let mut output =
            Bounded { text: Vec::new(), most: OUTPUT + OUTPUT_PER_BYTE.saturating_mul(said) };
        let turns: Vec<Value> = messages
            .iter()
            .map(|m| Value::from_pairs([("role", &m.role), ("content", &m.content)]))
            .collect();
        let template = environment.get_template("chat").map_err(|e| fail(&e))?;
        template
            .render_captured_to(
                minijinja::context! {
                    messages => turns,
                    add_generation_prompt => open,
                    tools => Value::from(()),
                    documents => Value::from(()),
                    ..minijinja::context! {
                        ..Value::from_pairs(&self.tokens),
                        ..Value::from(Serde(&self.values))
                    }
                },
                &mut output,
            )
            .map_err(|error| fail(&error))?;
        String::from_utf8(output.text).map_err(|error| Error::Text {
            what: "chat template",
            reason: format!("rendered text is not UTF-8: {error}"),
        })
    }
}

/// Text that may only grow so far.
struct Bounded {
    text: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.most {
            return Err(io::Error::other(format!(
                "the text exceeds {} bytes; the template repeats itself",
                self.most
            )));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Python's `strftime` at one fixed moment, midnight of Friday 26 July 2024 (the date Llama 3
/// templates fall back to), so that a prompt does not depend on when it was made.
fn strftime(format: &str) -> String {
    let moment = jiff::civil::date(2024, 7, 26).at(0, 0, 0, 0);
    jiff::fmt::strtime::format(format, moment).unwrap_or_else(|_| format.to_owned())
}

/// Python's `json.dumps`, which Hugging Face gives templates in place of Jinja's HTML-safe filter, with
/// its options and their defaults.
#[expect(clippy::needless_pass_by_value, reason = "minijinja passes arguments by value")]
fn to_json(value: &Value, options: Kwargs) -> std::result::Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<(String, String)> = match options
        .get::<Option<Vec<String>>>("separators")?
    {
        None => None,
        Some(two) => Some(<[String; 2]>::try_from(two).map(Into::into).map_err(|_| {
            minijinja::Error::new(ErrorKind::InvalidOperation, "`separators` of tojson are not two")
        })?),
    };
    let between = if indent.is_some() { "," } else { ", " };
    let (between, after_key) = separators.unwrap_or_else(|| (between.to_owned(), ": ".to_owned()));
    let python = Python {
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        indent: indent.map(|width| " ".repeat(width.min(16))),
        between,
        after_key,
        depth: 0,
        filled: false,
    };
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let bad = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
    };
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, python);
    if sorted {
        let mut value = serde_json::to_value(value).map_err(bad)?;
        value.sort_all_objects();
        value.serialize(&mut serializer).map_err(bad)?;
    } else {
        value.serialize(&mut serializer).map_err(bad)?;
    }
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// JSON as Python writes it.
struct Python {
    ascii: bool,
    indent: Option<String>,
    between: String,
    after_key: String,
    depth: usize,
    filled: bool,
}

impl Python {
    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }

    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if std::mem::replace(&mut self.filled, true) {
            self.line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { self.between.as_bytes() })?;
        self.line(writer)
    }
}

impl serde_json::ser::Formatter for Python {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.next(w, first)
    }
    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.next(w, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.after_key.as_bytes())
    }
    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        if !self.ascii {
            return w.write_all(text.as_bytes());
        }
        text.chars().try_for_each(|c| match c {
            ' '..='~' => write!(w, "{c}"),
            _ => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(w, "\\u{unit:04x}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Vec<Message> {
        [("user", "Hi <there>"), ("assistant", "Yes?")]
            .map(|(role, content)| Message { role: role.to_owned(), content: content.to_owned() })
            .to_vec()
    }

    fn render(source: &str, open: bool) -> Result<String> {
        Template::new(source)?.with_tokens("<s>", "</s>").render(&conversation(), open)
    }

    #[test]
    fn chatml_and_plain_fallbacks_render() {
        insta::assert_snapshot!(render(CHATML, true).unwrap(), @r"
        <|im_start|>user
        Hi <there><|im_end|>
        <|im_start|>assistant
        Yes?<|im_end|>
        <|im_start|>assistant
        ");
        insta::assert_snapshot!(render(PLAIN, true).unwrap(), @r"
        <s>User: Hi <there>
        Assistant: Yes?</s>
        Assistant:
        ");
    }

    #[test]
    fn the_fallback_follows_the_vocabulary() {
        let words = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Tokenizer::words(&names, &[], &[]).unwrap()
        };
        let chat = Template::fallback(&words(&["<|im_start|>", "<|im_end|>"])).unwrap();
        assert_eq!(chat.source(), CHATML);
        assert_eq!(Template::fallback(&words(&["a"])).unwrap().source(), PLAIN);
    }

    #[test]
    fn blocks_leave_no_white_space_and_python_methods_work() {
        let source = "{%- for m in messages %}\n    {% if m.content.startswith('Hi') %}\n{{ m.content.strip().upper() }}\n    {%- endif %}\n{% endfor %}\n{{ messages | tojson }}";
        insta::assert_snapshot!(render(source, false).unwrap(), @r#"HI <THERE>[{"role": "user", "content": "Hi <there>"}, {"role": "assistant", "content": "Yes?"}]"#);
    }

    #[test]
    fn the_date_is_fixed() {
        assert_eq!(render("{{ strftime_now('%d %b %Y') }}", false).unwrap(), "26 Jul 2024");
    }

    #[test]
    fn generation_marks_are_transparent() {
        assert_eq!(render("a {%- generation -%} b {% endgeneration %}c", false).unwrap(), "ab c");
    }

    #[test]
    fn raised_exceptions_are_told() {
        let error = render("{{ raise_exception('no system turns') }}", false).unwrap_err();
        insta::assert_snapshot!(error, @"chat template: invalid operation: no system turns (in chat:1)");
    }

    #[test]
    fn endless_templates_are_stopped() {
        for source in [
            "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
            "{%}",
            "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
            "{% for a in range(10000) %}{{ 'x' * 100000 }}{% endfor %}",
        ] {
            assert!(render(source, false).is_err(), "{source}");
        }
    }

    #[test]
    fn broken_sources_are_refused() {
        insta::assert_snapshot!(Template::new("{% if %}").unwrap_err(), @"chat template: syntax error: unexpected end of block (in chat:1)");
    }
}
