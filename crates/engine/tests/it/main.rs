//! Tests of the engine from outside: against golden references, on files, on a real model.

mod golden;
mod tiny;
