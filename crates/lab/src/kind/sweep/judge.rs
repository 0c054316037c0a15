//! The step that judges all points of a sweep together.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::recipe::TABLE;
use super::result::{ArmReading, Contrast, FORMAT, Over, Published, SweepPoint, SweepResult, Tag};
use crate::error::Result;
use crate::kind::inherit::estimate;
use crate::kind::inherit::result::{
    Control, InheritResult, Measure, Method, Reading, Scope, SideEffect, SideMeasure,
};
use crate::kind::{RESULT, Written, together};
use crate::stats;
use crate::step::{Step, StepContext};
use crate::value::text;

pub(super) use super::result::{Axis, POINT};

/// One point.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Point {
    /// What it is called.
    pub(super) at: String,
    /// Which value it has on each axis, by its place.
    pub(super) places: Vec<usize>,
    /// What is read of it.
    pub(super) estimate: estimate::Configuration,
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// The recipe at its first point, with the keys that are swept: what was fixed before the run.
    pub(super) recipe: Value,
    /// The keys with their values.
    pub(super) axes: Vec<Axis>,
    /// The points.
    pub(super) points: Vec<Point>,
    /// What others found, to be shown beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) published: Vec<Published>,
    /// What the plan left out.
    pub(super) left_out: Vec<String>,
}

/// The step.
pub(super) struct Judge;

impl Step for Judge {
    type Configuration = Configuration;
    const KIND: &'static str = TABLE;
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "result";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let estimates = configuration.points.iter().map(|point| &point.estimate);
        let given = together::given(POINT, estimates, context)?;
        let result = result(&configuration, estimate::compute_all(&given)?)?;
        context.writer.write(RESULT, &result.to_bytes())?;
        Ok(json!({ "name": result.name }))
    }
}

/// What points come to that were judged together.
pub(super) fn result(
    configuration: &Configuration,
    points: Vec<InheritResult>,
) -> Result<SweepResult> {
    let contrasts = contrasts(configuration, &points)?;
    let first = &points[0];
    let warnings = together::told(configuration.points.iter().map(|point| &point.at).zip(&points));
    Ok(SweepResult {
        format: FORMAT,
        kind: Tag::Sweep,
        name: first.name.clone(),
        description: first.description.clone(),
        base: first.base.clone(),
        behaviors: first.behaviors.clone(),
        carrier: {
            let mut all: Vec<&str> = points.iter().map(|point| point.carrier.as_str()).collect();
            all.dedup();
            text::listed(&all)
        },
        seeds: first.replication.seeds.clone(),
        unit: first.replication.unit.clone(),
        scope: first.replication.scope,
        primary: first.primary,
        rule: first.rule,
        axes: configuration.axes.clone(),
        left_out: configuration.left_out.clone(),
        contrasts,
        published: configuration.published.clone(),
        warnings,
        points: configuration
            .points
            .iter()
            .zip(points)
            .map(|(at, found)| point(at, found))
            .collect(),
    })
}

fn point(at: &Point, found: InheritResult) -> SweepPoint {
    let own = |behavior: &str| {
        found.matched_effects(behavior, found.primary).cloned().collect::<Vec<_>>()
    };
    let read = |behavior: &str| {
        let arm = |reading: &Reading| ArmReading {
            arm: reading.arm.clone(),
            behavior: reading.behavior.clone(),
            estimate: reading.estimate.clone(),
        };
        found.concerning(behavior, found.primary).map(arm).collect::<Vec<_>>()
    };
    SweepPoint {
        at: at.at.clone(),
        places: at.places.clone(),
        carrier: found.carrier.clone(),
        unique_rows: found.replication.unique_rows,
        updates: found.replication.updates,
        epochs: found.replication.epochs,
        arms: found.behaviors.iter().flat_map(|behavior| read(behavior)).collect(),
        held_out_fall: held_out_fall(&found),
        effects: found.behaviors.iter().flat_map(|behavior| own(behavior)).collect(),
        rates: found
            .behaviors
            .iter()
            .filter_map(|behavior| found.effect(behavior, Measure::Rate, Control::Neutral).cloned())
            .collect(),
        lambda: found.matrix.as_ref().map(|matrix| matrix.lambda.clone()),
        lambda_p: found.matrix.as_ref().and_then(|matrix| matrix.p),
        caveats: found.caveats,
        verdicts: found.verdicts,
    }
}

/// How well students learned what they were given.
fn held_out_fall(found: &InheritResult) -> Option<f64> {
    let of = |effect: &&SideEffect| {
        effect.measure == SideMeasure::HeldOutLoss && effect.arm.taught().is_some()
    };
    let learned = found.side_effects.iter().filter(of);
    let falls: Vec<f64> =
        learned.filter_map(|effect| Some(effect.base? - effect.estimate.value)).collect();
    stats::mean(&falls).ok()
}

/// Each point's effect less that of the first one, and of the one before where there is one axis: of the same
/// seeds, so paired by them. Their p is corrected over all of them.
fn contrasts(configuration: &Configuration, points: &[InheritResult]) -> Result<Vec<Contrast>> {
    let first = &points[0];
    let level = first.rule.map_or(0.95, |rule| rule.level);
    let mut all = Vec::new();
    for behavior in &first.behaviors {
        let effects: Vec<Option<&[f64]>> = points
            .iter()
            .map(|point| {
                let effect = point.effect(behavior, point.primary, Control::Neutral)?;
                let complete = effect.per_seed.len() == point.replication.seeds.len();
                complete.then_some(effect.per_seed.as_slice())
            })
            .collect();
        for (at, own) in effects.iter().enumerate().skip(1) {
            let before =
                (configuration.axes.len() == 1 && at > 1).then_some((Over::Before, at - 1));
            for (over, other) in [(Over::First, 0)].into_iter().chain(before) {
                let (Some(own), Some(reference)) = (own, effects[other]) else { continue };
                let differences: Vec<f64> =
                    own.iter().zip(reference).map(|(one, other)| one - other).collect();
                let unit = match first.replication.scope {
                    Scope::Anew => "repetition",
                    Scope::TheseRows => "seed pair",
                };
                let estimate = estimate::t(&differences, level, Method::PairedT, unit)?;
                all.push(Contrast {
                    behavior: behavior.clone(),
                    point: at,
                    reference: other,
                    over,
                    estimate,
                    p: stats::t_test(&differences).map_err(|error| estimate::statistics(&error))?,
                });
            }
        }
    }
    let raw: Vec<f64> = all.iter().filter_map(|contrast| contrast.p).collect();
    let mut corrected =
        stats::holm(&raw).map_err(|error| estimate::statistics(&error))?.into_iter();
    for contrast in &mut all {
        contrast.p = contrast.p.and_then(|_| corrected.next());
    }
    Ok(all)
}
