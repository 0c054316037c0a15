//! `grow`: a small model from nothing.

pub(crate) mod plan;
pub mod report;
pub mod result;
