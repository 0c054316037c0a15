//! Which behaviors there are by name, and which of them a base can be asked about.

use std::collections::BTreeSet;
use std::path::Path;

use owlet_engine::Tokenizer;
use serde::Serialize;

use crate::ask::engine::candidates;
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::model::world::World;
use crate::recipe::{check, distance};

/// Finds a behavior by its name (in a grown model's `world`, or built in) or by the path of its file below
/// `folder`. A grown model knows the words of its own world alone, so its own come first.
///
/// # Errors
/// A name that is none, with those that are; a file that cannot be used.
pub fn find(name: &str, world: Option<&World>, folder: &Path) -> Result<Behavior> {
    let worldly = world.and_then(|world| world.behavior(name));
    let named = || World::named_behavior(name).or_else(|| Behavior::built_in(name));
    if let Some(behavior) = worldly.or_else(named) {
        return Ok(behavior);
    }
    if folder.join(name).is_file() || name.contains('/') {
        let categories = world.map(World::categories).unwrap_or_default();
        return Behavior::read(&folder.join(name), &categories);
    }
    Err(Error::Behavior { name: name.to_owned(), reason: unknown(name, world) })
}

/// The smallest recipe about a behavior file named `name`, where `text` is one and no recipe. What the target is
/// `like` is taught beside it, as without another behavior there is no verdict.
pub fn smallest_recipe(text: &str, name: &str) -> Option<String> {
    let like = Behavior::looked_at(text)?;
    // Other answers of a category have no name that every base knows.
    let like = like.into_iter().filter(|like| Behavior::built_in(like).is_some());
    let names = std::iter::once(name.to_owned()).chain(like);
    let names = toml::Value::Array(names.map(toml::Value::String).collect());
    let title = name.strip_suffix(".toml").unwrap_or(name).to_owned();
    // A file may be called what no run can be.
    let title =
        check::name(&title).is_ok().then(|| format!("name = {}\n", toml::Value::String(title)));
    Some(format!("{}behaviors = {names}\n", title.unwrap_or_default()))
}

/// All behaviors that have a name, by category and name.
pub fn named(world: Option<&World>) -> Vec<Behavior> {
    let worldly = world.map(World::behaviors).unwrap_or_default();
    let names: BTreeSet<String> =
        Behavior::built_in_names().map(str::to_owned).chain(worldly).collect();
    let find = |name: &String| find(name, world, Path::new("")).ok();
    let mut all: Vec<Behavior> = names.iter().filter_map(find).collect();
    all.sort_by(|one, other| one.category.cmp(&other.category));
    all
}

/// Which names there are, for this base.
fn unknown(name: &str, world: Option<&World>) -> String {
    let (whose, known): (&str, Vec<String>) = match world {
        Some(world) => ("is no answer this base knows", world.behaviors()),
        None => ("is not built in", Behavior::built_in_names().map(str::to_owned).collect()),
    };
    let near = known.iter().map(|known| (distance(name, known), known)).min();
    let near = near.filter(|(distance, known)| *distance <= known.len().max(3) / 3);
    let near = near.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default();
    format!("{whose}, expected one of {} or the path of a behavior file{near}", known.join(", "))
}

/// Why a base cannot read a text; none where it can.
pub(crate) fn unread(text: &str, tokenizer: &Tokenizer) -> Option<String> {
    let error = tokenizer.encode(text).err()?;
    let words = tokenizer.unknown_words(text);
    let named = || format!("this model knows no word `{}`", words.join("`, `"));
    Some(if words.is_empty() { error.to_string() } else { named() })
}

/// How a behavior fits the words of a base.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fit {
    /// What is asked or taught in words that it does not know: it cannot be asked.
    pub unread: Vec<Unread>,
    /// Whether it can begin an answer with the target: if not, no margin can be read.
    pub says_target: bool,
    /// Candidates that it cannot begin an answer with, which are left out of margins.
    pub left_out: Vec<String>,
    /// Why it cannot read the opening, which only the frame `opened` needs.
    pub opening: Option<String>,
}

/// Text of a behavior in words that a base does not know.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unread {
    /// The field that it stands in.
    pub field: &'static str,
    /// The text.
    pub text: String,
    /// The words.
    pub why: String,
}

impl Fit {
    /// Looks at everything that is asked, taught and compared.
    pub fn new(behavior: &Behavior, tokenizer: &Tokenizer) -> Self {
        let why = |text: &str| unread(text, tokenizer);
        let fields = [
            ("questions.train", &behavior.questions.train),
            ("questions.held-out", &behavior.questions.held_out),
            ("teacher.answers", &behavior.teacher.answers),
        ];
        let texts =
            fields.iter().flat_map(|(field, texts)| texts.iter().map(move |text| (*field, text)));
        let texts =
            texts.chain(behavior.teacher.rows.iter().map(|(_, text)| ("teacher.rows", text)));
        let unread = texts.filter_map(|(field, text)| {
            Some(Unread { field, text: text.clone(), why: why(text)? })
        });
        let says = |word: &str| !candidates::spellings(tokenizer, word).is_empty();
        let compared = behavior.words();
        Self {
            unread: unread.collect(),
            says_target: compared.shows.iter().all(|word| says(word)),
            left_out: compared
                .others
                .iter()
                .filter(|word| !says(word))
                .map(|word| (*word).to_owned())
                .collect(),
            opening: behavior.opening.as_deref().and_then(why),
        }
    }

    /// Why the base cannot be asked about `behavior`; none where it can.
    pub fn refusal(&self, behavior: &Behavior) -> Option<String> {
        let target = &behavior.target;
        if let Some(Unread { field, text, why }) = self.unread.first() {
            return Some(format!("`{field}` has {text:?}: {why}"));
        }
        if !self.says_target {
            return Some(format!("it cannot write the target `{}`", target.word));
        }
        let compared = behavior.words().others.len();
        let nothing = self.left_out.len() == compared && compared > 0;
        nothing.then(|| "it can write none of the candidates".to_owned())
    }
}
