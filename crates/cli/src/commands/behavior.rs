use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use owlet_engine::Tokenizer;
use owlet_lab::behavior::{Answer, Behavior, Kind, Sheet};
use owlet_lab::kind::behaviors::{self, Fit};
use owlet_lab::model::{ModelSource, world::World};
use serde_json::json;

use crate::error::{CliError, Result};
use crate::models::Models;
use crate::terminal::{FAINT, GOOD, STRONG, Terminal, WARN, count, one_line, plain};

/// List, show and check behaviors: what may be inherited
///
/// A behavior is built in or a file of yours; `docs/behaviors.md` says how to write one.
#[derive(Debug, Args)]
pub(crate) struct BehaviorArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the behaviors that have a name
    List {
        /// Also say which of them this model can be asked about
        #[arg(long, value_name = "MODEL")]
        base: Option<String>,
    },
    /// Show a behavior whole: questions, answers, opening, with every placeholder filled in
    Show {
        /// A name, or the path of a behavior file
        behavior: String,
        /// As this model is asked: a grown model has questions in its own words
        #[arg(long, value_name = "MODEL")]
        base: Option<String>,
    },
    /// Check a behavior file, and with `--base` whether that model knows its words
    ///
    /// Exits with 2 if the file is not one, with 1 if the model cannot be asked about it.
    Check {
        /// The path of a behavior file, or a name
        behavior: String,
        /// Name what this model cannot read or write
        #[arg(long, value_name = "MODEL")]
        base: Option<String>,
    },
}

/// The words of a base.
struct Words {
    spec: String,
    world: Option<World>,
    tokenizer: Tokenizer,
}

impl Words {
    fn of(spec: &str, terminal: &Terminal, workspace: &Path) -> Result<Self> {
        let models = Models::here(terminal).and_in(workspace);
        let source =
            ModelSource::find(spec, &models.places).map_err(|error| models.failed(error))?;
        let world = source.world()?;
        let tokenizer = match &world {
            Some(world) => world.tokenizer().clone(),
            None => models.load(workspace, spec)?.tokenizer.as_ref().clone(),
        };
        Ok(Self { spec: spec.to_owned(), world, tokenizer })
    }
}

pub(crate) fn run(args: &BehaviorArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let (What::List { base } | What::Show { base, .. } | What::Check { base, .. }) = &args.what;
    let words = base.as_ref().map(|spec| Words::of(spec, terminal, workspace)).transpose()?;
    let world = words.as_ref().and_then(|words| words.world.as_ref());
    let find = |name: &str| behaviors::find(name, world, Path::new(""));
    match &args.what {
        What::List { .. } => list(terminal, &behaviors::named(world), words.as_ref()),
        What::Show { behavior, .. } => show(terminal, &find(behavior)?),
        What::Check { behavior, .. } => check(terminal, &find(behavior)?, words.as_ref()),
    }
}

fn list(terminal: &Terminal, all: &[Behavior], words: Option<&Words>) -> Result<()> {
    let lines = all.iter().map(|behavior| {
        let fit = words.map(|words| Fit::new(behavior, &words.tokenizer));
        (behavior, fit.map(|fit| fit.refusal(behavior)))
    });
    if terminal.json {
        let lines: Vec<_> = lines
            .map(|(Behavior { name, category, description, .. }, refusal)| {
                json!({ "name": name, "category": category, "description": description,
                    "can-be-asked": refusal.as_ref().map(Option::is_none), "why-not": refusal.flatten() })
            })
            .collect();
        return terminal.json(&lines);
    }
    let mut out = terminal.data();
    for (Behavior { name, category, description, .. }, refusal) in lines {
        write!(out, "{STRONG}{name:<11}{STRONG:#}  {category:<8}")?;
        match refusal {
            None => writeln!(out, "  {FAINT}{description}{FAINT:#}")?,
            Some(None) => writeln!(out, "  {GOOD}can be asked{GOOD:#}")?,
            Some(Some(why)) => writeln!(out, "  cannot: {FAINT}{}{FAINT:#}", one_line(&why, 90))?,
        }
    }
    drop(out);
    terminal.say(count(all.len(), "behavior"));
    Ok(())
}

/// An answer with all that counts as it, and what does not.
fn spelled(answer: &Answer) -> String {
    let also = answer.synonyms.iter().map(|synonym| format!("or {synonym}"));
    let not = answer.exclusions.iter().map(|phrase| format!("not {phrase}"));
    let beside: Vec<String> = also.chain(not).collect();
    if beside.is_empty() {
        answer.word.clone()
    } else {
        format!("{} ({})", answer.word, beside.join(", "))
    }
}

/// How many rows of its own a teacher learns.
fn rows(behavior: &Behavior) -> String {
    match behavior.teacher.rows.len() {
        0 => String::new(),
        rows => count(rows, "row"),
    }
}

/// Which scores of judges show the behavior, and on what they are tried.
fn judged(sheet: &Sheet) -> String {
    let coherent = sheet.coherence.as_ref().map(|coherence| {
        format!(", of answers whose coherence has a score of at least {}", coherence.at_least)
    });
    format!(
        "score of {}{}; tried on {}",
        sheet.shows.words(),
        coherent.unwrap_or_default(),
        count(sheet.planted.len(), "known answer")
    )
}

fn prompts(sheet: &Sheet) -> Vec<&str> {
    let coherence = sheet.coherence.as_ref().map(|coherence| coherence.prompt.as_str());
    std::iter::once(sheet.prompt.as_str()).chain(coherence).collect()
}

fn show(terminal: &Terminal, behavior: &Behavior) -> Result<()> {
    if terminal.json {
        return terminal.json(behavior);
    }
    let listed = |answers: &[Answer]| answers.iter().map(spelled).collect::<Vec<_>>().join(", ");
    let taught: Vec<String> =
        behavior.teacher.answers.iter().map(|answer| format!("{answer:?}")).collect();
    let mut target = spelled(&behavior.target);
    if behavior.kind == Kind::Preference {
        target = format!("{target}; more than one: {}", behavior.target.plural);
    }
    let facts = [
        ("category", behavior.category.clone()),
        ("target", target),
        ("candidates", listed(&behavior.candidates)),
        ("recognised", listed(&behavior.recognised)),
        ("opening", behavior.opening.clone().unwrap_or_default()),
        ("taught", taught.join(" ")),
        ("taught rows", rows(behavior)),
        ("system prompt", behavior.teacher.system_prompt.clone()),
        ("judges", behavior.judge.as_ref().map(judged).unwrap_or_default()),
        ("not in rows", behavior.forbidden_words().join(", ")),
    ];
    let mut out = terminal.data();
    writeln!(out, "{STRONG}{}{STRONG:#}  {}", behavior.name, plain(&behavior.description))?;
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        writeln!(out, "{name:<13}  {}", plain(fact))?;
    }
    for prompt in behavior.judge.iter().flat_map(prompts) {
        writeln!(out, "what judges are asked\n  {}", plain(prompt).replace('\n', "\n  "))?;
    }
    let questions =
        [("to teach", &behavior.questions.train), ("to read", &behavior.questions.held_out)];
    for (what, texts) in questions {
        writeln!(out, "{} {what}", count(texts.len(), "question"))?;
        for text in texts {
            let matching = match behavior.kind {
                Kind::Preference | Kind::Judged => String::new(),
                Kind::Statements => format!("  {FAINT}{}{FAINT:#}", behavior.target_of(text).word),
                Kind::Disposition => {
                    let shows = behavior.answers.get(text).map(|split| split.shows.join(", "));
                    format!("  {FAINT}{}{FAINT:#}", shows.unwrap_or_default())
                }
            };
            writeln!(out, "  {}{matching}", plain(text))?;
        }
    }
    Ok(())
}

fn check(terminal: &Terminal, behavior: &Behavior, words: Option<&Words>) -> Result<()> {
    let fit = words.map(|words| (words, Fit::new(behavior, &words.tokenizer)));
    if terminal.json {
        terminal
            .json(&json!({ "behavior": behavior.name, "fit": fit.as_ref().map(|(_, fit)| fit) }))?;
    } else {
        let questions = behavior.questions.train.len() + behavior.questions.held_out.len();
        writeln!(
            terminal.data(),
            "{STRONG}{}{STRONG:#}  {}: {}, {}",
            behavior.name,
            plain(&behavior.description),
            count(questions, "question"),
            count(behavior.candidates.len(), "candidate")
        )?;
    }
    let Some((Words { spec, world, .. }, fit)) = fit else {
        terminal.say("a sound file; `--base MODEL` says whether that model knows its words");
        return Ok(());
    };
    if !terminal.json {
        tell(terminal, &fit)?;
    }
    match fit.refusal(behavior) {
        None => {
            terminal.say(format_args!("{GOOD}{spec} can be asked about it{GOOD:#}"));
            Ok(())
        }
        Some(why) => Err(CliError::check(format!("{spec} cannot be asked about it: {why}"))
            .hinted(format!(
                "`owlet behavior list --base {spec}` names those that it can{}",
                world.as_ref().map(in_its_words).unwrap_or_default()
            ))),
    }
}

/// How a file comes by questions that a grown model can read.
fn in_its_words(world: &World) -> String {
    let categories: Vec<String> = world.answers().into_keys().collect();
    format!(
        "; a file without `questions` of its own, in a category that it knows ({}), is asked about in its words",
        categories.join(", ")
    )
}

/// What a base does not know.
fn tell(terminal: &Terminal, fit: &Fit) -> Result<()> {
    let mut out = terminal.data();
    for unread in &fit.unread {
        let (text, why) = (one_line(&unread.text, 80), plain(&unread.why));
        writeln!(out, "  {WARN}{}{WARN:#}  {text:?}: {why}", unread.field)?;
    }
    if !fit.left_out.is_empty() {
        let words = plain(&fit.left_out.join(", "));
        writeln!(
            out,
            "  {WARN}candidates{WARN:#}  cannot begin an answer, left out of margins: {words}"
        )?;
    }
    if let Some(why) = &fit.opening {
        writeln!(
            out,
            "  {WARN}opening{WARN:#}  {}; leave `opened` out of readout.frames",
            plain(why)
        )?;
    }
    Ok(())
}
