//! What the program says and returns when it cannot do what was asked.
//!
//! Library errors keep their chain; here they get a kind, which decides the exit code, and hints,
//! which are added on the way up. Nothing else in the program ends it.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::terminal::Terminal;

/// The program's result.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

/// Who can do something about it; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A check came out against its threshold.
    Check,
    /// What was typed or configured.
    Usage,
    /// Disk, memory, network, device.
    Environment,
    /// This program.
    Bug,
    /// The user stopped it.
    Interrupted,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Check => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    source: anyhow::Error,
    hints: Vec<String>,
}

impl CliError {
    pub(crate) fn new(kind: Kind, source: impl Into<anyhow::Error>) -> Self {
        Self { kind, source: source.into(), hints: Vec::new() }
    }

    /// A mistake in what was typed or configured.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, anyhow::anyhow!("{message}"))
    }

    /// A check that came out against its threshold.
    pub(crate) fn check(message: impl fmt::Display) -> Self {
        Self::new(Kind::Check, anyhow::anyhow!("{message}"))
    }

    /// Something around the program that does not work.
    pub(crate) fn environment(message: impl fmt::Display) -> Self {
        Self::new(Kind::Environment, anyhow::anyhow!("{message}"))
    }

    /// The user stopped it.
    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, anyhow::anyhow!("interrupted"))
    }

    /// Adds what to do next.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Changes who can do something about it.
    pub(crate) fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn is_interruption(&self) -> bool {
        self.kind == Kind::Interrupted
    }

    fn is_broken_pipe(&self) -> bool {
        self.source.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        })
    }

    /// Tells the user and returns the exit code. A reader that went away has what it wanted.
    pub(crate) fn report(&self, terminal: &Terminal) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        terminal.error(chain(&self.source));
        for hint in &self.hints {
            terminal.hint(hint);
        }
        ExitCode::from(self.kind.code())
    }
}

/// All causes in one line; a cause whose text its parent has already is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs the program; a panic becomes an error that says whose fault it is.
pub(crate) fn guard(body: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(CliError::new(Kind::Bug, anyhow::anyhow!("owlet broke: {text}"))
            .hinted("this is a bug in owlet, not in your input; please report it with the command"))
    })
}

fn io_kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Kind::Usage
        }
        io::ErrorKind::Interrupted => Kind::Interrupted,
        _ => Kind::Environment,
    }
}

fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some("free some space and run the same command again; finished steps are kept")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("give this user access, or choose another place")
        }
        _ => None,
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        let hint = io_hint(&error);
        let failure = Self::new(io_kind(&error), error);
        hint.into_iter().fold(failure, CliError::hinted)
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { io::Error::from(error).into() } else { Self::new(Kind::Bug, error) }
    }
}

fn engine_kind(error: &owlet_engine::Error) -> Kind {
    match error {
        owlet_engine::Error::Io { source, .. } => io_kind(source),
        owlet_engine::Error::Interrupted => Kind::Interrupted,
        _ => Kind::Usage,
    }
}

fn engine_hint(error: &owlet_engine::Error) -> Option<&'static str> {
    match error {
        owlet_engine::Error::Io { source, .. } => io_hint(source),
        _ => None,
    }
}

impl From<owlet_engine::Error> for CliError {
    fn from(error: owlet_engine::Error) -> Self {
        let hint = engine_hint(&error);
        let failure = Self::new(engine_kind(&error), error);
        hint.into_iter().fold(failure, CliError::hinted)
    }
}

fn store_kind(error: &owlet_store::Error) -> Kind {
    use owlet_store::Error;
    match error {
        Error::Io(error) => io_kind(error),
        Error::Damaged { .. } | Error::DamagedRecord { .. } | Error::Unwritable { .. } => {
            Kind::Environment
        }
        Error::WrongKey { .. } | Error::NotDeterministic { .. } => Kind::Bug,
        Error::Interrupted { .. } => Kind::Interrupted,
        _ => Kind::Usage,
    }
}

impl From<owlet_store::Error> for CliError {
    fn from(error: owlet_store::Error) -> Self {
        let hint = error.hint();
        let failure = Self::new(store_kind(&error), error);
        hint.into_iter().fold(failure, CliError::hinted)
    }
}

fn lab_kind(error: &owlet_lab::Error) -> Kind {
    use owlet_lab::Error;
    match error {
        Error::Unfit { .. } => Kind::Check,
        // What is refused is for the user to change; what is not answered, for the surroundings.
        Error::Remote { status: Some(400..=499), .. } => Kind::Usage,
        Error::Remote { .. } => Kind::Environment,
        Error::Step { source, .. } => lab_kind(source),
        Error::Io(error) => io_kind(error),
        Error::Engine(error) => engine_kind(error),
        Error::Store(error) => store_kind(error),
        Error::Interrupted => Kind::Interrupted,
        _ => Kind::Usage,
    }
}

fn lab_hint(error: &owlet_lab::Error) -> Option<String> {
    use owlet_lab::Error;
    match error {
        Error::Step { source, .. } => lab_hint(source),
        Error::Io(error) => io_hint(error).map(str::to_owned),
        Error::Store(error) => error.hint(),
        Error::Engine(error) => engine_hint(error).map(str::to_owned),
        _ => None,
    }
}

impl From<owlet_lab::Error> for CliError {
    fn from(error: owlet_lab::Error) -> Self {
        let hint = lab_hint(&error);
        let failure = Self::new(lab_kind(&error), error);
        hint.into_iter().fold(failure, CliError::hinted)
    }
}
