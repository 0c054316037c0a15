//! The program from outside: words, exit codes and wiring. What things mean is tested in libraries.

mod doctor;
mod experiment;
mod filter;
mod prompts;
mod recipes;
mod reference;
mod testkit;
mod tools;
mod usage;
mod workspace;
