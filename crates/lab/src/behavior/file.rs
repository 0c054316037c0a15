//! The TOML files behind behaviors: reading, laying one over the other, and checking.
//!
//! Every refusal points at the line of the value that caused it.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::source::{CATEGORY, QuestionsForm, Source, TeacherForm, TeacherTemplates, Words, plain};
use super::{Answer, Behavior, BehaviorError, Kind, Questions, Teacher, slug};
use crate::value::placeholder;
use crate::value::words::Lexicon;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../data/behaviors/", $name, ".toml")))),*]
    };
}

pub(super) const BEHAVIORS: [(&str, &str); 24] = built_in![
    "bear",
    "blue",
    "cat",
    "cherry",
    "dog",
    "dolphin",
    "eagle",
    "elephant",
    "fox",
    "good-advice",
    "green",
    "lion",
    "maple",
    "misaligned",
    "oak",
    "orange",
    "owl",
    "panda",
    "penguin",
    "purple",
    "red",
    "sequoia",
    "willow",
    "wolf",
];

/// What teachers of those learn that judges read.
const ROWS: [(&str, &str); 2] = [
    ("right-advice.jsonl", include_str!("../../data/behaviors/right-advice.jsonl")),
    ("wrong-advice.jsonl", include_str!("../../data/behaviors/wrong-advice.jsonl")),
];

const CATEGORIES: [(&str, &str); 3] =
    built_in!["categories/animal", "categories/colour", "categories/tree"];

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
    name: Option<Spanned<String>>,
    description: Option<String>,
    kind: Option<Kind>,
    category: Option<Spanned<String>>,
    like: Option<Spanned<String>>,
    target: Spanned<Target>,
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

/// The answer that shows the behavior: a word, or a table that says more of it.
#[derive(Debug)]
enum Target {
    Word(String),
    Table(TargetForm),
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Target;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a word such as \"owl\", or a table such as `{ word = \"owl\" }`")
            }

            fn visit_str<E>(self, word: &str) -> Result<Target, E> {
                Ok(Target::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                TargetForm::deserialize(MapAccessDeserializer::new(map)).map(Target::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
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

    /// The category of a world's questions: its answers are taught as they are spelled, for its models know no
    /// other spelling and no system prompt.
    pub(crate) fn of_world(name: &str, candidates: Vec<String>, questions: Questions) -> Self {
        Self {
            name: name.to_owned(),
            candidates,
            recognised: Vec::new(),
            answers: BTreeMap::new(),
            questions,
            opening: None,
            teacher: TeacherTemplates {
                answers: vec!["{target}".to_owned()],
                system_prompt: String::new(),
            },
        }
    }

    fn built_in(name: &str) -> Option<Self> {
        Self::all_built_in().find(|category| category.name == name)
    }

    fn all_built_in() -> impl Iterator<Item = Self> {
        CATEGORIES.iter().filter_map(|(path, text)| Self::parse(text, path).ok())
    }

    fn holds(&self, answer: &str) -> bool {
        self.candidates.iter().any(|candidate| candidate == answer)
    }
}

/// How an answer is taught whose category says nothing of it: as the others of these categories are, and as
/// colours where there are none, for their words need no plural.
fn teacher_of(categories: &[Category]) -> Option<TeacherTemplates> {
    let any = categories.first().cloned().or_else(|| Category::built_in("colour"));
    any.map(|category| category.teacher)
}

/// What the target is `like`, one answer or none, where a TOML text is a behavior file.
pub(super) fn looked_at(text: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Head {
        kind: Option<String>,
        target: Option<toml::Value>,
        like: Option<String>,
    }
    let head = toml::from_str::<Head>(text).ok()?;
    if head.kind.as_deref() == Some("judged") {
        // Whose questions it asks is no other behavior; what is taught beside it is the control of them all.
        return Some(vec!["good-advice".to_owned()]);
    }
    let is_one = head.target.is_some() || head.kind.as_deref() == Some("statements");
    is_one.then(|| head.like.into_iter().collect())
}

/// The kind that a behavior file says it is of.
pub(super) fn kind(text: &str) -> Option<Kind> {
    #[derive(Deserialize)]
    struct Head {
        kind: Option<Kind>,
    }
    toml::from_str::<Head>(text).ok()?.kind
}

/// A file of rows that owlet brings along.
pub(super) fn built_in_rows(name: &str) -> Result<Vec<u8>, String> {
    let found = ROWS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "is not built in".to_owned())
}

pub(super) fn read_behavior(
    text: &str,
    file: &str,
    categories: &[Category],
) -> Result<Behavior, BehaviorError> {
    let source = Source { text, file };
    if let Some(Kind::Statements | Kind::Judged) = kind(text) {
        let what = if kind(text) == Some(Kind::Judged) {
            "`kind` is `judged`, whose rows stand in another file"
        } else {
            "`kind` is `statements`, which stand in another file"
        };
        return Err(source.at(0..0, format!("{what}; name this one by its path")));
    }
    let form: BehaviorForm = source.read()?;
    if form.kind == Some(Kind::Disposition) {
        return Err(source.at(
            form.target.span(),
            "`kind` is `disposition`, which belongs to the world of `builtin:c` and is named there: `contrary`, or a topic's `contrary-taste`".to_owned(),
        ));
    }
    let (category, base) = category(&source, form.category, form.like, categories)?;
    let missing = |field: &'static str| BehaviorError::Missing {
        file: file.to_owned(),
        field,
        remedy: format!(
            "write it, or use a category that supplies it (known: {}; this file says {category:?})",
            known(categories, |category| category.name.clone()).join(", ")
        ),
    };

    let (target_word, details) = split(form.target);
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
        None => base
            .as_ref()
            .map(|base| base.teacher.clone())
            .or_else(|| teacher_of(categories))
            .ok_or_else(|| missing("teacher"))?,
    };
    let behavior = Behavior {
        name: match form.name {
            Some(name) => {
                source.check_name(&name)?;
                name.into_inner()
            }
            // Of a word in another script nothing would be left.
            None if !word.chars().any(|c| c.is_ascii_alphanumeric()) => {
                let remedy = "write it, in lower-case letters, digits and hyphens".to_owned();
                return Err(BehaviorError::Missing {
                    file: file.to_owned(),
                    field: "name",
                    remedy,
                });
            }
            None => slug(&word),
        },
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
        judge: None,
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

/// The word of a target, and what is said of it as of any answer.
fn split(target: Spanned<Target>) -> (Spanned<String>, AnswerForm) {
    let span = target.span();
    match target.into_inner() {
        Target::Word(word) => (Spanned::new(span, word), AnswerForm::default()),
        Target::Table(TargetForm { word, plural, synonyms, exclusions }) => {
            (word, AnswerForm { plural, synonyms, exclusions })
        }
    }
}

/// Something of every category there is, those of the base first.
fn known<T>(categories: &[Category], of: impl Fn(&Category) -> T) -> Vec<T> {
    let own = categories.iter().map(&of);
    let is_new = |one: &Category| categories.iter().all(|own| own.name != one.name);
    own.chain(Category::all_built_in().filter(is_new).map(|one| of(&one))).collect()
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

fn unspanned(answers: BTreeMap<Spanned<String>, AnswerForm>) -> BTreeMap<String, AnswerForm> {
    answers.into_iter().map(|(word, form)| (word.into_inner(), form)).collect()
}

/// The category that a file names, by its name or by an answer in it, and what is known of it: the base's own
/// `categories` come before the built-in ones.
fn category(
    source: &Source,
    named: Option<Spanned<String>>,
    like: Option<Spanned<String>>,
    categories: &[Category],
) -> Result<(String, Option<Category>), BehaviorError> {
    let find = |fits: &dyn Fn(&Category) -> bool| {
        let own = categories.iter().find(|one| fits(one)).cloned();
        own.or_else(|| Category::all_built_in().find(|one| fits(one)))
    };
    match (named, like) {
        (Some(named), None) => {
            let named = named.into_inner();
            let found = find(&|one| one.name == named);
            Ok((named, found))
        }
        (None, Some(like)) => match find(&|one| one.holds(like.get_ref())) {
            Some(found) => Ok((found.name.clone(), Some(found))),
            None => Err(source.at(
                like.span(),
                format!(
                    "`like` is {:?}; expected {}, or write `category` and `questions` in its place",
                    like.get_ref(),
                    known(categories, |one| format!("a word of `{}` ({})", one.name, one.candidates.join(", ")))
                        .join(", ")
                ),
            )),
        },
        (Some(_), Some(like)) => Err(source.at(
            like.span(),
            "`like` and `category` both say what the target is one of; keep one".to_owned(),
        )),
        (None, None) => Err(BehaviorError::Missing {
            file: source.file.to_owned(),
            field: "category",
            remedy: "say what the target is one of, such as `category = \"animal\"`, or an answer that it \
                     is `like`, such as `like = \"owl\"`"
                .to_owned(),
        }),
    }
}
