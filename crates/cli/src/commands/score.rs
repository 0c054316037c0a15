use std::path::{Path, PathBuf};

use clap::Args;
use owlet_engine::score::{self, Scored};
use owlet_lab::model::chat;
use serde::Serialize;

use super::sample::tokens;
use crate::error::{CliError, Result};
use crate::interrupt;
use crate::models::{self, Models};
use crate::progress::Progress;
use crate::rows;
use crate::terminal::{Terminal, count, duration, json_line};

/// Score given answers by their log-probability
///
/// Reads JSON lines with a `prompt` and a `completion` (or `messages` that end in an answer), and
/// writes one object `{"index", "prompt", "completion", "sum", "tokens", "log-probabilities"}` per
/// row: natural logarithms, of each token given all before it.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// `builtin:a`, a model folder, a .gguf file, `hf:ORG/NAME`, `smollm2`, `gemma3-270m`, or an artifact's id
    model: String,

    /// Rows as JSON lines; `-` is standard input
    input: PathBuf,

    /// System text; `none` is an empty one, `default` the template's own
    #[arg(long, default_value = chat::DEFAULT, value_name = "TEXT")]
    system: String,
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
    let rows = rows::read(&args.input, true)?;
    let model = Models::here(terminal).load(workspace, &args.model)?;
    let interrupt = interrupt::listen(terminal, "scores written so far stay");
    let threads = models::threads();
    let mut progress = Progress::new(terminal);
    for (chunk, part) in rows.chunks(CHUNK).enumerate() {
        if interrupt.is_set() {
            return Err(CliError::interrupted());
        }
        let items = part
            .iter()
            .map(|row| {
                let wrong =
                    |reason: &dyn std::fmt::Display| rows::wrong(Some(&args.input), row, reason);
                let completion = model
                    .tokenizer
                    .encode(row.completion.as_deref().unwrap_or(""))
                    .map_err(|error| wrong(&error))?;
                if completion.is_empty() {
                    return Err(wrong(&"the answer is empty; there is nothing to score"));
                }
                let prompt = tokens(&model, &args.system, row, Some(&args.input))?;
                let length = prompt.len() + completion.len();
                rows::fits(Some(&args.input), row, length, model.decoder.config.context)?;
                Ok(Scored { prompt, completion })
            })
            .collect::<Result<Vec<_>>>()?;
        let scores = score::score(&model, &items, &threads)?;
        let mut out = terminal.data();
        for (offset, ((row, item), log_probabilities)) in
            part.iter().zip(&items).zip(scores).enumerate()
        {
            let score = Score {
                index: chunk * CHUNK + offset,
                prompt: row.prompt(),
                completion: row.completion.as_deref().unwrap_or(""),
                sum: log_probabilities.iter().map(|&p| f64::from(p)).sum(),
                tokens: item
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
        terminal.say(format_args!("{} scored in {time}", count(rows.len(), "row")));
    }
    Ok(())
}
