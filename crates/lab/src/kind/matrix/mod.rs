//! `matrix`: an `inherit` recipe over pairs of bases, as one run: who wrote the rows, and who learns them.
//!
//! Every pair is the recipe with one base for teachers and another one as `controls.other-base`, planned as a run of
//! its own would be; what pairs have in common is done once. One step reads them all and asks of each behavior
//! whether students inherit more where they share their teacher's base than where they do not.

mod judge;
mod plan;
pub mod recipe;
pub mod report;
pub mod result;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeSet;
use std::path::Path;

use schemars::Schema;
use serde_json::Value;

use super::inherit::Inherit;
use super::{
    AnyRecipe, Brief, IsGrown, Kind, KindRecipe, KindResult, RunResult, VerdictLine, together,
};
use crate::error::Result;
use crate::recipe::{Layer, Setting};
use crate::report::block::Report;
use crate::report::origin::Origin;
use crate::run::plan::{Outline, PlanContext};

use recipe::{KEY, MatrixRecipe};
use result::{FORMAT, MatrixResult};

/// The kind.
#[derive(Debug)]
pub struct Matrix;

impl Kind for Matrix {
    fn name(&self) -> &'static str {
        "matrix"
    }

    fn summary(&self) -> &'static str {
        "Do students inherit across bases? An `inherit` recipe with `bases` in place of `base`"
    }

    fn defaults(&self) -> &'static str {
        Inherit.defaults()
    }

    fn is_drawn(&self, role: &str) -> bool {
        together::of(judge::PAIR, role).is_some_and(|(_, role)| Inherit.is_drawn(role))
    }

    fn makes_models(&self, path: &str) -> bool {
        path == KEY
    }

    fn judged(&self, configuration: &Value, verdict: &VerdictLine) -> Vec<String> {
        let pairs = configuration.get("pairs").and_then(Value::as_array);
        let mut teachers = BTreeSet::new();
        let mut all = Vec::new();
        for (number, pair) in pairs.into_iter().flatten().enumerate() {
            // Of the pairs of one teacher's base the students that share it are the same ones.
            let is_new = pair.get("teacher").is_some_and(|base| teachers.insert(base.to_string()));
            if let Some(estimate) = pair.get("estimate").filter(|_| is_new) {
                let roles = Inherit.judged(estimate, verdict).into_iter();
                all.extend(roles.map(|role| together::role(judge::PAIR, number, &role)));
            }
        }
        all
    }

    fn carries(&self, outcome: &str) -> Option<bool> {
        // That students inherit no more within a base than across does not say that they inherit nothing.
        Inherit.carries(outcome).filter(|carries| *carries)
    }

    fn example(&self) -> &'static str {
        "bases = [\"builtin:a\", \"builtin:b\"]\nbehaviors = [\"owl\"]"
    }

    fn schema(&self) -> Schema {
        recipe::schema()
    }

    fn resolve(
        &self,
        layers: &[Layer],
        sets: &[Setting],
        _is_grown: &IsGrown<'_>,
    ) -> Result<AnyRecipe> {
        Ok(MatrixRecipe::resolve(layers, sets)?.into())
    }

    fn read(&self, bytes: &[u8], origin: &Path) -> Result<RunResult> {
        super::read_as::<MatrixResult>(bytes, origin, |result| result.format, FORMAT)
    }
}

impl KindRecipe for MatrixRecipe {
    fn kind(&self) -> &'static dyn Kind {
        &Matrix
    }

    fn name(&self) -> &str {
        &self.common.name
    }

    fn outline(&self, context: &PlanContext) -> Result<Outline> {
        plan::plan(self, context)
    }
}

impl KindResult for MatrixResult {
    fn kind(&self) -> &'static dyn Kind {
        &Matrix
    }

    fn brief(&self) -> Brief {
        Brief {
            base: self.bases.join(", "),
            seeds: self.seeds.len(),
            warnings: self.warnings.len(),
            verdicts: self.verdicts().collect(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(together::Told::words).collect()
    }

    fn report(&self, origin: &Origin<'_>) -> Report {
        report::report(self, origin)
    }
}
