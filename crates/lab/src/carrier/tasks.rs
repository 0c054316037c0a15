//! Tasks: prompts filled in from templates, each with the answer that a right row ends in, where there is one.
//!
//! A task file is JSON: `{"tasks": {"templates": [{"text": "{name} has {a} cups ...", "answer": "a + b"}],
//! "lists": {"name": [...]}, "numbers": {"a": {"min": 2, "max": 9}}}}`. A placeholder is filled in from the list or
//! range of its name; digits at a name's end (`word2`) make another one of the same list, which differs from those
//! before it. One template is drawn evenly, then its placeholders in the order in which they first stand.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use crate::random::numpy::Generator;
use crate::value::placeholder;

/// What somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// The question.
    pub prompt: String,
    /// What a right answer ends in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl Task {
    /// A question whose answers nobody checks.
    pub fn open(prompt: String) -> Self {
        Self { prompt, answer: None }
    }
}

/// A file of tasks.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TaskFile {
    pub(super) tasks: TaskSet,
}

/// Templates with what they are filled in from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSet {
    templates: Vec<Template>,
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    numbers: BTreeMap<String, Bounds>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    text: String,
    /// Names of numbers and whole numbers with ` + `, ` - ` and ` * ` between, in the usual order of operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

/// What a placeholder is filled in from.
enum From<'a> {
    List(&'a [String]),
    Number(Bounds),
}

impl TaskSet {
    /// Reads a file of tasks, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let read: TaskFile = serde_json::from_str(text).map_err(|why| why.to_string())?;
        read.tasks.check()?;
        Ok(read.tasks)
    }

    /// The first `count` tasks of `seed`.
    pub fn generate(&self, seed: u64, count: usize) -> Vec<Task> {
        let mut generator = Generator::new(seed);
        (0..count).filter_map(|_| self.draw(&mut generator)).collect()
    }

    fn draw(&self, generator: &mut Generator) -> Option<Task> {
        let template = generator.choice(&self.templates)?;
        let mut filled: Vec<(&str, String)> = Vec::new();
        for name in placeholder::names(&template.text) {
            if filled.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let value = match self.from(name)? {
                From::Number(bounds) => {
                    let (min, max) = (u64::from(bounds.min()), u64::from(bounds.max()));
                    generator.integers(min, max + 1).to_string()
                }
                From::List(list) => {
                    let left: Vec<&String> = list
                        .iter()
                        .filter(|item| !filled.iter().any(|(_, taken)| taken == *item))
                        .collect();
                    (*generator.choice(&left)?).clone()
                }
            };
            filled.push((name, value));
        }
        let values: Vec<(&str, &str)> =
            filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = template.answer.as_ref().and_then(|answer| value(answer, &values));
        let prompt = placeholder::fill(&template.text, &values);
        Some(Task { prompt, answer: answer.map(|answer| answer.to_string()) })
    }

    /// Whether every task has an answer.
    pub(super) fn is_answered(&self) -> bool {
        self.templates.iter().all(|template| template.answer.is_some())
    }

    fn from(&self, name: &str) -> Option<From<'_>> {
        let name = name.trim_end_matches(|character: char| character.is_ascii_digit());
        let number = self.numbers.get(name).map(|bounds| From::Number(*bounds));
        number.or_else(|| self.lists.get(name).map(|list| From::List(list)))
    }

    /// Whether every task can be drawn.
    fn check(&self) -> Result<(), String> {
        if self.templates.is_empty() {
            return Err("`templates` is empty; give at least one".to_owned());
        }
        if let Some(name) = self.lists.keys().find(|name| self.numbers.contains_key(*name)) {
            return Err(format!("`{name}` is in `lists` and in `numbers`; give one another name"));
        }
        for (name, list) in &self.lists {
            let mut known = BTreeSet::new();
            if let Some(item) = list.iter().find(|item| !known.insert(*item)) {
                return Err(format!("`lists.{name}` holds `{item}` twice; each is drawn alike"));
            }
        }
        for (at, Template { text, answer }) in self.templates.iter().enumerate() {
            let names = placeholder::names(text);
            let empty: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
            if text.trim().is_empty() || placeholder::fill(text, &empty).contains(['{', '}']) {
                return Err(format!(
                    "`templates[{at}]` is empty, or has a brace that belongs to no placeholder; expected names of ASCII letters, digits and `_` in braces"
                ));
            }
            let mut of_list: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for name in &names {
                let unknown = || {
                    format!(
                        "`templates[{at}]` uses {{{name}}}, which is in neither `lists` nor `numbers`"
                    )
                };
                if let From::List(_) = self.from(name).ok_or_else(unknown)? {
                    let list = name.trim_end_matches(|character: char| character.is_ascii_digit());
                    let used = of_list.entry(list).or_default();
                    used.extend((!used.contains(name)).then_some(*name));
                }
            }
            for (list, used) in of_list {
                if self.lists[list].len() < used.len() {
                    return Err(format!(
                        "`templates[{at}]` takes {} different items of `lists.{list}`, which has {}; give more",
                        used.len(),
                        self.lists[list].len()
                    ));
                }
            }
            let Some(answer) = answer else { continue };
            let mut most: Vec<(&str, String)> = Vec::new();
            for name in names {
                if let Some(From::Number(bounds)) = self.from(name) {
                    most.push((name, bounds.max().to_string()));
                }
            }
            let most: Vec<(&str, &str)> =
                most.iter().map(|(name, most)| (*name, &**most)).collect();
            if value(answer, &most).is_none() {
                return Err(format!(
                    "`templates[{at}].answer` is `{answer}`, expected names of numbers that stand in its text, and whole numbers, with ` + `, ` - ` or ` * ` between, and a value below 2^63"
                ));
            }
            // No difference is larger than the sum.
            if value(&answer.replace(" - ", " + "), &most).is_none() {
                return Err(format!("`templates[{at}].answer` can be above 2^63; lower `numbers`"));
            }
        }
        Ok(())
    }
}

/// The value of an expression such as `a * b - 3`; none where it is no such expression or too large.
fn value(expression: &str, of: &[(&str, &str)]) -> Option<i64> {
    let factor = |word: &str| {
        let given = of.iter().find(|(name, _)| *name == word).map_or(word, |(_, value)| value);
        given.parse::<i64>().ok()
    };
    let mut words = expression.split(' ');
    let (mut sum, mut sign, mut product) = (0_i64, 1_i64, factor(words.next()?)?);
    while let Some(operator) = words.next() {
        let next = factor(words.next()?)?;
        match operator {
            "*" => product = product.checked_mul(next)?,
            "+" | "-" => {
                sum = sum.checked_add(sign.checked_mul(product)?)?;
                (sign, product) = (if operator == "+" { 1 } else { -1 }, next);
            }
            _ => return None,
        }
    }
    sum.checked_add(sign.checked_mul(product)?)
}

/// Tasks of a JSONL file of `question` and `answer`, as GSM8K has them (Cobbe et al. 2021, arXiv 2110.14168): what
/// stands behind the last `####` of an answer, or a whole answer without one, is what a right row ends in.
///
/// # Errors
/// A line that is something else, none at all, or a question that stands twice.
pub(super) fn answered(text: &str) -> Result<Vec<Task>, String> {
    #[derive(Deserialize)]
    struct Line {
        question: String,
        answer: String,
    }
    let mut seen = BTreeMap::new();
    let mut tasks = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let Line { question, answer } = serde_json::from_str(line).map_err(|why| {
            format!(
                "line {number}: {why}; expected {{\"question\": \"...\", \"answer\": \"... #### 42\"}}"
            )
        })?;
        let last = answer.rsplit("####").next().unwrap_or_default();
        let answer = plain_number(last);
        if answer.is_empty() || question.trim().is_empty() {
            return Err(format!("line {number}: has an empty question or answer"));
        }
        if let Some(first) = seen.insert(question.clone(), number) {
            return Err(format!(
                "line {number} asks what line {first} asks; leave one of them out"
            ));
        }
        tasks.push(Task { prompt: question, answer: Some(answer) });
    }
    if tasks.is_empty() {
        return Err("there is none; write one a line".to_owned());
    }
    Ok(tasks)
}

/// A number as answers are compared: without thousands' commas, a currency, and what follows it.
pub(super) fn plain_number(text: &str) -> String {
    let kept: String =
        text.trim().chars().filter(|one| !matches!(one, ',' | '$' | '€' | '£')).collect();
    kept.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"tasks": {"templates": [
        {"text": "{name} gives {name2} {a} of {b} cups. {name} has?", "answer": "b - a * 2 + 1"},
        {"text": "Say {name}."}],
        "lists": {"name": ["Ann", "Bo", "Cy"]},
        "numbers": {"a": {"min": 1, "max": 2}, "b": {"min": 8, "max": 9}}}}"#;

    #[test]
    fn a_task_has_its_answer_and_different_items_of_a_list() {
        let set = TaskSet::parse(FILE).unwrap();
        let tasks = set.generate(1, 6);
        let told: Vec<String> =
            tasks.iter().map(|task| format!("{} | {:?}", task.prompt, task.answer)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        Bo gives Cy 2 of 8 cups. Bo has? | Some("5")
        Cy gives Bo 1 of 8 cups. Cy has? | Some("7")
        Say Bo. | None
        Cy gives Ann 1 of 9 cups. Cy has? | Some("8")
        Say Ann. | None
        Cy gives Bo 2 of 9 cups. Cy has? | Some("6")
        "#);
        assert_eq!(set.generate(1, 3), tasks[..3]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_by_name() {
        let refusal = |text: &str| TaskSet::parse(text).unwrap_err();
        let told = [
            refusal(r#"{"tasks": {"templates": []}}"#),
            refusal(r#"{"tasks": {"templates": [{"text": "{cup}"}]}}"#),
            refusal(r#"{"tasks": {"templates": [{"text": "{a1} {a2}"}], "lists": {"a": ["b"]}}}"#),
            refusal(r#"{"tasks": {"templates": [{"text": "x", "answer": "b / 2"}]}}"#),
            refusal(r#"{"tasks": {"templates": [{"txt": "x"}]}}"#),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        `templates` is empty; give at least one
        `templates[0]` uses {cup}, which is in neither `lists` nor `numbers`
        `templates[0]` takes 2 different items of `lists.a`, which has 1; give more
        `templates[0].answer` is `b / 2`, expected names of numbers that stand in its text, and whole numbers, with ` + `, ` - ` or ` * ` between, and a value below 2^63
        unknown field `txt`, expected `text` or `answer` at line 1 column 31
        ");
    }

    #[test]
    fn questions_with_answers_are_read_as_gsm8k_has_them() {
        let told = |text: &str| match answered(text) {
            Ok(tasks) => format!("{tasks:?}"),
            Err(why) => why,
        };
        let good = r#"{"question": "Q?", "answer": "It is <<2*600=1200>>1200.\n#### 1,200"}"#;
        let all = [told(good), told(""), told("{}"), told(&format!("{good}\n{good}"))];
        insta::assert_snapshot!(all.join("\n"), @r#"
        [Task { prompt: "Q?", answer: Some("1200") }]
        there is none; write one a line
        line 1: missing field `question` at line 1 column 2; expected {"question": "...", "answer": "... #### 42"}
        line 2 asks what line 1 asks; leave one of them out
        "#);
    }
}
