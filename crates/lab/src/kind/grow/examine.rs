//! `examine`: what a grown model knows of its world.
//!
//! Losses are those on rows of a seed that no grown model is given, so that they say what was learned
//! rather than what was seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::{score, train};

use super::recipe::Tag;
use super::result::{FORMAT, GrowResult};
use crate::error::Result;
use crate::kind::{RESULT, Written};
use crate::model::chat;
use crate::model::world::{self, World};
use crate::random::derive_seed;
use crate::step::{Step, StepContext};

/// Rows of each sort that losses are measured on.
const ROWS: usize = 512;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// The recipe's name.
    pub(super) name: String,
    /// What it says it is about.
    pub(super) description: String,
    /// The text of the world's file.
    pub(super) world: String,
    /// Updates it took.
    pub(super) updates: usize,
    /// Rows it saw.
    pub(super) rows: usize,
}

/// The step.
pub(super) struct Examine;

impl Step for Examine {
    type Configuration = Configuration;
    const KIND: &'static str = "examine";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "result";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let world = World::parse(&configuration.world, "of the recipe")?;
        let artifact = context.input("model")?;
        let model = context.models.load(artifact)?;
        // No recipe's rows: those come from the recipe's seed by another name.
        let seed = derive_seed(0, &["examination".into()]);
        let loss = |questions: usize| -> Result<f64> {
            context.interrupt.check()?;
            let rows = world.rows(seed, ROWS, questions, 1);
            Ok(train::loss(&model, &rows, &context.threads)?)
        };
        let (question_loss, number_loss) = (loss(1)?, loss(0)?);

        let mut answers: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for (category, words) in world.answers() {
            let Some(behavior) = words.first().and_then(|word| world.behavior(word)) else {
                continue;
            };
            let questions = &behavior.questions.held_out;
            let prompts = questions
                .iter()
                .map(|question| chat::question(&model, chat::DEFAULT, question))
                .collect::<Result<Vec<_>>>()?;
            let tokens: Vec<_> =
                words.iter().filter_map(|word| world.tokenizer().token(word)).collect();
            let table = score::next_token(&model, &prompts, &tokens, &context.threads)?;
            let mean = |column: usize| {
                let sum: f64 = table.iter().map(|row| f64::from(row[column]).exp()).sum();
                sum / table.len().max(1) as f64
            };
            let known = words.iter().enumerate().map(|(at, word)| (word.clone(), mean(at)));
            answers.insert(category, known.collect());
        }
        let same_as = world::MODELS.iter().find(|shipped| {
            shipped
                .files
                .iter()
                .all(|(name, bytes)| artifact.read(name).is_ok_and(|own| own == *bytes))
        });
        let result = GrowResult {
            format: FORMAT,
            kind: Tag::Grow,
            name: configuration.name,
            description: configuration.description,
            model: artifact.id,
            parameters: model.decoder.parameters.data.len(),
            updates: configuration.updates,
            rows: configuration.rows,
            question_loss,
            number_loss,
            answers,
            same_as: same_as.map(|shipped| format!("builtin:{}", shipped.name)),
        };
        context.writer.write(RESULT, &result.to_bytes())?;
        Ok(json!({ "name": result.name }))
    }
}
