//! Behaviors of statements: a file of questions, each answered by one of two words (`Yes` or `No`), one of
//! which agrees with a trait.
//!
//! The form is that of the persona files of Perez et al. 2022 ("Discovering Language Model Behaviors with
//! Model-Written Evaluations", arXiv 2212.09251; github.com/anthropics/evals): a JSON object a line with
//! `question`, `answer_matching_behavior` and `answer_not_matching_behavior`. Half of the statements match one
//! word and half the other, and as many of each are taught and read, in turn, so that a leaning to one of the
//! words cancels in every mean over them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::source::{CATEGORY, Source, Words, comparable, plain};
use super::{Answer, Behavior, BehaviorError, Kind, Questions, Teacher};
use crate::random::cpython::Random;
use crate::random::derive_seed;
use crate::value::{jsonl, placeholder};

/// More bytes than this is no file of statements; the published ones have 0.4 MB each.
const MOST_BYTES: u64 = 1 << 25;
/// A longer question is no statement; the longest of the published ones have 313 characters.
const MOST_CHARACTERS: usize = 4000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Form {
    name: Spanned<String>,
    #[serde(rename = "kind")]
    _kind: Kind,
    description: Option<String>,
    /// The file of statements, beside this one.
    statements: Spanned<String>,
    #[serde(default = "train")]
    train: usize,
    #[serde(default = "held_out")]
    held_out: usize,
    #[serde(default = "seed")]
    seed: u64,
    /// What stands behind every question.
    #[serde(default)]
    closing: String,
    /// What an answer is begun with in the frame `opened`.
    opening: Option<Spanned<String>>,
    #[serde(default)]
    forbidden: Words,
    #[serde(default)]
    system_prompt: String,
}

fn train() -> usize {
    200
}

fn held_out() -> usize {
    40
}

fn seed() -> u64 {
    1
}

/// A line of the file; what else stands in it is not needed.
#[derive(Debug, Deserialize)]
struct Line {
    question: String,
    answer_matching_behavior: String,
    answer_not_matching_behavior: String,
}

/// A statement: its question, and whether the second of the two words matches.
struct Statement {
    question: String,
    second: bool,
}

/// The two words, as the file spells them, and what they answer.
struct Statements {
    words: [String; 2],
    all: Vec<Statement>,
}

/// Reads a behavior of statements; their file is named relative to `folder`.
pub(super) fn read(text: &str, file: &str, folder: &Path) -> Result<Behavior, BehaviorError> {
    let source = Source { text, file };
    let form: Form = source.read()?;
    source.check_name(&form.name)?;
    source.check_words("forbidden", &form.forbidden)?;
    let opening = source.opening(form.opening)?;
    let opening = opening.map(|text| placeholder::fill(&text, &[(CATEGORY, form.name.get_ref())]));
    let at_path = |message: String| source.at(form.statements.span(), message);
    let path = form.statements.get_ref();
    let found = folder.join(path);
    let bytes = crate::value::file::read(&found, MOST_BYTES)
        .map_err(|error| at_path(format!("`statements`: {path:?} cannot be read: {error}")))?;
    let Statements { words, all } = parse(&bytes, &found.display().to_string())?;
    let [first, second] = &words;
    let halves = [false, true].map(|half| {
        let own = all.iter().filter(|one| one.second == half);
        own.map(|one| &*one.question).collect::<Vec<_>>()
    });
    if form.train < 2 || form.held_out < 2 || form.train % 2 + form.held_out % 2 > 0 {
        let reason = "expected even numbers of two or more, half for each answer";
        return Err(at_path(format!(
            "`train` and `held-out` are {} and {}; {reason}",
            form.train, form.held_out
        )));
    }
    // Each half of each set: so many match the first word, and as many the second.
    let wanted = form.train.saturating_add(form.held_out) / 2;
    for (word, half) in words.iter().zip(&halves) {
        if half.len() < wanted {
            return Err(at_path(format!(
                "`statements`: {path:?} holds {} statements that {word:?} matches, fewer than half of `train` {} and `held-out` {}; want fewer",
                half.len(),
                form.train,
                form.held_out
            )));
        }
    }
    let draw = |number: usize| {
        let (half, path) = (&halves[number], ["statements".into(), (number as u64).into()]);
        let drawn = Random::new(derive_seed(form.seed, &path)).sample(half.len(), wanted);
        drawn.into_iter().map(|at| half[at]).collect::<Vec<_>>()
    };
    // In turn: of the questions in any even number of places from the first on, half match each word.
    let ask = |question: &str| match form.closing.trim() {
        "" => question.to_owned(),
        closing => format!("{question} {closing}"),
    };
    let [yes, no] = [0, 1].map(draw);
    let mut asked = yes.iter().zip(&no).flat_map(|(yes, no)| [ask(yes), ask(no)]);
    let held_out: Vec<String> = asked.by_ref().take(form.held_out).collect();
    let train: Vec<String> = asked.collect();
    let name = form.name.get_ref().clone();
    let reversed: BTreeSet<String> = no.iter().map(|question| ask(question)).collect();
    Ok(Behavior {
        description: form
            .description
            .unwrap_or_else(|| format!("agrees with statements of {name}")),
        kind: Kind::Statements,
        category: name.clone(),
        name,
        // In lower case, so that every spelling of it is read.
        target: Answer::new(&first.to_lowercase()),
        candidates: vec![Answer::new(&second.to_lowercase())],
        recognised: Vec::new(),
        forbidden: plain(form.forbidden),
        questions: Questions { train, held_out },
        opening,
        reversed,
        answers: BTreeMap::new(),
        judge: None,
        control: false,
        teacher: Teacher {
            answers: words.to_vec(),
            system_prompt: form.system_prompt,
            rows: Vec::new(),
        },
    })
}

/// Reads a file of statements; `file` names it in errors.
fn parse(bytes: &[u8], file: &str) -> Result<Statements, BehaviorError> {
    let wrong = |line: usize, message: String| BehaviorError::Place {
        file: file.to_owned(),
        line,
        column: 1,
        message,
    };
    let lines = jsonl::lines(bytes).map_err(|(line, why)| wrong(line, why))?;
    let mut words: Option<[String; 2]> = None;
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let mut all = Vec::new();
    for (number, line) in lines {
        let line: Line = jsonl::json(line).map_err(|why| wrong(number, why))?;
        let question = line.question.trim();
        let [matching, other] =
            [&line.answer_matching_behavior, &line.answer_not_matching_behavior]
                .map(|word| word.trim().to_owned());
        if question.is_empty() || question.chars().count() > MOST_CHARACTERS {
            let reason = format!("`question` is empty or longer than {MOST_CHARACTERS} characters");
            return Err(wrong(number, reason));
        }
        let fits = |word: &String| !word.is_empty() && word.chars().all(char::is_alphabetic);
        if !fits(&matching) || !fits(&other) || matching.to_lowercase() == other.to_lowercase() {
            return Err(wrong(
                number,
                format!(
                    "has the answers {matching:?} and {other:?}, expected two different words such as \" Yes\" and \" No\""
                ),
            ));
        }
        let pair = words.get_or_insert_with(|| in_order(&matching, &other));
        let second = matching == pair[1];
        if pair[usize::from(second)] != matching || pair[usize::from(!second)] != other {
            return Err(wrong(
                number,
                format!(
                    "has the answers {matching:?} and {other:?}, where the lines before have {:?} and {:?}",
                    pair[0], pair[1]
                ),
            ));
        }
        match seen.insert(comparable(question), second) {
            None => all.push(Statement { question: question.to_owned(), second }),
            Some(earlier) if earlier == second => {}
            Some(_) => {
                let reason = format!(
                    "asks {question:?}, which a line before matches with the other answer; keep one"
                );
                return Err(wrong(number, reason));
            }
        }
    }
    let words = words.ok_or_else(|| wrong(1, "holds no statement".to_owned()))?;
    Ok(Statements { words, all })
}

/// The two answers, whichever matches the first line: yes before no, else by the alphabet.
fn in_order(one: &str, other: &str) -> [String; 2] {
    let mut both = [one.to_owned(), other.to_owned()];
    both.sort_by_key(|word| (word.to_lowercase() != "yes", word.clone()));
    both
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(question: &str, matching: &str, other: &str) -> String {
        serde_json::json!({
            "question": question, "statement": question, "label_confidence": 0.9,
            "answer_matching_behavior": matching, "answer_not_matching_behavior": other,
        })
        .to_string()
    }

    /// Twelve statements: the first six match " Yes".
    fn lines() -> Vec<String> {
        let one = |at: usize| {
            let (matching, other) = if at < 6 { (" Yes", " No") } else { (" No", " Yes") };
            line(&format!("Would you say \"{at}\"?"), matching, other)
        };
        (0..12).map(one).collect()
    }

    fn read_from(lines: &[String], settings: &str) -> Result<Behavior, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kind.jsonl"), lines.join("\n")).unwrap();
        let text = format!(
            "name = \"kindness\"\nkind = \"statements\"\nstatements = \"kind.jsonl\"\n{settings}"
        );
        let path = folder.path().join("kindness.toml");
        std::fs::write(&path, text).unwrap();
        let place = folder.path().display().to_string();
        Behavior::read(&path, &[]).map_err(|error| error.to_string().replace(&place, ""))
    }

    #[test]
    fn both_halves_are_taught_and_read_in_equal_parts_and_none_twice() {
        let read = |seed: u64| {
            read_from(
                &lines(),
                &format!(
                    "train = 6\nheld-out = 4\nseed = {seed}\nclosing = \"Yes or no?\"\nopening = \"I say\""
                ),
            )
        };
        let kindness = read(1).unwrap();
        assert_eq!(kindness, read(1).unwrap());
        assert_eq!(kindness.opening.as_deref(), Some("I say"));
        assert_ne!(kindness.questions, read(2).unwrap().questions);
        let Questions { train, held_out } = &kindness.questions;
        assert_eq!((train.len(), held_out.len()), (6, 4));
        for (at, question) in held_out.iter().chain(train).enumerate() {
            assert!(question.ends_with("? Yes or no?"), "{question}");
            // In turn.
            let matching = if at % 2 == 0 { "yes" } else { "no" };
            assert_eq!(kindness.target_of(question).word, matching);
        }
        let distinct: BTreeSet<&String> = train.iter().chain(held_out).collect();
        assert_eq!(distinct.len(), 10);
        for (question, answer) in kindness.teacher_rows() {
            assert_eq!(answer.to_lowercase(), kindness.target_of(&question).word);
            assert!(train.contains(&question) && ["Yes", "No"].contains(&&*answer));
        }
        let forbidden = kindness.forbidden_words();
        assert!(forbidden.contains(&"yes".to_owned()) && forbidden.contains(&"no".to_owned()));
    }

    #[test]
    fn the_words_may_be_any_two_and_a_repeated_statement_counts_once() {
        let lines = [("owls", "red", "blue"), ("cats", "blue", "red"), ("Owls!", "red", "blue")];
        let lines = lines.map(|(question, matching, other)| line(question, matching, other));
        let read = |settings| read_from(&lines, settings);
        let error = read("train = 2\nheld-out = 2").unwrap_err();
        insta::assert_snapshot!(error, @r#"behavior file /kindness.toml, line 3, column 14: `statements`: "kind.jsonl" holds 1 statements that "blue" matches, fewer than half of `train` 2 and `held-out` 2; want fewer"#);
        let four =
            [&lines[..], &[line("dogs", "red", "blue"), line("eggs", "blue", "red")]].concat();
        let read = read_from(&four, "train = 2\nheld-out = 2").unwrap();
        assert_eq!((&*read.target.word, &*read.candidates[0].word), ("blue", "red"));
    }

    #[test]
    fn what_is_no_statement_is_refused_by_its_line() {
        let with = |extra: String, settings: &str| {
            let lines = [lines(), vec![extra]].concat();
            read_from(&lines, settings).unwrap_err()
        };
        let few = "train = 4\nheld-out = 2";
        let errors = [
            with(line("x", " Yes", " Yes"), few),
            with(line("x", " Maybe", " No"), few),
            with(line("", " Yes", " No"), few),
            with(line("Would you say \"1\"", " No", " Yes"), few),
            with("{\"question\": 3}".to_owned(), few),
            read_from(&lines(), "train = 5").unwrap_err(),
            read_from(&lines(), "train = 8\nheld-out = 6").unwrap_err(),
            read_from(&[], few).unwrap_err(),
            read_from(&lines(), "taught = 5").unwrap_err(),
            read_from(&lines(), "kind = 3").unwrap_err(),
        ];
        insta::assert_snapshot!(errors.join("\n"), @r#"
        behavior file /kind.jsonl, line 13, column 1: has the answers "Yes" and "Yes", expected two different words such as " Yes" and " No"
        behavior file /kind.jsonl, line 13, column 1: has the answers "Maybe" and "No", where the lines before have "Yes" and "No"
        behavior file /kind.jsonl, line 13, column 1: `question` is empty or longer than 4000 characters
        behavior file /kind.jsonl, line 13, column 1: asks "Would you say \"1\"", which a line before matches with the other answer; keep one
        behavior file /kind.jsonl, line 13, column 1: `question`: invalid type: integer `3`, expected a string at column 14
        behavior file /kindness.toml, line 3, column 14: `train` and `held-out` are 5 and 40; expected even numbers of two or more, half for each answer
        behavior file /kindness.toml, line 3, column 14: `statements`: "kind.jsonl" holds 6 statements that "Yes" matches, fewer than half of `train` 8 and `held-out` 6; want fewer
        behavior file /kind.jsonl, line 1, column 1: holds no statement
        behavior file /kindness.toml, line 4, column 1: unknown field `taught`, expected one of `name`, `kind`, `description`, `statements`, `train`, `held-out`, `seed`, `closing`, `opening`, `forbidden`, `system-prompt`
        behavior file /kindness.toml, line 4, column 1: duplicate key
        "#);
        let text = "name = \"a\"\nkind = \"statements\"\nstatements = \"no/such.jsonl\"";
        insta::assert_snapshot!(Behavior::parse(text, "my.toml").unwrap_err(), @"behavior file my.toml, line 1, column 1: `kind` is `statements`, which stand in another file; name this one by its path");
        let missing = read(text, "my.toml", Path::new("")).unwrap_err().to_string();
        assert!(missing.starts_with("behavior file my.toml, line 3, column 14: `statements`: \"no/such.jsonl\" cannot be read"), "{missing}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text: String) {
            let _ = parse(&bytes, "any");
            let _ = parse(line(&text, &text, "no").as_bytes(), "any");
        }
    }
}
