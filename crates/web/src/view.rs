//! The window: runs, rows, models and lineage of a workspace, as pages with JSON twins.
//!
//! [`Window`] answers paths over a store; [`serve`] puts it on a loopback port for a browser.
//! Every page is rendered here, reads without JavaScript, has a twin at `PATH.json` and can be
//! saved as one file (`?export=1`). What a result means and how it looks is the lab's report; the
//! window adds ways around. It is not for other machines: it listens on loopback, and has no users.
//!
//! The invariant: nothing a model, a recipe or a file says becomes markup or script, and nothing
//! grows with the size of what is looked at, but caches of fixed size.

mod actions;
mod artifact;
mod cache;
mod chat;
mod compare;
mod error;
mod export;
mod index;
mod lineage;
mod lines;
mod live;
mod models;
mod page;
mod parts;
mod plan;
mod query;
mod remote;
mod rows;
mod run;
mod runs;
mod server;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod tokens;
mod window;

pub use error::{Error, Result};
pub use page::Page;
pub use query::Query;
pub use server::{Switch, serve, signal};
pub use window::{Resume, Window, WindowSettings};
