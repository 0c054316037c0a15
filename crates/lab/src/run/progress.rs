//! How far a run is, from its events. Pure: events in, state out.
//!
//! Events that this build does not know are passed over: a newer owlet may be at work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Event;

/// Most points of a loss curve kept per step.
const POINTS: usize = 240;

/// What became of a step so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    #[default]
    Waiting,
    /// Begun and not ended, as far as anyone knows.
    Running,
    /// Made in this run.
    Finished,
    /// Made before.
    Reused,
    /// Ended in an error.
    Failed,
}

impl StepState {
    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "done",
            Self::Reused => "reused",
            Self::Failed => "failed",
        }
    }

    /// Whether it made its artifact, now or before.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Finished | Self::Reused)
    }
}

/// One step of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepProgress {
    /// Where it is.
    pub state: StepState,
    /// Its key, once it is known.
    pub key: Option<String>,
    /// What it made.
    pub artifact: Option<String>,
    /// Units done.
    pub done: usize,
    /// Units in all; 0 where that is not known yet.
    pub total: usize,
    /// What a unit is.
    pub unit: String,
    /// Units per second.
    pub rate: f64,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Why it failed.
    pub message: Option<String>,
    /// Units done and the loss then.
    #[serde(skip)]
    pub losses: Vec<(f64, f64)>,
}

/// A run so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Steps in all, where the plan is known.
    pub planned: usize,
    /// Estimated seconds for the rest.
    pub remaining: Option<f64>,
    /// How long all took.
    pub seconds: Option<f64>,
    /// What is known of each step that was heard of, by its name.
    pub steps: BTreeMap<String, StepProgress>,
}

impl Progress {
    /// Steps made or reused.
    pub fn done(&self) -> usize {
        self.steps.values().filter(|step| step.state.is_done()).count()
    }

    /// The first step that failed, and why.
    pub fn failure(&self) -> Option<(&str, &str)> {
        self.steps.iter().find_map(|(name, step)| {
            (step.state == StepState::Failed)
                .then(|| (name.as_str(), step.message.as_deref().unwrap_or_default()))
        })
    }

    /// Takes in the next event.
    pub fn hear(&mut self, event: &Value) {
        if let Ok(event) = Event::deserialize(event) {
            self.take(event);
        }
    }

    /// Takes in an event of this build.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::PlanMade { steps, seconds, .. } => {
                self.planned = steps;
                self.remaining = Some(seconds);
            }
            Event::StepStarted { step, key, .. } => {
                self.step(step, StepState::Running).key = Some(key);
            }
            Event::StepProgress { step, done, total, unit, loss, rate, remaining, .. } => {
                self.remaining = Some(remaining);
                let step = self.steps.entry(step).or_default();
                (step.done, step.total, step.unit, step.rate) = (done, total, unit, rate);
                if let Some(loss) = loss {
                    step.losses.push((done as f64, loss));
                    if step.losses.len() > POINTS {
                        // Every other point goes; the last one stays.
                        let last = step.losses.len() - 1;
                        let mut at = 0;
                        step.losses.retain(|_| {
                            at += 1;
                            at % 2 == 1 || at == last + 1
                        });
                    }
                }
            }
            Event::StepFinished { step, artifact, seconds, remaining } => {
                self.remaining = Some(remaining);
                let step = self.step(step, StepState::Finished);
                step.artifact = Some(artifact);
                step.seconds = Some(seconds);
            }
            Event::StepReused { step, artifact } => {
                self.step(step, StepState::Reused).artifact = Some(artifact);
            }
            Event::StepFailed { step, message } => {
                self.step(step, StepState::Failed).message = Some(message);
            }
            Event::Warning { .. } => {}
            Event::RunFinished { seconds, .. } => {
                self.seconds = Some(seconds);
                self.remaining = None;
            }
        }
    }

    fn step(&mut self, name: String, state: StepState) -> &mut StepProgress {
        let step = self.steps.entry(name).or_default();
        step.state = state;
        step
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_add_up_and_unknown_ones_are_passed_over() {
        let mut progress = Progress::default();
        for event in [
            json!({"event": "plan-made", "name": "n", "steps": 3, "reused": 1, "seconds": 9.0}),
            json!({"event": "step-reused", "step": "base", "artifact": "aa"}),
            json!({"event": "step-started", "step": "train", "kind": "train", "key": "k"}),
            json!({"event": "step-progress", "step": "train", "done": 2, "total": 4, "unit": "updates",
                   "loss": 1.5, "rate": 2.0, "remaining": 5.0}),
            json!({"event": "made-tomorrow", "what": 1}),
            json!({"event": "step-failed", "step": "train", "message": "no space"}),
        ] {
            progress.hear(&event);
        }
        assert_eq!((progress.planned, progress.done(), progress.remaining), (3, 1, Some(5.0)));
        assert_eq!(progress.failure(), Some(("train", "no space")));
        assert_eq!(progress.steps["train"].losses, [(2.0, 1.5)]);
    }

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let mut progress = Progress::default();
        for done in 1..=5000 {
            progress
                .hear(&json!({"event": "step-progress", "step": "s", "done": done, "total": 5000,
                "unit": "updates", "loss": 1.0 / f64::from(done), "rate": 1.0, "remaining": 1.0}));
        }
        let losses = &progress.steps["s"].losses;
        assert!(losses.len() <= POINTS, "{}", losses.len());
        assert_eq!((losses[0].0, losses.last().unwrap().0), (1.0, 5000.0));
    }
}
