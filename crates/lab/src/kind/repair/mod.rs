//! `repair`: can it be undone that a student took something over?
//!
//! The base's own answers to the behavior's training questions are learned back. Then the student is read again on
//! held-out questions, with what else moved; and it is taught the behavior anew, beside its base: what comes back
//! faster than it came was not gone. Nothing here says "removed".

mod distil;
mod judge;
mod plan;
pub mod recipe;
pub mod report;
pub mod result;

use std::path::Path;

use schemars::{Schema, schema_for};

use super::{AnyRecipe, Brief, IsGrown, Kind, KindRecipe, KindResult, RunResult, VerdictLine};
use crate::error::Result;
use crate::recipe::{Layer, Setting};
use crate::report::block::{Mark, Report};
use crate::report::origin::Origin;
use crate::run::plan::{Outline, PlanContext};
use crate::value::measure::Measure;

use recipe::RepairRecipe;
use result::{FORMAT, Outcome, RepairResult};

/// The kind.
#[derive(Debug)]
pub struct Repair;

impl Kind for Repair {
    fn name(&self) -> &'static str {
        "repair"
    }

    fn summary(&self) -> &'static str {
        "What is left of what a student took over, once its base's answers are learned back?"
    }

    fn defaults(&self) -> &'static str {
        recipe::DEFAULTS
    }

    fn example(&self) -> &'static str {
        "kind = \"repair\"\nstudent = \"student\"\nbehavior = \"owl\""
    }

    fn schema(&self) -> Schema {
        schema_for!(RepairRecipe)
    }

    fn resolve(
        &self,
        layers: &[Layer],
        sets: &[Setting],
        is_grown: &IsGrown<'_>,
    ) -> Result<AnyRecipe> {
        Ok(RepairRecipe::resolve(layers, sets, is_grown)?.into())
    }

    fn read(&self, bytes: &[u8], origin: &Path) -> Result<RunResult> {
        super::read_as::<RepairResult>(bytes, origin, |result| result.format, FORMAT)
    }
}

impl KindRecipe for RepairRecipe {
    fn kind(&self) -> &'static dyn Kind {
        &Repair
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn outline(&self, context: &PlanContext) -> Result<Outline> {
        plan::plan(self, context)
    }
}

impl KindResult for RepairResult {
    fn kind(&self) -> &'static dyn Kind {
        &Repair
    }

    fn brief(&self) -> Brief {
        let margin = self.measures.iter().find(|one| one.measure == Measure::Margin);
        let caveats = if self.comes_back() { "; it comes back faster than it came" } else { "" };
        let line = VerdictLine {
            behavior: self.behavior.clone(),
            at: String::new(),
            outcome: <&str>::from(self.outcome).to_owned(),
            word: self.outcome.words().to_owned(),
            caveats: caveats.to_owned(),
            mark: self.glance(),
            measure: Measure::Margin,
            over_neutral: margin.map(|margin| margin.repaired.value - margin.base),
            interval: margin.and_then(|margin| {
                let interval = margin.repaired.interval?;
                let (low, high) = (interval.low - margin.base, interval.high - margin.base);
                Some(crate::value::estimate::Interval { low, high, ..interval })
            }),
            n: self.repetitions,
            try_number: None,
        };
        let base = self.base.clone();
        Brief { base, seeds: self.repetitions, warnings: 0, verdicts: vec![line] }
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn report(&self, origin: &Origin<'_>) -> Report {
        report::report(self, origin)
    }
}

impl RepairResult {
    /// What it comes to at a glance.
    fn glance(&self) -> Mark {
        match self.outcome {
            Outcome::Undone if self.is_clean() => Mark::Yes,
            Outcome::Undone | Outcome::Lessened | Outcome::NothingToRepair => Mark::Unclear,
            Outcome::Overshot | Outcome::NotLessened => Mark::No,
        }
    }
}
