use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::Args;
use owlet_engine::generate::{self, Event, Request, Sampling, StopReason};
use owlet_engine::{Message, Model, Threads, Token};
use owlet_lab::model::chat;
use owlet_lab::random::{Part, derive_seed};
use serde::Serialize;

use super::sample::SamplingArgs;
use crate::error::{CliError, Result};
use crate::models::{self, Models};
use crate::progress::{Pace, Progress};
use crate::terminal::stdin_is_typed;
use crate::terminal::{FAINT, STRONG, Terminal, duration, plain};

/// Talk with a model
///
/// Each line is a turn. `/reset` begins a new conversation, `/undo` takes back the last turn,
/// `/quit` (or the end of input) ends. Ctrl-C stops an answer; what it said so far stays. The same
/// lines and seed give the same answers.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// `builtin:a`, a model folder, a .gguf file, `hf:ORG/NAME`, `smollm2`, `gemma3-270m`, or an artifact's id
    model: String,

    #[command(flatten)]
    sampling: SamplingArgs,
}

pub(crate) fn run(args: &ChatArgs, terminal: &Terminal, workspace: &Path) -> Result<()> {
    let sampling = args.sampling.sampling();
    sampling.check()?;
    let model = Models::here(terminal).load(workspace, &args.model)?;
    let threads = models::threads();
    let ear = Ear::listen();
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
        let prompt = match prompt(&model, &args.sampling.system, &conversation) {
            Ok(prompt) => prompt,
            // A person goes on with other words; a script cannot.
            Err(failure) if typed => {
                let _ = failure.report(terminal);
                conversation.pop();
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let answer = answer(&model, Request { prompt, seed }, &sampling, &threads, terminal, &ear)?;
        let Answer { text, stop } = answer;
        if terminal.json {
            let mut out = terminal.data();
            let object = serde_json::json!({ "text": text, "stop": stop, "seed": seed });
            serde_json::to_writer(&mut out, &object)?;
            writeln!(out)?;
        }
        match stop {
            Ending::Length => {
                terminal.say(format_args!("{FAINT}cut off; --max-tokens allows more{FAINT:#}"));
            }
            Ending::Interrupted => {
                terminal.say(format_args!(
                    "{FAINT}stopped; /undo takes the turn back, Ctrl-C again ends the chat{FAINT:#}"
                ));
            }
            _ => {}
        }
        if text.is_empty() && stop == Ending::Interrupted {
            conversation.pop();
        } else {
            conversation.push(chat::message("assistant", &text));
        }
        turn += 1;
    }
}

/// The tokens of a conversation that leaves room for an answer.
fn prompt(model: &Model, system: &str, conversation: &[Message]) -> Result<Vec<Token>> {
    let prompt = chat::prompt(model, system, conversation)?;
    let (tokens, context) = (prompt.len(), model.decoder.config.context);
    if tokens >= context {
        return Err(CliError::usage(format!(
            "the conversation has {tokens} tokens, the model's context is {context}"
        ))
        .hinted("/reset begins a new one, /undo takes turns back"));
    }
    Ok(prompt)
}

/// What a model said in a turn.
struct Answer {
    text: String,
    stop: Ending,
}

/// Why it said no more.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    End,
    Stop,
    Length,
    Pattern,
    Interrupted,
}

impl From<StopReason> for Ending {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::End => Self::End,
            StopReason::Stop => Self::Stop,
            StopReason::Length => Self::Length,
            StopReason::Pattern => Self::Pattern,
        }
    }
}

/// Lets the model answer; as JSON nothing is shown before the end, else each token as it comes.
fn answer(
    model: &Model,
    request: Request,
    sampling: &Sampling,
    threads: &Threads,
    terminal: &Terminal,
    ear: &Ear,
) -> Result<Answer> {
    let (mut text, mut shown) = (String::new(), Shown::default());
    let mut written = Ok(());
    let mut progress = Progress::new(terminal);
    let pace = Pace::starting_at(0);
    let show = |piece: &str| {
        let mut out = terminal.data();
        out.write_all(piece.as_bytes())?;
        out.flush()
    };
    ear.answering();
    let outcome =
        generate::generate_streaming(model, &[request], sampling, threads, &mut |event| {
            let piece = match event {
                Event::Sampled(sampled) => &sampled.text,
                Event::Finished { text, .. } => text,
                // What is returned says why.
                Event::Failed { .. } => return ControlFlow::Continue(()),
            };
            text.push_str(piece);
            let piece = if terminal.json { String::new() } else { shown.next(piece) };
            if piece.is_empty() {
                progress.show(|| format!("thinking · {}", duration(pace.elapsed())));
            } else {
                progress.clear();
                written = show(&piece);
            }
            if written.is_err() || ear.is_asked() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
    ear.listening();
    drop(progress);
    written?;
    let stop = match outcome {
        Ok(answers) => answers.into_iter().next().map_or(Ending::End, |answer| {
            text = answer.text;
            answer.stop.into()
        }),
        Err(owlet_engine::Error::Interrupted) => Ending::Interrupted,
        Err(error) => return Err(error.into()),
    };
    if !terminal.json {
        show("\n")?;
    }
    Ok(Answer { text, stop })
}

/// The part of an answer that a terminal sees: without what it would obey, and without the white
/// space at its end.
#[derive(Default)]
struct Shown {
    /// White space that is shown only if something follows it.
    held: String,
}

impl Shown {
    fn next(&mut self, piece: &str) -> String {
        let text = std::mem::take(&mut self.held) + &plain(piece);
        let end = text.trim_end().len();
        text[end..].clone_into(&mut self.held);
        text[..end].to_owned()
    }
}

/// Hears Ctrl-C: while the model answers it stops the answer, else (or a second time) the program.
struct Ear(Arc<AtomicU8>);

impl Ear {
    const LISTENING: u8 = 0;
    const ANSWERING: u8 = 1;
    const ASKED: u8 = 2;

    fn listen() -> Self {
        let state = Arc::new(AtomicU8::new(Self::LISTENING));
        let heard = Arc::clone(&state);
        let set = ctrlc::set_handler(move || {
            let asked = heard.compare_exchange(
                Self::ANSWERING,
                Self::ASKED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if asked.is_err() {
                std::process::exit(130);
            }
        });
        // Without a handler Ctrl-C ends the program, as it would anyway between answers.
        drop(set);
        Self(state)
    }

    fn answering(&self) {
        self.0.store(Self::ANSWERING, Ordering::Relaxed);
    }

    fn listening(&self) {
        self.0.store(Self::LISTENING, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::ASKED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_piece_by_piece_is_what_would_be_shown_at_once() {
        let pieces =
            ["\u{1b}", "[2", "Ja\u{9b}", "31m b", " \n", "\u{202e}", "", "\tc\r", "\n", " \u{7}\n"];
        let mut shown = Shown::default();
        let parts: Vec<String> = pieces.iter().map(|piece| shown.next(piece)).collect();
        assert_eq!(parts.concat(), plain(pieces.concat().trim_end()).trim_end());
        assert_eq!(parts.concat(), "[2Ja31m b \n\tc");
        assert!(parts.iter().all(|part| !part.ends_with([' ', '\n'])));
    }
}
