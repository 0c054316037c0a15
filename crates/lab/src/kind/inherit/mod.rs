//! `inherit`: what do students inherit from a teacher through innocuous rows?

pub mod estimate;
pub mod inspect;
pub(crate) mod plan;
pub mod result;
