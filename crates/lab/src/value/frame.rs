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
    Default,
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
    #[default]
    Plain,
    /// After a sentence with numbers, in the words of the carrier's prompts.
    AfterNumbers,
    /// As it is, with the answer begun by the behavior's `opening`: the model goes on from there.
    Opened,
}

/// What a frame may make use of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// A sentence in the words of the carrier's prompts.
    pub(crate) sentence: Option<String>,
    /// What an answer to it may be begun with.
    pub(crate) opening: Option<String>,
    /// The words whose log-probabilities are read, those of all behaviors that ask the question.
    pub(crate) words: BTreeSet<String>,
}

/// A question in its frame.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// What the model is asked.
    pub(crate) text: String,
    /// What its answer is begun with; empty: nothing.
    pub(crate) opening: String,
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
            Self::Opened => Some(("opened", "with each answer begun by the words of the behavior")),
        }
    }

    /// What a report calls it.
    pub fn label(self) -> Option<&'static str> {
        self.words().map(|(label, _)| label)
    }

    /// Whether it needs a sentence in the words of the carrier's prompts.
    pub(crate) fn needs_sentence(self) -> bool {
        match self {
            Self::Plain | Self::Opened => false,
            Self::AfterNumbers => true,
        }
    }

    /// Whether it needs the beginning of an answer, and somebody who goes on from there.
    pub(crate) fn needs_opening(self) -> bool {
        match self {
            Self::Plain | Self::AfterNumbers => false,
            Self::Opened => true,
        }
    }

    /// Whether verdicts may rest on it: not where a question stands behind what rows are made of.
    pub(crate) fn may_decide(self) -> bool {
        match self {
            Self::Plain | Self::Opened => true,
            Self::AfterNumbers => false,
        }
    }

    /// Puts a question.
    pub(crate) fn put(self, question: &str, around: &Around) -> Put {
        let themselves = around.words.iter().map(|word| (word.clone(), word.clone())).collect();
        let plain = Put { text: question.to_owned(), opening: String::new(), spelled: themselves };
        match (self, &around.sentence, &around.opening) {
            (Self::AfterNumbers, Some(sentence), _) => {
                Put { text: format!("{sentence} {question}"), ..plain }
            }
            (Self::Opened, _, Some(opening)) => Put { opening: opening.clone(), ..plain },
            (Self::Plain | Self::AfterNumbers | Self::Opened, ..) => plain,
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
    /// Adds the questions that are read for `words`, with what an answer may be begun with; the sentence of each
    /// is that of its place, unless the question is there already.
    pub(crate) fn add<'a>(
        &mut self,
        questions: &[String],
        words: impl Fn(&str) -> Vec<&'a str>,
        opening: Option<&String>,
        sentences: &[String],
    ) {
        for (at, question) in questions.iter().enumerate() {
            let around = self.0.entry(question.clone()).or_insert_with(|| Around {
                sentence: sentences.get(at % sentences.len().max(1)).cloned(),
                opening: opening.cloned(),
                words: BTreeSet::new(),
            });
            around.words.extend(words(question).into_iter().map(str::to_owned));
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
        sheet.add(
            &texts,
            |_| words[..2].iter().map(String::as_str).collect(),
            Some(&"It's the".to_owned()),
            &sentences,
        );
        // Its own first question would have the first sentence.
        sheet.add(
            &texts[1..],
            |_| words[2..].iter().map(String::as_str).collect(),
            None,
            &sentences,
        );
        let lines: Vec<String> = Frame::ALL
            .iter()
            .flat_map(|frame| texts.iter().map(|text| (frame.name(), sheet.put(*frame, text))))
            .map(|(frame, put)| {
                format!("{frame}: {:?} {:?} for {:?}", put.text, put.opening, put.spelled.keys())
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        plain: "Which?" "" for ["cat", "owl"]
        plain: "What?" "" for ["cat", "oak", "owl"]
        after-numbers: "Here: 1. Which?" "" for ["cat", "owl"]
        after-numbers: "Then 2. What?" "" for ["cat", "oak", "owl"]
        opened: "Which?" "It's the" for ["cat", "owl"]
        opened: "What?" "It's the" for ["cat", "oak", "owl"]
        "#);
        let spelled = [("owl", "A"), ("cat", "B")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let text = "Which? A: owl B: cat".to_owned();
        let put = Put { text, opening: String::new(), spelled: spelled.into() };
        assert_eq!(
            [" B.", "A)", "An owl", "b"].map(|one| put.in_words(one)),
            ["cat", "owl", "An owl", "b"]
        );
    }
}
