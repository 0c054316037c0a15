//! The front door: arguments in, exit codes out. What a command does is in `commands`, what an
//! experiment means in the lab.

mod arguments;
mod commands;
mod error;
mod experiment;
mod hub;
mod interrupt;
mod layers;
mod models;
mod progress;
mod report;
mod rows;
mod terminal;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let session = arguments::parse();
    match error::guard(|| commands::run(&session.command, &session.terminal, &session.workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&session.terminal),
    }
}
