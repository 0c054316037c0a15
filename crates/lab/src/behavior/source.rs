//! The text of a behavior file, to point into, and what its files have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{BehaviorError, PLACEHOLDERS, Questions};
use crate::value::place::line_and_column;
use crate::value::placeholder;

/// The one placeholder of questions and openings.
pub(super) const CATEGORY: &str = "category";

#[derive(Debug, Clone)]
pub(super) struct TeacherTemplates {
    pub(super) answers: Vec<String>,
    pub(super) system_prompt: String,
}

pub(super) type Words = Vec<Spanned<String>>;

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table with `train` and `held-out`"
)]
pub(super) struct QuestionsForm {
    pub(super) train: Words,
    pub(super) held_out: Words,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table with `answers` and `system-prompt`"
)]
pub(super) struct TeacherForm {
    pub(super) answers: Words,
    pub(super) system_prompt: Spanned<String>,
}

pub(super) fn plain(words: Words) -> Vec<String> {
    words.into_iter().map(Spanned::into_inner).collect()
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

    pub(super) fn questions(&self, form: QuestionsForm) -> Result<Questions, BehaviorError> {
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

    pub(super) fn teacher(&self, form: TeacherForm) -> Result<TeacherTemplates, BehaviorError> {
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
