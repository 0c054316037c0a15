//! What can go wrong between here and the hub, and what to do about each.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::{Hub, Name};
use crate::error::Kind;

/// Why there is no model; the message goes on after the model's name.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) message: String,
    pub(crate) kind: Kind,
    pub(crate) hint: String,
    is_unreachable: bool,
}

const INSTEAD: &str = "or give a model folder or .gguf file";
const GOES_ON: &str = "what has arrived is kept; the same command goes on from there";

impl Trouble {
    fn new(kind: Kind, message: impl Display, hint: impl Display) -> Self {
        let (message, hint) = (message.to_string(), hint.to_string());
        Self { message, kind, hint, is_unreachable: false }
    }

    fn unreachable(message: impl Display, hint: impl Display) -> Self {
        Self { is_unreachable: true, ..Self::new(Kind::Environment, message, hint) }
    }

    /// Whether the hub could not be asked.
    pub(super) fn is_unreachable(&self) -> bool {
        self.is_unreachable
    }

    pub(super) fn no_name() -> Self {
        Self::new(
            Kind::Usage,
            "is not a name of the hub",
            "expected `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`, such as `hf:HuggingFaceTB/SmolLM2-135M-Instruct`",
        )
    }

    pub(super) fn offline(cache: &Path) -> Self {
        let message = format!(
            "is not in the cache `{}`, and HF_HUB_OFFLINE forbids to fetch it",
            cache.display()
        );
        Self::new(
            Kind::Environment,
            message,
            format!("unset HF_HUB_OFFLINE, name another cache with HF_HOME, {INSTEAD}"),
        )
    }

    pub(super) fn unreached(hub: &Hub, error: ureq::Error) -> Self {
        match error {
            ureq::Error::Io(error) => Self::unanswered(hub, error),
            other => Self::unanswered(hub, other),
        }
    }

    pub(super) fn unanswered(hub: &Hub, why: impl Display) -> Self {
        Self::unreachable(
            format!("the hub at `{}` cannot be reached: {why}", hub.endpoint),
            format!("check the network and HF_ENDPOINT (`owlet doctor --hub`), {INSTEAD}"),
        )
    }

    pub(super) fn odd(hub: &Hub, why: impl Display) -> Self {
        Self::new(
            Kind::Environment,
            format!("`{}` does not answer like the hub: {why}", hub.endpoint),
            format!("check HF_ENDPOINT and any proxy in between, {INSTEAD}"),
        )
    }

    /// A status that is neither success nor redirection; `error` and `said` are the hub's own words.
    pub(super) fn refused(
        hub: &Hub,
        name: &Name<'_>,
        file: Option<&str>,
        status: u16,
        error: &str,
        said: &str,
    ) -> Self {
        let Hub { endpoint, token, .. } = hub;
        let page = format!("{endpoint}/{}", name.repository);
        let what = file.map_or_else(String::new, |file| format!(" of `{file}`"));
        match (status, error) {
            (_, "RevisionNotFound") => Self::new(
                Kind::Usage,
                format!("has no revision `{}`", name.revision),
                format!("name a branch, tag or commit from {page}/tree/main, or none for `main`"),
            ),
            (_, "GatedRepo") if token.is_none() => Self::new(
                Kind::Environment,
                "is gated: its owners want to know who uses it",
                format!("ask for access at {page}, then set HF_TOKEN to a token that may read"),
            ),
            (_, "GatedRepo") => Self::new(
                Kind::Environment,
                "is gated, and the token given has no access to it",
                format!("ask for access at {page} with the account of HF_TOKEN"),
            ),
            (401, _) if said.contains("Invalid credentials") => Self::new(
                Kind::Environment,
                "the hub does not know the token given",
                format!("set HF_TOKEN to a token from {endpoint}/settings/tokens, or unset it"),
            ),
            // Those who may not see a private repository are told that there is none.
            (401 | 404, _) if file.is_none() => Self::new(
                Kind::Usage,
                format!("there is no such model at `{endpoint}`, or it is private"),
                match token {
                    None => "check the name; a private model wants HF_TOKEN".to_owned(),
                    Some(_) => {
                        "check the name, and that the token in HF_TOKEN may read it".to_owned()
                    }
                },
            ),
            (401 | 403, _) => Self::new(
                Kind::Environment,
                format!("the hub refuses the download{what} ({status})"),
                format!("check at {page} that the account of HF_TOKEN may read it"),
            ),
            (429, _) => Self::unreachable(
                "the hub answers that it was asked too often (429)",
                "wait some minutes; with HF_TOKEN set it allows more",
            ),
            (500.., _) => Self::unreachable(
                format!("the hub at `{endpoint}` fails with {status}"),
                format!("try again later; {GOES_ON}"),
            ),
            _ => Self::odd(hub, format!("status {status}{what}")),
        }
    }

    pub(super) fn lacks(message: impl Display) -> Self {
        Self::new(
            Kind::Usage,
            message,
            "owlet loads safetensors with a tokenizer.json, and GGUF files from disk; choose another \
             repository, or convert this one with Transformers and give the folder",
        )
    }

    /// A body that ended early.
    pub(super) fn cut_off(file: &str, arrived: &str, size: &str, why: impl Display) -> Self {
        Self::unreachable(
            format!("`{file}` broke off after {arrived} of {size}: {why}"),
            format!("check the network; {GOES_ON}"),
        )
    }

    pub(super) fn damaged(file: &str, why: impl Display) -> Self {
        Self::new(
            Kind::Environment,
            format!("`{file}` arrived damaged: {why}"),
            "it was thrown away; the same command fetches it again",
        )
    }

    /// The cache that cannot be written; `missing` is what is still to come.
    pub(super) fn disk(error: &io::Error, missing: Option<String>) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let hint = match (full, missing) {
            (true, Some(missing)) => {
                format!(
                    "{missing} are still to come: free space or name another place with HF_HOME; {GOES_ON}"
                )
            }
            _ => {
                "give this user access to the cache, or name another place with HF_HOME".to_owned()
            }
        };
        Self::new(Kind::Environment, error, hint)
    }
}
