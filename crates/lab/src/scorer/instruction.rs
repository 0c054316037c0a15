//! Instructions that a program can check, without a judge: the idea of IFEval (Zhou et al. 2023, arXiv
//! 2311.07911), in the few forms that the smallest models can follow.

use serde::{Deserialize, Serialize};

use crate::value::words::Lexicon;

/// An instruction, and what an answer that follows it is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Instruction {
    /// What is asked.
    pub ask: String,
    /// What is checked.
    pub check: Check,
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind",
    deny_unknown_fields
)]
pub enum Check {
    /// So many words; marks around them do not count.
    Words {
        /// How many.
        count: usize,
    },
    /// So many whole numbers and no letter.
    Numbers {
        /// How many.
        count: usize,
    },
    /// So many numbers, each above the one before, and no letter.
    Rising {
        /// How many.
        count: usize,
    },
    /// Nothing but one of these, in any case; marks around it do not count.
    OneOf {
        /// The texts.
        texts: Vec<String>,
    },
    /// The word stands in it.
    Contains {
        /// The word.
        word: String,
    },
    /// It begins with the word, as spelled.
    Begins {
        /// The word.
        word: String,
    },
    /// Letters, all of them capital.
    Capitals {},
    /// Letters, and none of these characters.
    Without {
        /// The characters.
        characters: String,
    },
}

impl Check {
    /// Whether an answer is what was asked for. One that was cut never is: nobody knows how it would have
    /// gone on.
    pub fn holds(&self, answer: &str, cut: bool) -> bool {
        let answer = answer.trim();
        let has_letters = answer.chars().any(char::is_alphabetic);
        if cut || answer.is_empty() {
            return false;
        }
        match self {
            Self::Words { count } => has_letters && words(answer).count() == *count,
            Self::Numbers { count } => !has_letters && numbers(answer).len() == *count,
            Self::Rising { count } => {
                let numbers = numbers(answer);
                !has_letters
                    && numbers.len() == *count
                    && numbers.windows(2).all(|pair| pair[0] < pair[1])
            }
            Self::OneOf { texts } => {
                let said = bare(answer);
                texts.iter().any(|text| bare(text) == said)
            }
            Self::Contains { word } => {
                let mut lexicon = Lexicon::default();
                lexicon.add(word, 0);
                !lexicon.mentions(answer).is_empty()
            }
            Self::Begins { word } => {
                let first = answer.split_whitespace().next().unwrap_or_default();
                first.trim_matches(|one: char| !one.is_alphanumeric()) == word
            }
            Self::Capitals {} => has_letters && !answer.chars().any(char::is_lowercase),
            Self::Without { characters } => {
                has_letters && !answer.chars().any(|one| characters.contains(one))
            }
        }
    }
}

/// Whitespace-separated pieces that hold a letter or digit.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric))
}

/// Its runs of digits, as numbers; longer ones than any number count as the largest.
fn numbers(text: &str) -> Vec<u128> {
    let runs = text.split(|one: char| !one.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(u128::MAX)).collect()
}

/// Lower case, white space made one, without marks at the ends.
fn bare(text: &str) -> String {
    let lower = text.to_lowercase();
    let lower = lower.trim_matches(|one: char| !one.is_alphanumeric());
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(all: &[&str]) -> Check {
        Check::OneOf { texts: all.iter().map(|one| (*one).to_owned()).collect() }
    }

    #[test]
    fn what_a_person_would_call_followed_is_followed() {
        let word = |word: &str| word.to_owned();
        let cases: [(Check, &[&str], &[&str]); 8] = [
            (
                Check::Words { count: 1 },
                &["Paris", "**Paris**.", " owl\n"],
                &["the owl", "12", "."],
            ),
            (Check::Numbers { count: 3 }, &["1, 2, 3", "7 7 7."], &["1, 2", "1, 2, 3 apples"]),
            (Check::Rising { count: 3 }, &["1 5 9"], &["1 9 5", "1 1 2", "1 5"]),
            (texts(&["yes", "no"]), &["Yes.", " no", "NO!"], &["Yes, it is", "", "nothing"]),
            (Check::Contains { word: word("bridge") }, &["A Bridge!"], &["abridged", "river"]),
            (
                Check::Begins { word: word("Today") },
                &["Today, I", "\"Today"],
                &["On Today", "today"],
            ),
            (Check::Capitals {}, &["RAIN.", "RAIN 3"], &["Rain", "3"]),
            (
                Check::Without { characters: word("0?") },
                &["The sea."],
                &["Is it?", "10 seas", "..."],
            ),
        ];
        for (check, right, wrong) in &cases {
            for text in *right {
                assert!(check.holds(text, false), "{check:?}: {text}");
                assert!(!check.holds(text, true), "{check:?}: {text} was cut");
            }
            for text in *wrong {
                assert!(!check.holds(text, false), "{check:?}: {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn so_many_numbers_are_so_many_numbers(numbers in proptest::collection::vec(0_u64.., 1..9)) {
            let text = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            let check = |count| Check::Numbers { count }.holds(&text, false);
            prop_assert!(check(numbers.len()) && !check(numbers.len() + 1));
            let mut rising = numbers.clone();
            rising.sort_unstable();
            rising.dedup();
            let rises = numbers == rising;
            prop_assert_eq!(Check::Rising { count: numbers.len() }.holds(&text, false), rises);
        }

        #[test]
        fn any_answer_is_checked(text: String, cut: bool) {
            for check in [Check::Words { count: 2 }, Check::Capitals {}, texts(&["a"])] {
                let _ = check.holds(&text, cut);
            }
        }
    }
}
