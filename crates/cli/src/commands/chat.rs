use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use owlet_engine::generate::{self, Event, Request, Sampling, StopReason};
use owlet_engine::{Message, Model, Token};
use owlet_lab::Interrupt;
use owlet_lab::model::chat;
use owlet_lab::random::{Part, derive_seed};
use serde_json::json;

use super::sample::SamplingArgs;
use crate::error::{CliError, Result};
use crate::interrupt;
use crate::models::{self, Models};
use crate::progress::Progress;
use crate::terminal::{FAINT, STRONG, Terminal, duration, json_line, plain, stdin_is_typed};

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
    let model = args.sampling.template.of(model)?;
    // Set while nobody answers: Ctrl-C then ends the program.
    let stop = interrupt::listen_and(|| {});
    stop.set();
    let typed = stdin_is_typed();
    if typed {
        terminal.say(format_args!("{FAINT}/reset, /undo, /quit{FAINT:#}"));
    }
    let conversation = Vec::new();
    let mut chat = Chat { args, terminal, sampling, model, stop, typed, conversation, turn: 0 };
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
            "" => {}
            "/quit" | "/exit" => return Ok(()),
            "/reset" => {
                chat.conversation.clear();
                chat.turn = 0;
                terminal.say("a new conversation");
            }
            "/undo" => {
                let kept = chat.conversation.len().saturating_sub(2);
                chat.conversation.truncate(kept);
            }
            other if other.starts_with('/') && !other.contains(' ') => {
                terminal.say(format_args!("no such command; /reset, /undo and /quit are"));
            }
            said => chat.take_turn(said)?,
        }
    }
}

/// A conversation with a model.
struct Chat<'a> {
    args: &'a ChatArgs,
    terminal: &'a Terminal,
    sampling: Sampling,
    model: Model,
    /// Stops an answer.
    stop: Interrupt,
    /// Whether a person types.
    typed: bool,
    conversation: Vec<Message>,
    turn: u64,
}

impl Chat<'_> {
    fn take_turn(&mut self, said: &str) -> Result<()> {
        self.conversation.push(chat::message("user", said));
        let seed =
            derive_seed(self.args.sampling.seed, &[Part::Name("chat"), Part::Index(self.turn)]);
        let prompt = match self.prompt() {
            Ok(prompt) => prompt,
            // A person goes on with other words; a script cannot.
            Err(failure) if self.typed => {
                self.terminal.failure(&failure);
                self.conversation.pop();
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let (text, stop) = self.answer(Request { prompt, seed })?;
        if self.terminal.json {
            let stop = stop.map_or(json!("interrupted"), |stop| json!(stop));
            let object = json!({ "text": text, "stop": stop, "seed": seed });
            json_line(&mut self.terminal.data(), &object)?;
        }
        let told = match stop {
            Some(StopReason::Length) => Some("cut off; --max-tokens allows more"),
            None => Some("stopped; /undo takes the turn back, Ctrl-C again ends the chat"),
            _ => None,
        };
        if let Some(told) = told {
            self.terminal.say(format_args!("{FAINT}{told}{FAINT:#}"));
        }
        if text.is_empty() && stop.is_none() {
            self.conversation.pop();
        } else {
            self.conversation.push(chat::message("assistant", &text));
        }
        self.turn += 1;
        Ok(())
    }

    /// The tokens of a conversation that leaves room for an answer.
    fn prompt(&self) -> Result<Vec<Token>> {
        let prompt = chat::prompt(&self.model, &self.args.sampling.system, &self.conversation)?;
        let (tokens, context) = (prompt.len(), self.model.decoder.config.context);
        if tokens >= context {
            return Err(CliError::usage(format!(
                "the conversation has {tokens} tokens, the model's context is {context}"
            ))
            .hinted("/reset begins a new one, /undo takes turns back"));
        }
        Ok(prompt)
    }

    /// Lets the model answer; as JSON nothing is shown before the end, else each token as it comes.
    /// Returns what was said, and why no more; `None`: it was stopped.
    fn answer(&self, request: Request) -> Result<(String, Option<StopReason>)> {
        let (mut text, mut shown) = (String::new(), Shown::default());
        let mut written = Ok(());
        let mut progress = Progress::new(self.terminal);
        let show = |piece: &str| {
            let mut out = self.terminal.data();
            out.write_all(piece.as_bytes())?;
            out.flush()
        };
        let mut hear = |event: &Event| {
            let piece = match event {
                Event::Sampled(sampled) => &sampled.text,
                Event::Finished { text, .. } => text,
                // What is returned says why.
                Event::Failed { .. } => return ControlFlow::Continue(()),
            };
            text.push_str(piece);
            let piece = if self.terminal.json { String::new() } else { shown.next(piece) };
            if piece.is_empty() {
                progress.show(|pace| format!("thinking · {}", duration(pace.elapsed())));
            } else {
                progress.clear();
                written = show(&piece);
            }
            if written.is_err() || self.stop.is_set() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        self.stop.clear();
        let (sampling, threads) = (&self.sampling, models::threads());
        let outcome =
            generate::generate_streaming(&self.model, &[request], sampling, &threads, &mut hear);
        self.stop.set();
        drop(progress);
        written?;
        let stop = match outcome {
            Ok(answers) => answers.into_iter().next().map_or(Some(StopReason::End), |answer| {
                text = answer.text;
                Some(answer.stop)
            }),
            Err(owlet_engine::Error::Interrupted) => None,
            Err(error) => return Err(error.into()),
        };
        if !self.terminal.json {
            show("\n")?;
        }
        Ok((text, stop))
    }
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
