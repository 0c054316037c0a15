//! `inherit`: what do students inherit from a teacher through innocuous rows?

pub mod estimate;
pub mod inspect;
pub mod old_readout;
pub(crate) mod plan;
pub mod result;
