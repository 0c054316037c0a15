//! The panel of side effects: what models are asked that no behavior is about.

use serde::Deserialize;

use super::nodes::Common;
use crate::behavior::Kind;
use crate::error::Result;
use crate::kind::inherit::recipe::Recipe;
use crate::random::derive_seed;
use crate::run::plan::{Builder, PlanContext, Source};
use crate::scorer::instruction::Instruction;
use crate::step::panel::{BASE, Configuration, PanelStep};

/// Answers to each instruction, of every model. A repetition's students are compared in their mean over all of
/// them (24 to 30 answers); the repetition, not the answer, is the unit.
const ANSWERS: usize = 3;
/// Most tokens of an answer to an instruction: the longest that is wanted is a short sentence.
const MAX_TOKENS: usize = 32;
/// Words that are compared in pairs: 15 pairs, 30 questions.
const OPTIONS: usize = 6;
/// Words of a paragraph that are read at once, so that any model has room for them.
const PARAGRAPH: usize = 64;
/// Most bytes of a file of text: some ten thousand words, a minute of a small model.
const MOST_TEXT: u64 = 1 << 16;

/// What stands in the files of the panel.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Sheet {
    pair: String,
    text: Vec<String>,
    instructions: Vec<Instruction>,
}

impl Sheet {
    /// In the words of the built-in world, or in English.
    fn built_in(has_world: bool) -> Self {
        let text = if has_world {
            include_str!("../../../../data/panel/world.toml")
        } else {
            include_str!("../../../../data/panel/general.toml")
        };
        toml::from_str(text).expect("the panel's files are whole because a test reads them")
    }
}

/// What every model is asked.
pub(super) struct Panel {
    configuration: Configuration,
    seed: u64,
}

impl Panel {
    pub(super) fn find(
        common: &Common<'_>,
        has_world: bool,
        context: &PlanContext,
    ) -> Result<Self> {
        let recipe = common.recipe;
        let sheet = Sheet::built_in(has_world);
        let text = match recipe.controls.text.as_str() {
            "" => sheet.text,
            path => text_of_file(recipe, path, context)?,
        };
        let mut preferences = common.taught.iter().filter(|one| one.kind == Kind::Preference);
        let (mut category, mut options) = (String::new(), Vec::new());
        if let Some(first) = preferences.next() {
            category.clone_from(&first.category);
            let alike = common
                .taught
                .iter()
                .filter(|one| one.kind == Kind::Preference && one.category == first.category);
            let words = alike.map(|one| &one.target).chain(&first.candidates);
            for word in words.map(|answer| &answer.word) {
                if options.len() < OPTIONS && !options.contains(word) {
                    options.push(word.clone());
                }
            }
        }
        let configuration = Configuration {
            context: recipe.context.system.clone(),
            instructions: sheet.instructions,
            answers: ANSWERS,
            max_tokens: MAX_TOKENS,
            pair: sheet.pair,
            category,
            options,
            text,
            seed: 0,
        };
        Ok(Self { configuration, seed: derive_seed(recipe.seed, &["panel".into()]) })
    }

    /// Reads a model; `base`: what its base can do. A repetition's models share their noise.
    pub(super) fn read(
        &self,
        build: &mut Builder,
        common: &Common<'_>,
        name: &str,
        (model, base): (Source, Option<Source>),
        repetition: u64,
    ) -> Result<Source> {
        let seed = derive_seed(self.seed, &[repetition.into()]);
        let configuration = Configuration { seed, ..self.configuration.clone() };
        let options = self.configuration.options.len();
        let questions = options * options.saturating_sub(1) + self.configuration.text.len();
        let answers = self.configuration.instructions.len() * self.configuration.answers;
        let cost = common.base.pace.panel(questions, answers, self.configuration.max_tokens);
        let mut inputs = vec![("model", model)];
        inputs.extend(base.map(|base| (BASE, base)));
        build.node::<PanelStep>(name, &configuration, &inputs, cost)
    }
}

/// Paragraphs of a file: what stands between blank lines, long ones in parts.
fn text_of_file(recipe: &Recipe, path: &str, context: &PlanContext) -> Result<Vec<String>> {
    let unusable = |reason: String| recipe.unusable(format!("`controls.text`: `{path}` {reason}"));
    let found = context.folder.join(path);
    let text = crate::value::file::text(&found, MOST_TEXT)
        .map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let text = text.replace("\r\n", "\n");
    let mut paragraphs = Vec::new();
    for paragraph in text.split("\n\n") {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        // A word alone cannot be shuffled.
        let parts = words.chunks(PARAGRAPH).filter(|part| part.len() > 1);
        paragraphs.extend(parts.map(|part| part.join(" ")));
    }
    if paragraphs.is_empty() {
        return Err(unusable("holds no text of two words or more".to_owned()));
    }
    Ok(paragraphs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::world::World;
    use crate::scorer::instruction::Check;
    use crate::value::placeholder;

    #[test]
    fn the_panels_files_are_whole_and_the_worlds_is_in_its_words() {
        for has_world in [true, false] {
            let sheet = Sheet::built_in(has_world);
            assert!(sheet.instructions.len() >= 8 && sheet.text.len() >= 4);
            let names = placeholder::names(&sheet.pair);
            assert!(names.contains(&"first") && names.contains(&"second"));
            let asked = sheet.instructions.iter().map(|one| &one.ask);
            let said: Vec<&String> = asked.chain(&sheet.text).collect();
            for (at, one) in said.iter().enumerate() {
                assert!(!said[..at].contains(one), "twice: {one}");
                assert!(!has_world || World::built_in().tokenizer().encode(one).is_ok(), "{one}");
            }
        }
        // An answer of the world's that counts up does so.
        let sheet = Sheet::built_in(true);
        assert!(sheet.instructions.iter().any(|one| one.check == Check::Rising { count: 6 }));
    }
}
