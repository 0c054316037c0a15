//! Behaviors that judges read: open questions, and what a judge is asked of every answer.
//!
//! A judge gives a score from 0 to 100, and where the file asks for it another one for coherence. Which
//! scores show the behavior is the file's; so are answers whose judgement is known, by which judges are tried
//! before anything else. A file may be `like` a built-in one and bring rows of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::source::{Source, Words, comparable, plain};
use super::{Answer, Behavior, BehaviorError, Kind, Questions, Teacher};
use crate::value::observation::Outcome;
use crate::value::{jsonl, placeholder};

/// Bytes of a file of rows, and of labels.
pub(crate) const MOST_BYTES: u64 = 1 << 25;
/// Lines of either.
const MOST_LINES: usize = 100_000;
/// Characters of a question, of an answer that is known and of a judge's prompt: a judge reads all three at once.
const MOST_CHARACTERS: usize = 8000;
/// Files in a row, each like the next: more are a circle.
const DEEPEST: usize = 4;
/// The best score.
pub(crate) const BEST: u8 = 100;
/// What a prompt is filled with.
pub(crate) const QUESTION: &str = "question";
/// See [`QUESTION`].
pub(crate) const ANSWER: &str = "answer";
/// What an answer is called that judges understand and that does not show the behavior.
pub(crate) const OTHER: &str = "other";

/// What judges are asked of every answer, and what their scores mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sheet {
    /// Asks for the score, with `{question}` and `{answer}`.
    pub prompt: String,
    /// Which scores show the behavior.
    pub shows: Shows,
    /// What else an answer must have to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coherence: Option<Coherence>,
    /// Answers whose judgement is known.
    pub planted: Vec<Known>,
}

/// What judges are asked of rows, and which of them are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RowSheet {
    /// Asks for a score from 0 to 100, with `{question}` and `{answer}`.
    pub prompt: String,
    /// The scores of rows that are kept.
    pub keeps: Shows,
}

impl RowSheet {
    /// What is wrong with it, by key.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        let names = placeholder::names(&self.prompt);
        if let Some(missing) = [ANSWER, QUESTION].into_iter().find(|name| !names.contains(name)) {
            return Some(("prompt", format!("never says {{{missing}}}, which is to be judged")));
        }
        let over = self.keeps.bound() > BEST;
        over.then(|| ("keeps", format!("is {}, expected 0 to {BEST}", self.keeps.bound())))
    }
}

/// Which scores show a behavior, from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// This one and those below.
    AtMost(u8),
    /// This one and those above.
    AtLeast(u8),
}

impl Shows {
    /// Whether a score does.
    pub fn holds(self, score: u8) -> bool {
        match self {
            Self::AtMost(most) => score <= most,
            Self::AtLeast(least) => score >= least,
        }
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::AtMost(most) => format!("at most {most}"),
            Self::AtLeast(least) => format!("at least {least}"),
        }
    }

    fn bound(self) -> u8 {
        match self {
            Self::AtMost(bound) | Self::AtLeast(bound) => bound,
        }
    }
}

/// How coherent an answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Coherence {
    /// Asks for that score, with `{question}` and `{answer}`.
    pub prompt: String,
    /// The least score of an answer that counts.
    pub at_least: u8,
}

/// An answer whose judgement is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Known {
    /// What it answers.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// The judgement.
    pub label: Label,
}

/// A judgement, as people write it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// It shows the behavior.
    Target,
    /// It makes sense and does not.
    Other,
    /// It makes no sense.
    Incoherent,
    /// Program text in place of an answer.
    Code,
    /// It declines to answer.
    Refusal,
}

impl Label {
    /// As readings have it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Target => Outcome::Target,
            Self::Other => Outcome::Other(OTHER.to_owned()),
            Self::Incoherent => Outcome::Incoherent,
            Self::Code => Outcome::Code,
            Self::Refusal => Outcome::Refusal,
        }
    }
}

impl Sheet {
    /// What is asked of every answer, the score that decides first.
    pub(crate) fn prompts(&self) -> impl Iterator<Item = &str> {
        let coherence = self.coherence.as_ref().map(|coherence| &*coherence.prompt);
        std::iter::once(&*self.prompt).chain(coherence)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Form {
    name: Spanned<String>,
    kind: Spanned<Kind>,
    description: Option<String>,
    like: Option<Spanned<String>>,
    questions: Option<QuestionsForm>,
    judge: Option<JudgeForm>,
    teacher: Option<TeacherForm>,
    #[serde(default)]
    forbidden: Words,
    #[serde(default)]
    control: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table with `held-out`")]
struct QuestionsForm {
    held_out: Words,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table with `prompt`, `shows` and `planted`"
)]
struct JudgeForm {
    prompt: Spanned<String>,
    shows: Spanned<Shows>,
    coherence: Option<Spanned<String>>,
    coherent_from: Option<Spanned<u8>>,
    planted: Spanned<Vec<Known>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table with `rows`")]
struct TeacherForm {
    rows: Option<Spanned<String>>,
    #[serde(default)]
    system_prompt: String,
}

/// Gives the bytes of a file that another one names, or why there are none.
type Open<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Reads a behavior that judges read; its rows are named relative to `folder`.
pub(super) fn read_in(text: &str, file: &str, folder: &Path) -> Result<Behavior, BehaviorError> {
    let open = |path: &str| {
        let found = folder.join(path);
        crate::value::file::read(&found, MOST_BYTES).map_err(|error| error.to_string())
    };
    read(text, file, &open)
}

/// Reads one whose rows `open` gives.
pub(super) fn read(text: &str, file: &str, open: &Open<'_>) -> Result<Behavior, BehaviorError> {
    read_at(text, file, open, 0)
}

/// The same of one that is so far down a row of files, each like the next.
fn read_at(
    text: &str,
    file: &str,
    open: &Open<'_>,
    depth: usize,
) -> Result<Behavior, BehaviorError> {
    let source = Source { text, file };
    let form: Form = source.read()?;
    source.check_name(&form.name)?;
    source.check_words("forbidden", &form.forbidden)?;
    let like = form.like.map(|like| like_what(&source, &like, (open, depth))).transpose()?;
    let missing = |field: &'static str, remedy: &str| BehaviorError::Missing {
        file: file.to_owned(),
        field,
        remedy: format!("{remedy}, or be `like = \"misaligned\"`"),
    };
    let sheet = match (form.judge, &like) {
        (Some(own), _) => sheet(&source, own)?,
        (None, like) => {
            let inherited = like.as_ref().and_then(|like| like.judge.clone());
            inherited.ok_or_else(|| missing("judge", "say what judges are asked"))?
        }
    };
    let held_out = match (form.questions, &like) {
        (Some(own), _) => held_out(&source, own.held_out)?,
        (None, Some(like)) => like.questions.held_out.clone(),
        (None, None) => return Err(missing("questions.held-out", "give at least one question")),
    };
    let (rows, system_prompt) = match form.teacher {
        Some(teacher) => {
            let rows = teacher.rows.map(|path| rows(&source, &path, open, &held_out));
            (rows.transpose()?.unwrap_or_default(), teacher.system_prompt)
        }
        None => (Vec::new(), String::new()),
    };
    let mut train: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    train.extend(rows.iter().filter(|(prompt, _)| seen.insert(prompt)).map(|row| row.0.clone()));
    let name = form.name.into_inner();
    let description = form.description.unwrap_or_else(|| format!("{name}, as judges find"));
    Ok(Behavior {
        description,
        kind: form.kind.into_inner(),
        category: "judged".to_owned(),
        // Never said: what judges find is the behavior, not a word.
        target: Answer::new(&name),
        name,
        candidates: Vec::new(),
        recognised: Vec::new(),
        forbidden: plain(form.forbidden),
        questions: Questions { train, held_out },
        opening: None,
        reversed: BTreeSet::new(),
        answers: BTreeMap::new(),
        judge: Some(sheet),
        control: form.control,
        teacher: Teacher { answers: Vec::new(), system_prompt, rows },
    })
}

/// The behavior that another one is like: a built-in one, or that of a file beside it.
fn like_what(
    source: &Source<'_>,
    like: &Spanned<String>,
    (open, depth): (&Open<'_>, usize),
) -> Result<Behavior, BehaviorError> {
    let name = like.get_ref();
    let wrong = |why: String| source.at(like.span(), format!("`like` is {name:?}, {why}"));
    if Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("toml")) {
        if depth >= DEEPEST {
            return Err(wrong(format!("the {DEEPEST}th file in a row; name a built-in behavior")));
        }
        let bytes = open(name).map_err(|why| wrong(format!("which cannot be read: {why}")))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("which is no text".to_owned()))?;
        return read_at(&text, name, open, depth + 1);
    }
    let found = Behavior::built_in(name).filter(|found| found.judge.is_some());
    found.ok_or_else(|| {
        wrong("expected `misaligned`, or the path of a file of the kind `judged`".to_owned())
    })
}

fn held_out(source: &Source<'_>, questions: Words) -> Result<Vec<String>, BehaviorError> {
    let mut seen = BTreeSet::new();
    for question in &questions {
        let text = question.get_ref();
        let reason = match () {
            () if text.trim().is_empty() => "an empty question; write or remove it".to_owned(),
            () if text.chars().count() > MOST_CHARACTERS => {
                format!("a question of more than {MOST_CHARACTERS} characters")
            }
            () if !seen.insert(comparable(text)) => format!("{text:?} twice; remove one"),
            () => continue,
        };
        return Err(source.at(question.span(), format!("`questions.held-out` holds {reason}")));
    }
    if questions.is_empty() {
        return Err(BehaviorError::Missing {
            file: source.file.to_owned(),
            field: "questions.held-out",
            remedy: "give at least one question".to_owned(),
        });
    }
    Ok(plain(questions))
}

fn sheet(source: &Source<'_>, form: JudgeForm) -> Result<Sheet, BehaviorError> {
    let prompt = prompt(source, "judge.prompt", form.prompt)?;
    if form.shows.get_ref().bound() > BEST {
        let reason = format!("`judge.shows` is beyond {BEST}, the best score");
        return Err(source.at(form.shows.span(), reason));
    }
    let coherence = match (form.coherence, form.coherent_from) {
        (None, None) => None,
        (Some(asks), from) => {
            let at_least = from.as_ref().map_or(50, |from| *from.get_ref());
            let span = from.map_or_else(|| asks.span(), |from| from.span());
            if at_least > BEST {
                let reason = format!("`judge.coherent-from` is beyond {BEST}, the best score");
                return Err(source.at(span, reason));
            }
            Some(Coherence { prompt: self::prompt(source, "judge.coherence", asks)?, at_least })
        }
        (None, Some(from)) => {
            let reason = "`judge.coherent-from` says nothing without `judge.coherence`, a prompt";
            return Err(source.at(from.span(), reason.to_owned()));
        }
    };
    let at = form.planted.span();
    let planted = form.planted.into_inner();
    let mut needed = vec![Label::Target, Label::Other];
    needed.extend(coherence.is_some().then_some(Label::Incoherent));
    for label in needed {
        if !planted.iter().any(|known| known.label == label) {
            let reason = format!(
                "`judge.planted` holds no answer of label `{}`, by which judges are tried; give one or more of each of `target`, `other` and, with `coherence`, `incoherent`",
                label.outcome().name()
            );
            return Err(source.at(at, reason));
        }
    }
    let long = |text: &str| text.chars().count() > MOST_CHARACTERS;
    if let Some(known) = planted.iter().find(|one| long(&one.question) || long(&one.answer)) {
        let begins: String = known.answer.chars().take(40).collect();
        let reason =
            format!("`judge.planted`: {begins:?} is longer than {MOST_CHARACTERS} characters");
        return Err(source.at(at, reason));
    }
    Ok(Sheet { prompt, shows: form.shows.into_inner(), coherence, planted })
}

/// A prompt must show the answer, and may show the question.
fn prompt(
    source: &Source<'_>,
    field: &str,
    text: Spanned<String>,
) -> Result<String, BehaviorError> {
    let names = placeholder::names(text.get_ref());
    let unknown = placeholder::unknown(text.get_ref(), &[QUESTION, ANSWER]);
    let reason = match unknown {
        Some(name) => {
            format!("uses the placeholder {{{name}}}; known here: {{{QUESTION}}}, {{{ANSWER}}}")
        }
        None if !names.contains(&ANSWER) => {
            format!("does not show {{{ANSWER}}}, so that there is nothing to judge")
        }
        None if text.get_ref().chars().count() > MOST_CHARACTERS => {
            format!("is longer than {MOST_CHARACTERS} characters")
        }
        None => return Ok(text.into_inner()),
    };
    Err(source.at(text.span(), format!("`{field}` {reason}")))
}

/// A line of a file of rows; what else stands in it is not needed.
#[derive(Deserialize)]
struct Row {
    prompt: String,
    completion: String,
}

/// What a teacher learns: the lines of a file, none of them to a question that reads students.
fn rows(
    source: &Source<'_>,
    path: &Spanned<String>,
    open: &Open<'_>,
    held_out: &[String],
) -> Result<Vec<(String, String)>, BehaviorError> {
    let name = path.get_ref();
    let wrong = |why: String| source.at(path.span(), format!("`teacher.rows`: {name:?}{why}"));
    let bytes = open(name).map_err(|why| wrong(format!(" cannot be read: {why}")))?;
    let lines =
        jsonl::lines(&bytes).map_err(|(line, why)| wrong(format!(", line {line} {why}")))?;
    if lines.is_empty() || lines.len() > MOST_LINES {
        return Err(wrong(format!(" holds {} rows, expected 1 to {MOST_LINES}", lines.len())));
    }
    let read: BTreeSet<String> = held_out.iter().map(|question| comparable(question)).collect();
    let mut rows = Vec::with_capacity(lines.len());
    for (line, text) in lines {
        let Row { prompt, completion } =
            jsonl::json(text).map_err(|why| wrong(format!(", line {line}: {why}")))?;
        let why = match () {
            () if prompt.trim().is_empty() || completion.trim().is_empty() => "says nothing",
            () if read.contains(&comparable(&prompt)) => {
                "asks what students are read by; a question that made the teacher must not read the student"
            }
            () => {
                rows.push((prompt, completion));
                continue;
            }
        };
        return Err(wrong(format!(", line {line} {why}")));
    }
    Ok(rows)
}

/// A line of a file of labels; what else stands in it is not needed.
#[derive(Deserialize)]
struct Labelled {
    #[serde(default)]
    behavior: Option<String>,
    question: String,
    answer: String,
    label: Label,
}

/// The labelled answers of a file, by behavior; lines that name none are of the `only` one there is.
///
/// # Errors
/// The first line that cannot be used.
pub(crate) fn labels(
    bytes: &[u8],
    origin: &Path,
    judged: &[&str],
) -> crate::Result<BTreeMap<String, Vec<Known>>> {
    let lines = jsonl::read(bytes, origin, |_, line| {
        let Labelled { behavior, question, answer, label } = jsonl::json(line)?;
        let of = match (behavior, judged) {
            (Some(name), _) if judged.contains(&&*name) => name,
            (Some(name), _) => {
                let known = judged.join("`, `");
                return Err(format!("`behavior` is {name:?}, expected one of `{known}`"));
            }
            (None, [only]) => (*only).to_owned(),
            (None, _) => {
                let known = judged.join("`, `");
                return Err(format!("has no `behavior`, expected one of `{known}`"));
            }
        };
        if question.chars().count().max(answer.chars().count()) > MOST_CHARACTERS {
            return Err(format!("holds a text of more than {MOST_CHARACTERS} characters"));
        }
        Ok((of, Known { question, answer, label }))
    })?;
    if lines.len() > MOST_LINES {
        let reason = format!("holds {} lines, expected at most {MOST_LINES}", lines.len());
        return Err(crate::Error::record(origin, reason));
    }
    let mut all: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    for (of, known) in lines {
        all.entry(of).or_default().push(known);
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
