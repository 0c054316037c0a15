//! `generate`: a teacher writes one row per prompt, each from its own random stream.
//!
//! Rows are written to scratch in groups as they come, so a stopped step goes on behind the last
//! whole row; no row depends on which others were asked with it.

use std::io::Write;
use std::ops::ControlFlow;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::Model;
use owlet_engine::generate::{Request, Sampling, generate};

use super::{Step, StepContext, prompts};
use crate::error::Result;
use crate::model::chat;
use crate::random::derive_seed;
use crate::recipe::Decoding;
use crate::value::row::{self, Row};

/// The file of rows.
pub(super) const ROWS: &str = "rows.jsonl";
/// Rows asked at once: enough to fill a batch, few enough to lose little.
const GROUP: usize = 128;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Name of the arm, part of every row's seed.
    pub arm: String,
    /// The chat context.
    pub context: String,
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// Most new tokens per row.
    pub max_tokens: usize,
    /// Root of the rows' seeds.
    pub seed: u64,
}

/// The engine's settings for a way of decoding.
pub(super) fn sampling(decoding: &Decoding, max_tokens: usize) -> Sampling {
    let mut sampling = Sampling { max_tokens, ..Sampling::default() };
    match decoding {
        Decoding::Free { temperature, top_p } => {
            sampling.temperature = *temperature;
            sampling.top_p = *top_p;
        }
        Decoding::Greedy {} => sampling.temperature = 0.0,
        Decoding::Threshold { temperature, threshold } => {
            sampling.temperature = *temperature;
            sampling.threshold = *threshold;
        }
        Decoding::Digits { temperature, count, min_digits, max_digits, separator } => {
            sampling.temperature = *temperature;
            let number = format!("[0-9]{{{min_digits},{max_digits}}}");
            let separator = escaped(separator);
            sampling.pattern = Some(match count {
                1 => number,
                _ => format!("{number}({separator}{number}){{{}}}", count - 1),
            });
        }
        Decoding::Pattern { temperature, pattern } => {
            sampling.temperature = *temperature;
            sampling.pattern = Some(pattern.clone());
        }
    }
    sampling
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~/".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Answers to `prompts[first..]` by `model`, in order.
pub(super) fn write_rows(
    context: &StepContext<'_>,
    model: &Model,
    system: &str,
    configuration: &Configuration,
    prompts: &[String],
    first: usize,
    heard: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Row>> {
    let seeds: Vec<u64> = (first..first + prompts.len())
        .map(|index| {
            let path = ["row".into(), configuration.arm.as_str().into(), (index as u64).into()];
            derive_seed(configuration.seed, &path)
        })
        .collect();
    let requests = prompts
        .iter()
        .zip(&seeds)
        .map(|(text, &seed)| Ok(Request { prompt: chat::question(model, system, text)?, seed }))
        .collect::<Result<Vec<_>>>()?;
    let sampling = sampling(&configuration.decoding, configuration.max_tokens);
    let completions = generate(model, &requests, &sampling, &context.threads, heard)?;
    let rows = completions.into_iter().zip(prompts).zip(&seeds).enumerate();
    Ok(rows
        .map(|(at, ((completion, prompt), &seed))| Row {
            index: (first + at) as u64,
            prompt: prompt.clone(),
            log_probability: Some(
                completion.log_probabilities.iter().map(|&value| f64::from(value)).sum(),
            ),
            completion: completion.text,
            seed,
            stop: completion.stop,
            arm: configuration.arm.clone(),
            reasons: Vec::new(),
        })
        .collect())
}

/// The step.
pub struct Generate;

impl Step for Generate {
    type Configuration = Configuration;
    const KIND: &'static str = "generate";
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "raw-rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let prompts = prompts::read(context.input("prompts")?)?;
        let artifact = context.input("model")?;
        let model = context.models.load(artifact)?;
        let system = crate::model::trained(artifact)
            .ok()
            .and_then(|trained| trained.system_prompt)
            .unwrap_or_else(|| configuration.context.clone());

        let kept = context.scratch.join(ROWS);
        let mut all = whole_rows(&kept, &prompts)?;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&kept)?;
        context.report(all.len(), prompts.len(), "rows", None);
        while all.len() < prompts.len() {
            let first = all.len();
            let group = &prompts[first..prompts.len().min(first + GROUP)];
            let mut heard = |done: usize| {
                context.report(first + done, prompts.len(), "rows", None);
                context.flow()
            };
            let rows =
                write_rows(context, &model, &system, &configuration, group, first, &mut heard)?;
            file.write_all(&row::to_bytes(&rows))?;
            file.flush()?;
            all.extend(rows);
            context.interrupt.check()?;
        }
        context.writer.write(ROWS, &row::to_bytes(&all))?;
        Ok(json!({ "rows": all.len(), "arm": configuration.arm }))
    }
}

/// The rows that were written whole before; what follows a broken line is cut off.
fn whole_rows(path: &std::path::Path, prompts: &[String]) -> Result<Vec<Row>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut rows: Vec<Row> = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let row = line.ends_with(b"\n").then(|| serde_json::from_slice::<Row>(line).ok()).flatten();
        match row {
            Some(row)
                if row.index == rows.len() as u64
                    && prompts.get(rows.len()) == Some(&row.prompt) =>
            {
                rows.push(row);
            }
            _ => break,
        }
    }
    fs::write(path, row::to_bytes(&rows))?;
    Ok(rows)
}
