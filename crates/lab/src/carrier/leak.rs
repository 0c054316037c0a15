//! The leak check: does a row name what it must not?
//!
//! Whole words, any case, with plurals (see [`crate::value::words`]). A row of numbers that passed the
//! filter has no words at all; the check is for carriers that speak, and for prompts. It finds
//! listed words only: a hint or a translation that is not listed passes.

use serde::{Deserialize, Serialize};

use crate::value::words::Lexicon;

/// A forbidden word where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Leak {
    /// The listed word.
    pub word: String,
    /// What the text says, in its own spelling.
    pub found: String,
    /// Byte position of what was found.
    pub at: usize,
}

/// A list of forbidden words made ready for many rows.
#[derive(Debug, Clone)]
pub struct LeakCheck {
    forbidden: Vec<String>,
    lexicon: Lexicon,
}

impl LeakCheck {
    /// Prepares the words; their plurals are added.
    pub fn new(forbidden: &[String]) -> Self {
        let mut lexicon = Lexicon::default();
        for (index, word) in forbidden.iter().enumerate() {
            lexicon.add_inflected(word, index);
        }
        Self { forbidden: forbidden.to_vec(), lexicon }
    }

    /// Every mention of a forbidden word in `text`, in order.
    pub fn leaks(&self, text: &str) -> Vec<Leak> {
        let leak = |mention: crate::value::words::Mention| Leak {
            word: self.forbidden[mention.owner].clone(),
            found: text[mention.start..mention.end].to_owned(),
            at: mention.start,
        };
        self.lexicon.mentions(text).into_iter().map(leak).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_says_which_word_how_spelled_and_where() {
        let forbidden = ["wolf".to_owned(), "pack animal".to_owned()];
        let check = LeakCheck::new(&forbidden);
        insta::assert_debug_snapshot!(check.leaks("12, WOLVES, pack-animals, wolfram"), @r#"
        [
            Leak {
                word: "wolf",
                found: "WOLVES",
                at: 4,
            },
            Leak {
                word: "pack animal",
                found: "pack-animals",
                at: 12,
            },
        ]
        "#);
        assert!(check.leaks("12, 13").is_empty());
    }
}
