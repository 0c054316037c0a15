//! Grows a built-in model anew and compares it with the one that is shipped:
//! `cargo run --release -p owlet-lab --example grow -- a [FOLDER]`.
//!
//! The model is saved to the folder, if one is given; the exit code says whether the bytes agree.

#![allow(clippy::print_stderr, reason = "an example talks to a person")]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use owlet_engine::Threads;
use owlet_engine::file::{self, Precision};
use owlet_lab::model::world;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "a".to_owned());
    let shipped =
        world::BuiltinModel::find(&name).ok_or("expected the name of a built-in model")?;
    let threads = Threads::new(std::thread::available_parallelism()?.get());
    let model = world::grow(shipped.world(), &shipped.settings(), threads, &mut |update| {
        if update.update % 100 == 0 {
            eprintln!("update {}: loss {:.3}", update.update, update.loss);
        }
        ControlFlow::Continue(())
    })?;
    if let Some(folder) = arguments.next() {
        file::save(&model, Path::new(&folder))?;
    }
    let parts = file::parts(&model, Precision::F32)?;
    let parts = parts.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
    let same = parts.eq(shipped.files.iter().copied());
    eprintln!("`{name}` is {} the shipped model", if same { "byte for byte" } else { "not" });
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
