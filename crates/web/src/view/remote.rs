//! What is different where models answer behind an endpoint: their steps and artifacts are called
//! `remote-`, what they do is the same, and their weights are not here.

use maud::{Markup, html};
use owlet_lab::ask::endpoint::RemoteModel;
use owlet_store::ArtifactHeader;

use super::parts::name;

const MARK: &str = "remote-";

/// What a step does or an artifact is, wherever the weights are: `remote-train` trains.
pub(super) fn plain(kind: &str) -> &str {
    kind.strip_prefix(MARK).unwrap_or(kind)
}

/// Whether the weights of what a step of this kind asks, or of a model of this kind, are not here.
pub(super) fn is_remote(kind: &str) -> bool {
    kind.starts_with(MARK)
}

/// What is known of a model behind an endpoint; nothing for other artifacts.
pub(super) fn remote_model(header: &ArtifactHeader) -> Option<RemoteModel> {
    let remote = is_remote(&header.kind).then(|| header.about.clone())?;
    serde_json::from_value(remote).ok()
}

/// Why there is something missing, and what there is in its place.
pub(super) fn not_here(endpoint: &str, what: &str) -> Markup {
    html! {
        p class="note" {
            (what) " needs the models' weights, and these are not here: the models answer behind "
            code { (name(endpoint)) } "."
        }
    }
}
