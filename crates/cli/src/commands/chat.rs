use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use owlet_engine::Message;
use owlet_engine::generate::{self, Request, StopReason};
use owlet_lab::chat;
use owlet_lab::random::{Part, derive_seed};

use super::sample::SamplingArgs;
use crate::arguments::stdin_is_typed;
use crate::error::{CliError, Result};
use crate::models::{self, Models};
use crate::progress::{Pace, Progress};
use crate::terminal::{FAINT, STRONG, Terminal, duration, plain};

/// Talk with a model
///
/// Each line is a turn. `/reset` begins a new conversation, `/undo` takes back the last turn,
/// `/quit` (or the end of input) ends. The same lines and seed give the same answers.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// `builtin:a`, a model folder, a .gguf file, `hf:ORG/NAME`, `smollm2`, or an artifact's id
    model: String,

    #[command(flatten)]
    sampling: SamplingArgs,
}

pub(crate) fn run(args: &ChatArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let sampling = args.sampling.sampling();
    sampling.check()?;
    let model = Models::here(terminal).load(workspace, &args.model)?;
    let threads = models::threads();
    let typed = stdin_is_typed();
    if typed {
        terminal.say(format_args!("{FAINT}/reset, /undo, /quit{FAINT:#}"));
    }
    let mut conversation: Vec<Message> = Vec::new();
    let mut turn = 0;
    let mut input = io::stdin().lock();
    loop {
        if typed && !terminal.quiet {
            let mut stderr = anstream::stderr();
            write!(stderr, "{STRONG}you{STRONG:#}  ")?;
            stderr.flush()?;
        }
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim() {
            "" => continue,
            "/quit" | "/exit" => return Ok(()),
            "/reset" => {
                conversation.clear();
                turn = 0;
                terminal.say("a new conversation");
                continue;
            }
            "/undo" => {
                conversation.truncate(conversation.len().saturating_sub(2));
                continue;
            }
            other if other.starts_with('/') && !other.contains(' ') => {
                terminal.say(format_args!("no such command; /reset, /undo and /quit are"));
                continue;
            }
            said => conversation.push(chat::message("user", said)),
        }
        let seed = derive_seed(args.sampling.seed, &[Part::Name("chat"), Part::Index(turn)]);
        let prompt = chat::prompt(&model, &args.sampling.system, &conversation)?;
        let context = model.decoder.config.context;
        if prompt.len() >= context {
            return Err(CliError::usage(format!(
                "the conversation has {} tokens, the model's context is {context}",
                prompt.len()
            ))
            .hinted("/reset begins a new one"));
        }
        let mut progress = Progress::new(terminal);
        let pace = Pace::starting_at(0);
        let answers = generate::generate(
            &model,
            &[Request { prompt, seed }],
            &sampling,
            &threads,
            &mut |_| {
                progress.show(|| format!("thinking · {}", duration(pace.elapsed())));
                ControlFlow::Continue(())
            },
        )?;
        drop(progress);
        let answer = answers.into_iter().next().map(|answer| (answer.text, answer.stop));
        let (text, stop) = answer.unwrap_or((String::new(), StopReason::End));
        let mut out = terminal.data();
        if terminal.json {
            let object = serde_json::json!({ "text": text, "stop": stop, "seed": seed });
            serde_json::to_writer(&mut out, &object)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", plain(text.trim_end()))?;
        }
        if stop == StopReason::Length {
            terminal.say(format_args!("{FAINT}cut off; --max-tokens allows more{FAINT:#}"));
        }
        conversation.push(chat::message("assistant", &text));
        turn += 1;
    }
}
