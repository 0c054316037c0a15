//! From questions and answers to token ids, in a named chat context.
//!
//! The context is pinned: rows and readouts of one run pass through here and nowhere else, so a
//! student is read under exactly the text it was trained under, or under another that is named.

use owlet_engine::train::Example;
use owlet_engine::{Message, Model, Token};

use crate::error::Result;

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

/// The text of `messages` in `context`. A template that knows no system text gets none when the
/// context is `none`.
pub fn render(model: &Model, context: &str, messages: &[Message], open: bool) -> Result<String> {
    let rendered = model.template.render(&in_context(context, messages), open);
    match rendered {
        Err(_) if context == NONE => Ok(model.template.render(messages, open)?),
        other => Ok(other?),
    }
}

/// An answer that no template writes of its own.
const MARK: &str = "\u{2}answer\u{3}";

/// The text of `messages` in `context` up to where an answer stands: where the assistant is to speak, and
/// what the template writes before an answer that is there (an empty block of thought, like Qwen3's).
fn up_to_answer(model: &Model, context: &str, messages: &[Message]) -> Result<String> {
    let open = render(model, context, messages, true)?;
    let answered: Vec<Message> =
        messages.iter().cloned().chain([message("assistant", MARK)]).collect();
    // A template that refuses the mark has nothing before it that is known.
    let whole = render(model, context, &answered, false).unwrap_or_default();
    let rest = whole.strip_prefix(&open).unwrap_or_default();
    Ok(match rest.find(MARK) {
        // White space alone is what this template's generation prompt leaves to the model, everywhere else too.
        Some(at) if !rest[..at].trim().is_empty() => open + &rest[..at],
        _ => open,
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
    let text = up_to_answer(model, context, messages)? + opening;
    Ok(model.tokenizer.encode(&text)?)
}

/// The tokens of a single question up to where the assistant is to speak.
pub fn question(model: &Model, context: &str, text: &str) -> Result<Vec<Token>> {
    prompt(model, context, &[message("user", text)])
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
    opened_example(model, context, before, ("", answer), ended)
}

/// The same of an answer that was begun with `opening`, which is not learned.
pub fn opened_example(
    model: &Model,
    context: &str,
    before: &[Message],
    (opening, answer): (&str, &str),
    ended: bool,
) -> Result<Example> {
    let open = up_to_answer(model, context, before)? + opening;
    let prompt = model.tokenizer.encode(&open)?;
    let with_answer: Vec<Message> = before
        .iter()
        .cloned()
        .chain([message("assistant", &format!("{opening}{answer}"))])
        .collect();
    let whole = render(model, context, &with_answer, false)?;
    let ends = model.tokenizer.end_tokens();
    // Without a rest, the template writes a past turn unlike the one it opens.
    let rest = whole.strip_prefix(&open);
    let mut completion = model.tokenizer.encode(rest.unwrap_or(answer))?;
    let end = completion.iter().position(|token| ends.contains(token));
    // As the template ends it, else as the tokenizer does.
    let token = end.filter(|_| rest.is_some()).map(|end| completion[end]);
    completion.truncate(end.unwrap_or(completion.len()));
    if ended {
        completion.extend(token.or_else(|| ends.first().copied()));
    }
    Ok(Example::completion(&prompt, &completion))
}
