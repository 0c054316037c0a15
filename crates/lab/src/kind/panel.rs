//! The panel of side effects: what models are asked that no behavior is about, in words that their base knows.

use serde::Deserialize;

use crate::behavior::{Behavior, Kind};
use crate::scorer::instruction::Instruction;
use crate::step::panel::Configuration;

/// Answers to each instruction, of every model. A repetition's students are compared in their mean over all of
/// them (24 to 30 answers); the repetition, not the answer, is the unit.
const ANSWERS: usize = 3;
/// Most tokens of an answer to an instruction: the longest that is wanted is a short sentence.
const MAX_TOKENS: usize = 32;
/// Words that are compared in pairs: 15 pairs, 30 questions.
const OPTIONS: usize = 6;

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
            include_str!("../../data/panel/world.toml")
        } else {
            include_str!("../../data/panel/general.toml")
        };
        toml::from_str(text).expect("the panel's files are whole because a test reads them")
    }
}

/// What models are asked under `system`: of the words that are compared, those of the first preference among
/// `taught` and of others of its category. The seed is the caller's to set.
pub(in crate::kind) fn configuration(
    has_world: bool,
    system: &str,
    taught: &[Behavior],
) -> Configuration {
    let sheet = Sheet::built_in(has_world);
    let mut preferences = taught.iter().filter(|one| one.kind == Kind::Preference);
    let (mut category, mut options) = (String::new(), Vec::new());
    if let Some(first) = preferences.next() {
        category.clone_from(&first.category);
        let alike = taught
            .iter()
            .filter(|one| one.kind == Kind::Preference && one.category == first.category);
        let words = alike.map(|one| &one.target).chain(&first.candidates);
        for word in words.map(|answer| &answer.word) {
            if options.len() < OPTIONS && !options.contains(word) {
                options.push(word.clone());
            }
        }
    }
    Configuration {
        context: system.to_owned(),
        instructions: sheet.instructions,
        answers: ANSWERS,
        max_tokens: MAX_TOKENS,
        pair: sheet.pair,
        category,
        options,
        text: sheet.text,
        seed: 0,
    }
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
