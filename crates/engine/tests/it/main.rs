//! Tests of the engine from outside: against golden references, on files, on a real model.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod files;
mod gguf;
mod golden;
mod honoured;
mod hostile;
mod perceptron;
mod real;
mod rooms;
mod steering;
mod templates;
mod tiny;
mod weights;
