//! The graph of a sweep: the graphs of its points, in which equal steps are one, and a step that judges them all.

use super::judge::{self, Judge};
use super::recipe::SweepRecipe;
use crate::error::{Error, Result};
use crate::kind::inherit;
use crate::kind::together::Union;
use crate::run::plan::{Outline, PlanContext};
use crate::stats;
use crate::value::text;

pub(super) fn plan(recipe: &SweepRecipe, context: &PlanContext) -> Result<Outline> {
    let mut union = Union::new(judge::POINT);
    let mut points = Vec::new();
    for (number, point) in recipe.points.iter().enumerate() {
        let estimate = union.add(number, inherit::plan::plan(&point.recipe, context)?)?;
        let (at, places) = (point.at.clone(), point.places.clone());
        points.push(judge::Point { at, places, estimate });
    }
    let axes =
        recipe.axes.iter().map(|axis| judge::Axis { key: axis.key.clone(), values: axis.words() });
    let mut common = serde_json::to_value(recipe)
        .map_err(|error| Error::record(recipe.common.name.as_str(), error))?;
    common["base"] = serde_json::to_value(recipe.common.base.without_limits())
        .map_err(|error| Error::record("base", error))?;
    let configuration = judge::Configuration {
        recipe: common,
        axes: axes.collect(),
        points,
        published: recipe.published.clone(),
        left_out: union.left_out().to_vec(),
    };
    union.judged_by::<Judge>("sweep", &configuration, &power(recipe))
}

/// What the recipe's repetitions can tell from nothing at one point, corrected over all of them.
fn power(recipe: &SweepRecipe) -> String {
    let common = &recipe.common;
    let (repetitions, points) = (common.seeds.0.len(), recipe.points.len());
    if repetitions < 2 {
        return "one repetition decides nothing: set seeds = 6 or more".to_owned();
    }
    let verdicts = common.behaviors.len() * points;
    let effect = stats::detectable(repetitions, (1.0 - common.gates.level) / verdicts as f64);
    format!(
        "{} at each of {} tell a difference of {effect:.1} standard deviations between them from none, four times in five ({} corrected together)",
        text::counted(repetitions, "repetition"),
        text::counted(points, "point"),
        text::counted(verdicts, "verdict"),
    )
}
