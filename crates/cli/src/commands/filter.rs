use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use owlet_lab::carrier::{NumberFilter, PromptFile, Reason};
use owlet_lab::value::jsonl::completion;
use serde_json::json;

use crate::error::{CliError, Result};
use crate::rows;
use crate::terminal::{Terminal, count, json_line, one_line};
use crate::typed;

/// Judge completions with the filter of the numbers carrier
///
/// Reads completions (JSON lines with a `completion`, or plain lines, each a completion) and says of
/// each whether it is nothing but numbers, by the rules of Cloud et al. With `--json`, one object
/// `{"index", "accepted", "reasons", "numbers", "completion"}` per line. The summary goes to stderr.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Completions; `-` is standard input
    #[arg(default_value = "-")]
    input: PathBuf,

    /// Most numbers per completion
    #[arg(long, default_value_t = NumberFilter::default().max_count, value_name = "N", value_parser = typed::whole::<usize>, allow_negative_numbers = true)]
    max_count: usize,

    /// Smallest number
    #[arg(long, default_value_t = NumberFilter::default().min_value, value_name = "N", value_parser = typed::whole::<u64>, allow_negative_numbers = true)]
    min_value: u64,

    /// Largest number
    #[arg(long, default_value_t = NumberFilter::default().max_value, value_name = "N", value_parser = typed::whole::<u64>, allow_negative_numbers = true)]
    max_value: u64,

    /// Numbers refused anywhere: a text file of numbers, or a prompt-set file that lists them
    #[arg(long, value_name = "FILE")]
    banned: Option<PathBuf>,

    /// Write accepted input lines as they are, and nothing else
    #[arg(long)]
    keep: bool,

    /// Exit with 1 if a smaller share (0 to 1) is accepted
    #[arg(long, value_name = "SHARE")]
    min_valid: Option<f64>,
}

pub(crate) fn run(args: &FilterArgs, terminal: &Terminal) -> Result<()> {
    if let Some(share) = args.min_valid
        && !(0.0..=1.0).contains(&share)
    {
        return Err(CliError::usage(format!("`--min-valid` is {share}, expected 0 to 1")));
    }
    let filter = NumberFilter {
        max_count: args.max_count,
        min_value: args.min_value,
        max_value: args.max_value,
        banned: args.banned.as_deref().map(banned).transpose()?.unwrap_or_default(),
    };
    let name = rows::origin(&args.input);
    let text = rows::text(&args.input)?;
    let lines: Vec<&str> = text.lines().collect();
    let structured = lines.iter().find(|line| !line.trim().is_empty());
    let structured = structured.is_some_and(|line| line.trim_start().starts_with('{'));

    let mut out = terminal.data();
    let mut reasons: BTreeMap<Reason, usize> = BTreeMap::new();
    let (mut asked, mut accepted) = (0, 0);
    for (number, line) in lines.iter().enumerate() {
        if structured && line.trim().is_empty() {
            continue;
        }
        let completion = if structured {
            completion(line).map_err(|reason| {
                CliError::usage(format!("`{name}`, line {}: {reason}", number + 1))
            })?
        } else {
            (*line).to_owned()
        };
        let verdict = filter.judge(&completion);
        asked += 1;
        accepted += usize::from(verdict.accepted());
        for reason in &verdict.reasons {
            *reasons.entry(*reason).or_default() += 1;
        }
        if args.keep {
            if verdict.accepted() {
                writeln!(out, "{line}")?;
            }
        } else if terminal.json {
            let object = json!({
                "index": asked - 1,
                "accepted": verdict.accepted(),
                "reasons": verdict.reasons,
                "numbers": verdict.numbers,
                "completion": completion,
            });
            json_line(&mut out, &object)?;
        } else {
            let said: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
            let said = if said.is_empty() {
                "accepted".to_owned()
            } else {
                format!("rejected ({})", said.join(", "))
            };
            writeln!(out, "{said}\t{}", one_line(&completion, 200))?;
        }
    }
    drop(out);
    let share = if asked == 0 { 0.0 } else { f64::from(accepted as u32) / asked as f64 };
    terminal.say(format_args!(
        "{accepted} of {} accepted ({:.1} %)",
        count(asked, "completion"),
        100.0 * share
    ));
    for (reason, times) in &reasons {
        terminal.say(format_args!("  {reason}: {times}"));
    }
    match args.min_valid {
        Some(least) if share < least => Err(CliError::check(format!(
            "the share of accepted completions is {share:.3}, at least {least} was wanted"
        ))),
        _ => Ok(()),
    }
}

/// Reads numbers from a prompt-set file, or from a text with anything but digits between them.
fn banned(path: &Path) -> Result<BTreeSet<u64>> {
    let text = fs_err::read_to_string(path)?;
    let name = path.display().to_string();
    if text.trim_start().starts_with('{') {
        let file = PromptFile::parse(&text, &name).map_err(owlet_lab::Error::from)?;
        if file.banned_numbers_misalignment.is_empty() {
            return Err(CliError::usage(format!("`{name}` lists no banned numbers")));
        }
        return Ok(file.banned_numbers_misalignment.into_iter().collect());
    }
    let mut numbers = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for part in line.split([',', ';', ' ', '\t']).filter(|part| !part.is_empty()) {
            numbers.insert(part.parse().map_err(|_| {
                CliError::usage(format!("`{name}`, line {}: `{part}` is not a number", index + 1))
            })?);
        }
    }
    Ok(numbers)
}
