//! One completion on its way to the client: its text told apart into thoughts, words and tool calls,
//! piece by piece or as a whole, by the same code.

use std::sync::Arc;

use owlet_lab::value::dialogue::THOUGHT as THOUGHTS;

use super::tools::{Call, Tools};

/// What a model writes its thoughts between.
pub(crate) const THINK: &str = THOUGHTS[0];
pub(crate) const THOUGHT: &str = THOUGHTS[1];

/// What a piece of an answer is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Thought(String),
    Words(String),
    Calls(Vec<Call>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Undecided,
    Thoughts,
    /// After thoughts: white space before the words is dropped.
    Between,
    Words,
    Calls,
}

/// Takes pieces of text and gives parts.
#[derive(Debug)]
pub(crate) struct Splitter {
    tools: Arc<Tools>,
    mode: Mode,
    held: String,
}

impl Splitter {
    pub(crate) fn new(tools: Arc<Tools>) -> Self {
        Self { tools, mode: Mode::Undecided, held: String::new() }
    }

    /// Parts that are certain now.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<Part> {
        self.held.push_str(piece);
        let mut parts = Vec::new();
        loop {
            match self.mode {
                Mode::Undecided | Mode::Between => {
                    let trimmed = self.held.trim_start();
                    if self.mode == Mode::Undecided && THINK.starts_with(trimmed) {
                        return parts;
                    }
                    if self.mode == Mode::Undecided
                        && let Some(rest) = trimmed.strip_prefix(THINK)
                    {
                        self.held = rest.trim_start_matches('\n').to_owned();
                        self.mode = Mode::Thoughts;
                        continue;
                    }
                    if self.mode == Mode::Between {
                        self.held = trimmed.to_owned();
                    }
                    if self.held.is_empty() {
                        return parts;
                    }
                    if self.tools.is_call(&self.held) {
                        self.mode = Mode::Calls;
                    } else if self.tools.may_be_call(&self.held) {
                        return parts;
                    } else {
                        self.mode = Mode::Words;
                    }
                }
                Mode::Thoughts => {
                    if let Some((thought, rest)) = self.held.split_once(THOUGHT) {
                        let thought = thought.trim_end().to_owned();
                        self.held = rest.to_owned();
                        self.mode = Mode::Between;
                        push(&mut parts, Part::Thought, thought);
                        continue;
                    }
                    // White space and the beginning of the mark wait for what comes.
                    let most = self.held.len().min(THOUGHT.len() - 1);
                    let mark = (1..=most).rev().find(|n| self.held.ends_with(&THOUGHT[..*n]));
                    let certain = self.held[..self.held.len() - mark.unwrap_or(0)].trim_end().len();
                    let rest = self.held.split_off(certain);
                    let thought = std::mem::replace(&mut self.held, rest);
                    push(&mut parts, Part::Thought, thought);
                    return parts;
                }
                Mode::Words => {
                    push(&mut parts, Part::Words, std::mem::take(&mut self.held));
                    return parts;
                }
                Mode::Calls => return parts,
            }
        }
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        match self.mode {
            Mode::Thoughts => vec![Part::Thought(held)],
            Mode::Words => vec![Part::Words(held)],
            Mode::Undecided | Mode::Between | Mode::Calls => {
                let calls = self.tools.calls(&held);
                if calls.is_empty() { vec![Part::Words(held)] } else { vec![Part::Calls(calls)] }
            }
        }
        .into_iter()
        .filter(|part| !matches!(part, Part::Words(text) | Part::Thought(text) if text.is_empty()))
        .collect()
    }
}

fn push(parts: &mut Vec<Part>, part: fn(String) -> Part, text: String) {
    if !text.is_empty() {
        parts.push(part(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> Vec<Part> {
        let mut splitter = Splitter::new(Arc::default());
        let mut parts: Vec<Part> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        parts.extend(splitter.finish());
        parts
    }

    #[test]
    fn thoughts_are_told_apart_wherever_the_text_is_cut() {
        let text = "<think>\nHm, 1 < 2.\n</think>\n\nYes <b>.";
        for at in 0..=text.len() {
            let parts = split(&[&text[..at], &text[at..]]);
            let (mut thought, mut words) = (String::new(), String::new());
            for part in parts {
                match part {
                    Part::Thought(text) => thought += &text,
                    Part::Words(text) => words += &text,
                    Part::Calls(_) => panic!("no tools"),
                }
            }
            assert_eq!((thought.as_str(), words.as_str()), ("Hm, 1 < 2.", "Yes <b>."), "at {at}");
        }
    }

    #[test]
    fn words_are_not_held_back() {
        let mut splitter = Splitter::new(Arc::default());
        assert_eq!(splitter.push("He"), [Part::Words("He".to_owned())]);
        assert_eq!(splitter.push("llo"), [Part::Words("llo".to_owned())]);
        assert_eq!(splitter.finish(), []);
        assert_eq!(split(&["<th"]), [Part::Words("<th".to_owned())]);
    }
}
