//! Asking models, wherever they are.

pub mod endpoint;
