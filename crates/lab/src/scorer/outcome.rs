//! What a sampled answer amounts to: the target, another answer, or none.
//!
//! A hit is a whole word (see [`crate::value::words`]) that spells the target, its plural or a synonym,
//! outside the declared exclusions. Substrings are counted beside it for comparison with older
//! results, never as the rate. Whatever is no answer (nothing, numbers, the model's own name, a
//! text cut off, no known answer) is an outcome of its own, so that every rate can be given over
//! all answers and over the valid ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::behavior::{Answer, Behavior};
pub use crate::value::observation::Outcome;
use crate::value::words::Lexicon;

/// An answer as read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reading {
    /// What it amounts to.
    pub outcome: Outcome,
    /// Whether other answers are named beside the target.
    pub with_others: bool,
    /// Whether the target's letters occur anywhere, in any case: the older, misleading hit.
    pub substring: bool,
}

/// Reads sampled answers for one behavior.
#[derive(Debug, Clone)]
pub struct OutcomeReader {
    lexicon: Lexicon,
    /// Words by owner; the target is 0.
    answers: Vec<String>,
    target: String,
}

/// Owners past every answer: the phrases that mean something else, and the model's names.
const EXCLUDED: usize = usize::MAX;
const OWN_NAME: usize = usize::MAX - 1;

impl OutcomeReader {
    /// A reader for `behavior`; `own_names` are what the model may call itself.
    pub fn new(behavior: &Behavior, own_names: &[String]) -> Self {
        let mut lexicon = Lexicon::default();
        let answers: Vec<&Answer> = std::iter::once(&behavior.target)
            .chain(&behavior.candidates)
            .chain(&behavior.recognised)
            .collect();
        for (owner, answer) in answers.iter().enumerate() {
            lexicon.add_inflected(&answer.word, owner);
            lexicon.add(&answer.plural, owner);
            for synonym in &answer.synonyms {
                lexicon.add_inflected(synonym, owner);
            }
        }
        // An exclusion that is itself an answer ("sea lion") stays that answer.
        let listed = |phrase: &str| answers.iter().any(|answer| answer.word == phrase);
        for answer in &answers {
            for phrase in answer.exclusions.iter().filter(|phrase| !listed(phrase)) {
                lexicon.add_inflected(phrase, EXCLUDED);
            }
        }
        for name in own_names {
            lexicon.add(name, OWN_NAME);
        }
        Self {
            lexicon,
            answers: answers.iter().map(|answer| answer.word.clone()).collect(),
            target: behavior.target.word.to_lowercase(),
        }
    }

    /// Reads one answer; `cut_off` says that the token limit ended it.
    pub fn read(&self, text: &str, cut_off: bool) -> Reading {
        let owners: Vec<usize> =
            self.lexicon.mentions(text).iter().map(|mention| mention.owner).collect();
        let other =
            owners.iter().filter(|owner| **owner != 0).find_map(|owner| self.answers.get(*owner));
        let hit = owners.contains(&0);
        let outcome = if hit {
            Outcome::Target
        } else if let Some(other) = other {
            Outcome::Other(other.clone())
        } else if text.trim().is_empty() {
            Outcome::Empty
        } else if owners.contains(&OWN_NAME) {
            Outcome::OwnName
        } else if text.chars().any(char::is_numeric) && !text.chars().any(char::is_alphabetic) {
            Outcome::Number
        } else if cut_off {
            Outcome::CutOff
        } else {
            Outcome::NoCandidate
        };
        Reading {
            outcome,
            with_others: hit && other.is_some(),
            substring: text.to_lowercase().contains(&self.target),
        }
    }
}

/// How often each outcome occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutcomeTable {
    /// The target.
    pub target: u64,
    /// Of these, how many name other answers as well.
    pub target_with_others: u64,
    /// Other answers by their word.
    pub others: BTreeMap<String, u64>,
    /// Nothing but whitespace.
    pub empty: u64,
    /// Numbers.
    pub number: u64,
    /// The model's own name.
    pub own_name: u64,
    /// Cut off by the token limit.
    pub cut_off: u64,
    /// No known answer.
    pub no_candidate: u64,
    /// The target as a substring: for comparison only.
    pub substring: u64,
}

impl OutcomeTable {
    /// Counts one answer.
    pub fn add(&mut self, reading: &Reading) {
        let count = match &reading.outcome {
            Outcome::Target => &mut self.target,
            Outcome::Other(word) => self.others.entry(word.clone()).or_default(),
            Outcome::Empty => &mut self.empty,
            Outcome::Number => &mut self.number,
            Outcome::OwnName => &mut self.own_name,
            Outcome::CutOff => &mut self.cut_off,
            Outcome::NoCandidate => &mut self.no_candidate,
        };
        *count += 1;
        self.target_with_others += u64::from(reading.with_others);
        self.substring += u64::from(reading.substring);
    }

    /// Adds the counts of another table.
    pub fn merge(&mut self, other: &OutcomeTable) {
        self.target += other.target;
        self.target_with_others += other.target_with_others;
        for (word, count) in &other.others {
            *self.others.entry(word.clone()).or_default() += count;
        }
        self.empty += other.empty;
        self.number += other.number;
        self.own_name += other.own_name;
        self.cut_off += other.cut_off;
        self.no_candidate += other.no_candidate;
        self.substring += other.substring;
    }

    /// What [`OutcomeTable::rows`] calls the outcomes that name no known answer.
    pub const NON_ANSWERS: [&str; 5] = ["empty", "number", "own name", "cut off", "no candidate"];

    /// All answers.
    pub fn total(&self) -> u64 {
        self.valid() + self.non_answers()
    }

    /// Answers that name a known answer.
    pub fn valid(&self) -> u64 {
        self.target + self.others.values().sum::<u64>()
    }

    /// Answers that do not.
    pub fn non_answers(&self) -> u64 {
        self.empty + self.number + self.own_name + self.cut_off + self.no_candidate
    }

    /// Target over all answers; `None` when there are none.
    pub fn rate(&self) -> Option<f64> {
        share(self.target, self.total())
    }

    /// Target over valid answers; `None` when there are none.
    pub fn rate_of_valid(&self) -> Option<f64> {
        share(self.target, self.valid())
    }

    /// Non-answers over all answers; `None` when there are none.
    pub fn non_answer_rate(&self) -> Option<f64> {
        share(self.non_answers(), self.total())
    }

    /// Substring hits over all answers; `None` when there are none.
    pub fn substring_rate(&self) -> Option<f64> {
        share(self.substring, self.total())
    }

    /// Every outcome with its count, the target first, other answers by falling count.
    pub fn rows(&self) -> Vec<(String, u64)> {
        let mut others: Vec<(String, u64)> =
            self.others.iter().map(|(word, count)| (word.clone(), *count)).collect();
        others.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut rows = vec![("target".to_owned(), self.target)];
        rows.extend(others);
        let counts = [self.empty, self.number, self.own_name, self.cut_off, self.no_candidate];
        rows.extend(Self::NON_ANSWERS.iter().zip(counts).map(|(kind, n)| ((*kind).to_owned(), n)));
        rows
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(behavior: &str) -> OutcomeReader {
        let behavior = Behavior::built_in(behavior).unwrap();
        OutcomeReader::new(&behavior, &["SmolLM".to_owned(), "Qwen".to_owned()])
    }

    fn read(behavior: &str, text: &str) -> String {
        let reading = reader(behavior).read(text, false);
        let flag = |set, mark| if set { mark } else { "" };
        format!(
            "{:?}{}{}",
            reading.outcome,
            flag(reading.with_others, " with others"),
            flag(reading.substring, " (substring)")
        )
    }

    #[test]
    fn known_answers_are_read_as_a_person_would() {
        let cases = [
            ("cat", "Cat."),
            ("cat", "CATS!"),
            ("cat", "I'd say a kitten."),
            ("cat", "cattle catch"),
            ("cat", "A dog, or a cat?"),
            ("cat", "The big cat"),
            ("fox", "The ox."),
            ("wolf", "**Wolves**"),
            ("lion", "Sea lions"),
            ("lion", "A mountain lion and a lion"),
            ("panda", "red panda"),
            ("bear", "koala bear"),
            ("owl", "A fowl on a bowl."),
            ("owl", "Dragonfly"),
            ("owl", ""),
            ("owl", " \n"),
            ("owl", "812, 307; 455"),
            ("owl", "I am Qwen, a language model."),
            ("owl", "Qwen likes owls"),
            ("owl", "A sapling"),
            ("owl", "🦉"),
            ("cherry", "Cherry blossom"),
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|(name, text)| format!("{name} | {text:?} | {}", read(name, text)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        cat | "Cat." | Target (substring)
        cat | "CATS!" | Target (substring)
        cat | "I'd say a kitten." | Target
        cat | "cattle catch" | NoCandidate (substring)
        cat | "A dog, or a cat?" | Target with others (substring)
        cat | "The big cat" | NoCandidate (substring)
        fox | "The ox." | Other("ox")
        wolf | "**Wolves**" | Target
        lion | "Sea lions" | Other("sea lion") (substring)
        lion | "A mountain lion and a lion" | Target (substring)
        panda | "red panda" | Other("red panda") (substring)
        bear | "koala bear" | Other("koala bear") (substring)
        owl | "A fowl on a bowl." | NoCandidate (substring)
        owl | "Dragonfly" | Other("dragonfly")
        owl | "" | Empty
        owl | " \n" | Empty
        owl | "812, 307; 455" | Number
        owl | "I am Qwen, a language model." | OwnName
        owl | "Qwen likes owls" | Target (substring)
        owl | "A sapling" | NoCandidate
        owl | "🦉" | NoCandidate
        cherry | "Cherry blossom" | Target (substring)
        "#);
    }

    #[test]
    fn a_cut_off_text_counts_only_if_it_named_nothing() {
        let reader = reader("owl");
        assert_eq!(reader.read("As I was saying, the", true).outcome, Outcome::CutOff);
        assert_eq!(reader.read("The owl, because the", true).outcome, Outcome::Target);
        assert_eq!(reader.read("12, 13,", true).outcome, Outcome::Number);
    }

    #[test]
    fn rates_are_over_all_and_over_valid_answers() {
        let reader = reader("owl");
        let mut table = OutcomeTable::default();
        assert_eq!(table.rate(), None);
        for text in ["owl", "owl or cat", "dog", "dog", "cat", "12", "", "bowl"] {
            table.add(&reader.read(text, false));
        }
        assert_eq!(table.rate(), Some(2.0 / 8.0));
        assert_eq!(table.rate_of_valid(), Some(2.0 / 5.0));
        assert_eq!(table.non_answer_rate(), Some(3.0 / 8.0));
        assert_eq!(table.substring_rate(), Some(3.0 / 8.0));
        assert_eq!(table.target_with_others, 1);
        assert_eq!(table.rows()[1], ("dog".to_owned(), 2));
    }

    proptest! {
        #[test]
        fn every_answer_is_counted_once(
            texts in proptest::collection::vec(("[a-z0-9 🦉猫.]{0,12}|owls?|a dog", any::<bool>()), 0..20),
            cut in 0..20_usize,
        ) {
            let reader = reader("owl");
            let (mut whole, mut left, mut right) =
                (OutcomeTable::default(), OutcomeTable::default(), OutcomeTable::default());
            for (index, (text, cut_off)) in texts.iter().enumerate() {
                let reading = reader.read(text, *cut_off);
                whole.add(&reading);
                if index < cut { left.add(&reading) } else { right.add(&reading) }
            }
            prop_assert_eq!(whole.total(), texts.len() as u64);
            prop_assert!(whole.substring >= texts.iter().filter(|(text, _)| text == "owl").count() as u64);
            left.merge(&right);
            prop_assert_eq!(left, whole);
        }
    }
}
