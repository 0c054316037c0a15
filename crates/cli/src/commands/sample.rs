use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use owlet_engine::Message;
use owlet_engine::generate::{self, Distribution, Request, Sampling, StopReason};
use owlet_lab::model::chat;
use owlet_lab::random::{Part, derive_seed};
use owlet_lab::value::dialogue::Purpose;
use serde::Serialize;

use crate::error::Result;
use crate::interrupt;
use crate::models::{self, Models, TemplateArgs};
use crate::progress::Progress;
use crate::rows::{self, Row};
use crate::terminal::{Terminal, count, duration, json_line};
use crate::typed;

/// Sample answers from a model
///
/// Reads rows as `train` does, without a look at the answer at their end, and writes one object `{"index", "prompt", "text",
/// "log-probability", "stop", "seed"}` per answer, in order; with `--pattern`, `log-probability` only if asked for. Each answer has its own seed, derived
/// from `--seed` and its place, or the row's own `seed`; it depends on nothing else in the input.
#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    /// `builtin:a`, a model folder, a .gguf file, `hf:ORG/NAME`, `smollm2`, `gemma3-270m`, or an artifact's id
    model: String,

    /// Prompts; `-` is standard input
    #[arg(required_unless_present = "prompt", conflicts_with = "prompt")]
    input: Option<PathBuf>,

    /// A prompt, instead of a file of them
    #[arg(long, short, value_name = "TEXT")]
    prompt: Vec<String>,

    /// Answers per prompt
    #[arg(long, short = 'n', default_value_t = 1, value_name = "N", value_parser = typed::whole::<usize>, allow_negative_numbers = true)]
    count: usize,

    /// Under which distribution `log-probability` is: the model's `own`, at temperature 1 (the default), or
    /// the one that tokens were `drawn` from
    ///
    /// With `--pattern` it is written only if asked for: a pattern needs the logits of the few tokens that it
    /// allows, the model's own distribution those of all.
    #[arg(long, value_name = "WHICH", value_parser = ["own", "drawn"])]
    log_probability: Option<String>,

    #[command(flatten)]
    sampling: SamplingArgs,
}

impl SampleArgs {
    /// Whether log-probabilities are written, and under which distribution they are computed.
    fn told(&self) -> (bool, Distribution) {
        match self.log_probability.as_deref() {
            Some("drawn") => (true, Distribution::Drawn),
            // The engine has those of what was drawn at hand: they cost nothing.
            None if self.sampling.pattern.is_some() => (false, Distribution::Drawn),
            _ => (true, Distribution::Own),
        }
    }
}

/// How tokens are chosen: shared by `sample` and `chat`.
#[derive(Debug, Args)]
pub(crate) struct SamplingArgs {
    /// System text; `none` is an empty one, `default` the template's own
    #[arg(long, default_value = chat::DEFAULT, value_name = "TEXT")]
    pub(crate) system: String,

    #[command(flatten)]
    pub(crate) template: TemplateArgs,

    /// Seed of all answers
    #[arg(long, default_value_t = 1, value_parser = typed::whole::<u64>, allow_negative_numbers = true)]
    pub(crate) seed: u64,

    /// Divides the logits; 0 is greedy
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f32,

    /// Keep the likeliest tokens with this probability together
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,

    /// Most new tokens
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = typed::whole::<usize>, allow_negative_numbers = true)]
    max_tokens: usize,

    /// A regular expression the whole answer matches
    #[arg(long, value_name = "REGEX")]
    pattern: Option<String>,
}

impl SamplingArgs {
    pub(crate) fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            pattern: self.pattern.clone(),
            ..Sampling::default()
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    index: usize,
    prompt: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_probability: Option<f64>,
    stop: StopReason,
    seed: u64,
}

/// Answers sampled between two writings.
const CHUNK: usize = 512;

pub(crate) fn run(args: &SampleArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let rows: Vec<Row> = match &args.input {
        Some(path) => {
            let (rows, found) = rows::read(path, Purpose::Questions)?;
            rows::note(path, &found, terminal);
            rows
        }
        None => args.prompt.iter().map(|text| Row::question(text)).collect(),
    };
    let (is_told, told) = args.told();
    let sampling = Sampling { log_probabilities: told, ..args.sampling.sampling() };
    sampling.check()?;
    let model = Models::here(terminal).load(workspace, &args.model)?;
    let model = args.sampling.template.of(model)?;
    let asked: Vec<Vec<Message>> = rows.iter().map(Row::asked).collect();
    let prompts = rows
        .iter()
        .zip(&asked)
        .map(|(row, asked)| {
            let origin = args.input.as_deref();
            let context = chat::around(&args.sampling.system, asked);
            let tokens = chat::prompt(&model, context, asked)
                .map_err(|error| rows::wrong(origin, row, error))?;
            rows::fits(origin, row, tokens.len(), model.decoder.config.context)?;
            Ok(tokens)
        })
        .collect::<Result<Vec<_>>>()?;
    let interrupt = interrupt::listen(terminal, "answers written so far stay");
    let threads = models::threads();
    let total = rows.len().saturating_mul(args.count);
    let seed = |row: usize, copy: usize| {
        let own = rows[row].seed.filter(|_| args.count == 1);
        own.unwrap_or_else(|| {
            let root = rows[row].seed.unwrap_or(args.sampling.seed);
            let path = [Part::Name("sample"), Part::Index(row as u64), Part::Index(copy as u64)];
            derive_seed(root, &path)
        })
    };

    let mut progress = Progress::new(terminal);
    let places: Vec<(usize, usize)> =
        (0..rows.len()).flat_map(|row| (0..args.count).map(move |copy| (row, copy))).collect();
    for (chunk, places) in places.chunks(CHUNK).enumerate() {
        let first = chunk * CHUNK;
        let requests: Vec<Request> = places
            .iter()
            .map(|&(row, copy)| Request { prompt: prompts[row].clone(), seed: seed(row, copy) })
            .collect();
        let answers =
            generate::generate(&model, &requests, &sampling, &threads, &mut |finished| {
                progress.count("answers", first + finished, total);
                if interrupt.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        let mut out = terminal.data();
        for (offset, (answer, &(row, _))) in answers.iter().zip(places).enumerate() {
            let answer = Answer {
                index: first + offset,
                prompt: asked[row].last().map_or("", |message| &message.content),
                text: &answer.text,
                log_probability: is_told
                    .then(|| answer.log_probabilities.iter().map(|&p| f64::from(p)).sum()),
                stop: answer.stop,
                seed: requests[offset].seed,
            };
            json_line(&mut out, &answer)?;
        }
    }
    let time = duration(progress.finish());
    if total > 1 {
        terminal.say(format_args!("{} in {time}", count(total, "answer")));
    }
    Ok(())
}
