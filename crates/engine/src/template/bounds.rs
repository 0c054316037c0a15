//! What the values of a template may amount to while one text is rendered.
//!
//! Jinja bounds neither: a dozen lines can double a text sixty times, or put lists into lists until
//! freeing them overflows the stack. The filters here stand where values grow (see `source`); each gives
//! back its value, charged for, or fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// The value as it lies in memory; as text, with all that is in it; character by character; as the right
/// side of a product; a length of text that stands in the template itself.
pub(super) const HELD: &str = "_held";
pub(super) const TEXT: &str = "_text";
pub(super) const EACH: &str = "_each";
pub(super) const TIMES: &str = "_times";
pub(super) const SAID: &str = "_said";

/// Bytes that values may take in one rendering, one after another, and so many more for each byte of the
/// messages: far above what templates need, and less than any machine has.
const MOST: usize = 1 << 28;
const MOST_PER_BYTE: usize = 64;
/// Bytes that an entry of a list takes, and a character that is a value of its own.
const ENTRY: usize = 24;
/// How deep lists may lie in lists.
const DEEPEST: usize = 64;
/// Widest field of a format.
const WIDEST: usize = 4;

type Outcome<T> = Result<T, Error>;

fn fail<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Error::new(ErrorKind::InvalidOperation, reason.into()))
}

/// What is left to charge for.
#[derive(Clone)]
struct Left {
    bytes: Arc<AtomicUsize>,
    /// The left side of a product: bytes of what is repeated, or how often something is.
    size: Arc<AtomicUsize>,
    count: Arc<AtomicUsize>,
}

impl Left {
    fn charge(&self, bytes: usize) -> Outcome<()> {
        let take = |left: usize| left.checked_sub(bytes);
        match self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => fail("the template makes texts or lists too large; it repeats itself"),
        }
    }

    /// Charges for a value, each of its characters taking `each`, with the texts in it if `deep`.
    fn value(&self, value: &Value, each: usize, deep: bool, depth: usize) -> Outcome<()> {
        if let Some(text) = value.as_str() {
            return self.charge(if depth == 0 || deep { each * text.len() } else { ENTRY });
        }
        self.charge(ENTRY)?;
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
            return Ok(());
        }
        if depth == DEEPEST {
            return fail("the template puts lists into lists, deeper than any needs");
        }
        self.charge(ENTRY * value.len().unwrap_or(0))?;
        // One whose length is not known may be read only once.
        if value.kind() == ValueKind::Iterable && value.len().is_none() {
            return Ok(());
        }
        for item in value.try_iter()? {
            if value.kind() == ValueKind::Map {
                self.value(&value.get_item(&item)?, each, deep, depth + 1)?;
            }
            self.value(&item, each, deep, depth + 1)?;
        }
        Ok(())
    }

    /// Charges for a text with `from` replaced by `to`.
    fn replaced(&self, text: &str, from: &str, to: &str) -> Outcome<()> {
        self.charge(text.len())?;
        self.charge(text.matches(from).count().saturating_mul(to.len()))
    }

    /// Charges for a list as one text.
    fn joined(&self, list: &Value, between: usize) -> Outcome<()> {
        self.value(list, 1, true, 0)?;
        self.charge(list.len().unwrap_or(0).saturating_mul(between))
    }

    fn formatted(&self, format: &str, arguments: &[Value]) -> Outcome<()> {
        let mut digits = 0;
        for c in format.chars() {
            digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
            if digits > WIDEST || c == '*' {
                return fail("a field of a format is too wide");
            }
        }
        self.charge(format.len().saturating_mul(10_usize.pow(WIDEST as u32) / 8))?;
        arguments.iter().try_for_each(|argument| self.value(argument, 1, true, 0))
    }

    fn method(&self, value: &Value, method: &str, arguments: &[Value]) -> Outcome<()> {
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        match (value.as_str(), method) {
            (Some(own), "replace") => {
                self.replaced(own, &text(arguments.first()), &text(arguments.get(1)))
            }
            (Some(own), "join") => {
                arguments.first().map_or(Ok(()), |list| self.joined(list, own.len()))
            }
            (Some(own), "format") => self.formatted(own, arguments),
            (Some(own), "split" | "splitlines" | "rsplit") => self.charge(ENTRY * own.len()),
            _ => self.value(value, 1, false, 0),
        }
    }
}

/// Puts the filters in, for one rendering of messages of `said` bytes.
pub(super) fn put_into(environment: &mut Environment<'_>, said: usize) {
    let most = MOST.saturating_add(MOST_PER_BYTE.saturating_mul(said));
    let left = Left {
        bytes: Arc::new(AtomicUsize::new(most)),
        size: Arc::default(),
        count: Arc::default(),
    };
    for (name, each, deep) in [(HELD, 1, false), (TEXT, 1, true), (EACH, ENTRY, false)] {
        let left = left.clone();
        environment.add_filter(name, move |value: Value| -> Outcome<Value> {
            left.value(&value, each, deep, 0)?;
            left.size.store(length(&value), Ordering::Relaxed);
            left.count.store(value.as_usize().unwrap_or(0), Ordering::Relaxed);
            Ok(value)
        });
    }
    let own = left.clone();
    environment.add_filter(TIMES, move |value: Value| -> Outcome<Value> {
        let (size, count) = (own.size.load(Ordering::Relaxed), own.count.load(Ordering::Relaxed));
        let times = value.as_usize();
        let product =
            times.map_or(count.saturating_mul(length(&value)), |n| size.saturating_mul(n));
        own.charge(product)?;
        // A product may be the left side of another.
        own.size.store(product, Ordering::Relaxed);
        own.count.store(count.saturating_mul(times.unwrap_or(0)), Ordering::Relaxed);
        Ok(value)
    });
    let own = left.clone();
    environment.add_filter(SAID, move |length: usize| own.charge(length).map(|()| ""));
    let own = left.clone();
    environment.add_filter(
        "join",
        move |state: &mut State<'_, '_>, list: Value, rest: Rest<Value>| -> Outcome<Value> {
            own.joined(&list, rest.first().and_then(Value::as_str).map_or(0, str::len))?;
            state.apply_filter("_join", &with(list, &rest))
        },
    );
    let own = left.clone();
    environment.add_filter(
        "replace",
        move |state: &mut State<'_, '_>, text: Value, rest: Rest<Value>| -> Outcome<Value> {
            let part = |at: usize| rest.get(at).and_then(Value::as_str).unwrap_or_default();
            own.replaced(text.as_str().unwrap_or_default(), part(0), part(1))?;
            state.apply_filter("_replace", &with(text, &rest))
        },
    );
    let own = left.clone();
    environment.add_filter(
        "format",
        move |state: &mut State<'_, '_>, text: Value, rest: Rest<Value>| -> Outcome<Value> {
            own.formatted(text.as_str().unwrap_or_default(), &rest)?;
            state.apply_filter("_format", &with(text, &rest))
        },
    );
    for (name, plain) in [("batch", "_batch"), ("slice", "_slice"), ("indent", "_indent")] {
        let own = left.clone();
        environment.add_filter(
            name,
            move |state: &mut State<'_, '_>,
                  value: Value,
                  count: usize,
                  rest: Rest<Value>|
                  -> Outcome<Value> {
                let lines = value.as_str().map_or(1, |text| text.lines().count());
                own.charge(ENTRY.saturating_mul(count).saturating_mul(lines))?;
                let arguments: Vec<Value> =
                    [value, Value::from(count)].into_iter().chain(rest.0).collect();
                state.apply_filter(plain, &arguments)
            },
        );
    }
    let own = left.clone();
    environment.add_filter("tojson", move |value: &Value, options: Kwargs| -> Outcome<Value> {
        // Six characters for one, and the spaces of lines.
        own.value(value, 8, true, 0)?;
        super::to_json(value, options)
    });
    let own = left.clone();
    environment.set_unknown_method_callback(move |state, value, method, arguments| {
        own.method(value, method, arguments)?;
        unknown_method_callback(state, value, method, arguments)
    });
    environment.set_formatter(move |out, state, value| {
        left.value(value, 1, true, 0)?;
        minijinja::escape_formatter(out, state, value)
    });
}

/// Bytes of a text or a list.
fn length(value: &Value) -> usize {
    value.as_str().map_or(ENTRY * value.len().unwrap_or(0), str::len)
}

/// The filters that are wrapped, under other names.
pub(super) fn keep_plain(environment: &mut Environment<'_>) {
    use minijinja::filters;
    environment.add_filter("_join", filters::join);
    environment.add_filter("_replace", filters::replace);
    environment.add_filter("_format", filters::format);
    environment.add_filter("_batch", filters::batch);
    environment.add_filter("_slice", filters::slice);
    environment.add_filter("_indent", filters::indent);
}

fn with(value: Value, rest: &Rest<Value>) -> Vec<Value> {
    std::iter::once(value).chain(rest.0.iter().cloned()).collect()
}
