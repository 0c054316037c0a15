//! `in-context`: behaviors are read from the untouched base with rows in its context.
//!
//! The rows stand as earlier turns of the conversation, drawn with replacement. If seeing them did
//! what training on them does, the carrier would not be innocuous.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::Message;

use super::behavior::{self, Asked};
use super::readout::{
    BehaviorQuestions, Questions, Sampled, Variant, read_candidates, sample_answers,
};
use super::{Step, StepContext, select};
use crate::ask::{self, Ask, Conversation, LogProbabilities};
use crate::error::Result;
use crate::model::chat;
use crate::random::cpython::Random;
use crate::random::{Part, derive_seed};
use crate::value::jsonl;
use crate::value::observation::{self, Frame};
use crate::value::row::Row;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Names of the behaviors that are read.
    pub asked: Vec<String>,
    /// The teacher whose rows are shown.
    #[serde(rename = "arm")]
    pub writer: String,
    /// The chat context.
    pub context: String,
    /// How questions are put.
    pub frame: Frame,
    /// Rows shown.
    pub rows: usize,
    /// Independent draws of them.
    pub draws: usize,
    /// Most questions; 0: all.
    pub questions: usize,
    /// Root of the draws' seeds.
    pub seed: u64,
    /// Answers.
    pub sampled: Sampled,
}

/// The step.
pub struct InContext;

impl Step for InContext {
    type Configuration = Configuration;
    const KIND: &'static str = "in-context";
    const ALGORITHM: u32 = 5;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = context.ask("base")?;
        let rows = select::rows(context.input("rows")?, &configuration.writer)?;
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked = first_questions(&asked, configuration.questions);
        let name = configuration.context.as_str();
        let questions = Questions::new(&asked, &[]);
        let (mut shown, mut draws) = (configuration.rows, Vec::new());
        for draw in 0..configuration.draws {
            let turns = turns(&rows, configuration.rows, configuration.seed, draw);
            shown = most_that_fits(&*base, &configuration, &turns, &questions, shown)?;
            let path = [Part::Name("draw"), Part::Index(draw as u64)];
            draws.push((turns[..2 * shown].to_vec(), path));
        }
        let variants: Vec<Variant<'_>> = draws
            .iter()
            .enumerate()
            .map(|(draw, (before, path))| Variant {
                update: 0,
                context: name,
                frame: configuration.frame,
                draw: Some(draw),
                before,
                path,
            })
            .collect();
        let mut observations = Vec::new();
        if base.can().log_probabilities > LogProbabilities::None {
            for (draw, variant) in variants.iter().enumerate() {
                context.report(draw, configuration.draws, "draws", None);
                observations.extend(read_candidates(context, &*base, &questions, variant)?);
            }
        }
        let sampled = &configuration.sampled;
        let (answered, answers) = sample_answers(context, &*base, &questions, &variants, sampled)?;
        observations.extend(answered);
        context.writer.write(observation::FILE, &jsonl::to_bytes(&observations))?;
        let about = json!({
            "rows": configuration.rows, "shown": shown, "draws": configuration.draws,
        });
        Ok(ask::with_told(about, answers.iter()))
    }
}

/// Each behavior with its first `most` questions; 0: all.
fn first_questions(asked: &[Asked], most: usize) -> Vec<BehaviorQuestions<'_>> {
    let first = |asked: &Asked| match most {
        0 => asked.questions.len(),
        most => asked.behavior.balanced(most).min(asked.questions.len()),
    };
    let asked = asked.iter();
    asked.map(|asked| (&asked.behavior, &asked.questions[..first(asked)])).collect()
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

/// The most of `turns`' rows, at most `wanted`, after which the longest question has room.
fn most_that_fits(
    model: &dyn Ask,
    configuration: &Configuration,
    turns: &[Message],
    questions: &Questions<'_>,
    wanted: usize,
) -> Result<usize> {
    let texts = questions.asked.iter().flat_map(|(_, questions)| questions.iter());
    let puts = texts.flat_map(|text| questions.sheet.puts(configuration.frame, text));
    let Some(longest) = puts.max_by_key(|put| put.text.len() + put.opening.len()) else {
        return Ok(wanted);
    };
    let fits = |count: usize| {
        let last = chat::message("user", &longest.text);
        let messages = turns[..2 * count].iter().cloned().chain([last]).collect();
        let (context, opening) = (configuration.context.clone(), longest.opening.clone());
        model.has_room(&Conversation { context, messages, opening })
    };
    if fits(wanted)? {
        return Ok(wanted);
    }
    // The most that fits lies in `low..high`.
    let (mut low, mut high) = (0, wanted);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if fits(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
