//! What the window cannot do, and with which status it says so.

use std::io;
use std::net::SocketAddr;

/// The window's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a page cannot be shown or an action not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The port is taken, or may not be used.
    #[error("cannot listen on {address}: {source}; choose another port with `--port`")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no such thing in the workspace.
    #[error("there is no {what} `{name}` in this workspace")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// What it was called.
        name: String,
    },
    /// What stands in the address or the form is not what is expected there.
    #[error("`{key}` is `{given}`, expected {expected}")]
    Query {
        /// The part of the address.
        key: &'static str,
        /// What stands there.
        given: String,
        /// What may stand there.
        expected: String,
    },
    /// Somebody else's page may be behind it.
    #[error("{reason}")]
    Forbidden {
        /// Why.
        reason: String,
    },
    /// It cannot be done now.
    #[error("{reason}")]
    Conflict {
        /// Why, and what to do.
        reason: String,
    },
    /// The workspace.
    #[error(transparent)]
    Store(#[from] owlet_store::Error),
    /// The meaning of what is in it.
    #[error(transparent)]
    Lab(#[from] owlet_lab::Error),
    /// A model.
    #[error(transparent)]
    Engine(#[from] owlet_engine::Error),
    /// A statistic.
    #[error(transparent)]
    Statistics(#[from] owlet_lab::stats::StatisticsError),
    /// A file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// The status of an answer that carries it.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::Query { .. } => 400,
            Self::Forbidden { .. } => 403,
            Self::Conflict { .. } => 409,
            Self::Store(error) | Self::Lab(owlet_lab::Error::Store(error))
                if matches!(
                    error,
                    owlet_store::Error::MissingRun { .. }
                        | owlet_store::Error::MissingArtifact { .. }
                        | owlet_store::Error::RemovedArtifact { .. }
                ) =>
            {
                404
            }
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => 404,
            _ => 500,
        }
    }

    pub(super) fn missing(what: &'static str, name: &str) -> Self {
        // What was asked for comes back in the page; nobody needs more of it than this.
        Self::NotFound { what, name: name.chars().take(100).collect() }
    }

    pub(super) fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into() }
    }

    pub(super) fn query(key: &'static str, given: &str, expected: impl Into<String>) -> Self {
        let given = given.chars().take(100).collect();
        Self::Query { key, given, expected: expected.into() }
    }
}
