//! Before a template is compiled its source is read once, token by token.
//!
//! Tags of more tokens than any template needs are refused: compiling one recurses as deep as its
//! expression. And where values grow (`~`, `+`, `*`, filters, lists, calls), filters of `bounds` are put in
//! that charge for them and change nothing else: `a ~ b` becomes `a|_text ~ b`.

use super::bounds::{EACH, HELD, SAID, TEXT, TIMES};
use crate::error::{Error, Result};

/// Tokens of one tag, and `elif` branches of a template, which nest as deeply.
const MOST_TOKENS: usize = 1_000;
const MOST_BRANCHES: usize = 400;
/// Text between tags that is charged for where it is written, in bytes; shorter text is bounded by fuel.
const LONG: usize = 256;
/// Filters that take a text and do not go through it character by character.
const WHOLE: [&str; 16] = [
    "trim",
    "upper",
    "lower",
    "title",
    "capitalize",
    "replace",
    "tojson",
    "safe",
    "string",
    "default",
    "d",
    "int",
    "float",
    "escape",
    "e",
    "indent",
];
/// Filters that only look at the size or an end.
const FREE: [&str; 4] = ["length", "count", "first", "last"];
/// Statements whose brackets are no call.
const STATEMENTS: [&str; 9] =
    ["macro", "call", "block", "include", "import", "from", "extends", "for", "endfor"];

fn fail<T>(reason: String) -> Result<T> {
    Err(Error::Text { what: "chat template", reason })
}

/// The source to compile.
pub(super) fn prepared(source: &str) -> Result<String> {
    // The line ends that Jinja reads it with.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len() * 2);
    let (mut rest, mut branches) = (source.as_str(), 0);
    while let Some(start) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let (text, tag) = rest.split_at(start);
        push_text(text, &mut out);
        if tag.starts_with("{#") {
            let end = tag.find("#}").map_or(tag.len(), |end| end + 2);
            out.push_str(&tag[..end]);
            rest = &tag[end..];
            continue;
        }
        let mut scan = Scan::new(tag);
        scan.run(&mut out)?;
        rest = &tag[scan.at..];
        match scan.first {
            "elif" => branches += 1,
            "raw" => {
                let end = rest.find("{%").map_or(rest.len(), |_| raw_end(rest));
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            _ => {}
        }
        if branches > MOST_BRANCHES {
            return fail(format!("it has more than {MOST_BRANCHES} `elif` branches"));
        }
    }
    push_text(rest, &mut out);
    Ok(out)
}

/// Where the tag begins that ends raw text.
fn raw_end(text: &str) -> usize {
    let is_end =
        |tag: &str| tag[2..].trim_start_matches(['-', '+', ' ', '\n', '\t']).starts_with("endraw");
    text.match_indices("{%").find(|(at, _)| is_end(&text[*at..])).map_or(text.len(), |(at, _)| at)
}

/// Copies text and, if it is long, has it charged for: within it, where no white space is that a tag
/// beside it could take away.
fn push_text(text: &str, out: &mut String) {
    if text.len() < LONG {
        return out.push_str(text);
    }
    let pairs = text.char_indices().zip(text.chars().skip(1));
    let place =
        pairs.into_iter().find(|((_, one), two)| !one.is_whitespace() && !two.is_whitespace());
    let at = place.map_or(0, |((at, one), _)| at + one.len_utf8());
    if at > 0 {
        out.push_str(&text[..at]);
        let length = text.len();
        out.extend(["{{ ", &length.to_string(), "|", SAID, " }}"]);
    }
    out.push_str(&text[at..]);
}

/// What an open bracket is.
struct Level {
    close: char,
    /// A list, an object, a group or the arguments of a call, whose value is charged for.
    is_value: bool,
    /// How the right side of an operator that has begun here is charged for.
    pending: Option<&'static str>,
}

/// A tag on its way from `{{` or `{%` to its end.
struct Scan<'a> {
    tag: &'a str,
    at: usize,
    /// The first word, which says what a statement is.
    first: &'a str,
    levels: Vec<Level>,
    /// Whether the last token ends an operand; and one whose value is charged for.
    ends: bool,
    must: bool,
}

impl<'a> Scan<'a> {
    fn new(tag: &'a str) -> Self {
        let base = Level { close: '\0', is_value: false, pending: None };
        Self { tag, at: 0, first: "", levels: vec![base], ends: false, must: false }
    }

    fn run(&mut self, out: &mut String) -> Result<()> {
        let close = if self.tag.starts_with("{{") { "}}" } else { "%}" };
        out.push_str(&self.tag[..2]);
        self.at = 2;
        if let Some(sign @ ('-' | '+')) = self.tag[2..].chars().next() {
            out.push(sign);
            self.at = 3;
        }
        let mut tokens = 0;
        loop {
            let rest = &self.tag[self.at..];
            let space = rest.len() - rest.trim_start().len();
            let (space, rest) = rest.split_at(space);
            self.at += space.len();
            let closing = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if rest.is_empty() || self.levels.len() == 1 && closing.starts_with(close) {
                self.guard("", "", out);
                out.push_str(space);
                let length = rest.len() - closing.len() + close.len().min(closing.len());
                out.push_str(&rest[..length]);
                self.at += length;
                return Ok(());
            }
            tokens += 1;
            if tokens > MOST_TOKENS {
                return fail(format!(
                    "a tag has more than {MOST_TOKENS} tokens: `{}…`",
                    start(self.tag)
                ));
            }
            let token = &rest[..length(rest)];
            self.at += token.len();
            self.token(token, &self.tag[self.at..], space, out)?;
        }
    }

    /// Copies a token, what is charged before it, and the white space between.
    fn token(&mut self, token: &'a str, after: &str, space: &str, out: &mut String) -> Result<()> {
        let is_word =
            token.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"' || c == '\'');
        self.guard(token, after, out);
        out.push_str(space);
        if self.first.is_empty() && is_word {
            self.first = token;
            // Marks of what a trainer masks in change nothing in the text.
            let plain = match token {
                "generation" => "if true",
                "endgeneration" => "endif",
                other => other,
            };
            out.push_str(plain);
        } else {
            out.push_str(token);
        }
        let was_operand = std::mem::replace(&mut self.ends, false);
        self.must = false;
        match token {
            "(" | "[" | "{" => {
                let close = [")", "]", "}"]
                    [["(", "[", "{"].iter().position(|open| *open == token).unwrap_or(0)];
                let is_value = !was_operand || token == "(" && !STATEMENTS.contains(&self.first);
                let close = close.chars().next().unwrap_or_default();
                self.levels.push(Level { close, is_value, pending: None });
            }
            ")" | "]" | "}" if self.levels.len() > 1 => {
                let level = self.levels.pop();
                self.ends = true;
                self.must =
                    level.is_some_and(|level| level.is_value && token.starts_with(level.close));
            }
            "**" if was_operand && self.levels.iter().any(|level| level.pending == Some(TIMES)) => {
                return fail("`**` within a product is not supported".to_owned());
            }
            "*" | "+" | "~" if was_operand => {
                let guard = [TIMES, HELD, TEXT]
                    [["*", "+", "~"].iter().position(|&o| o == token).unwrap_or(0)];
                if let Some(level) = self.levels.last_mut() {
                    level.pending = Some(guard);
                }
            }
            "," if self.first == "set" && self.levels.len() == 1 => {
                return fail("`set` of a list without brackets is not supported".to_owned());
            }
            "not" | "and" | "or" | "in" | "if" | "else" | "is" | "elif" | "set" | "for" => {}
            _ => self.ends = is_word,
        }
        Ok(())
    }

    /// Charges for the operand that has just ended, as the next token asks.
    fn guard(&mut self, next: &str, after: &str, out: &mut String) {
        if !self.ends || [".", "[", "("].contains(&next) {
            return;
        }
        let name = |text: &'a str| &text[..length(text)];
        let filter = if next == "|" {
            name(self.tag[self.tag.len() - after.len()..].trim_start())
        } else {
            ""
        };
        let level = self.levels.last_mut();
        let pending = if next == "|" { None } else { level.and_then(|level| level.pending.take()) };
        let guard = match (next, pending) {
            ("|", _) if FREE.contains(&filter) => return,
            ("|", _) if WHOLE.contains(&filter) => HELD,
            ("|", _) => EACH,
            (_, Some(TIMES)) => TIMES,
            ("~", _) | (_, Some(TEXT)) => TEXT,
            ("+" | "*", _) | (_, Some(_)) => HELD,
            _ if self.must => HELD,
            _ => return,
        };
        out.push('|');
        out.push_str(guard);
    }
}

/// Bytes of the token that a tag goes on with.
fn length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, first)) = chars.next() else { return 0 };
    if first == '"' || first == '\'' {
        let mut escaped = false;
        for (at, c) in chars {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == first => return at + 1,
                _ => {}
            }
        }
        return text.len();
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if is_word(first) {
        let is_number = first.is_ascii_digit();
        let mut before = first;
        for (at, c) in chars {
            let digit_follows = text[at..].chars().nth(1).is_some_and(|c| c.is_ascii_digit());
            let goes_on = is_word(c)
                || is_number && (c == '.' || before == 'e' && "+-".contains(c)) && digit_follows;
            if !goes_on {
                return at;
            }
            before = c;
        }
        return text.len();
    }
    let two = ["**", "//", "==", "!=", "<=", ">="];
    if two.iter().any(|operator| text.starts_with(operator)) { 2 } else { first.len_utf8() }
}

/// The beginning of a tag, for messages.
fn start(tag: &str) -> String {
    tag.chars().take(40).collect()
}
