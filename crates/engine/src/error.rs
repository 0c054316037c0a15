//! What can go wrong in the engine, grouped by what the caller can do about it.

use std::fmt::Display;
use std::path::PathBuf;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An engine error; every variant names the thing it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its format says.
    #[error("`{}` is not a usable {format}: {reason}", path.display())]
    Format {
        /// `safetensors file`, `GGUF file`, `model folder`, `model configuration`, ...
        format: &'static str,
        /// The file.
        path: PathBuf,
        /// The offending field or offset, and what was expected.
        reason: String,
    },
    /// A model shape that cannot be run.
    #[error("model configuration: `{field}` {reason}")]
    Config {
        /// The field.
        field: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// A tensor is missing or has the wrong shape.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor's name in the file.
        name: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// An adapter that cannot be used.
    #[error("adapter: {0}")]
    Adapter(String),
    /// An adapter whose tensors have not the shapes that this model would need.
    #[error("adapter: {0}")]
    Misfit(String),
    /// Text cannot be tokenised or a template cannot be rendered.
    #[error("{what}: {reason}")]
    Text {
        /// `tokenizer` or `chat template`.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A request the model cannot serve: too long, token out of range, empty.
    #[error("{item}: {reason}")]
    Request {
        /// Which request, example or candidate.
        item: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// A setting out of range.
    #[error("`{field}` {reason}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// Training produced a number that is not finite.
    #[error(
        "update {update}: {what} is not finite; lower the learning rate (now {learning_rate:e}) or turn on clipping"
    )]
    NotFinite {
        /// The update, from 1.
        update: usize,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The learning rate in force.
        learning_rate: f64,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn request(item: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Request { item: item.into(), reason: reason.into() }
    }

    pub(crate) fn setting(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting { field, reason: reason.into() }
    }

    /// Fails with "`field` is `value`, expected `expected`" unless the value is `fine`.
    pub(crate) fn unless(
        fine: bool,
        field: &'static str,
        value: impl Display,
        expected: &str,
    ) -> Result<()> {
        let failed = || Self::setting(field, format!("is {value}, expected {expected}"));
        fine.then_some(()).ok_or_else(failed)
    }

    pub(crate) fn config(field: &str, reason: impl Into<String>) -> Self {
        Self::Config { field: field.to_owned(), reason: reason.into() }
    }

    pub(crate) fn tensor(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.into(), reason: reason.into() }
    }

    pub(crate) fn format(
        format: &'static str,
        path: impl Into<PathBuf>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Format { format, path: path.into(), reason: reason.into() }
    }
}
