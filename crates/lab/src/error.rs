//! What can go wrong in the lab, grouped by what the caller can do about it.

use std::path::PathBuf;

/// The lab's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A lab error; every variant names the thing it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record (result, rows, behavior file, ...) is not what its format says.
    #[error("`{}` {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line or field, what is wrong and what was expected.
        reason: String,
    },
    /// A recipe that cannot be used.
    #[error("{origin}{}: {reason}", position(*.line, *.column))]
    Recipe {
        /// The file or layer the value came from.
        origin: String,
        /// Line, from 1; 0 where there is none.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The field, what is wrong and what to do.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The engine refused.
    #[error(transparent)]
    Engine(owlet_engine::Error),
    /// The caller asked to stop; what was finished is kept.
    #[error("interrupted; the same command goes on from here")]
    Interrupted,
}

fn position(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

impl From<owlet_engine::Error> for Error {
    fn from(source: owlet_engine::Error) -> Self {
        match source {
            owlet_engine::Error::Interrupted => Self::Interrupted,
            other => Self::Engine(other),
        }
    }
}
