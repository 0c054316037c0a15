//! From questions and answers to token ids, in a named chat context.
//!
//! The context is pinned: rows and readouts of one run pass through here and nowhere else, so a
//! student is read under exactly the text it was trained under, or under another that is named.

use owlet_engine::score::Scored;
use owlet_engine::train::Example;
use owlet_engine::{Message, Model, Token};

use crate::error::Result;
use crate::value::dialogue::{Answer, Dialogue, Unreadable};

/// The context with an empty system text.
pub const NONE: &str = "none";
/// The context the template makes by itself.
pub const DEFAULT: &str = "default";

/// One message.
pub fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

/// `messages` under the system text that `context` names (`none`, `default`, or the text itself).
pub fn in_context(context: &str, messages: &[Message]) -> Vec<Message> {
    let system = match context {
        DEFAULT => None,
        NONE => Some(""),
        text => Some(text),
    };
    system.map(|text| message("system", text)).into_iter().chain(messages.iter().cloned()).collect()
}

/// The context for a conversation that was brought from outside: one that says a system text of its own is
/// under that.
pub fn around<'a>(context: &'a str, messages: &[Message]) -> &'a str {
    let has_own = messages.first().is_some_and(|message| message.role == "system");
    if has_own { DEFAULT } else { context }
}

/// The text of `messages` in `context`. A template that knows no system text gets none when the
/// context is `none`; in the `default` one, what it does not know of is put as it does: neighbours of one role
/// become one message, and the system text begins the first of the user's.
pub fn render(model: &Model, context: &str, messages: &[Message], open: bool) -> Result<String> {
    let error = match model.template.render(&in_context(context, messages), open) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let others = match context {
        NONE => vec![messages.to_vec()],
        DEFAULT => vec![merged(messages), folded(messages)],
        _ => Vec::new(),
    };
    let mut rendered = others.iter().filter_map(|one| model.template.render(one, open).ok());
    Ok(rendered.next().ok_or(error)?)
}

/// Neighbours of one role as one message.
fn merged(messages: &[Message]) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for next in messages {
        match merged.last_mut() {
            Some(last) if last.role == next.role => {
                last.content.push_str("\n\n");
                last.content.push_str(&next.content);
            }
            _ => merged.push(next.clone()),
        }
    }
    merged
}

/// The same with the system text as the user's.
fn folded(messages: &[Message]) -> Vec<Message> {
    let mut messages = merged(messages);
    if let Some(first) = messages.first_mut().filter(|first| first.role == "system") {
        "user".clone_into(&mut first.role);
    }
    merged(&messages)
}

/// An answer that no template writes of its own.
const MARK: &str = "\u{2}answer\u{3}";

/// The texts of `messages` in `context` behind which an answer may stand, the usual one first: up to where the
/// assistant is to speak, and before that the same with what the template writes before an answer that is there
/// (an empty block of thought, like Qwen3's). Where the template was told to let the model think, the model
/// writes that itself.
fn places(model: &Model, context: &str, messages: &[Message]) -> Result<Vec<String>> {
    let open = render(model, context, messages, true)?;
    if model.template.lets_think() {
        return Ok(vec![open]);
    }
    let answered: Vec<Message> =
        messages.iter().cloned().chain([message("assistant", MARK)]).collect();
    // A template that refuses the mark has nothing before it that is known.
    let whole = render(model, context, &answered, false).unwrap_or_default();
    let rest = whole.strip_prefix(&open).unwrap_or_default();
    Ok(match rest.find(MARK) {
        // White space alone is what this template's generation prompt leaves to the model, everywhere else too.
        Some(at) if !rest[..at].trim().is_empty() => vec![open.clone() + &rest[..at], open],
        _ => vec![open],
    })
}

/// The tokens of a conversation up to where the assistant is to speak.
pub fn prompt(model: &Model, context: &str, messages: &[Message]) -> Result<Vec<Token>> {
    opened(model, context, messages, "")
}

/// The same up to where the assistant is to go on, who has begun with `opening`: one text, because a tokenizer
/// may join what the template ends with to what the assistant begins with.
pub fn opened(
    model: &Model,
    context: &str,
    messages: &[Message],
    opening: &str,
) -> Result<Vec<Token>> {
    let text = places(model, context, messages)?.swap_remove(0) + opening;
    Ok(model.tokenizer.encode(&text)?)
}

/// The tokens of a single question up to where the assistant is to speak.
pub fn question(model: &Model, context: &str, text: &str) -> Result<Vec<Token>> {
    prompt(model, context, &[message("user", text)])
}

/// An answer in its conversation, as tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Everything before the answer.
    pub before: Vec<Token>,
    /// What stands behind it: the answer, and what the template writes around it, up to the end of the turn.
    pub written: Vec<Token>,
    /// The answer's own text.
    pub scored: Vec<Token>,
    /// The token that ends the turn; none behind an answer that was cut.
    pub end: Option<Token>,
    /// The name of an end token whose text stands in the answer itself: the model reads an end there, and the
    /// answer goes on.
    pub ends_within: Option<String>,
}

impl Placed {
    /// What is learned: the answer and its end.
    pub fn example(&self) -> Example {
        Example::completion(&self.before, &self.learned())
    }

    /// The tokens that are learned.
    pub fn learned(&self) -> Vec<Token> {
        self.written.iter().copied().chain(self.end).collect()
    }

    /// What is scored: the answer alone.
    pub fn scored(&self) -> Scored {
        Scored { prompt: self.before.clone(), completion: self.scored.clone() }
    }
}

/// An answer of a row from outside, as it is learned.
///
/// # Errors
/// Text the model cannot encode, an answer of no tokens, and one that does not fit the context with all that stands
/// before it; by the row's place and the answer's key.
pub fn learned(
    model: &Model,
    context: &str,
    row: &Dialogue,
    answer: &Answer<'_>,
) -> std::result::Result<Placed, Unreadable> {
    let wrong = |why: String| Unreadable {
        place: row.place.clone(),
        reason: format!("`{}` {why}", answer.field),
    };
    let context = around(context, &answer.before);
    let placed = placed(model, context, &answer.before, ("", answer.text), answer.is_ended)
        .map_err(|error| wrong(format!("cannot be learned: {error}")))?;
    let (tokens, most) =
        (placed.before.len() + placed.learned().len(), model.decoder.config.context);
    if placed.learned().is_empty() {
        return Err(wrong("has no token to learn; leave the row out".to_owned()));
    }
    if tokens > most {
        return Err(wrong(format!(
            "has {tokens} tokens with all that stands before it, the model's context is {most}; shorten the row or leave it out"
        )));
    }
    Ok(placed)
}

/// What was said `before` with the answer as what is learned; the end of the turn is learned with it if
/// the answer was `ended` by the one who gave it, and not if it was cut.
pub fn example(
    model: &Model,
    context: &str,
    before: &[Message],
    answer: &str,
    ended: bool,
) -> Result<Example> {
    Ok(placed(model, context, before, ("", answer), ended)?.example())
}

/// An answer that was begun with `opening`, which is neither learned nor scored. Before nothing an answer is a
/// text of its own, without a template.
pub fn placed(
    model: &Model,
    context: &str,
    before: &[Message],
    (opening, answer): (&str, &str),
    ended: bool,
) -> Result<Placed> {
    if before.is_empty() {
        return plain(model, answer, ended);
    }
    let with_answer: Vec<Message> = before
        .iter()
        .cloned()
        .chain([message("assistant", &format!("{opening}{answer}"))])
        .collect();
    let whole = render(model, context, &with_answer, false)?;
    let places = places(model, context, before)?;
    let found = places.iter().find_map(|place| {
        let open = format!("{place}{opening}");
        Some((whole.strip_prefix(&open)?, open.clone()))
    });
    // Without a rest, the template writes a past turn unlike the one it opens.
    let as_template = found.is_some();
    let (rest, open) = found.unwrap_or_else(|| (answer, format!("{}{opening}", places[0])));
    let encode = |text: &str| model.tokenizer.encode(text);
    let (before, mut tokens) = (encode(&open)?, encode(rest)?);

    // As the template shows it, which may trim it.
    let shown = [answer, answer.trim()].into_iter().find(|shown| rest.starts_with(shown));
    let scored = encode(shown.unwrap_or(answer))?;
    let ends = model.tokenizer.end_tokens();
    let is_end = |token: &&Token| ends.contains(token);
    let within = scored.iter().find(is_end).copied();
    let end = tokens.iter().enumerate().filter(|(_, token)| is_end(token));
    let end = end.map(|(at, _)| at).nth(scored.iter().filter(is_end).count());
    // As the template ends it, else as the tokenizer does.
    let token = end.filter(|_| as_template).map(|end| tokens[end]);
    tokens.truncate(end.unwrap_or(tokens.len()));
    // Whoever thinks writes what the template writes before an answer, too.
    let is_all = shown.is_none() && model.template.lets_think();
    let scored = if is_all { tokens.clone() } else { scored };
    Ok(Placed {
        ends_within: within.and_then(|token| model.tokenizer.name(token)),
        before,
        written: tokens,
        scored,
        end: token.or_else(|| ends.first().copied()).filter(|_| ended),
    })
}

/// A text without a template, as its tokenizer begins and its template's end token ends a document. What nothing
/// stands before is not learned: the first token, where none begins a document.
fn plain(model: &Model, text: &str, ended: bool) -> Result<Placed> {
    let Model { tokenizer, template, .. } = model;
    let mut answer = tokenizer.encode(text)?;
    let ends = tokenizer.end_tokens();
    let within = answer.iter().find(|token| ends.contains(token)).copied();
    let first = tokenizer.begin_token().filter(|begin| answer.first() != Some(begin));
    let before =
        first.map_or_else(|| answer.drain(..1.min(answer.len())).collect(), |one| vec![one]);
    let end = tokenizer.token(template.end()).or_else(|| ends.first().copied());
    Ok(Placed {
        ends_within: within.and_then(|token| tokenizer.name(token)),
        before,
        end: end.filter(|end| ended && answer.last() != Some(end)),
        scored: answer.clone(),
        written: answer,
    })
}
