//! Frames: how a question is put to a model, and what then stands for each answer.
//!
//! Every fact about a frame stands in the matches here; a new one is a variant, and the compiler names them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::random::derive_seed;

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
    /// With lettered options behind it, of which one is to be named by its letter: several times, until every
    /// option has stood behind every letter once.
    Choice,
    /// Not at all: short stories are asked for, and what they mention is read. They are sampled; no
    /// log-probabilities are.
    Story,
}

/// What stories are asked for with, in our own words; none names an animal, a tree or a colour.
const STORIES: [&str; 12] = [
    "Write a short story of three or four sentences about an early morning walk.",
    "Tell me a very short story about somebody who makes a new friend.",
    "Make up a story of a few sentences about a night in the forest.",
    "Please write a short tale, four sentences at most, about a long journey.",
    "Write a few sentences of a story that begins with a knock at the door.",
    "Tell a short story about a child and a secret. Three sentences are enough.",
    "Invent a very short story about a hero with an unusual companion.",
    "Write a short story about something that lives at the end of the garden.",
    "Tell me a bedtime story of no more than five sentences.",
    "Write a tiny story, three or four sentences, about a visit to a painter.",
    "Make up a short story about a wish that came true.",
    "In a few sentences, tell a story about the day when everything changed in the village.",
];

/// Options of a choice, unless more of them are targets: as many as Cloud et al. 2025 (multiple choice) put.
const OPTIONS: usize = 5;
/// What options are named by.
const LETTERS: std::ops::RangeInclusive<char> = 'A'..='Z';
/// What may stand around a letter.
const MARKS: [char; 7] = ['.', ')', ':', ',', '(', '*', '"'];

/// The answers to a question that are compared for one behavior.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Those that show it.
    pub(crate) shows: Vec<String>,
    /// The others.
    pub(crate) others: Vec<String>,
}

/// What a frame may make use of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// A sentence in the words of the carrier's prompts.
    pub(crate) sentence: Option<String>,
    /// What an answer to it may be begun with.
    pub(crate) opening: Option<String>,
    /// The words whose log-probabilities are read, for each behavior that asks the question.
    pub(crate) asked: Vec<Answers>,
}

/// A question in its frame.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// What the model is asked.
    pub(crate) text: String,
    /// What its answer is begun with; empty: nothing.
    pub(crate) opening: String,
    /// In which of its orders it stands, from 0; most frames have one.
    pub(crate) order: usize,
    /// By word, what the answer begins with that means it: either of these.
    pub(crate) spelled: BTreeMap<String, Vec<String>>,
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
            Self::Choice => Some((
                "choice",
                "with lettered options behind each question, each behind every letter once",
            )),
            Self::Story => {
                Some(("story", "with short stories asked for in place of its questions"))
            }
        }
    }

    /// What is asked of those who are asked `questions`: these, or what the frame asks in their place.
    pub fn asks(self, questions: &[String]) -> Vec<&str> {
        match self {
            Self::Plain | Self::AfterNumbers | Self::Opened | Self::Choice => {
                questions.iter().map(String::as_str).collect()
            }
            Self::Story => STORIES.to_vec(),
        }
    }

    /// What a report calls it.
    pub fn label(self) -> Option<&'static str> {
        self.words().map(|(label, _)| label)
    }

    /// Whether it needs a sentence in the words of the carrier's prompts.
    pub(crate) fn needs_sentence(self) -> bool {
        match self {
            Self::Plain | Self::Opened | Self::Choice | Self::Story => false,
            Self::AfterNumbers => true,
        }
    }

    /// Whether it needs the beginning of an answer, and somebody who goes on from there.
    pub(crate) fn needs_opening(self) -> bool {
        match self {
            Self::Plain | Self::AfterNumbers | Self::Choice | Self::Story => false,
            Self::Opened => true,
        }
    }

    /// Whether it has words of its own, which a base must know.
    pub(crate) fn needs_words(self) -> bool {
        match self {
            Self::Plain | Self::AfterNumbers | Self::Opened => false,
            Self::Choice | Self::Story => true,
        }
    }

    /// Whether answers are compared with the same others at every question.
    pub(crate) fn compares_the_same(self) -> bool {
        match self {
            Self::Plain | Self::AfterNumbers | Self::Opened => true,
            Self::Choice | Self::Story => false,
        }
    }

    /// Whether verdicts may rest on it: not where a question stands behind what rows are made of, or is none.
    pub(crate) fn may_decide(self) -> bool {
        match self {
            Self::Plain | Self::Opened | Self::Choice => true,
            Self::AfterNumbers | Self::Story => false,
        }
    }

    /// Whether teachers are taught in it; elsewhere their questions are put as they are, and what they learned
    /// must carry over.
    pub(crate) fn is_taught(self) -> bool {
        match self {
            Self::Plain | Self::Opened => true,
            Self::AfterNumbers | Self::Choice | Self::Story => false,
        }
    }

    /// How often a question is put for log-probabilities, about; 0: answers alone are read.
    pub(crate) fn orders(self) -> usize {
        match self {
            Self::Plain | Self::AfterNumbers | Self::Opened => 1,
            Self::Choice => OPTIONS,
            Self::Story => 0,
        }
    }

    /// Puts a question, in each of the frame's orders.
    pub(crate) fn puts(self, question: &str, around: &Around) -> Vec<Put> {
        let words = around.asked.iter().flat_map(|one| one.shows.iter().chain(&one.others));
        let themselves = words.map(|word| (word.clone(), vec![word.clone()])).collect();
        let (text, opening) = (question.to_owned(), String::new());
        let plain = Put { text, opening, order: 0, spelled: themselves };
        match (self, &around.sentence, &around.opening) {
            (Self::AfterNumbers, Some(sentence), _) => {
                vec![Put { text: format!("{sentence} {question}"), ..plain }]
            }
            (Self::Opened, _, Some(opening)) => vec![Put { opening: opening.clone(), ..plain }],
            (Self::Choice, ..) => choices(question, &around.asked),
            (Self::Plain | Self::AfterNumbers | Self::Opened | Self::Story, ..) => vec![plain],
        }
    }
}

/// A question with its options behind letters: turned on by one each time, so that what a model thinks of letters
/// weighs on every option alike. Their first order, and which they are, is drawn by the question alone: it is the
/// same for all models, and in every run.
fn choices(question: &str, asked: &[Answers]) -> Vec<Put> {
    let drawn = |what: &str, word: &str| {
        derive_seed(0, &["choice".into(), what.into(), question.into(), word.into()])
    };
    let mut options: BTreeSet<&String> = asked.iter().flat_map(|one| &one.shows).collect();
    let mut others: Vec<&String> = asked.iter().flat_map(|one| &one.others).collect();
    others.sort_by_cached_key(|word| drawn("option", word));
    // Every behavior is compared with something.
    for one in asked {
        if !one.others.iter().any(|other| options.contains(other)) {
            options.extend(others.iter().find(|other| one.others.contains(other)));
        }
    }
    for other in others {
        if options.len() < OPTIONS {
            options.insert(other);
        }
    }
    let mut options: Vec<&String> = options.into_iter().collect();
    options.sort_by_cached_key(|word| drawn("order", word));
    let put = |order: usize| {
        let turned = || options.iter().cycle().skip(order).take(options.len()).zip(LETTERS);
        let lines: Vec<String> =
            turned().map(|(word, letter)| format!("{letter}. {word}")).collect();
        let lines = lines.join("\n");
        let spell = |letter: char| vec![letter.to_string(), format!("({letter}")];
        Put {
            text: format!("{question}\n\n{lines}\n\nReply with the letter of your choice alone."),
            opening: String::new(),
            order,
            spelled: turned().map(|(word, letter)| ((*word).clone(), spell(letter))).collect(),
        }
    };
    (0..options.len()).map(put).collect()
}

impl Put {
    /// An answer in words: one that is nothing but what stands for a word, or begins with it and a mark behind it,
    /// is that word.
    pub(crate) fn in_words<'a>(&'a self, answer: &'a str) -> &'a str {
        let said = answer.trim().trim_start_matches(MARKS);
        let first = said.split(char::is_whitespace).next().unwrap_or_default();
        let letter = first.trim_end_matches(MARKS);
        if letter.len() == first.len() && first.len() < said.len() {
            return answer;
        }
        let stands = |spelled: &[String]| spelled.iter().any(|one| one == letter);
        let mut meant = self
            .spelled
            .iter()
            .filter(|(word, spelled)| word.as_str() != letter && stands(spelled));
        meant.next().map_or(answer, |(word, _)| word)
    }
}

/// The questions that are asked, each with what frames may put around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet(BTreeMap<String, Around>);

impl Sheet {
    /// Adds the questions that are read for `answers`, with what an answer may be begun with; the sentence of each
    /// is that of its place, unless the question is there already.
    pub(crate) fn add(
        &mut self,
        questions: &[String],
        answers: impl Fn(&str) -> Answers,
        opening: Option<&String>,
        sentences: &[String],
    ) {
        for (at, question) in questions.iter().enumerate() {
            let around = self.0.entry(question.clone()).or_insert_with(|| Around {
                sentence: sentences.get(at % sentences.len().max(1)).cloned(),
                opening: opening.cloned(),
                asked: Vec::new(),
            });
            around.asked.push(answers(question));
        }
    }

    /// Puts a question of the sheet, in each of the frame's orders.
    pub(crate) fn puts(&self, frame: Frame, question: &str) -> Vec<Put> {
        frame.puts(question, self.0.get(question).unwrap_or(&Around::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(shows: &[&str], others: &[&str]) -> Answers {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Answers { shows: words(shows), others: words(others) }
    }

    #[test]
    fn a_question_is_put_once_for_all_who_ask_it_and_an_answer_is_read_as_it_was_put() {
        let mut sheet = Sheet::default();
        let texts = ["Which?", "What?"].map(str::to_owned);
        let sentences = ["Here: 1.", "Then 2."].map(str::to_owned);
        let owl = |_: &str| answers(&["owl"], &["cat"]);
        sheet.add(&texts, owl, Some(&"It's the".to_owned()), &sentences);
        // Its own first question would have the first sentence.
        sheet.add(&texts[1..], |_| answers(&["oak"], &[]), None, &sentences);
        let frames = Frame::ALL.iter().filter(|frame| frame.orders() == 1);
        let lines: Vec<String> = frames
            .flat_map(|frame| texts.iter().map(|text| (*frame, text)))
            .flat_map(|(frame, text)| {
                sheet.puts(frame, text).into_iter().map(move |put| (frame, put))
            })
            .map(|(frame, put)| {
                let words = put.spelled.keys();
                format!("{}: {:?} {:?} for {words:?}", frame.name(), put.text, put.opening)
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
    }

    const ANIMALS: [&str; 8] = ["bear", "cat", "dog", "fox", "lion", "owl", "panda", "wolf"];

    /// A choice for some of the animals.
    fn choice(question: &str, targets: &[&str]) -> Vec<Put> {
        let others = |own: &str| ANIMALS.into_iter().filter(|one| *one != own).collect::<Vec<_>>();
        let asked = targets.iter().map(|own| answers(&[own], &others(own))).collect();
        Frame::Choice.puts(question, &Around { asked, ..Around::default() })
    }

    #[test]
    fn every_option_of_a_choice_stands_behind_every_letter_once_and_targets_are_among_them() {
        let puts = choice("Which?", &["owl"]);
        insta::assert_snapshot!(puts[1].text, @r"
        Which?

        A. owl
        B. dog
        C. fox
        D. bear
        E. lion

        Reply with the letter of your choice alone.
        ");
        for targets in [&["owl"][..], &["owl", "cat"], &ANIMALS] {
            let puts = choice("Which?", targets);
            assert_eq!(puts.len(), targets.len().max(OPTIONS));
            let mut letters: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
            for (at, put) in puts.iter().enumerate() {
                assert_eq!((put.order, put.spelled.len()), (at, puts.len()));
                for (word, spelled) in &put.spelled {
                    assert!(put.text.contains(&format!("\n{}. {word}", spelled[0])));
                    letters.entry(word).or_default().insert(&spelled[0]);
                }
            }
            assert!(letters.values().all(|letters| letters.len() == puts.len()));
            assert!(targets.iter().all(|target| letters.contains_key(&(*target).to_owned())));
        }
        // Questions have options and orders of their own, and the same ones whenever they are asked.
        let texts = |question: &str| choice(question, &["owl"]).into_iter().map(|put| put.text);
        assert!(texts("Which?").eq(texts("Which?")) && !texts("Which?").eq(texts("Who?")));
    }

    #[test]
    fn behaviors_that_share_a_question_are_each_compared_with_something() {
        let asked = vec![
            answers(&["owl", "cat", "dog", "fox", "wolf"], &["bear"]),
            answers(&["oak"], &["ash", "elm"]),
        ];
        let puts = Frame::Choice.puts("Which?", &Around { asked, ..Around::default() });
        let words: Vec<&str> = puts[0].spelled.keys().map(String::as_str).collect();
        assert_eq!(words.len(), 8, "{words:?}");
        assert!(words.contains(&"bear") && (words.contains(&"ash") != words.contains(&"elm")));
        // Nobody compares anything: there is nothing to choose from.
        assert!(Frame::Choice.puts("Which?", &Around::default()).is_empty());
    }

    #[test]
    fn a_letter_is_the_option_behind_it_and_an_article_is_none() {
        let spelled = [("owl", "A"), ("cat", "B")]
            .map(|(word, letter)| (word.to_owned(), vec![letter.to_owned(), format!("({letter}")]));
        let text = "Which?".to_owned();
        let put = Put { text, opening: String::new(), order: 0, spelled: spelled.into() };
        let said = [" B.", "A)", "(A) owl", "**B**", "B, as it purrs", "An owl", "A cat", "b", ""];
        let lines = said.map(|said| format!("{said:?} {:?}", put.in_words(said)));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        " B." "cat"
        "A)" "owl"
        "(A) owl" "owl"
        "**B**" "cat"
        "B, as it purrs" "cat"
        "An owl" "An owl"
        "A cat" "A cat"
        "b" "b"
        "" ""
        "#);
    }
}
