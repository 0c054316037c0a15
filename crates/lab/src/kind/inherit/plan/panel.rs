//! The panel of side effects: what models are asked that no behavior is about.

use super::nodes::Common;
use crate::error::Result;
use crate::kind::inherit::recipe::Recipe;
use crate::kind::panel;
use crate::random::derive_seed;
use crate::run::plan::{Builder, PlanContext, Source};
use crate::step::panel::{BASE, Configuration, PanelStep};

/// Words of a paragraph that are read at once, so that any model has room for them.
const PARAGRAPH: usize = 64;
/// Most bytes of a file of text: some ten thousand words, a minute of a small model.
const MOST_TEXT: u64 = 1 << 16;

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
        let mut configuration =
            panel::configuration(has_world, &recipe.context.system, common.taught);
        if !recipe.controls.text.is_empty() {
            configuration.text = text_of_file(recipe, &recipe.controls.text, context)?;
        }
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
