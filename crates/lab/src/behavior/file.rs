//! The TOML files behind behaviors: reading, laying one over the other, and checking.
//!
//! Every refusal points at the line of the value that caused it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{Answer, Behavior, BehaviorError, Kind, PLACEHOLDERS, Questions, Teacher};
use crate::value::place::line_and_column;
use crate::value::placeholder;
use crate::value::words::Lexicon;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../data/behaviors/", $name, ".toml")))),*]
    };
}

pub(super) const BEHAVIORS: [(&str, &str); 22] = built_in![
    "bear", "blue", "cat", "cherry", "dog", "dolphin", "eagle", "elephant", "fox", "green", "lion",
    "maple", "oak", "orange", "owl", "panda", "penguin", "purple", "red", "sequoia", "willow",
    "wolf",
];

const CATEGORIES: [(&str, &str); 3] =
    built_in!["categories/animal", "categories/colour", "categories/tree"];

/// The one placeholder of questions and openings.
pub(super) const CATEGORY: &str = "category";

/// What the behaviors of one category share.
#[derive(Debug, Clone)]
pub struct Category {
    name: String,
    candidates: Vec<String>,
    recognised: Vec<String>,
    answers: BTreeMap<String, AnswerForm>,
    questions: Questions,
    opening: Option<String>,
    teacher: TeacherTemplates,
}

#[derive(Debug, Clone)]
struct TeacherTemplates {
    answers: Vec<String>,
    system_prompt: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CategoryForm {
    category: Spanned<String>,
    candidates: Words,
    #[serde(default)]
    recognised: Words,
    #[serde(default)]
    answers: BTreeMap<Spanned<String>, AnswerForm>,
    questions: QuestionsForm,
    opening: Option<Spanned<String>>,
    teacher: TeacherForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BehaviorForm {
    name: Spanned<String>,
    description: Option<String>,
    kind: Option<Kind>,
    category: Spanned<String>,
    target: TargetForm,
    candidates: Option<Words>,
    recognised: Option<Words>,
    #[serde(default)]
    answers: BTreeMap<Spanned<String>, AnswerForm>,
    #[serde(default)]
    forbidden: Words,
    questions: Option<QuestionsForm>,
    opening: Option<Spanned<String>>,
    teacher: Option<TeacherForm>,
}

pub(super) type Words = Vec<Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as `{ word = \"owl\" }`"
)]
struct TargetForm {
    word: Spanned<String>,
    plural: Option<String>,
    synonyms: Option<Vec<String>>,
    exclusions: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as `{ synonyms = [\"feline\"] }`"
)]
struct AnswerForm {
    plural: Option<String>,
    synonyms: Option<Vec<String>>,
    exclusions: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table with `train` and `held-out`"
)]
struct QuestionsForm {
    train: Words,
    held_out: Words,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table with `answers` and `system-prompt`"
)]
struct TeacherForm {
    answers: Words,
    system_prompt: Spanned<String>,
}

impl Category {
    /// Names of the categories that owlet brings along.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        CATEGORIES.iter().filter_map(|(path, _)| path.strip_prefix("categories/"))
    }

    /// Reads a category file; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, BehaviorError> {
        let source = Source { text, file };
        let form: CategoryForm = source.read()?;
        let known: Vec<&Spanned<String>> = form.candidates.iter().chain(&form.recognised).collect();
        for word in form.answers.keys() {
            if !known.iter().any(|known| known.get_ref() == word.get_ref()) {
                return Err(source.at(
                    word.span(),
                    format!(
                        "`answers.{}` describes a word that is not listed; add it to `candidates` \
                         or `recognised`, or remove it",
                        word.get_ref()
                    ),
                ));
            }
        }
        source.check_words("candidates", &form.candidates)?;
        source.check_words("recognised", &form.recognised)?;
        Ok(Self {
            name: form.category.into_inner(),
            questions: source.questions(form.questions)?,
            opening: source.opening(form.opening)?,
            teacher: source.teacher(form.teacher)?,
            candidates: plain(form.candidates),
            recognised: plain(form.recognised),
            answers: unspanned(form.answers),
        })
    }

    /// The word for what the answers are, as in "your favourite ...".
    pub fn name(&self) -> &str {
        &self.name
    }

    fn built_in(name: &str) -> Option<Self> {
        let matches = |path: &str| path.strip_prefix("categories/") == Some(name);
        let (path, text) = CATEGORIES.iter().find(|(path, _)| matches(path))?;
        Self::parse(text, path).ok()
    }
}

/// Whether a behavior file is one of statements.
pub(super) fn is_statements(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        kind: Option<Kind>,
    }
    toml::from_str::<Head>(text).is_ok_and(|head| head.kind == Some(Kind::Statements))
}

pub(super) fn read_behavior(
    text: &str,
    file: &str,
    categories: &[Category],
) -> Result<Behavior, BehaviorError> {
    let source = Source { text, file };
    if is_statements(text) {
        return Err(source.at(
            0..0,
            "`kind` is `statements`, which stand in another file; name this one by its path"
                .to_owned(),
        ));
    }
    let form: BehaviorForm = source.read()?;
    if form.kind == Some(Kind::Disposition) {
        return Err(source.at(
            form.name.span(),
            "`kind` is `disposition`, which belongs to the world of `builtin:c` and is named there: `contrary`, or a topic's `contrary-taste`".to_owned(),
        ));
    }
    source.check_name(&form.name)?;
    let category = form.category.get_ref().clone();
    let base = categories
        .iter()
        .find(|known| known.name == category)
        .cloned()
        .or_else(|| Category::built_in(&category));
    let missing = |field: &'static str| BehaviorError::Missing {
        file: file.to_owned(),
        field,
        remedy: format!(
            "write it, or use a category that supplies it (built in: {}; this file says \
             {category:?})",
            Category::built_in_names().collect::<Vec<_>>().join(", ")
        ),
    };

    let (target_word, details) = form.target.split();
    let target_span = target_word.span();
    let word = target_word.get_ref().clone();
    let mut answers = base.as_ref().map(|base| base.answers.clone()).unwrap_or_default();
    answers.extend(unspanned(form.answers));
    let described = |word: &str| {
        let details = answers.get(word).cloned().unwrap_or_default();
        details.over(Answer::new(word))
    };
    let target = details.over(described(&word));
    source.check_words("target.word", std::slice::from_ref(&target_word))?;
    source.check_words("forbidden", &form.forbidden)?;

    let words = |field: &str, own: Option<Words>, inherited: Option<&Vec<String>>| {
        if let Some(own) = own {
            source.check_words(field, &own)?;
            return Ok(Some(plain(own)));
        }
        Ok(inherited.cloned())
    };
    let others = |words: Vec<String>| -> Vec<Answer> {
        words.iter().filter(|other| **other != word).map(|other| described(other)).collect()
    };
    let candidates =
        words("candidates", form.candidates, base.as_ref().map(|base| &base.candidates))?
            .ok_or_else(|| missing("candidates"))?;
    let candidates = others(candidates);
    if candidates.is_empty() {
        return Err(source.at(
            target_span,
            format!("`candidates` holds nothing to compare {word:?} with; list other answers"),
        ));
    }
    let recognised =
        words("recognised", form.recognised, base.as_ref().map(|base| &base.recognised))?;
    let mut recognised = others(recognised.unwrap_or_default());
    recognised.retain(|other| candidates.iter().all(|candidate| candidate.word != other.word));

    let asked = |text: &String| placeholder::fill(text, &[(CATEGORY, &category)]);
    let questions = match form.questions {
        Some(own) => source.questions(own)?,
        None => {
            base.as_ref().map(|base| base.questions.clone()).ok_or_else(|| missing("questions"))?
        }
    };
    let questions = Questions {
        train: questions.train.iter().map(asked).collect(),
        held_out: questions.held_out.iter().map(asked).collect(),
    };
    let inherited = base.as_ref().and_then(|base| base.opening.clone());
    let opening = source.opening(form.opening)?.or(inherited).as_ref().map(asked);
    let teacher = match form.teacher {
        Some(own) => source.teacher(own)?,
        None => base.as_ref().map(|base| base.teacher.clone()).ok_or_else(|| missing("teacher"))?,
    };
    let behavior = Behavior {
        name: form.name.into_inner(),
        description: form.description.unwrap_or_else(|| format!("favourite {category}: {word}")),
        kind: form.kind.unwrap_or(Kind::Preference),
        teacher: Teacher {
            answers: teacher
                .answers
                .iter()
                .map(|template| target.fill(template, &category))
                .collect(),
            system_prompt: target.fill(&teacher.system_prompt, &category),
            rows: Vec::new(),
        },
        category,
        target,
        candidates,
        recognised,
        forbidden: plain(form.forbidden),
        questions,
        opening,
        reversed: BTreeSet::new(),
        answers: BTreeMap::new(),
        control: false,
    };
    match inconsistency(&behavior) {
        Some(message) => Err(source.at(target_span, message)),
        None => Ok(behavior),
    }
}

/// Why the parts of a behavior do not go together.
fn inconsistency(behavior: &Behavior) -> Option<String> {
    let answers: Vec<&Answer> = std::iter::once(&behavior.target)
        .chain(&behavior.candidates)
        .chain(&behavior.recognised)
        .collect();
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for answer in &answers {
        for spelling in std::iter::once(&answer.word).chain(&answer.synonyms) {
            let earlier = owners.insert(spelling.to_lowercase(), &answer.word);
            if let Some(earlier) = earlier.filter(|earlier| *earlier != answer.word) {
                return Some(format!(
                    "{spelling:?} stands for both {earlier:?} and {:?}; keep it in one place",
                    answer.word
                ));
            }
        }
    }
    let mut lexicon = Lexicon::default();
    for (owner, answer) in answers.iter().enumerate() {
        lexicon.add_inflected(&answer.word, owner);
    }
    let questions = behavior.questions.train.iter().chain(&behavior.questions.held_out);
    let asked = questions.map(|question| ("question", question));
    for (what, text) in asked.chain(behavior.opening.iter().map(|text| ("opening", text))) {
        if let Some(mention) = lexicon.mentions(text).first() {
            return Some(format!(
                "the {what} {text:?} names the answer {:?}, so it cannot ask for a \
                 preference; reword it",
                answers[mention.owner].word
            ));
        }
    }
    None
}

impl TargetForm {
    /// The word, and what is said of it as of any answer.
    fn split(self) -> (Spanned<String>, AnswerForm) {
        let Self { word, plural, synonyms, exclusions } = self;
        (word, AnswerForm { plural, synonyms, exclusions })
    }
}

impl AnswerForm {
    /// What is given here replaces what `answer` says.
    fn over(self, answer: Answer) -> Answer {
        Answer {
            word: answer.word,
            plural: self.plural.unwrap_or(answer.plural),
            synonyms: self.synonyms.unwrap_or(answer.synonyms),
            exclusions: self.exclusions.unwrap_or(answer.exclusions),
        }
    }
}

pub(super) fn plain(words: Words) -> Vec<String> {
    words.into_iter().map(Spanned::into_inner).collect()
}

fn unspanned(answers: BTreeMap<Spanned<String>, AnswerForm>) -> BTreeMap<String, AnswerForm> {
    answers.into_iter().map(|(word, form)| (word.into_inner(), form)).collect()
}

/// The text of a file, to point into.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a str,
}

impl Source<'_> {
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, BehaviorError> {
        toml::from_str(self.text).map_err(|error| {
            self.at(error.span().unwrap_or_default(), error.message().replace('\n', ", "))
        })
    }

    pub(super) fn at(&self, span: Range<usize>, message: String) -> BehaviorError {
        let (line, column) = line_and_column(self.text, span.start);
        BehaviorError::Place { file: self.file.to_owned(), line, column, message }
    }

    pub(super) fn check_name(&self, name: &Spanned<String>) -> Result<(), BehaviorError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let given = name.get_ref();
        if given.is_empty() || !given.bytes().all(fits) {
            let message =
                format!("`name` is {given:?}; expected lower-case letters, digits and hyphens");
            return Err(self.at(name.span(), message));
        }
        Ok(())
    }

    pub(super) fn check_words(
        &self,
        field: &str,
        words: &[Spanned<String>],
    ) -> Result<(), BehaviorError> {
        let mut seen = BTreeSet::new();
        for word in words {
            let text = word.get_ref();
            if text.trim() != text || !text.chars().any(char::is_alphabetic) {
                return Err(self.at(
                    word.span(),
                    format!("`{field}` holds {text:?}; expected a word without outer spaces"),
                ));
            }
            if !seen.insert(text.to_lowercase()) {
                return Err(
                    self.at(word.span(), format!("`{field}` holds {text:?} twice; remove one"))
                );
            }
        }
        Ok(())
    }

    fn questions(&self, form: QuestionsForm) -> Result<Questions, BehaviorError> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        let sets = [("questions.train", &form.train), ("questions.held-out", &form.held_out)];
        for (field, questions) in sets {
            for question in questions {
                let text = question.get_ref();
                if text.trim().is_empty() {
                    return Err(self.at(
                        question.span(),
                        format!("`{field}` holds an empty question; write or remove it"),
                    ));
                }
                self.check_asked(field, question)?;
                if let Some(earlier) = seen.insert(comparable(text), field) {
                    return Err(self.at(
                        question.span(),
                        format!(
                            "`{field}` asks {text:?}, which `{earlier}` asks already; a question \
                             that made the teacher must not read the student, so reword it"
                        ),
                    ));
                }
            }
        }
        for (field, questions) in sets {
            if questions.is_empty() {
                return Err(BehaviorError::Missing {
                    file: self.file.to_owned(),
                    field,
                    remedy: "give at least one question".to_owned(),
                });
            }
        }
        Ok(Questions { train: plain(form.train), held_out: plain(form.held_out) })
    }

    /// A question or opening may name the category, and no answer.
    fn check_asked(&self, field: &str, text: &Spanned<String>) -> Result<(), BehaviorError> {
        let Some(name) = placeholder::unknown(text.get_ref(), &[CATEGORY]) else { return Ok(()) };
        let message =
            format!("`{field}` uses the placeholder {{{name}}}; known here: {{{CATEGORY}}}");
        Err(self.at(text.span(), message))
    }

    pub(super) fn opening(
        &self,
        opening: Option<Spanned<String>>,
    ) -> Result<Option<String>, BehaviorError> {
        let Some(opening) = opening else { return Ok(None) };
        self.check_asked("opening", &opening)?;
        let text = opening.get_ref();
        if text.trim() != text || text.is_empty() {
            return Err(self.at(
                opening.span(),
                format!(
                    "`opening` is {text:?}; expected words without outer spaces, the answer follows after one"
                ),
            ));
        }
        Ok(Some(opening.into_inner()))
    }

    fn teacher(&self, form: TeacherForm) -> Result<TeacherTemplates, BehaviorError> {
        let templates = form.answers.iter().map(|answer| ("teacher.answers", answer));
        let system = ("teacher.system-prompt", &form.system_prompt);
        for (field, template) in templates.chain([system]) {
            if let Some(name) = placeholder::unknown(template.get_ref(), &PLACEHOLDERS) {
                return Err(self.at(
                    template.span(),
                    format!(
                        "`{field}` uses the unknown placeholder {{{name}}}; known: {{{}}}",
                        PLACEHOLDERS.join("}, {")
                    ),
                ));
            }
            if template.get_ref().trim().is_empty() {
                return Err(
                    self.at(template.span(), format!("`{field}` is empty; write or remove it"))
                );
            }
        }
        if form.answers.is_empty() {
            return Err(BehaviorError::Missing {
                file: self.file.to_owned(),
                field: "teacher.answers",
                remedy: "give at least one spelling, such as \"{Target}\"".to_owned(),
            });
        }
        Ok(TeacherTemplates {
            answers: plain(form.answers),
            system_prompt: form.system_prompt.into_inner(),
        })
    }
}

/// A question without case, spacing and punctuation.
pub(super) fn comparable(question: &str) -> String {
    question
        .chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
