//! The workspace: content-addressed artifacts, the steps that made them, and runs.
//!
//! Files are the truth: there is no database and no index, and everything this crate answers is
//! read from the workspace folder. It knows nothing about models, recipes or what a step does; it
//! never prints, reads the clock or reads the environment. What it can do beside a workspace is to sign and verify
//! files and what is said of them: [`claim`].
//!
//! The invariant: whatever has a final name is complete. Everything is written under a temporary
//! name on the same file system, synced and renamed, so a process may be killed at any moment and
//! several processes may use one workspace at once.
//!
//! ```
//! # let temporary = tempfile::tempdir()?;
//! # let path = temporary.path().join("workspace");
//! use owlet_store::Store;
//! use serde_json::json;
//!
//! let store = Store::open(&path)?;
//! let writer = store.begin_artifact("rows")?;
//! std::fs::write(writer.file("rows.jsonl")?, "{\"completion\":\"7, 21\"}\n")?;
//! let artifact = writer.finish(json!({ "rows": 1 }))?;
//!
//! let again = store.artifact(&artifact.id)?;
//! assert_eq!(again.read("rows.jsonl")?, b"{\"completion\":\"7, 21\"}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod artifact;
pub mod claim;
mod disk;
mod document;
mod error;
mod hold;
mod id;
mod identity;
mod lease;
mod lineage;
mod manifest;
mod name;
mod remove;
mod run;
mod step;
mod store;
mod temporary;
mod verify;
mod writer;

pub use artifact::{Artifact, ArtifactHeader};
pub use document::canonical_json;
pub use error::{Error, Result};
pub use hold::Hold;
pub use id::{ArtifactId, FileDigest, InvalidId, RunId, Sha256Digest, StepKey};
pub use identity::{Entity, Identities};
pub use lease::Lease;
pub use lineage::{Edge, Lineage, Node, NodeId, Relation};
pub use manifest::FileEntry;
pub use remove::{Alone, AtWork, LeftOver, Removed};
pub use run::{RunDirectory, RunHeader};
pub use step::{StepCost, StepRecord, step_key};
pub use store::Store;
pub use verify::{Problem, ProblemKind, VerifyReport};
pub use writer::ArtifactWriter;
