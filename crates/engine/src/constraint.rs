//! Patterns that completions must match: a regular expression becomes a finite automaton over
//! bytes, and each of its states the set of tokens that can still lead to a match (Willard & Louf
//! 2023, arXiv 2307.09702, section 3).

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::Input;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

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
