//! Claims: what somebody says of files, signed, in forms that other tools read.
//!
//! Everything here is one envelope: an in-toto statement (who is spoken of, by digest, and what is
//! said) inside DSSE inside a Sigstore bundle, signed with a P-256 key. What is said of the files
//! themselves is a [`signature`] (OpenSSF Model Signing 1.0); a file of other statements is read and
//! written line by line by [`file`].
//!
//! A claim may have been written by anyone. Nothing in it is looked at before its signature holds,
//! and no path is ever built from a name in it.

mod bundle;
pub mod file;
mod key;
pub mod signature;
mod statement;
mod tree;

pub use key::{PrivateKey, PublicKey};
pub use statement::{Descriptor, Statement};
pub use tree::{Tree, TreeFile};
