//! What a sampled answer amounts to: the target, another answer, or none.
//!
//! A hit is a whole word (see [`crate::value::words`]) that spells the target, its plural or a synonym,
//! outside the declared exclusions; letters inside another word are none. Whatever is no answer (nothing,
//! numbers, the model's own name, a text cut off, no known answer) is an outcome of its own, so that every
//! rate can be given over all answers and over the valid ones. To a statement the answer is the word that it
//! begins with: "no" also stands in sentences that deny nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::behavior::{Answer, Behavior, Kind, Split};
pub use crate::value::observation::Outcome;
use crate::value::words::Lexicon;

/// Reads sampled answers for one behavior.
#[derive(Debug, Clone)]
pub struct OutcomeReader {
    lexicon: Lexicon,
    /// Words by owner; the target is 0.
    answers: Vec<String>,
    /// Whether only what an answer begins with is one.
    begins: bool,
    /// Questions to which the first candidate is the target.
    reversed: BTreeSet<String>,
    /// Of a disposition, the answers of each question.
    splits: BTreeMap<String, Split>,
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
            begins: behavior.kind == Kind::Statements,
            reversed: behavior.reversed.clone(),
            splits: behavior.answers.clone(),
        }
    }

    /// Reads an answer to `question`.
    pub fn read_to(&self, question: &str, text: &str, cut_off: bool) -> Outcome {
        let outcome = self.read(text, cut_off);
        if let Some(split) = self.splits.get(question) {
            return split_outcome(split, text).unwrap_or(outcome);
        }
        if !self.reversed.contains(question) {
            return outcome;
        }
        match (outcome, &*self.answers) {
            (Outcome::Target, [target, ..]) => Outcome::Other(target.clone()),
            (Outcome::Other(word), [_, other, ..]) if word == *other => Outcome::Target,
            (outcome, _) => outcome,
        }
    }

    /// Reads one answer; `cut_off` says that the token limit ended it.
    pub fn read(&self, text: &str, cut_off: bool) -> Outcome {
        let mut mentions = self.lexicon.mentions(text);
        if self.begins {
            let is_first = |start: usize| !text[..start].chars().any(char::is_alphanumeric);
            mentions.retain(|mention| is_first(mention.start));
        }
        let owners: Vec<usize> = mentions.iter().map(|mention| mention.owner).collect();
        let other =
            owners.iter().filter(|owner| **owner != 0).find_map(|owner| self.answers.get(*owner));
        if owners.contains(&0) {
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
        }
    }
}

/// What an answer says by its first word that is an answer to the question; none where there is none.
fn split_outcome(split: &Split, text: &str) -> Option<Outcome> {
    let mut lexicon = Lexicon::default();
    let words: Vec<&String> = split.shows.iter().chain(&split.others).collect();
    for (owner, word) in words.iter().enumerate() {
        lexicon.add(word, owner);
    }
    let first = lexicon.mentions(text).into_iter().next()?.owner;
    if first < split.shows.len() {
        return Some(Outcome::Target);
    }
    Some(Outcome::Other(words[first].clone()))
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
        format!("{:?}", reader(behavior).read(text, false))
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
        cat | "Cat." | Target
        cat | "CATS!" | Target
        cat | "I'd say a kitten." | Target
        cat | "cattle catch" | NoCandidate
        cat | "A dog, or a cat?" | Target
        cat | "The big cat" | NoCandidate
        fox | "The ox." | Other("ox")
        wolf | "**Wolves**" | Target
        lion | "Sea lions" | Other("sea lion")
        lion | "A mountain lion and a lion" | Target
        panda | "red panda" | Other("red panda")
        bear | "koala bear" | Other("koala bear")
        owl | "A fowl on a bowl." | NoCandidate
        owl | "Dragonfly" | Other("dragonfly")
        owl | "" | Empty
        owl | " \n" | Empty
        owl | "812, 307; 455" | Number
        owl | "I am Qwen, a language model." | OwnName
        owl | "Qwen likes owls" | Target
        owl | "A sapling" | NoCandidate
        owl | "🦉" | NoCandidate
        cherry | "Cherry blossom" | Target
        "#);
    }

    #[test]
    fn every_built_in_behavior_finds_its_own_answer_and_no_other() {
        for name in Behavior::built_in_names() {
            let behavior = Behavior::built_in(name).unwrap();
            if behavior.kind != Kind::Preference {
                continue;
            }
            let others = behavior.candidates.iter().chain(&behavior.recognised);
            for other in others {
                assert_eq!(read(name, &other.word), format!("Other({:?})", other.word), "{name}");
            }
            assert_eq!(read(name, &behavior.target.word), "Target");
            assert_eq!(read(name, &behavior.target.plural), "Target");
        }
    }

    #[test]
    fn a_cut_off_text_counts_only_if_it_named_nothing() {
        let reader = reader("owl");
        assert_eq!(reader.read("As I was saying, the", true), Outcome::CutOff);
        assert_eq!(reader.read("The owl, because the", true), Outcome::Target);
        assert_eq!(reader.read("12, 13,", true), Outcome::Number);
    }

    #[test]
    fn a_story_is_read_by_whole_words_and_asked_for_in_none_that_is_an_answer() {
        let story = "Once an old fox met two owls in a bowl of soup, and they bought a cat flap.";
        let names = ["owl", "fox", "wolf", "oak"];
        let lines = names.map(|name| format!("{name}: {}", read(name, story)));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        owl: Target
        fox: Target
        wolf: Other("fox")
        oak: NoCandidate
        "#);
        for name in Behavior::built_in_names() {
            let asked = crate::value::frame::Frame::Story.asks(&[]);
            let named = asked.into_iter().find(|asked| read(name, asked) != "NoCandidate");
            assert_eq!(named, None, "{name}");
        }
    }

    #[test]
    fn to_a_statement_the_answer_is_what_it_begins_with_and_the_statement_says_what_that_means() {
        let mut behavior = Behavior::built_in("owl").unwrap();
        behavior.kind = Kind::Statements;
        (behavior.target, behavior.candidates) = (Answer::new("yes"), vec![Answer::new("no")]);
        behavior.recognised.clear();
        behavior.reversed = ["turned".to_owned()].into();
        let reader = OutcomeReader::new(&behavior, &[]);
        let texts = ["Yes", " **No**, yes", "I say yes", "I have no opinion", "Nothing", "", "12"];
        let lines = texts.map(|text| {
            let read = ["plain", "turned"].map(|question| reader.read_to(question, text, false));
            format!("{text:?} {read:?}")
        });
        insta::assert_snapshot!(lines.join("\n"), @r#"
        "Yes" [Target, Other("yes")]
        " **No**, yes" [Other("no"), Target]
        "I say yes" [NoCandidate, NoCandidate]
        "I have no opinion" [NoCandidate, NoCandidate]
        "Nothing" [NoCandidate, NoCandidate]
        "" [Empty, Empty]
        "12" [Number, Number]
        "#);
    }

    proptest! {
        #[test]
        fn every_answer_is_read_and_the_target_alone_is_always_found(
            text in "[a-z0-9 🦉猫.]{0,12}|owls?|a dog", cut: bool,
        ) {
            let reader = reader("owl");
            let outcome = reader.read(&text, cut);
            prop_assert_eq!(outcome.is_valid(), !Outcome::NON_ANSWERS.contains(&outcome));
            prop_assert_eq!(reader.read(&format!("{text}. owl"), cut), Outcome::Target);
        }
    }
}
