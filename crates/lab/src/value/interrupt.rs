//! What long work hears and tells: a wish to stop, and how far it is.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use owlet_engine::train::Rewards;

use crate::error::{Error, Result};

/// A wish to stop, shared with whoever may have it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(pub Arc<AtomicBool>);

impl Interrupt {
    /// Asks to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Takes the wish back.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if somebody asked.
    pub fn check(&self) -> Result<()> {
        if self.is_set() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Units done.
    pub done: usize,
    /// Units in all.
    pub total: usize,
    /// What a unit is: `rows`, `updates`, `questions`.
    pub unit: Cow<'static, str>,
    /// Loss of the last update, in nats per token.
    pub loss: Option<f64>,
    /// Of the last update's preference pairs.
    pub rewards: Option<Rewards>,
}
