//! What is said where models answer behind an endpoint: their weights are not here.

use maud::{Markup, html};

use super::parts::name;

/// Why there is something missing, and what there is in its place.
pub(super) fn not_here(endpoint: &str, what: &str) -> Markup {
    html! {
        p class="note" {
            (what) " needs the models' weights, and these are not here: the models answer behind "
            code { (name(endpoint)) } "."
        }
    }
}
