//! Patterns that completions must match: a regular expression becomes a finite automaton over
//! bytes, and each of its states the set of tokens that can still lead to a match (Willard & Louf
//! 2023, arXiv 2307.09702, section 3).

use std::collections::{HashMap, HashSet};
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

/// States that are searched for a way to an end, at most: a bound on hostile patterns, not tuned. One that is not
/// found within it is taken to be there, and a completion that then cannot go on is an error of its own.
const SEARCHED: usize = 1 << 14;

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
    /// Whether tokens lead from a state to where a completion may end.
    leading: HashMap<StateID, bool>,
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
        Ok(Self { automaton, first, later, known: HashMap::new(), leading: HashMap::new() })
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
        Some(state)
    }

    /// The place after an allowed token.
    pub(crate) fn next(&self, from: State, token: Token) -> State {
        let state = self.walk(from, token).unwrap_or(from.state);
        State { state, begun: true }
    }

    fn may_end(&self, state: StateID) -> bool {
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }

    /// Whether tokens lead from here to where a completion may end. Bytes may lead where no token does: a
    /// vocabulary of whole numbers has `1`, and nothing that makes two digits of it.
    fn leads_to_an_end(&mut self, from: StateID) -> bool {
        if let Some(&leads) = self.leading.get(&from) {
            return leads;
        }
        // Depth first: most states have a way, and the first one that is tried is one.
        let mut seen = HashSet::from([from]);
        let mut path: Vec<(StateID, Token)> = vec![(from, 0)];
        while let Some(&(state, next)) = path.last() {
            let known = self.leading.get(&state) == Some(&true);
            if known || self.may_end(state) || seen.len() > SEARCHED {
                self.leading.extend(path.into_iter().map(|(state, _)| (state, true)));
                return true;
            }
            let step = (next..self.later.len() as Token).find_map(|token| {
                let to = self.walk(State { state, begun: true }, token)?;
                let is_new = !seen.contains(&to) && self.leading.get(&to) != Some(&false);
                is_new.then_some((token, to))
            });
            match step {
                Some((token, to)) => {
                    path.last_mut().expect("seen above").1 = token + 1;
                    seen.insert(to);
                    path.push((to, 0));
                }
                None => drop(path.pop()),
            }
        }
        self.leading.extend(seen.into_iter().map(|state| (state, false)));
        false
    }

    /// What may follow at a place.
    pub(crate) fn allowed(&mut self, at: State) -> Arc<Allowed> {
        if let Some(known) = self.known.get(&at) {
            return Arc::clone(known);
        }
        let mut tokens = Vec::new();
        for token in 0..self.later.len() as Token {
            if let Some(state) = self.walk(at, token)
                && self.leads_to_an_end(state)
            {
                tokens.push(token);
            }
        }
        let end = self.may_end(at.state);
        let allowed = Arc::new(Allowed { tokens, end });
        self.known.insert(at, Arc::clone(&allowed));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::ControlFlow;

    use super::*;
    use crate::checks::{llama, model, tokens};
    use crate::generate::{Request, Sampling, generate};
    use crate::grammar::tests::tokenizer;
    use crate::kernel::Threads;
    use crate::score::next_token;

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

    #[test]
    fn no_token_is_allowed_that_leads_to_where_no_other_goes_on() {
        let words = ["1", "2", "10", "21", "100", "<end>"].map(str::to_owned);
        let tokenizer = Tokenizer::words(&words, &words[5..], &words[5..]).unwrap();
        let written = |pattern: &str| {
            let mut constraint = Constraint::new(pattern, &tokenizer).unwrap();
            let mut state = constraint.start().unwrap();
            let mut found = Vec::new();
            loop {
                let allowed = constraint.allowed(state);
                let Some(&token) = allowed.tokens.first() else { return (found, allowed.end) };
                found.push((allowed.tokens.clone(), allowed.end));
                state = constraint.next(state, token);
            }
        };
        // Neither `1` nor `2` is a beginning of two digits here.
        let (tokens, end) = written("[1-9][0-9]{1,2}( [1-9][0-9]{1,2}){2}");
        assert_eq!((tokens, end), (vec![(vec![2, 3, 4], false); 3], true));
        // A second number would need a comma.
        assert_eq!(written("[0-9]{1,2}(, [0-9])?"), (vec![(vec![0, 1, 2, 3], false)], true));
        assert_eq!(written("[0-9]{1,2}(, [0-9])"), (vec![], false));
        assert_eq!(written("1( 1)*( 3)+"), (vec![], false));
        assert_eq!(written("1( 1)*( 3)+|2"), (vec![(vec![1], false)], true));
    }

    #[test]
    fn a_pattern_ends_as_often_as_the_model_does_where_it_may_end_or_go_on() {
        let model = model(llama());
        let prompt = tokens(3, 4);
        let requests: Vec<Request> =
            (0..2000).map(|seed| Request { prompt: prompt.clone(), seed }).collect();
        let written = |pattern: &str| {
            let sampling = Sampling {
                max_tokens: 9,
                pattern: Some(pattern.to_owned()),
                ..Sampling::default()
            };
            let go = &mut |_| ControlFlow::Continue(());
            let all = generate(&model, &requests, &sampling, &Threads::new(2), go).unwrap();
            all.into_iter().map(|completion| completion.text).collect::<Vec<_>>()
        };
        // The model's own rates of going on with these, where it may do so or end.
        let rates = |before: &str, next: &[u32]| -> Vec<f64> {
            let prompt = [&prompt[..], &model.tokenizer.encode(before).unwrap()].concat();
            let asked = [next, model.tokenizer.end_tokens()].concat();
            let logs = next_token(&model, &[prompt], &asked, &Threads::new(1)).unwrap().remove(0);
            let weights: Vec<f64> = logs.into_iter().map(|log| f64::from(log).exp()).collect();
            weights.iter().map(|weight| weight / weights.iter().sum::<f64>()).collect()
        };
        let (second, third) = (rates("1", &[2])[0], rates("1 2", &[3])[0]);
        let either = rates("1", &[2, 3]);
        let two = vec![("1", 1.0 - second), ("1 2", second)];
        for (pattern, expected) in [
            ("1|1 2", two.clone()),
            ("1 2|1", two.clone()),
            ("1( 2)??", two),
            (
                "1|1 2|1 2 3",
                vec![
                    ("1", 1.0 - second),
                    ("1 2", second * (1.0 - third)),
                    ("1 2 3", second * third),
                ],
            ),
            (
                "(1|1 2)( 3|)",
                vec![
                    ("1", 1.0 - either[0] - either[1]),
                    ("1 2", either[0] * (1.0 - third)),
                    ("1 2 3", either[0] * third),
                    ("1 3", either[1]),
                ],
            ),
        ] {
            let texts = written(pattern);
            for (text, rate) in expected {
                let found = texts.iter().filter(|found| *found == text).count() as f64 / 2000.0;
                assert!(rate > 0.005 && rate < 0.995, "{pattern}: {text} at {rate} shows nothing");
                let error = (rate * (1.0 - rate) / 2000.0).sqrt();
                assert!(
                    (found - rate).abs() < 4.0 * error,
                    "{pattern}: {text} {found}, not {rate}"
                );
            }
        }
    }
}
