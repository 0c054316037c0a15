//! What a workspace promises, checked through the public interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod artifact;
mod claim;
mod fixture;
mod identity;
mod lineage;
mod race;
mod remove;
mod run;
mod step;
mod verify;
mod workspace;
