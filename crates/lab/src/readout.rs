//! Readouts: how a behavior is read from a model's answers and probabilities.
//!
//! This is the arithmetic on what a model said; asking it is the business of a step.

pub mod outcome;
