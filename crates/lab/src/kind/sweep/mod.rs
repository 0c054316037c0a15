//! `sweep`: an `inherit` recipe at several values of one or two of its keys, as one run.
//!
//! Every point is the recipe with those values, planned as a run of its own would be; what points have in common
//! is done once. No point is judged alone: one step reads them all, and p is corrected over the verdicts on all
//! of them, so that who looks at the best of many errs no more often than the level says.

pub mod export;
mod judge;
mod plan;
pub mod recipe;
pub mod report;
pub mod result;
#[cfg(test)]
mod tests;

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

use recipe::{SweepRecipe, TABLE};
use result::{FORMAT, SweepResult};

/// The kind.
#[derive(Debug)]
pub struct Sweep;

impl Kind for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn summary(&self) -> &'static str {
        "What do students inherit, over values of a key? An `inherit` recipe with a table `[sweep]`"
    }

    fn defaults(&self) -> &'static str {
        Inherit.defaults()
    }

    fn is_drawn(&self, role: &str) -> bool {
        together::of(judge::POINT, role).is_some_and(|(_, role)| Inherit.is_drawn(role))
    }

    fn makes_models(&self, path: &str) -> bool {
        path.starts_with(&format!("{TABLE}."))
    }

    fn judged(&self, configuration: &Value, verdict: &VerdictLine) -> Vec<String> {
        let points = configuration.get("points").and_then(Value::as_array);
        let own = points.into_iter().flatten().enumerate();
        let own = own.filter(|(_, point)| point.get("at") == Some(&verdict.at.as_str().into()));
        own.flat_map(|(place, point)| {
            let roles = point.get("estimate").map(|estimate| Inherit.judged(estimate, verdict));
            let roles = roles.unwrap_or_default().into_iter();
            roles.map(move |role| together::role(judge::POINT, place, &role))
        })
        .collect()
    }

    fn carries(&self, outcome: &str) -> Option<bool> {
        Inherit.carries(outcome)
    }

    fn example(&self) -> &'static str {
        "behaviors = [\"owl\"]\n[sweep]\n\"carrier.rows\" = [384, 768]"
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
        Ok(SweepRecipe::resolve(layers, sets)?.into())
    }

    fn read(&self, bytes: &[u8], origin: &Path) -> Result<RunResult> {
        super::read_as::<SweepResult>(bytes, origin, |result| result.format, FORMAT)
    }
}

impl KindRecipe for SweepRecipe {
    fn kind(&self) -> &'static dyn Kind {
        &Sweep
    }

    fn name(&self) -> &str {
        &self.common.name
    }

    fn outline(&self, context: &PlanContext) -> Result<Outline> {
        plan::plan(self, context)
    }
}

impl KindResult for SweepResult {
    fn kind(&self) -> &'static dyn Kind {
        &Sweep
    }

    fn brief(&self) -> Brief {
        Brief {
            base: self.base.clone(),
            seeds: self.seeds.len(),
            warnings: self.warnings.len(),
            verdicts: self.verdicts().collect(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(result::Told::words).collect()
    }

    fn report(&self, origin: &Origin<'_>) -> Report {
        report::report(self, origin)
    }
}
