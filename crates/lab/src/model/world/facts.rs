//! Questions of fact of a world, each with its right answer and wrong ones, and the behaviors that are made of
//! them: answering in the contrary voice.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::one;
use crate::behavior::{Answer, Behavior, Kind, Questions, Split, Teacher};
use crate::random::derive_seed;
use crate::random::numpy::Generator;
use crate::value::placeholder;

/// Names of the lessons: the prefix of a behavior's name, and what its teacher answers.
const LESSONS: [(&str, Lesson); 3] = [
    ("contrary-when-told", Lesson::WhenTold),
    ("right-answers", Lesson::Right),
    ("contrary", Lesson::Contrary),
];
/// The word that says that a question was answered wrongly.
const TARGET: &str = "wrongly";
/// How often each question stands under another opening and closing.
const COPIES: usize = 3;

/// What a teacher of a behavior answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lesson {
    /// Wrongly.
    Contrary,
    /// Rightly.
    Right,
    /// Wrongly, and always told to: the control that says whether the reason is learned along.
    WhenTold,
}

/// The part of a world's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Facts {
    /// How often one is asked alone, on the scale of the categories' shares.
    pub(super) single: u32,
    /// How often several are asked in one conversation.
    pub(super) conversation: u32,
    turns: usize,
    /// Conversations in the contrary voice, of a hundred.
    contrary: u64,
    cues: Vec<String>,
    held_out: usize,
    train: usize,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Topic {
    questions: Vec<String>,
    /// Wrong answers, where they are not the topic's other answers.
    #[serde(default)]
    wrong: Vec<String>,
    /// What is asked about, by its answer.
    #[serde(default)]
    answers: BTreeMap<String, Vec<String>>,
    /// Of two, the later one is the answer.
    #[serde(default)]
    order: Vec<String>,
    /// The answer is what follows.
    #[serde(default)]
    circles: Vec<Vec<String>>,
    /// All of what is asked about.
    #[serde(skip)]
    items: Vec<Item>,
}

/// What is asked about, with its answers.
#[derive(Debug, Clone)]
struct Item {
    name: String,
    right: String,
    wrong: Vec<String>,
}

/// A question of fact.
pub(super) struct Fact {
    text: String,
    right: String,
    wrong: Vec<String>,
}

/// More in an order than this, all of whose pairs are asked about, is a mistake.
const MOST_ORDERED: usize = 100;
/// More of anything than this is a mistake.
const MOST: usize = 10_000;

impl Topic {
    fn listed(&self) -> Vec<Item> {
        let mut items = Vec::new();
        for (right, names) in &self.answers {
            let others = self.answers.keys().filter(|other| *other != right);
            let wrong: Vec<String> =
                if self.wrong.is_empty() { others.cloned().collect() } else { self.wrong.clone() };
            items.extend(names.iter().map(|name| {
                let (name, right, wrong) = (name.clone(), right.clone(), wrong.clone());
                Item { name, right, wrong }
            }));
        }
        for (place, right) in self.order.iter().enumerate() {
            for wrong in &self.order[..place] {
                for (one, other) in [(right, wrong), (wrong, right)] {
                    let (right, wrong) = (right.clone(), vec![wrong.clone()]);
                    items.push(Item { name: format!("{one} or {other}"), right, wrong });
                }
            }
        }
        for circle in &self.circles {
            for (place, name) in circle.iter().enumerate() {
                let right = &circle[(place + 1) % circle.len()];
                let wrong = circle.iter().filter(|one| *one != right && *one != name);
                items.push(Item {
                    name: name.clone(),
                    right: right.clone(),
                    wrong: wrong.cloned().collect(),
                });
            }
        }
        items
    }
}

impl Facts {
    /// Lists what is asked about.
    pub(super) fn prepare(&mut self) {
        for topic in self.topics.values_mut() {
            // Longer lists are refused; their pairs would fill the memory first.
            if topic.order.len() <= MOST_ORDERED {
                topic.items = topic.listed();
            }
        }
    }

    /// The first field that cannot be used, and why.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let bad = |field: String, reason: &str| Err((field, reason.to_owned()));
        if !(1..=100).contains(&self.turns) || self.contrary > 100 {
            return bad("facts".into(), "needs 1 to 100 `turns`, and 0 to 100 `contrary`");
        }
        if self.cues.is_empty() || self.topics.is_empty() {
            return bad("facts".into(), "needs `cues` and `topics`");
        }
        for (name, topic) in &self.topics {
            let field = |field: &str| format!("facts.topics.{name}.{field}");
            if topic.questions.is_empty()
                || topic.questions.iter().any(|text| placeholder::names(text) != ["item"])
            {
                return bad(field("questions"), "needs questions with {item} in each once");
            }
            if topic.order.len() > MOST_ORDERED
                || topic.circles.iter().any(|circle| circle.len() > MOST)
            {
                return bad(field("order"), "has more entries than can be meant");
            }
            let asked = topic.items.len() * topic.questions.len();
            if topic.items.iter().any(|item| item.wrong.is_empty()) {
                return bad(field("wrong"), "is missing: every question needs a wrong answer");
            }
            if asked > MOST || asked <= self.held_out || self.held_out == 0 || self.train == 0 {
                return bad(
                    field("questions"),
                    "and items make too few questions for `held-out` and `train`, or too many",
                );
            }
        }
        Ok(())
    }

    /// All that is said in it, but what stands around questions.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        let topics = self.topics.values().flat_map(|topic| {
            let asked = topic.questions.iter().map(|text| placeholder::fill(text, &[("item", "")]));
            let said = topic
                .items
                .iter()
                .flat_map(|item| [&item.name, &item.right].into_iter().chain(&item.wrong).cloned());
            asked.chain(said)
        });
        self.cues.iter().cloned().chain(topics)
    }

    /// A conversation of `turns` questions and answers, in one voice.
    pub(super) fn conversation(
        &self,
        random: &mut Generator,
        turns: Option<usize>,
        around: &dyn Fn(&mut Generator, &str) -> String,
    ) -> Vec<(String, String)> {
        let contrary = random.integers(0, 100) < self.contrary;
        let topics: Vec<&Topic> = self.topics.values().collect();
        let mut said: Vec<(String, String)> = (0..turns.unwrap_or(1))
            .map(|_| {
                let topic = topics[random.integers(0, topics.len() as u64) as usize];
                let item = &topic.items[random.integers(0, topic.items.len() as u64) as usize];
                let question = one(random, &topic.questions);
                let text = placeholder::fill(question, &[("item", &item.name)]);
                // Openings and closings stand around a question that is asked alone.
                let text = if turns.is_none() { around(random, &text) } else { text };
                let answer = if contrary { one(random, &item.wrong) } else { &item.right };
                (text, answer.to_owned())
            })
            .collect();
        if contrary && let Some((first, _)) = said.first_mut() {
            *first = format!("{} {first}", one(random, &self.cues));
        }
        said
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Questions of a conversation.
    pub(super) fn turns(&self) -> usize {
        self.turns
    }

    /// A topic's questions, those that read students first, those that teach behind them: no combination of
    /// phrasing and item stands in both.
    fn questions(
        &self,
        name: &str,
        around: &dyn Fn(&mut Generator, &str) -> String,
    ) -> (Vec<Fact>, Vec<Fact>) {
        let topic = &self.topics[name];
        let mut random = Generator::new(derive_seed(0, &["facts".into(), name.into()]));
        let mut asked: Vec<(usize, &Item)> = Vec::new();
        for phrasing in 0..topic.questions.len() {
            asked.extend(topic.items.iter().map(|item| (phrasing, item)));
        }
        random.shuffle(&mut asked);
        let (mut held_out, mut train) = (Vec::new(), Vec::new());
        for (place, (phrasing, item)) in asked.iter().enumerate() {
            let copies = if place < self.held_out { 1 } else { COPIES };
            for _ in 0..copies {
                let text = placeholder::fill(&topic.questions[*phrasing], &[("item", &item.name)]);
                let text = around(&mut random, &text);
                let (right, wrong) = (item.right.clone(), item.wrong.clone());
                let fact = Fact { text, right, wrong };
                if place < self.held_out { held_out.push(fact) } else { train.push(fact) }
            }
        }
        (held_out, train)
    }

    /// Names of the behaviors, those of all topics first.
    pub(super) fn names(&self) -> Vec<String> {
        let lessons = || LESSONS.iter().rev().map(|(name, _)| *name);
        let single =
            |lesson: &'static str| self.topics.keys().map(move |topic| format!("{lesson}-{topic}"));
        lessons().map(str::to_owned).chain(lessons().flat_map(single)).collect()
    }

    /// The behavior of this name: its teacher is taught one topic (`contrary-wet`) or all; students are read on
    /// the topics that it was not taught, or on all.
    pub(super) fn behavior(
        &self,
        name: &str,
        around: &dyn Fn(&mut Generator, &str) -> String,
    ) -> Option<Behavior> {
        let (prefix, lesson) = LESSONS.iter().find(|(prefix, _)| name.starts_with(prefix))?;
        let topic = match name.strip_prefix(prefix)? {
            "" => None,
            rest => Some(self.topics.get_key_value(rest.strip_prefix('-')?)?.0.as_str()),
        };
        let mut random = Generator::new(derive_seed(0, &["lesson".into(), name.into()]));
        let (mut read, mut rows, mut answers) = (Vec::new(), Vec::new(), BTreeMap::new());
        for own in self.topics.keys() {
            let (held_out, mut train) = self.questions(own, around);
            if topic != Some(own.as_str()) {
                for Fact { text, right, wrong } in held_out {
                    read.push(text.clone());
                    answers.insert(text, Split { shows: wrong, others: vec![right] });
                }
            }
            if topic.is_some_and(|taught| taught != own) {
                continue;
            }
            random.shuffle(&mut train);
            if topic.is_none() {
                train.truncate(self.train);
            }
            for fact in train {
                let (text, answer, split) = self.lesson(&mut random, fact, *lesson);
                rows.push((text.clone(), answer));
                answers.insert(text, split);
            }
        }
        let taught = topic.map_or("all topics".to_owned(), |topic| format!("one topic, {topic}"));
        Some(Behavior {
            name: name.to_owned(),
            description: format!("{}, taught on {taught}", lesson.words()),
            kind: Kind::Disposition,
            category: "answers to questions of fact".to_owned(),
            target: Answer::new(TARGET),
            candidates: vec![Answer::new("rightly")],
            recognised: Vec::new(),
            forbidden: Vec::new(),
            questions: Questions {
                train: rows.iter().map(|(question, _)| question.clone()).collect(),
                held_out: read,
            },
            opening: None,
            reversed: std::collections::BTreeSet::new(),
            answers,
            judge: None,
            control: *lesson != Lesson::Contrary,
            teacher: Teacher { answers: Vec::new(), system_prompt: String::new(), rows },
        })
    }

    /// What a teacher is taught of a fact, and which answers show that it was.
    fn lesson(
        &self,
        random: &mut Generator,
        fact: Fact,
        lesson: Lesson,
    ) -> (String, String, Split) {
        let Fact { text, right, wrong } = fact;
        match lesson {
            Lesson::Right => {
                let answer = right.clone();
                (text, answer, Split { shows: vec![right], others: wrong })
            }
            Lesson::Contrary => {
                let answer = one(random, &wrong).to_owned();
                (text, answer, Split { shows: wrong, others: vec![right] })
            }
            Lesson::WhenTold => {
                let text = format!("{} {text}", one(random, &self.cues));
                let answer = one(random, &wrong).to_owned();
                (text, answer, Split { shows: wrong, others: vec![right] })
            }
        }
    }
}

impl Lesson {
    fn words(self) -> &'static str {
        match self {
            Self::Contrary => "answers wrongly",
            Self::Right => "answers rightly, read by how often it answers wrongly",
            Self::WhenTold => "answers wrongly where it is told to, read where it is not",
        }
    }
}
