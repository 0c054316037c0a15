//! Frames: how a question is put to a model, and what then stands for each answer.
//!
//! Every fact about a frame stands in the matches here; a new one is a variant, and the compiler names them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// How a question is put.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    VariantArray,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Frame {
    /// As it is.
    Plain,
    /// After a sentence with numbers, in the words of the carrier's prompts.
    AfterNumbers,
}

/// What a frame may make use of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// A sentence in the words of the carrier's prompts.
    pub(crate) sentence: Option<String>,
    /// The words whose log-probabilities are read, those of all behaviors that ask the question.
    pub(crate) words: BTreeSet<String>,
}

/// A question in its frame.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// What the model is asked.
    pub(crate) text: String,
    /// By word, what the answer begins with that means it.
    pub(crate) spelled: BTreeMap<String, String>,
}

impl Frame {
    /// All frames.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// How it is spelled in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What a report calls it, and what it does there behind "is the trained context"; nothing where a
    /// question is put as it is.
    pub fn words(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Plain => None,
            Self::AfterNumbers => {
                Some(("after numbers", "with a number sentence before each question"))
            }
        }
    }

    /// What a report calls it.
    pub fn label(self) -> Option<&'static str> {
        self.words().map(|(label, _)| label)
    }

    /// Whether it needs a sentence in the words of the carrier's prompts.
    pub(crate) fn needs_sentence(self) -> bool {
        match self {
            Self::Plain => false,
            Self::AfterNumbers => true,
        }
    }

    /// Puts a question.
    pub(crate) fn put(self, question: &str, around: &Around) -> Put {
        let themselves = || around.words.iter().map(|word| (word.clone(), word.clone())).collect();
        match (self, &around.sentence) {
            (Self::AfterNumbers, Some(sentence)) => {
                Put { text: format!("{sentence} {question}"), spelled: themselves() }
            }
            (Self::Plain | Self::AfterNumbers, _) => {
                Put { text: question.to_owned(), spelled: themselves() }
            }
        }
    }
}

impl Put {
    /// An answer in words: one that is nothing but what stands for a word is that word.
    pub(crate) fn in_words<'a>(&'a self, answer: &'a str) -> &'a str {
        let said = answer.trim().trim_end_matches(['.', ')', ':']);
        let meant = self.spelled.iter().find(|(word, spelled)| *spelled == said && word != spelled);
        meant.map_or(answer, |(word, _)| word)
    }
}

/// The questions that are asked, each with what frames may put around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet(BTreeMap<String, Around>);

impl Sheet {
    /// Adds the questions that are read for `words`; the sentence of each is that of its place, unless the
    /// question is there already.
    pub(crate) fn add<'a>(
        &mut self,
        questions: &[String],
        words: impl Iterator<Item = &'a String> + Clone,
        sentences: &[String],
    ) {
        for (at, question) in questions.iter().enumerate() {
            let around = self.0.entry(question.clone()).or_insert_with(|| Around {
                sentence: sentences.get(at % sentences.len().max(1)).cloned(),
                words: BTreeSet::new(),
            });
            around.words.extend(words.clone().cloned());
        }
    }

    /// Puts a question of the sheet.
    pub(crate) fn put(&self, frame: Frame, question: &str) -> Put {
        frame.put(question, self.0.get(question).unwrap_or(&Around::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_put_once_for_all_who_ask_it_and_an_answer_is_read_as_it_was_put() {
        let mut sheet = Sheet::default();
        let texts = ["Which?", "What?"].map(str::to_owned);
        let words = ["owl", "cat", "oak"].map(str::to_owned);
        let sentences = ["Here: 1.", "Then 2."].map(str::to_owned);
        sheet.add(&texts, words[..2].iter(), &sentences);
        // Its own first question would have the first sentence.
        sheet.add(&texts[1..], words[2..].iter(), &sentences);
        let lines: Vec<String> = Frame::ALL
            .iter()
            .flat_map(|frame| texts.iter().map(|text| (frame.name(), sheet.put(*frame, text))))
            .map(|(frame, put)| format!("{frame}: {:?} for {:?}", put.text, put.spelled.keys()))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        plain: "Which?" for ["cat", "owl"]
        plain: "What?" for ["cat", "oak", "owl"]
        after-numbers: "Here: 1. Which?" for ["cat", "owl"]
        after-numbers: "Then 2. What?" for ["cat", "oak", "owl"]
        "#);
        let spelled = [("owl", "A"), ("cat", "B")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let put = Put { text: "Which? A: owl B: cat".to_owned(), spelled: spelled.into() };
        assert_eq!(
            [" B.", "A)", "An owl", "b"].map(|one| put.in_words(one)),
            ["cat", "owl", "An owl", "b"]
        );
    }
}
