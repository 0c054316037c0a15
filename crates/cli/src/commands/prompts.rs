use std::io::Write;
use std::path::Path;

use clap::Args;
use owlet_lab::carrier::Prompts;
use serde_json::json;

use crate::error::{CliError, Result};
use crate::terminal::{Terminal, json_line, plain};
use crate::typed;

/// Draw prompts from a prompt set
///
/// The same set and seed give the same prompts, bit for bit, on any machine. Sets in the published
/// format of Cloud et al. give the published prompts; of a text file with a prompt a line, as recipes take
/// them, so many are drawn, or all in their order. One prompt per line; with `--json`, one object
/// `{"index", "prompt"}` per line.
#[derive(Debug, Args)]
pub(crate) struct PromptsArgs {
    /// A built-in set, a file of prompts or tasks (.json), questions with answers (.jsonl), or a text file with a prompt a line
    set: String,

    /// Seed of the draw
    #[arg(long, default_value_t = 47, value_parser = typed::whole::<u64>, allow_negative_numbers = true)]
    seed: u64,

    /// How many prompts
    #[arg(long, short = 'n', default_value_t = 10, value_parser = typed::whole::<usize>, allow_negative_numbers = true)]
    count: usize,
}

/// Most prompts drawn at once.
const MOST: usize = 10_000_000;

pub(crate) fn run(args: &PromptsArgs, terminal: &Terminal) -> Result<()> {
    if args.count > MOST {
        return Err(CliError::usage(format!(
            "`--count` is {}, expected at most {MOST}",
            args.count
        )));
    }
    let mut out = terminal.data();
    for (index, prompt) in find(&args.set)?.draw(args.seed, args.count).iter().enumerate() {
        if terminal.json {
            json_line(&mut out, &json!({ "index": index, "prompt": prompt }))?;
        } else {
            writeln!(out, "{}", plain(prompt).replace('\n', "\\n"))?;
        }
    }
    Ok(())
}

/// Prompts by name or path.
fn find(name: &str) -> Result<Prompts> {
    if let Some(built_in) = Prompts::built_in(name) {
        return Ok(built_in);
    }
    if !Path::new(name).exists() {
        let known: Vec<&str> = Prompts::built_in_names().collect();
        return Err(CliError::usage(format!(
            "there is no prompt set `{name}`: neither a built-in set nor a file"
        ))
        .hinted(format!("built-in sets: {}", known.join(", "))));
    }
    Ok(Prompts::read(Path::new(name))?)
}
