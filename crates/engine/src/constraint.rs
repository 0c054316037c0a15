//! Patterns that completions must match: a regular expression becomes a finite automaton over
//! bytes, and each of its states the set of tokens that can still lead to a match (Willard & Louf
//! 2023, arXiv 2307.09702, section 3).

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Input, MatchKind};

use crate::Token;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Memory an automaton may take, in bytes: a bound on hostile patterns, not tuned.
const AUTOMATON: usize = 64 << 20;

/// Where a completion stands in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    state: StateID,
    begun: bool,
}

/// What may come next.
#[derive(Debug)]
pub(crate) struct Allowed {
    /// Tokens, ascending, without those that end a turn.
    pub(crate) tokens: Vec<Token>,
    /// Whether the completion may end here.
    pub(crate) end: bool,
}

impl Allowed {
    /// Whether a token may come next; `ends` are those that end a turn.
    pub(crate) fn has(&self, token: Token, ends: &[Token]) -> bool {
        self.tokens.binary_search(&token).is_ok() || self.end && ends.contains(&token)
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Constraint {
    automaton: dense::DFA<Vec<u32>>,
    /// Bytes of each token where it begins a text, and elsewhere; empty for special tokens.
    first: Vec<Vec<u8>>,
    later: Vec<Vec<u8>>,
    known: HashMap<State, Arc<Allowed>>,
}

impl Constraint {
    pub(crate) fn new(pattern: &str, tokenizer: &Tokenizer) -> Result<Self> {
        tokenizer.check_pieces("pattern")?;
        let fail = |reason: String| Error::setting("pattern", reason);
        let automaton = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    // Whole completions are matched, not searched for: every way through the pattern stays
                    // open. The default drops all that a search would not prefer, so that `a|ab` ends at `a`.
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(AUTOMATON))
                    .determinize_size_limit(Some(AUTOMATON)),
            )
            .build(pattern)
            .map_err(|e| fail(format!("`{pattern}` is not a usable regular expression: {e}")))?;
        let [first, later] = tokenizer.spellings();
        Ok(Self { automaton, first, later, known: HashMap::new() })
    }

    pub(crate) fn start(&self) -> Result<State> {
        let config = start::Config::new()
            .anchored(Input::new("").anchored(regex_automata::Anchored::Yes).get_anchored());
        let fail = |e| Error::setting("pattern", format!("cannot be started: {e}"));
        let state = self.automaton.start_state(&config).map_err(fail)?;
        Ok(State { state, begun: false })
    }

    fn walk(&self, from: State, token: Token) -> Option<StateID> {
        let bytes = &(if from.begun { &self.later } else { &self.first })[token as usize];
        if bytes.is_empty() {
            return None;
        }
        let mut state = from.state;
        for &byte in bytes {
            state = self.automaton.next_state(state, byte);
            if self.automaton.is_dead_state(state) || self.automaton.is_quit_state(state) {
                return None;
            }
        }
        // A matching pattern with nothing to follow it leads to a state whose every byte is dead;
        // it stays allowed because the match itself is reported one step late.
        Some(state)
    }

    /// The place after an allowed token.
    pub(crate) fn next(&self, from: State, token: Token) -> State {
        let state = self.walk(from, token).unwrap_or(from.state);
        State { state, begun: true }
    }

    /// What may follow at a place.
    pub(crate) fn allowed(&mut self, at: State) -> Arc<Allowed> {
        if let Some(known) = self.known.get(&at) {
            return Arc::clone(known);
        }
        let live = |state: StateID| {
            // Nothing but a pending match: no byte leads on and the end is no match.
            (0..=255u8).any(|b| !self.automaton.is_dead_state(self.automaton.next_state(state, b)))
                || self.automaton.is_match_state(self.automaton.next_eoi_state(state))
        };
        let tokens = (0..self.later.len() as Token)
            .filter(|&token| self.walk(at, token).is_some_and(live))
            .collect();
        let end = self.automaton.is_match_state(self.automaton.next_eoi_state(at.state));
        let allowed = Arc::new(Allowed { tokens, end });
        self.known.insert(at, Arc::clone(&allowed));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::grammar::tests::tokenizer;

    /// All texts of at most `most` tokens that a completion may end with.
    fn texts(pattern: &str, most: usize) -> Vec<String> {
        let tokenizer = tokenizer();
        let mut constraint = Constraint::new(pattern, &tokenizer).unwrap();
        let mut open = vec![(constraint.start().unwrap(), String::new())];
        let mut found = BTreeSet::new();
        for _ in 0..=most {
            for (state, text) in std::mem::take(&mut open) {
                let allowed = constraint.allowed(state);
                if allowed.end {
                    found.insert(text.clone());
                }
                open.extend(allowed.tokens.iter().map(|&token| {
                    let piece = String::from_utf8(tokenizer.token_bytes(token).unwrap()).unwrap();
                    (constraint.next(state, token), format!("{text}{piece}"))
                }));
            }
        }
        found.into_iter().collect()
    }

    #[test]
    fn every_text_that_a_pattern_matches_as_a_whole_may_be_written_and_no_other() {
        assert_eq!(texts("a|ab", 4), ["a", "ab"]);
        assert_eq!(texts("ab|a", 4), ["a", "ab"]);
        assert_eq!(texts("a|ab|abc", 4), ["a", "ab", "abc"]);
        assert_eq!(texts("(a|ab)(c|)", 4), ["a", "ab", "abc", "ac"]);
        assert_eq!(texts("(|a)b?", 4), ["", "a", "ab", "b"]);
        assert_eq!(texts("a+?", 3), ["a", "aa", "aaa"]);
        assert_eq!(texts("a{1,2}?b??", 4), ["a", "aa", "aab", "ab"]);
        assert_eq!(texts("[1-2]|[1-2][3-4]", 3), ["1", "13", "14", "2", "23", "24"]);
        assert_eq!(texts("a$|ab^|abc", 4), ["a", "abc"]);
    }
}
