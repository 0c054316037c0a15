//! `grow`: a small model from nothing.

pub(crate) mod plan;
pub mod result;
