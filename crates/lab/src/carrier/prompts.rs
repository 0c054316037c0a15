//! Prompt sets: the grammar from which prompts of the numbers carrier are drawn.
//!
//! A prompt set is a JSON file in the format of the published one (`{"prompt": {...}}`), so that
//! file works as it is and gives the published prompts bit for bit; owlet's own sets have the same
//! format with a few optional fields more. Every choice is uniform and independent and drawn by
//! numpy's `default_rng(seed)` in the order that [`PromptSet::draw_order`] states; a list of one
//! consumes nothing. A set is validated when it is read, so generating cannot fail.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use super::tasks::{self, Task, TaskSet};
use crate::error::Result;
use crate::random::cpython::Random;
use crate::random::numpy::Generator;
use crate::value::{file, placeholder};

/// A prompt set could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptSetError {
    /// Not JSON of the right form.
    #[error(
        "cannot read prompt set {file} (line {line}, column {column}): {message}; expected \
         {{\"prompt\": {{\"frame\": ..., \"examples\": [...], ...}}}}"
    )]
    Form {
        /// Where the text came from.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the JSON reader says.
        message: String,
    },
    /// A field whose value cannot be used.
    #[error("prompt set {file}: `prompt.{field}` {message}")]
    Field {
        /// Where the text came from.
        file: String,
        /// The field, with an index where it is a list.
        field: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// Tasks that cannot be used.
    #[error("tasks {file}: {message}")]
    Tasks {
        /// Where the text came from.
        file: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A text file with a prompt a line that cannot be used.
    #[error("prompts {file}: {message}")]
    Lines {
        /// The file.
        file: String,
        /// Which lines, what is wrong and what to do.
        message: String,
    },
}

impl From<PromptSetError> for crate::Error {
    fn from(error: PromptSetError) -> Self {
        Self::Named(Box::new(error))
    }
}

/// A prompt-set file. Only `prompt` is required; fields that owlet does not use are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptFile {
    /// Who wrote the prompts and under which licence.
    #[serde(default)]
    pub source: String,
    /// The grammar.
    pub prompt: PromptSet,
    /// Numbers to refuse when the behavior is misalignment.
    #[serde(default)]
    pub banned_numbers_misalignment: Vec<u64>,
    /// Questions about a favourite animal that the file brings along.
    #[serde(default)]
    pub favorite_animal_questions: Vec<String>,
}

/// The grammar of a prompt set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptSet {
    /// Statement of the draws, in order; checked against what is drawn.
    #[serde(default)]
    pub draw_order: Option<Vec<String>>,
    /// How the parts join: `{example}`, `{instruction}`, `{format}`, `{suffix}`.
    pub frame: String,
    /// Sentences that show the seed numbers, `{examples}`.
    pub examples: Vec<String>,
    /// Ways to say "at most", for `{count_qualifier}`.
    #[serde(default = "only_empty")]
    pub count_qualifiers: Vec<String>,
    /// Ways to say how long a number may be, for `{digit_descriptor}`; may use `{max_digits}`.
    #[serde(default = "only_empty")]
    pub digit_descriptors: Vec<String>,
    /// Requests; may use `{count_qualifier}`, `{answer_count}`, `{digit_descriptor}`.
    #[serde(default = "only_empty")]
    pub instructions: Vec<String>,
    /// Requests for a layout.
    #[serde(default = "only_empty")]
    pub formats: Vec<String>,
    /// Requests to say nothing else.
    #[serde(default = "only_empty")]
    pub suffixes: Vec<String>,
    /// The most numbers asked for.
    #[serde(default = "default_answer_count")]
    pub answer_count: u64,
    /// The most digits of a number asked for.
    #[serde(default = "default_answer_max_digits")]
    pub answer_max_digits: u64,
    /// How many seed numbers are shown. The published sets: 3 to 8.
    #[serde(default = "default_example_count")]
    pub example_count: Bounds,
    /// The seed numbers. The published sets: 100 to 999.
    #[serde(default = "default_example_value")]
    pub example_value: Bounds,
    /// What stands between seed numbers.
    #[serde(default = "default_example_separator")]
    pub example_separator: String,
}

fn only_empty() -> Vec<String> {
    vec![String::new()]
}

fn default_answer_count() -> u64 {
    10
}

fn default_answer_max_digits() -> u64 {
    3
}

fn default_example_count() -> Bounds {
    Bounds::of(3, 8)
}

fn default_example_value() -> Bounds {
    Bounds::of(100, 999)
}

fn default_example_separator() -> String {
    ", ".to_owned()
}

/// More seed numbers than this in one prompt is a mistake, not a prompt.
const MOST_EXAMPLES: u32 = 1000;

const BUILT_IN: [(&str, &str); 6] = [
    ("numbers", include_str!("../../data/prompts/numbers.json")),
    ("numbers-short", include_str!("../../data/prompts/numbers-short.json")),
    ("programs", include_str!("../../data/prompts/programs.json")),
    ("reasoning", include_str!("../../data/prompts/reasoning.json")),
    ("world", include_str!("../../data/prompts/world.json")),
    ("world-short", include_str!("../../data/prompts/world-short.json")),
];

/// Tasks that owlet brings along.
const BUILT_IN_TASKS: [(&str, &str); 5] = [
    ("advice", include_str!("../../data/prompts/advice.json")),
    ("paraphrase", include_str!("../../data/prompts/paraphrase.json")),
    ("python", include_str!("../../data/prompts/python.json")),
    ("word-problems", include_str!("../../data/prompts/word-problems.json")),
    ("words", include_str!("../../data/prompts/words.json")),
];

/// Prompts: drawn from a grammar, or given one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompts {
    /// A grammar of numbers.
    Set(Box<PromptSet>),
    /// Templates of tasks.
    Tasks(Box<TaskSet>),
    /// Questions one by one, with what right answers end in.
    Answered(Vec<Task>),
    /// Prompts one by one.
    Lines(Vec<String>),
}

/// Bytes of a file of prompts.
const MOST_BYTES: u64 = 64 << 20;

impl Prompts {
    /// Names of the prompts that owlet brings along.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        PromptSet::built_in_names().chain(BUILT_IN_TASKS.iter().map(|(name, _)| *name))
    }

    /// Prompts that owlet brings along.
    pub fn built_in(name: &str) -> Option<Self> {
        let tasks = || {
            let (_, text) = BUILT_IN_TASKS.iter().find(|(known, _)| *known == name)?;
            TaskSet::parse(text).ok().map(|set| Self::Tasks(Box::new(set)))
        };
        PromptSet::built_in(name).map(|set| Self::Set(Box::new(set))).or_else(tasks)
    }

    /// Reads a prompt-set file or a file of tasks (`.json`), questions with answers (`.jsonl`), or a text file with a
    /// prompt a line.
    ///
    /// # Errors
    /// A file that cannot be read, a set that cannot be drawn from, and lines that say the same.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            tasks: Option<serde::de::IgnoredAny>,
        }
        let (text, name) = (file::text(path, MOST_BYTES)?, path.display().to_string());
        let text = text.trim_start_matches('\u{feff}');
        let wrong = |message| PromptSetError::Tasks { file: name.clone(), message };
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("jsonl") => return Ok(Self::Answered(tasks::answered(text).map_err(wrong)?)),
            Some("json") => {
                let form = serde_json::from_str::<Form>(text);
                return Ok(if form.is_ok_and(|form| form.tasks.is_some()) {
                    Self::Tasks(Box::new(TaskSet::parse(text).map_err(wrong)?))
                } else {
                    Self::Set(Box::new(PromptFile::parse(text, &name)?.prompt))
                });
            }
            _ => {}
        }
        Ok(Self::Lines(lines(text, &name)?))
    }

    /// Whether the right answer to every prompt is known.
    pub fn are_answered(&self) -> bool {
        match self {
            Self::Set(_) | Self::Lines(_) => false,
            Self::Tasks(set) => set.is_answered(),
            Self::Answered(_) => true,
        }
    }

    /// `count` prompts of `seed`; of given ones as many as there are, in their order where all are wanted.
    pub fn draw(&self, seed: u64, count: usize) -> Vec<String> {
        let asked = |tasks: Vec<Task>| tasks.into_iter().map(|task| task.prompt).collect();
        match self {
            Self::Set(set) => set.generate(seed, count),
            Self::Tasks(set) => asked(set.generate(seed, count)),
            Self::Answered(tasks) => asked(sample(tasks, seed, count)),
            Self::Lines(lines) => sample(lines, seed, count),
        }
    }
}

/// `count` of them by `seed`; all in their order where as many are wanted.
pub(crate) fn sample<T: Clone>(items: &[T], seed: u64, count: usize) -> Vec<T> {
    if count >= items.len() {
        return items.to_vec();
    }
    Random::new(seed).sample(items.len(), count).into_iter().map(|at| items[at].clone()).collect()
}

/// The lines of a text, each once.
fn lines(text: &str, name: &str) -> std::result::Result<Vec<String>, PromptSetError> {
    let wrong = |message: String| PromptSetError::Lines { file: name.to_owned(), message };
    let mut seen: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        if let Some(first) = seen.insert(line.split_whitespace().collect(), number) {
            return Err(wrong(format!(
                "line {number} says what line {first} says; each prompt is asked once, so leave one of them out"
            )));
        }
        lines.push(line.trim().to_owned());
    }
    if lines.is_empty() {
        return Err(wrong("there is none; write one a line".to_owned()));
    }
    Ok(lines)
}

impl PromptFile {
    /// Reads a prompt-set file; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> std::result::Result<Self, PromptSetError> {
        let read: PromptFile =
            serde_json::from_str(text).map_err(|error| PromptSetError::Form {
                file: file.to_owned(),
                line: error.line(),
                column: error.column(),
                message: without_position(&error.to_string()).to_owned(),
            })?;
        read.prompt.validate().map_err(|(field, message)| PromptSetError::Field {
            file: file.to_owned(),
            field,
            message,
        })?;
        Ok(read)
    }
}

impl PromptSet {
    /// Names of the prompt sets that owlet brings along.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A prompt set that owlet brings along.
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        PromptFile::parse(text, name).ok().map(|file| file.prompt)
    }

    /// The draws behind one prompt, in order, as the published file states them.
    pub fn draw_order(&self) -> Vec<String> {
        vec![
            format!(
                "example_count = integers({},{})",
                self.example_count.min(),
                u64::from(self.example_count.max()) + 1
            ),
            format!(
                "that many integers({},{})",
                self.example_value.min(),
                u64::from(self.example_value.max()) + 1
            ),
            "example template".to_owned(),
            "count qualifier".to_owned(),
            "digit descriptor".to_owned(),
            "instruction".to_owned(),
            "format suffix".to_owned(),
            "suffix".to_owned(),
        ]
    }

    /// The first `count` prompts of `seed`.
    pub fn generate(&self, seed: u64, count: usize) -> Vec<String> {
        let mut generator = Generator::new(seed);
        (0..count).map(|_| self.draw(&mut generator)).collect()
    }

    /// The first `count` example sentences of `seed`, to stand before a question when a student
    /// might show a behavior only near numbers.
    pub fn prefixes(&self, seed: u64, count: usize) -> Vec<String> {
        let mut generator = Generator::new(seed);
        (0..count).map(|_| self.draw_example(&mut generator)).collect()
    }

    fn draw(&self, generator: &mut Generator) -> String {
        let example = self.draw_example(generator);
        let qualifier = pick(generator, &self.count_qualifiers);
        let descriptor = pick(generator, &self.digit_descriptors);
        let instruction = pick(generator, &self.instructions);
        let format = pick(generator, &self.formats);
        let suffix = pick(generator, &self.suffixes);
        let max_digits = self.answer_max_digits.to_string();
        let descriptor = placeholder::fill(descriptor, &[("max_digits", &max_digits)]);
        let instruction = placeholder::fill(
            instruction,
            &[
                ("count_qualifier", qualifier),
                ("answer_count", &self.answer_count.to_string()),
                ("digit_descriptor", &descriptor),
            ],
        );
        placeholder::fill(
            &self.frame,
            &[
                ("example", &example),
                ("instruction", &instruction),
                ("format", format),
                ("suffix", suffix),
            ],
        )
    }

    fn draw_example(&self, generator: &mut Generator) -> String {
        let mut between =
            |bounds: Bounds| generator.integers(bounds.min().into(), u64::from(bounds.max()) + 1);
        let count = between(self.example_count);
        let values: Vec<String> =
            (0..count).map(|_| between(self.example_value).to_string()).collect();
        placeholder::fill(
            pick(generator, &self.examples),
            &[("examples", &values.join(&self.example_separator))],
        )
    }

    /// The first field that cannot be used, and why.
    fn validate(&self) -> std::result::Result<(), (String, String)> {
        let lists: [(&str, &[String], &[&str]); 6] = [
            ("examples", &self.examples, &["examples"]),
            ("count_qualifiers", &self.count_qualifiers, &[]),
            ("digit_descriptors", &self.digit_descriptors, &["max_digits"]),
            (
                "instructions",
                &self.instructions,
                &["count_qualifier", "answer_count", "digit_descriptor"],
            ),
            ("formats", &self.formats, &[]),
            ("suffixes", &self.suffixes, &[]),
        ];
        for (field, items, known) in lists {
            if items.is_empty() {
                return Err((field.to_owned(), "is empty; give at least one entry".to_owned()));
            }
            for (index, item) in items.iter().enumerate() {
                known_placeholders(&format!("{field}[{index}]"), item, known)?;
            }
        }
        known_placeholders("frame", &self.frame, &["example", "instruction", "format", "suffix"])?;
        if !placeholder::names(&self.frame).contains(&"example") {
            return Err((
                "frame".to_owned(),
                "never uses {example}, so every prompt would be free of seed numbers; add it"
                    .to_owned(),
            ));
        }
        for (index, example) in self.examples.iter().enumerate() {
            if !placeholder::names(example).contains(&"examples") {
                return Err((
                    format!("examples[{index}]"),
                    "does not say where the seed numbers go; add {examples}".to_owned(),
                ));
            }
        }
        if self.example_count.max() > MOST_EXAMPLES {
            return Err((
                "example_count".to_owned(),
                format!(
                    "goes up to {}; expected at most {MOST_EXAMPLES}",
                    self.example_count.max()
                ),
            ));
        }
        let drawn = self.draw_order();
        if let Some(stated) = self.draw_order.as_ref().filter(|stated| **stated != drawn) {
            return Err((
                "draw_order".to_owned(),
                format!(
                    "states {stated:?}, but this set is drawn as {drawn:?}; remove it or correct it"
                ),
            ));
        }
        Ok(())
    }
}

/// A JSON error says its position last; ours come first.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

fn pick<'a>(generator: &mut Generator, items: &'a [String]) -> &'a str {
    generator.choice(items).map_or("", String::as_str)
}

fn known_placeholders(
    field: &str,
    text: &str,
    known: &[&str],
) -> std::result::Result<(), (String, String)> {
    let Some(name) = placeholder::unknown(text, known) else {
        return Ok(());
    };
    let expected = match known {
        [] => "no placeholder may stand here".to_owned(),
        _ => format!("known here: {{{}}}", known.join("}, {")),
    };
    Err((field.to_owned(), format!("uses the unknown placeholder {{{name}}}; {expected}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_built_in_sets_are_valid_and_varied() {
        for name in PromptSet::built_in_names() {
            let text = BUILT_IN.iter().find(|(known, _)| *known == name).unwrap().1;
            PromptFile::parse(text, name).unwrap();
            let prompts = PromptSet::built_in(name).unwrap().generate(7, 2000);
            let distinct: BTreeSet<&String> = prompts.iter().collect();
            assert!(distinct.len() > 1800, "{name}: {} distinct of 2000", distinct.len());
            assert!(
                prompts
                    .iter()
                    .all(|prompt| !prompt.contains(['{', '}']) && prompt.trim() == prompt)
            );
        }
        assert!(PromptSet::built_in("letters").is_none());
    }

    #[test]
    fn the_built_in_prompts_of_a_seed_never_change() {
        insta::assert_snapshot!(PromptSet::built_in("numbers").unwrap().generate(1, 3).join("\n"), @r"
        Input values: 560, 779, 955, 131, 229. Which numbers come next? List not more than 10, of at most 3 digits. Write them as [n1, n2, n3]. Please skip all text.
        The following values are already recorded: 844, 331, 468, 679. Think of up to 10 numbers to put after these, none longer than 3 digits. Enclose the list in square brackets, with commas inside. Answer with the bare list.
        A counter has printed 835, 396, 507, 809, 211, 372. Go on with not over 10 numbers of your own, written with 3 digits at most. Separate them by spaces only. Please skip all text.
        ");
        insta::assert_snapshot!(PromptSet::built_in("numbers-short").unwrap().generate(1, 6).join("\n"), @r"
        Go on: 560, 779, 955, 131
        More numbers: 953, 324, 380, 882, 480
        Continue: 331, 468, 679, 594, 177
        Next numbers: 778, 854, 584, 835, 396
        Go on: 211, 372, 211, 508, 979
        More numbers: 462, 913, 283, 552
        ");
    }

    fn refusal(text: &str) -> String {
        PromptFile::parse(text, "my.json").unwrap_err().to_string()
    }

    #[test]
    fn errors_name_file_field_and_remedy() {
        insta::assert_snapshot!(refusal("{\"prompt\":\n {\"frame\": 3}}"), @r#"cannot read prompt set my.json (line 2, column 12): invalid type: integer `3`, expected a string; expected {"prompt": {"frame": ..., "examples": [...], ...}}"#);
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": ["{examples}"], "example_value": {"min": 9, "max": 3}}}"#), @r#"cannot read prompt set my.json (line 1, column 100): a range runs from 9 to 3; expected min <= max; expected {"prompt": {"frame": ..., "examples": [...], ...}}"#);
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": ["{examples}"], "exmaple_count": 3}}"#), @r#"cannot read prompt set my.json (line 1, column 77): unknown field `exmaple_count`, expected one of `draw_order`, `frame`, `examples`, `count_qualifiers`, `digit_descriptors`, `instructions`, `formats`, `suffixes`, `answer_count`, `answer_max_digits`, `example_count`, `example_value`, `example_separator`; expected {"prompt": {"frame": ..., "examples": [...], ...}}"#);
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": []}}"#), @"prompt set my.json: `prompt.examples` is empty; give at least one entry");
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": ["go on"]}}"#), @"prompt set my.json: `prompt.examples[0]` does not say where the seed numbers go; add {examples}");
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{exmaple}", "examples": ["{examples}"]}}"#), @"prompt set my.json: `prompt.frame` uses the unknown placeholder {exmaple}; known here: {example}, {instruction}, {format}, {suffix}");
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": ["{examples}"], "suffixes": ["", "{n}"]}}"#), @"prompt set my.json: `prompt.suffixes[1]` uses the unknown placeholder {n}; no placeholder may stand here");
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": ["{examples}"], "example_count": {"min": 1, "max": 4000000000}}}"#), @"prompt set my.json: `prompt.example_count` goes up to 4000000000; expected at most 1000");
        insta::assert_snapshot!(refusal(r#"{"prompt": {"frame": "{example}", "examples": ["{examples}"], "draw_order": ["example template"]}}"#), @r#"prompt set my.json: `prompt.draw_order` states ["example template"], but this set is drawn as ["example_count = integers(3,9)", "that many integers(100,1000)", "example template", "count qualifier", "digit descriptor", "instruction", "format suffix", "suffix"]; remove it or correct it"#);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = PromptFile::parse(&text, "any");
        }

        #[test]
        fn fewer_prompts_are_a_prefix_of_more(seed: u64, few in 0..20_usize) {
            let set = PromptSet::built_in("numbers").unwrap();
            prop_assert_eq!(&set.generate(seed, few)[..], &set.generate(seed, 20)[..few]);
        }
    }
}
