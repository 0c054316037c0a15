//! `perceptron`: inheritance in a small network on images, and the theorem's checks.

mod arms;
mod estimate;
mod images;
mod learn;
mod plan;
pub mod recipe;
pub mod report;
pub mod result;
mod study;
mod teach;
#[cfg(test)]
mod tests;
mod theorem;

use std::path::Path;

use schemars::{Schema, schema_for};

use super::{AnyRecipe, Brief, IsGrown, Kind, KindRecipe, KindResult, RunResult, VerdictLine};
use crate::error::Result;
use crate::recipe::{Layer, Setting};
use crate::report::block::Report;
use crate::report::origin::Origin;
use crate::run::plan::{Outline, PlanContext};
use crate::value::measure::Measure;

use arms::{AUXILIARY, foreign};
use recipe::PerceptronRecipe;
use result::{FORMAT, PerceptronResult};

/// What the verdict is about, as lists name behaviors.
const BEHAVIOR: &str = "classes";

/// The kind.
#[derive(Debug)]
pub struct Perceptron;

impl Kind for Perceptron {
    fn name(&self) -> &'static str {
        "perceptron"
    }

    fn summary(&self) -> &'static str {
        "Inheritance in a small network on images, and the theorem"
    }

    fn defaults(&self) -> &'static str {
        recipe::DEFAULTS
    }

    fn example(&self) -> &'static str {
        "kind = \"perceptron\""
    }

    fn schema(&self) -> Schema {
        schema_for!(PerceptronRecipe)
    }

    fn resolve(
        &self,
        layers: &[Layer],
        sets: &[Setting],
        _is_grown: &IsGrown<'_>,
    ) -> Result<AnyRecipe> {
        Ok(PerceptronRecipe::resolve(layers, sets)?.into())
    }

    fn read(&self, bytes: &[u8], origin: &Path) -> Result<RunResult> {
        super::read_as::<PerceptronResult>(bytes, origin, |result| result.format, FORMAT)
    }
}

impl KindRecipe for PerceptronRecipe {
    fn kind(&self) -> &'static dyn Kind {
        &Perceptron
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn outline(&self, context: &PlanContext) -> Result<Outline> {
        plan::plan(self, context)
    }
}

impl KindResult for PerceptronResult {
    fn kind(&self) -> &'static dyn Kind {
        &Perceptron
    }

    fn brief(&self) -> Brief {
        let effect = self.effect(AUXILIARY, &foreign(AUXILIARY));
        let line = VerdictLine {
            behavior: BEHAVIOR.to_owned(),
            at: String::new(),
            outcome: <&str>::from(self.outcome).to_owned(),
            word: self.outcome.words().to_owned(),
            caveats: String::new(),
            mark: report::mark(self.outcome),
            measure: Measure::Rate,
            over_neutral: effect.map(|effect| effect.difference.value),
            interval: effect.and_then(|effect| effect.difference.interval),
            n: self.replications,
            try_number: None,
        };
        let base = self.images.name.clone();
        Brief { base, seeds: self.replications, warnings: 0, verdicts: vec![line] }
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn report(&self, origin: &Origin<'_>) -> Report {
        report::report(self, origin)
    }
}
