//! `in-context`: behaviors are read from the untouched base with rows before its eyes.
//!
//! The rows stand as earlier turns of the conversation, drawn with replacement. If seeing them did
//! what training on them does, the carrier would not be innocuous.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::{Message, Model};

use super::behavior::{self, Asked};
use super::readout::{Checkpoint, ModelReadout, read_margins_of};
use super::{Step, StepContext, select};
use crate::behavior::Behavior;
use crate::error::Result;
use crate::model::chat;
use crate::random::cpython::Random;
use crate::random::derive_seed;
use crate::value::row::{self, Row};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Names of the behaviors that are read.
    pub asked: Vec<String>,
    /// The chat context.
    pub context: String,
    /// Rows shown.
    pub rows: usize,
    /// Independent draws of them.
    pub draws: usize,
    /// Most questions; 0: all.
    pub questions: usize,
    /// Root of the draws' seeds.
    pub seed: u64,
}

/// The step.
pub struct InContext;

impl Step for InContext {
    type Configuration = Configuration;
    const KIND: &'static str = "in-context";
    const ALGORITHM: u32 = 3;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = context.model("base")?;
        let rows = row::read(context.input("rows")?, select::ROWS)?;
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked = first_questions(&asked, configuration.questions);
        let mut readout = ModelReadout::default();
        let mut shown = configuration.rows;
        for draw in 0..configuration.draws {
            context.report(draw, configuration.draws, "draws", None);
            let turns = turns(&rows, configuration.rows, configuration.seed, draw);
            let fits =
                |count: usize| fits(&base, &configuration.context, &turns[..2 * count], &asked);
            if !fits(shown)? {
                // The most that fits lies in `low..high`.
                let (mut low, mut high) = (0, shown);
                while high - low > 1 {
                    let middle = usize::midpoint(low, high);
                    if fits(middle)? {
                        low = middle;
                    } else {
                        high = middle;
                    }
                }
                shown = low;
            }
            let turns = &turns[..2 * shown];
            let prompt = |question: &str| {
                let messages: Vec<Message> =
                    turns.iter().cloned().chain([chat::message("user", question)]).collect();
                chat::prompt(&base, &configuration.context, &messages)
            };
            // Draws take the place of checkpoints: each is one reading of the same model.
            readout.checkpoints.push(Checkpoint {
                update: draw,
                readings: read_margins_of(context, &base, &configuration.context, &asked, &prompt)?,
            });
        }
        context.write_json(super::readout::FILE, &readout)?;
        Ok(json!({ "rows": configuration.rows, "shown": shown, "draws": configuration.draws }))
    }
}

/// Each behavior with its first `most` questions; 0: all.
pub(in crate::step) fn first_questions(
    asked: &[Asked],
    most: usize,
) -> Vec<(&Behavior, &[String])> {
    let first = |questions: &[String]| match most {
        0 => questions.len(),
        most => most.min(questions.len()),
    };
    let asked = asked.iter();
    asked.map(|asked| (&asked.behavior, &asked.questions[..first(&asked.questions)])).collect()
}

/// `count` of the rows as earlier turns, drawn with replacement: the same in every draw of this
/// number from the same root, whoever is shown them.
pub(crate) fn turns(rows: &[Row], count: usize, root: u64, draw: usize) -> Vec<Message> {
    let mut random = Random::new(derive_seed(root, &["in-context".into(), (draw as u64).into()]));
    (0..count)
        .filter_map(|_| rows.get(random.below(rows.len() as u64) as usize))
        .flat_map(|row| {
            [chat::message("user", &row.prompt), chat::message("assistant", &row.completion)]
        })
        .collect()
}

/// Whether the longest question fits the model's context after `turns`.
fn fits(
    model: &Model,
    context: &str,
    turns: &[Message],
    asked: &[(&Behavior, &[String])],
) -> Result<bool> {
    let longest = asked
        .iter()
        .flat_map(|(_, questions)| questions.iter())
        .max_by_key(|question| question.len());
    let question = longest.map_or("", String::as_str);
    let messages: Vec<Message> =
        turns.iter().cloned().chain([chat::message("user", question)]).collect();
    let tokens = chat::prompt(model, context, &messages)?.len();
    // Some room, because the longest text need not be the longest in tokens.
    Ok(tokens + tokens / 16 + 8 <= model.decoder.config.context)
}
