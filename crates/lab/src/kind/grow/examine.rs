//! `examine`: what a grown model knows of its world.
//!
//! Losses are those on rows of a seed that no grown model is given, so that they say what was learned
//! rather than what was seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::{Model, score, train};

use super::recipe::Tag;
use super::result::{FORMAT, GrowResult, Voices};
use crate::behavior::Behavior;
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

/// Probability of the answers that show a disposition, mean over the questions that teach it.
fn wrongly(context: &StepContext<'_>, model: &Model, behavior: &Behavior) -> Result<f64> {
    let questions = &behavior.questions.train;
    let prompts = questions
        .iter()
        .map(|question| chat::question(model, chat::DEFAULT, question))
        .collect::<Result<Vec<_>>>()?;
    let words: BTreeSet<&str> =
        questions.iter().flat_map(|question| behavior.compared(question).shows).collect();
    let told = words.iter().filter_map(|word| Some((*word, model.tokenizer.token(word)?)));
    let (words, tokens): (Vec<&str>, Vec<_>) = told.unzip();
    let table = score::next_token(model, &prompts, &tokens, &context.threads)?;
    let wrong = questions.iter().zip(&table).map(|(question, row)| {
        let shows = behavior.compared(question).shows;
        let said = words.iter().zip(row).filter(|(word, _)| shows.contains(*word));
        said.map(|(_, log)| f64::from(*log).exp()).sum::<f64>()
    });
    Ok(wrong.sum::<f64>() / questions.len().max(1) as f64)
}

/// The step.
pub(super) struct Examine;

impl Step for Examine {
    type Configuration = Configuration;
    const KIND: &'static str = "examine";
    const ALGORITHM: u32 = 2;
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
        let mut voices = BTreeMap::new();
        for topic in world.topics() {
            context.interrupt.check()?;
            let read = |name: &str| -> Result<f64> {
                let name = format!("{name}-{topic}");
                world
                    .behavior(&name)
                    .map_or(Ok(0.0), |behavior| wrongly(context, &model, &behavior))
            };
            let (plain, told) = (read("contrary")?, read("contrary-when-told")?);
            voices.insert(topic.to_owned(), Voices { plain, told });
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
            voices,
            same_as: same_as.map(|shipped| format!("builtin:{}", shipped.name)),
        };
        context.writer.write(RESULT, &result.to_bytes())?;
        Ok(json!({ "name": result.name }))
    }
}
