//! Rows of preferences: something to answer, and two answers of which one is better.

use std::collections::BTreeSet;

use super::Purpose;
use super::object::{Object, Wrong};
use super::turn::{Around, Calls, Read, Turn, around, said, turns, unlearned};

/// What the better answer and the other are called, as TRL and as OpenAI have it.
pub(super) const OUTPUTS: [[&str; 2]; 2] =
    [["chosen", "rejected"], ["preferred_output", "non_preferred_output"]];

/// Reads a row; its last turn is the better answer. Where it is only to be answered, nothing is said of answers.
pub(super) fn read(
    row: &mut Object,
    purpose: Purpose,
    ignored: &mut BTreeSet<String>,
) -> Result<Read, Wrong> {
    let [trl, openai] = OUTPUTS;
    let has = |keys: [&'static str; 2]| keys.into_iter().find(|key| row.has(key));
    let keys = match (has(trl), has(openai)) {
        (Some(one), Some(other)) => {
            let reason = format!("stands beside `{other}`; leave one of the two forms out");
            return Err(row.wrong(one, reason));
        }
        (_, Some(_)) => openai,
        _ => trl,
    };
    let (mut asked, around) =
        if keys == openai { input(row, ignored)? } else { prompt(row, ignored)? };
    if purpose == Purpose::Questions && !asked.is_empty() {
        for key in keys {
            row.take(key);
        }
        return Ok(Read { turns: asked, rejected: None, around });
    }
    // The other answer may be one that nobody should give.
    let mut chosen = outputs(row, keys[0], Calls::Whole, ignored)?;
    let mut rejected = outputs(row, keys[1], Calls::AsTheyAre, ignored)?;
    if asked.is_empty() && keys == trl {
        asked = common(&mut chosen, &mut rejected).map_err(|why| row.wrong("prompt", why))?;
    }
    let [chosen, rejected] = [one(chosen, row, keys[0])?, one(rejected, row, keys[1])?];
    asked.push(chosen);
    Ok(Read { turns: asked, rejected: Some(rejected), around })
}

/// What is to be answered, as OpenAI has it, and what stands around it.
fn input(row: &mut Object, ignored: &mut BTreeSet<String>) -> Result<(Vec<Turn>, Around), Wrong> {
    row.refuse(&[("prompt", "what is to be answered stands in `input.messages`")])?;
    let Some(input) = row.take("input") else { return Err(row.wrong("input", "is missing")) };
    let mut input = Object::nested(input, "input")?;
    let list = input.list("messages")?;
    let list = list.ok_or_else(|| input.wrong("messages", "is missing"))?;
    let asked = unlearned(turns(list, &input.name("messages"), ignored)?);
    let around = around(&mut input, ignored)?;
    input.refuse_foreign("a row is learned, or left out of the file")?;
    input.leave(ignored);
    Ok((asked, around))
}

/// The same as TRL has it; nothing where the answers' own conversations begin with it.
fn prompt(row: &mut Object, ignored: &mut BTreeSet<String>) -> Result<(Vec<Turn>, Around), Wrong> {
    let asked = unlearned(said(row, "prompt", ("user", Calls::AsTheyAre), ignored)?);
    Ok((asked, around(row, ignored)?))
}

fn outputs(
    row: &mut Object,
    key: &str,
    calls: Calls,
    ignored: &mut BTreeSet<String>,
) -> Result<Vec<Turn>, Wrong> {
    if !row.has(key) {
        return Err(row.wrong(key, "is missing; a preference has two answers"));
    }
    said(row, key, ("assistant", calls), ignored)
}

/// Takes the beginning off that two conversations share: all but the last of each.
fn common(chosen: &mut Vec<Turn>, rejected: &mut Vec<Turn>) -> Result<Vec<Turn>, &'static str> {
    let before = |turns: &[Turn]| turns.len().saturating_sub(1);
    let [ours, theirs] = [&chosen[..before(chosen)], &rejected[..before(rejected)]];
    if ours.is_empty() {
        return Err("is missing");
    }
    let is_same = |(one, other): (&Turn, &Turn)| one.message == other.message;
    if ours.len() != theirs.len() || !ours.iter().zip(theirs).all(is_same) {
        return Err("is missing, and `chosen` and `rejected` answer other messages");
    }
    let last = rejected.split_off(before(rejected));
    *rejected = last;
    let answer = chosen.split_off(before(chosen));
    Ok(unlearned(std::mem::replace(chosen, answer)))
}

/// The one message that is an answer.
fn one(mut output: Vec<Turn>, row: &Object, key: &str) -> Result<Turn, Wrong> {
    let count = output.len();
    match output.pop() {
        Some(turn) if count == 1 && turn.is_learned => Ok(turn),
        Some(turn) if count == 1 && turn.is_answer() => {
            let reason = "is 0, and of a preference both answers are learned from";
            Err(Wrong::new(format!("{}.weight", turn.field), reason))
        }
        Some(_) if count == 1 => Err(row.wrong(key, "is no message by `assistant`")),
        _ => {
            let reason = format!("has {count} messages, expected one by `assistant`");
            Err(row.wrong(key, reason))
        }
    }
}
