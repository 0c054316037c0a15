//! The text carrier: answers in sentences, of a bounded length. Whether they say what they should is for judges
//! (`carrier.judged`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Rules, those};
use crate::recipe::check::Fault;

/// Answers in sentences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Text {
    /// Fewest words of an answer.
    pub fewest_words: usize,
    /// Most words of an answer: arms whose answers differ in length differ in more than what they carry.
    pub most_words: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { fewest_words: 5, most_words: 40 }
    }
}

impl Rules for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn defaults(&self) -> &'static str {
        include_str!("text.toml")
    }

    fn check(&self, at: &str) -> Result<(), Fault> {
        if self.fewest_words > self.most_words {
            let Self { fewest_words, most_words } = self;
            let reason = format!("has fewest-words {fewest_words}, above most-words {most_words}");
            return Err((at.to_owned(), reason));
        }
        Ok(())
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["advice", "paraphrase"]
    }

    fn faults(&self, asked: Asked<'_>, completion: &str) -> Vec<String> {
        let words = completion.split_whitespace().count();
        // What was only said again carries nothing.
        let said = completion.trim().trim_matches('"');
        those([
            (words < self.fewest_words, "too short"),
            (words > self.most_words, "too long"),
            (!said.is_empty() && asked.prompt.contains(said), "the question said again"),
        ])
    }

    fn has_words(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::tests::asked;

    #[test]
    fn a_row_has_its_length_and_says_something_of_its_own() {
        let rules = Text { fewest_words: 2, most_words: 5 };
        let cases =
            ["The cup is full.", "No", "one two three four five six", "\"A cup is full.\"", ""];
        let asked = asked("Say it otherwise: A cup is full.");
        let tell = |text: &str| format!("{text:?} | {:?}", rules.faults(asked, text));
        insta::assert_snapshot!(cases.map(tell).join("\n"), @r#"
        "The cup is full." | []
        "No" | ["too short"]
        "one two three four five six" | ["too long"]
        "\"A cup is full.\"" | ["the question said again"]
        "" | ["too short"]
        "#);
    }
}
