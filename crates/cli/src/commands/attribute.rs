use std::cell::RefCell;
use std::path::{Path, PathBuf};

use clap::Args;
use owlet_lab::ask::Demonstration;
use owlet_lab::attribute::{self, Candidate, Settings, Verdict};
use owlet_lab::model::chat;
use owlet_lab::value::dialogue::Purpose;

use crate::error::{CliError, Kind, Result};
use crate::models::{self, Models};
use crate::progress::Progress;
use crate::terminal::{Terminal, one_line, plain};
use crate::{interrupt, report, rows};

/// Say which of some models wrote rows of numbers, what share each, or that none did
///
/// Reads the likelihood of the rows' numbers under every candidate, and the shares under which a mixture of them
/// finds the rows likeliest. Name the base, the models you suspect, and some that you do not.
/// `docs/screen.md` says how, and what this does not see.
///
/// Exits with 0 if it says who wrote them, with 1 if none of the candidates did, with 2 if it cannot be said.
#[derive(Debug, Args)]
pub(crate) struct AttributeArgs {
    /// The rows, in any form that `train` reads; `-` is standard input
    rows: PathBuf,

    /// Two models or more, comma-separated: `builtin:a`, a folder, a .gguf file, `RUN:NAME`, ...
    #[arg(long, required = true, value_name = "MODELS", value_delimiter = ',')]
    candidates: Vec<String>,

    /// What divided the logits when the rows were written, as far as is known
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,

    /// Most rows that are read, drawn from those there are
    #[arg(long, default_value_t = 1000, value_name = "N")]
    most_rows: usize,

    /// Confidence level
    #[arg(long, default_value_t = 0.95)]
    level: f64,

    /// Seed of that draw, and of the resampling that intervals are made of
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &AttributeArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    if !(0.05..=10.0).contains(&args.temperature) {
        let given = args.temperature;
        return Err(CliError::usage(format!("--temperature {given}, expected 0.05 to 10")));
    }
    if !(0.5..1.0).contains(&args.level) {
        let given = args.level;
        return Err(CliError::usage(format!("--level {given}, expected 0.5 to below 1")));
    }
    let (given, found) = rows::read(&args.rows, Purpose::Answers)?;
    rows::note(&args.rows, &found, terminal);
    let answers: Vec<Demonstration> =
        given.iter().flat_map(|row| Demonstration::of(row, chat::DEFAULT)).collect();
    let models = Models::here(terminal);
    let load = |name: &String| -> Result<Candidate> {
        Ok(Candidate { name: name.clone(), model: models.load(workspace, name)?, stands_in: false })
    };
    let candidates = args.candidates.iter().map(load).collect::<Result<Vec<_>>>()?;
    let progress = RefCell::new(Progress::new(terminal));
    let settings = Settings {
        temperature: args.temperature,
        level: args.level,
        most_rows: args.most_rows,
        seed: args.seed,
        threads: models::threads(),
        interrupt: interrupt::listen(terminal, "nothing is kept"),
        progress: &|now| progress.borrow_mut().count("rows", now.done, now.total),
    };
    let found = attribute::attribute(&candidates, answers, &settings)
        // What could not be read is no answer: 1 is for rows that nobody here wrote.
        .map_err(|error| CliError::from(error).instead_of(Kind::Check, Kind::Usage))?;
    drop(progress);
    if terminal.json {
        terminal.json(&found)?;
    } else {
        let what = format!(
            "{} · {} candidates",
            one_line(&plain(&rows::origin(&args.rows)), 60),
            candidates.len()
        );
        report::brief(terminal, &attribute::report(&found, what))?;
    }
    match found.verdict {
        Verdict::One(_) | Verdict::Several(_) => Ok(()),
        Verdict::NoneOfThese => Err(CliError::answered(Kind::Check)),
        Verdict::CannotSay => Err(CliError::answered(Kind::Usage)),
    }
}
