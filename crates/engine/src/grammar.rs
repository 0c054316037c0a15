//! Grammars that completions must match: JSON schemas and rules over them, parsed by `llguidance`.
//!
//! A [`Grammar`] is compiled once for a tokenizer and shared by the requests that name it. Every
//! completion walks it with a parser and lexer of its own: what it needs of the limits is counted for
//! it alone, so its company changes nothing. Limits are counts of work, never of time.
//!
//! JSON is written on one line with a space after commas and colons, so that a model has one way to
//! go on, and objects that list their properties have no others unless the schema speaks of them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::{BiasComputer, Parser, SlicedBiasComputer};
use serde_json::{Map, Value, json};

use crate::Token;
use crate::constraint::Allowed;
use crate::error::Error;
use crate::tokenizer::Tokenizer;
use crate::tries::{PROPERTIES, Tries};

/// Bytes of a request's schemas.
const BYTES: usize = 256 << 10;
/// Objects in a request's schemas. Compiling goes down chains of references by recursion, at most once
/// into each part.
const PARTS: usize = 5000;
/// Stack for that: 10 kB a part were the most measured (chains of `$ref` through `properties`).
const STACK: usize = 80 << 20;
/// Levels that are written out; references are not.
const LEVELS: usize = 100;
/// `pattern`s and `format`s in schemas that join others: whether texts match all of them takes twice
/// as long with each more, 1 ms for 7 and 0.8 s for 12.
const JOINED_PATTERNS: usize = 6;
/// Largest `multipleOf`, without its point: lexers have a state for each remainder, 5 ms for so many.
const MULTIPLE: u64 = 10_000;
/// Largest whole number where a schema names none.
const LARGEST: i64 = 999_999_999_999_999;

/// A grammar compiled for one tokenizer; cheap to clone.
#[derive(Clone)]
pub struct Grammar(Arc<Compiled>);

struct Compiled {
    parser: Parser,
    tries: Arc<Tries>,
    ignored: Vec<String>,
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("ignored", &self.0.ignored).finish_non_exhaustive()
    }
}

/// A grammar is the same as itself and its clones.
impl PartialEq for Grammar {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn fail(reason: impl Into<String>) -> Error {
    Error::Setting { field: "grammar", reason: reason.into() }
}

impl Grammar {
    /// Bytes of schemas that can be held together.
    pub const MOST_BYTES: usize = BYTES;

    /// Compiles `rules`, in `llguidance`'s dialect of Lark (<https://github.com/guidance-ai/llguidance>,
    /// `docs/syntax.md`), in which `@schema0`, `@schema1`, ... are JSON that fits the schema of that
    /// number. A completion matches the rule `start`.
    ///
    /// # Errors
    /// [`Error::Setting`] if a schema is none, is too large or too deep, asks for what cannot be had,
    /// or for what this vocabulary cannot begin to write.
    pub fn new(tokenizer: &Tokenizer, rules: &str, schemas: Vec<Value>) -> crate::Result<Self> {
        let mut survey = Survey::default();
        let mut grammars = vec![GrammarWithLexer::from_lark(rules.to_owned())];
        for (i, mut schema) in schemas.into_iter().enumerate() {
            survey.schema(&mut schema).map_err(fail)?;
            let name = Some(format!("schema{i}"));
            grammars.push(GrammarWithLexer { name, ..GrammarWithLexer::from_json_schema(schema) });
        }
        survey.check().map_err(fail)?;
        let tries = tokenizer.tries()?;
        let top = TopLevelGrammar { grammars, max_tokens: None };
        let made = std::thread::scope(|scope| {
            let compile = || tries.later.create_parser(top);
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, compile).map_err(|error| error.to_string())?;
            match thread.join() {
                Ok(made) => made.map_err(|error| error.to_string()),
                Err(_) => Err("broke the compiler".to_owned()),
            }
        });
        let mut parser = made.map_err(|why| fail(format!("cannot be held: {}", brief(&why))))?;
        let ignored = parser.grammar_warnings();
        let grammar = Self(Arc::new(Compiled { parser: parser.parser, tries, ignored }));
        // A vocabulary of whole words may have no bracket.
        grammar.walk().allowed()?;
        Ok(grammar)
    }

    /// JSON that fits a schema; see [`Grammar::new`].
    pub fn json(tokenizer: &Tokenizer, schema: Value) -> crate::Result<Self> {
        Self::new(tokenizer, "start: @schema0", vec![schema])
    }

    /// A regular expression as rules have it between slashes. Its `\d` and `\w` are ASCII's and its `\s` is any white
    /// space, as in ECMAScript and therefore in the `pattern` of a schema.
    pub fn pattern(pattern: &str) -> String {
        llguidance::regex_to_lark(pattern, "dw")
    }

    /// What schemas ask for and is not held: one sentence for each keyword or group of them.
    pub fn ignored(&self) -> &[String] {
        &self.0.ignored
    }

    pub(crate) fn walk(&self) -> Walk {
        let parser = self.0.parser.deep_clone();
        Walk { grammar: self.clone(), parser, begun: false, broken: None }
    }
}

/// Errors of the compiler may hold the schema and a backtrace.
fn brief(why: &str) -> String {
    let why = why.split("\n<").next().unwrap_or_default();
    why.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// One completion's way through a grammar.
pub(crate) struct Walk {
    grammar: Grammar,
    parser: Parser,
    begun: bool,
    /// Why it cannot go on.
    broken: Option<String>,
}

impl Walk {
    fn slicer(&self) -> Arc<SlicedBiasComputer> {
        let Tries { later, first } = &*self.grammar.0.tries;
        match first {
            Some(first) if !self.begun => Arc::clone(first),
            _ => later.slicer(),
        }
    }

    /// What may come next; an error where nothing may, or where that takes too much to find out.
    pub(crate) fn allowed(&mut self) -> crate::Result<Allowed> {
        let (slicer, parser) = (self.slicer(), &mut self.parser);
        if let Some(why) = &self.broken {
            return Err(fail(format!("cannot be followed further: {why}")));
        }
        let found = catch_unwind(AssertUnwindSafe(|| {
            let tokens: Vec<Token> = parser.compute_bias(&*slicer, &[]).iter().collect();
            (Allowed { tokens, end: parser.is_accepting() }, parser.get_error())
        }));
        match found {
            Ok((Allowed { tokens, end: false }, None)) if tokens.is_empty() => {
                Err(fail("asks for what this model's vocabulary cannot write"))
            }
            Ok((allowed, None)) => Ok(allowed),
            Ok((_, Some(error))) => {
                Err(fail(format!("cannot be followed further: {}", brief(&error.message()))))
            }
            Err(_) => Err(fail("broke the parser; this is a bug in owlet")),
        }
    }

    /// Goes on with an allowed token.
    pub(crate) fn next(&mut self, token: Token) {
        let (slicer, parser) = (self.slicer(), &mut self.parser);
        let bytes = slicer.trie().token(token);
        let applied = catch_unwind(AssertUnwindSafe(|| parser.apply_token(bytes, token)));
        self.broken = match applied {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(brief(&error.to_string())),
            Err(_) => Some("it broke the parser; this is a bug in owlet".to_owned()),
        };
        self.begun = true;
    }
}

/// What bounds a request's schemas.
#[derive(Default)]
struct Survey {
    bytes: usize,
    parts: usize,
    patterns: usize,
    /// Whether a value must fit several schemas at once.
    joined: bool,
    /// Values of `multipleOf`, without their points, and the places behind those.
    multiples: Vec<(u64, u32)>,
}

/// Keywords that say more of a value than those beside them do.
const JOINING: [&str; 4] = ["$ref", "allOf", "anyOf", "oneOf"];
/// Keywords that say nothing of a value.
const SILENT: [&str; 8] =
    ["$defs", "definitions", "$schema", "$id", "title", "description", "default", "examples"];

/// Keywords whose value has schemas under names.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

impl Survey {
    /// Looks at one schema, and makes it say how its JSON is written.
    fn schema(&mut self, schema: &mut Value) -> Result<(), String> {
        if *schema == Value::Bool(true) {
            *schema = json!({});
        }
        self.bytes += schema.to_string().len();
        let others = std::mem::take(&mut self.joined);
        self.part(schema, 0, false)?;
        if !self.joined {
            close(schema);
        }
        self.joined |= others;
        let Value::Object(map) = schema else { return Err("has a schema that is none".to_owned()) };
        let form = json!({
            "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ",
            "coerce_one_of": true, "lenient": true,
        });
        map.insert("x-guidance".to_owned(), form);
        Ok(())
    }

    /// A reference may lead anywhere, so everything counts as a part; `named` where keys are names.
    fn part(&mut self, value: &Value, level: usize, named: bool) -> Result<(), String> {
        if level > LEVELS {
            return Err(format!("has a schema more than {LEVELS} levels deep"));
        }
        let map = match value {
            Value::Array(list) => {
                return list.iter().try_for_each(|value| self.part(value, level + 1, false));
            }
            Value::Object(map) => map,
            _ => return Ok(()),
        };
        self.parts += 1;
        if !named {
            self.keywords(map)?;
        }
        map.iter().try_for_each(|(key, value)| {
            self.part(value, level + 1, !named && NAMED.contains(&key.as_str()))
        })
    }

    fn keywords(&mut self, map: &Map<String, Value>) -> Result<(), String> {
        let size = |key: &str| map.get(key).and_then(Value::as_object).map_or(0, Map::len);
        let length = |key: &str| map.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let counts = [size("properties"), length("required"), length("prefixItems")];
        if counts.iter().any(|&count| count > PROPERTIES) {
            return Err(format!(
                "has a schema with more than {PROPERTIES} `properties`, `required` or `prefixItems`"
            ));
        }
        let texts = ["pattern", "format"].iter().filter(|key| map.contains_key(**key)).count();
        self.patterns += texts + size("patternProperties");
        if let Some(Value::Number(number)) = map.get("multipleOf") {
            let text = number.to_string();
            let (whole, places) = text.split_once('.').unwrap_or((&text, ""));
            let places = places.trim_end_matches('0');
            let digits = format!("{whole}{places}")
                .parse()
                .ok()
                .filter(|digits| (1..=MULTIPLE).contains(digits));
            let digits = digits.ok_or_else(|| {
                format!(
                    "has a `multipleOf` of {number}, expected 1 to {MULTIPLE} without its point"
                )
            })?;
            self.multiples.push((digits, places.len() as u32));
        }
        let joins = map.keys().any(|key| JOINING.contains(&key.as_str()));
        let says = |key: &String| ![&JOINING[..], &SILENT[..]].concat().contains(&key.as_str());
        self.joined |= map.contains_key("allOf") || joins && map.keys().any(says);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.bytes > BYTES || self.parts > PARTS {
            return Err(format!(
                "has schemas of {} bytes with {} parts, at most {BYTES} and {PARTS} can be held",
                self.bytes, self.parts
            ));
        }
        if self.joined && self.patterns > JOINED_PATTERNS {
            return Err(format!(
                "has schemas that join others and {} patterns and formats, at most \
                 {JOINED_PATTERNS} can be held then",
                self.patterns
            ));
        }
        let places = self.multiples.iter().map(|(_, places)| *places).max().unwrap_or(0);
        let common = self.multiples.iter().try_fold(1_u64, |common, &(digits, own)| {
            let digits = digits.checked_mul(10_u64.checked_pow(places - own)?)?;
            let (mut a, mut b) = (common, digits);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            (common / a).checked_mul(digits).filter(|&common| common <= MULTIPLE)
        });
        if self.joined && common.is_none() {
            return Err(format!(
                "has schemas that join others and whose `multipleOf` together are more than {MULTIPLE}"
            ));
        }
        Ok(())
    }
}

/// What lists properties is an object that has no others, unless it says so; and a whole number has no
/// more digits than every reader takes, or a small model writes digits for ever.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for (key, value) in &mut *map {
        match (key.as_str(), value) {
            (key, Value::Object(parts)) if NAMED.contains(&key) => {
                parts.values_mut().for_each(close);
            }
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(parts)) => {
                parts.iter_mut().for_each(close);
            }
            ("items" | "additionalProperties", part) => close(part),
            _ => {}
        }
    }
    if map.contains_key("properties") && !map.contains_key("patternProperties") {
        map.entry("type").or_insert("object".into());
        map.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    if map.get("type").is_some_and(|kind| kind == "integer") {
        for (key, other, bound) in
            [("minimum", "exclusiveMinimum", -LARGEST), ("maximum", "exclusiveMaximum", LARGEST)]
        {
            if !map.contains_key(other) {
                map.entry(key).or_insert(bound.into());
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
