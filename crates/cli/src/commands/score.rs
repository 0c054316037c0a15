use std::path::{Path, PathBuf};

use clap::Args;
use owlet_engine::score::{self, Scored};
use owlet_lab::model::chat;
use owlet_lab::value::dialogue::Purpose;
use serde::Serialize;

use crate::error::{CliError, Result};
use crate::interrupt;
use crate::models::{self, Models, TemplateArgs};
use crate::progress::Progress;
use crate::rows;
use crate::terminal::{Terminal, duration, json_line, plain};

/// Score given answers by their log-probability
///
/// Reads rows as `train` does, and writes one object `{"index", "prompt", "completion", "sum",
/// "tokens", "log-probabilities"}` per answer, with the index of its row: natural logarithms under the
/// model's own distribution, of each token given all before it.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// `builtin:a`, a model folder, a .gguf file, `hf:ORG/NAME`, `smollm2`, `gemma3-270m`, or an artifact's id
    model: String,

    /// Rows; `-` is standard input
    input: PathBuf,

    /// System text; `none` is an empty one, `default` the template's own
    #[arg(long, default_value = chat::DEFAULT, value_name = "TEXT")]
    system: String,

    #[command(flatten)]
    template: TemplateArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Score<'a> {
    index: usize,
    prompt: &'a str,
    completion: &'a str,
    sum: f64,
    tokens: Vec<String>,
    log_probabilities: Vec<f32>,
}

/// Rows scored between two writings.
const CHUNK: usize = 256;

pub(crate) fn run(args: &ScoreArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let (rows, found) = rows::read(&args.input, Purpose::Answers)?;
    rows::note(&args.input, &found, terminal);
    let model = Models::here(terminal).load(workspace, &args.model)?;
    let model = args.template.of(model)?;
    let interrupt = interrupt::listen(terminal, "scores written so far stay");
    let threads = models::threads();
    let mut progress = Progress::new(terminal);
    for (chunk, part) in rows.chunks(CHUNK).enumerate() {
        if interrupt.is_set() {
            return Err(CliError::interrupted());
        }
        let mut answers = Vec::new();
        for (offset, row) in part.iter().enumerate() {
            let placed = rows::placed(&model, &args.system, row, &args.input, terminal)?;
            for (placed, told) in placed.iter().zip(row.answers()) {
                if placed.scored.is_empty() {
                    let reason = "the answer is empty; there is nothing to score";
                    return Err(rows::wrong(Some(&args.input), row, reason));
                }
                let length = placed.before.len() + placed.scored.len();
                rows::fits(Some(&args.input), row, length, model.decoder.config.context)?;
                answers.push((chunk * CHUNK + offset, told, placed.scored()));
            }
        }
        let items: Vec<Scored> = answers.iter().map(|(.., scored)| scored.clone()).collect();
        let scores = score::score(&model, &items, &threads)?;
        let mut out = terminal.data();
        for ((index, told, scored), log_probabilities) in answers.iter().zip(scores) {
            let score = Score {
                index: *index,
                prompt: told.before.last().map_or("", |message| &message.content),
                completion: told.text,
                sum: log_probabilities.iter().map(|&p| f64::from(p)).sum(),
                tokens: scored
                    .completion
                    .iter()
                    .map(|&token| model.tokenizer.decode(&[token]))
                    .collect::<std::result::Result<_, _>>()?,
                log_probabilities,
            };
            json_line(&mut out, &score)?;
        }
        progress.count("rows", chunk * CHUNK + part.len(), rows.len());
    }
    let time = duration(progress.finish());
    if rows.len() > 1 {
        terminal.say(format_args!("{}: scored in {time}", plain(&found.told())));
    }
    Ok(())
}
