//! The one stream of events: what a run tells terminals, files and windows.
//!
//! Events say what happened, not how to show it. They carry no wall-clock times; whoever writes
//! them down may add one. Progress is thinned before it is recorded, never before it is heard.

use owlet_engine::train::Rewards;
use serde::{Deserialize, Serialize};

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "event",
    deny_unknown_fields
)]
pub enum Event {
    /// The plan is known.
    PlanMade {
        /// The recipe's name.
        name: String,
        /// Steps in all.
        steps: usize,
        /// Steps known to be done already.
        reused: usize,
        /// Estimated seconds for the rest.
        seconds: f64,
    },
    /// A step begins.
    StepStarted {
        /// Its name in the plan.
        step: String,
        /// Its kind.
        kind: String,
        /// Its key in the store.
        key: String,
    },
    /// A step is so far.
    StepProgress {
        /// Its name.
        step: String,
        /// Units done.
        done: usize,
        /// Units in all.
        total: usize,
        /// What a unit is.
        unit: String,
        /// Loss of the last update, in nats per token.
        loss: Option<f64>,
        /// Of the last update's preference pairs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rewards: Option<Rewards>,
        /// Units per second since it began.
        rate: f64,
        /// Estimated seconds for the rest of the run.
        remaining: f64,
    },
    /// A step is done and recorded.
    StepFinished {
        /// Its name.
        step: String,
        /// The artifact it made.
        artifact: String,
        /// How long it took.
        seconds: f64,
        /// Estimated seconds for the rest of the run.
        remaining: f64,
    },
    /// A step was done before; its artifact is used.
    StepReused {
        /// Its name.
        step: String,
        /// The artifact.
        artifact: String,
    },
    /// A step failed.
    StepFailed {
        /// Its name.
        step: String,
        /// Why.
        message: String,
    },
    /// Something would mislead.
    Warning {
        /// What.
        warning: String,
    },
    /// All is done.
    RunFinished {
        /// The artifact with the result.
        result: String,
        /// How long the run took.
        seconds: f64,
    },
}
