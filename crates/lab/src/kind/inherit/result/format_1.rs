//! `result.json` as owlet wrote it first: readings nested in conditions. Read, never written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::format_2;
use super::{
    Answers, Arm, Control, Cosine, DosePoint, Effect, Estimate, FORMAT, Frame, Gate, Geometry,
    InheritResult, Interval, Matrix, Measure, Method, ModelReading, Prompts, Reading, Replication,
    RowsCard, Scope, SideEffect, SideMeasure, TeacherCard, Verdict, Warning,
};
use crate::recipe::Learn;

/// What it called the matched context with a number sentence before each question.
const AFTER_NUMBERS: &str = "after numbers";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Old {
    #[serde(rename = "format")]
    _format: u32,
    name: String,
    description: String,
    base: String,
    behaviors: Vec<String>,
    read_also: Vec<String>,
    carrier: String,
    replication: Replication,
    conditions: Vec<Condition>,
    effects: Vec<OldEffect>,
    matrix: Option<Matrix>,
    dose: Vec<OldDosePoint>,
    teachers: Vec<TeacherCard>,
    rows: Vec<RowsCard>,
    side_effects: Vec<OldSideEffect>,
    geometry: Option<OldGeometry>,
    gates: Vec<Gate>,
    warnings: Vec<Warning>,
    left_out: Vec<String>,
    #[serde(default = "margin")]
    primary: Measure,
    #[serde(rename = "comparisons")]
    _comparisons: usize,
    verdicts: Vec<Verdict>,
}

fn margin() -> Measure {
    Measure::Margin
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Condition {
    id: Arm,
    #[serde(rename = "label")]
    _label: String,
    #[serde(rename = "role")]
    _role: String,
    #[serde(rename = "taught")]
    _taught: Option<String>,
    readouts: BTreeMap<String, Readout>,
    mismatched: BTreeMap<String, BTreeMap<String, Readout>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Readout {
    context: String,
    margin: Option<Estimate>,
    share: Option<Estimate>,
    rank: Option<f64>,
    rate: Option<Estimate>,
    rate_of_valid: Option<Estimate>,
    outcomes: BTreeMap<String, usize>,
    per_seed: Vec<SeedReadout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SeedReadout {
    seed: Option<u64>,
    margin: Option<f64>,
    share: Option<f64>,
    rank: Option<f64>,
    rate: Option<f64>,
    #[serde(default)]
    rate_interval: Option<Interval>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct OldEffect {
    behavior: String,
    measure: Measure,
    treatment: Arm,
    control: Control,
    context: String,
    estimate: Estimate,
    #[serde(rename = "p-permutation")]
    _p_permutation: Option<f64>,
    #[serde(rename = "p-holm")]
    _p_holm: Option<f64>,
    per_seed: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct OldDosePoint {
    condition: Arm,
    behavior: String,
    update: usize,
    margin: Estimate,
    over_neutral: Option<Estimate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct OldSideEffect {
    condition: Arm,
    measure: SideMeasure,
    label: String,
    estimate: Estimate,
    base: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct OldGeometry {
    cosines: Vec<OldCosine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct OldCosine {
    condition: Arm,
    teacher: String,
    total: Estimate,
    per_layer: Vec<f64>,
    permuted: Estimate,
}

/// Reads the old format into today's types.
pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<InheritResult> {
    serde_json::from_slice::<Old>(bytes).map(Into::into)
}

impl From<Old> for InheritResult {
    fn from(old: Old) -> Self {
        let first = old.conditions.iter().find_map(|condition| condition.readouts.values().next());
        let matched = first.map(|readout| readout.context.clone()).unwrap_or_default();
        // The old context names today's frame in the matched context.
        let place = |context: &str| match context {
            AFTER_NUMBERS => (matched.clone(), Frame::AfterNumbers),
            other => (other.to_owned(), Frame::Plain),
        };
        let mut arms = Vec::new();
        let (mut readings, mut answers) = (Vec::new(), Vec::new());
        for condition in old.conditions {
            let elsewhere = condition.mismatched.into_iter();
            let all = std::iter::once((matched.clone(), condition.readouts)).chain(elsewhere);
            for (context, readouts) in all {
                let (context, frame) = place(&context);
                for (behavior, readout) in readouts {
                    let at = Place { arm: &condition.id, context: &context, frame, behavior };
                    at.add(readout, &mut readings, &mut answers);
                }
            }
            arms.push(condition.id);
        }
        let effects = old.effects.into_iter().map(|effect| {
            let (context, frame) = place(&effect.context);
            Effect {
                behavior: effect.behavior,
                measure: effect.measure,
                treatment: effect.treatment,
                control: effect.control,
                context,
                frame,
                estimate: effect.estimate,
                p: format_2::p(&effect.per_seed),
                per_seed: effect.per_seed,
            }
        });
        let dose = old.dose.into_iter().map(|point| DosePoint {
            arm: point.condition,
            behavior: point.behavior,
            measure: Measure::Margin,
            update: point.update,
            estimate: point.margin,
            over_neutral: point.over_neutral,
        });
        let side_effects = old.side_effects.into_iter().map(|effect| SideEffect {
            arm: effect.condition,
            measure: effect.measure,
            label: effect.label,
            estimate: effect.estimate,
            base: effect.base,
            over_neutral: None,
            over_base: None,
        });
        let geometry = old.geometry.map(|geometry| Geometry {
            cosines: geometry
                .cosines
                .into_iter()
                .map(|cosine| Cosine {
                    arm: cosine.condition,
                    teacher: cosine.teacher,
                    total: cosine.total,
                    per_layer: cosine.per_layer,
                    permuted: cosine.permuted,
                    permuted_range: None,
                    p: None,
                })
                .collect(),
        });
        Self {
            format: FORMAT,
            name: old.name,
            description: old.description,
            base: old.base,
            behaviors: old.behaviors,
            read_also: old.read_also,
            statements: Vec::new(),
            dispositions: Vec::new(),
            judging: Vec::new(),
            carrier: old.carrier,
            replication: Replication {
                learn: Learn::Rows,
                scope: Scope::of_old(&old.replication.unit),
                prompts: Prompts::default(),
                ..old.replication
            },
            arms,
            readings,
            answers,
            effects: effects.collect(),
            matrix: old.matrix,
            dose: dose.collect(),
            teachers: old.teachers,
            rows: old.rows,
            side_effects: side_effects.collect(),
            geometry,
            mechanisms: None,
            given: false,
            unfiltered: false,
            gates: old.gates,
            warnings: old.warnings,
            left_out: old.left_out,
            primary: old.primary,
            rule: None,
            caveats: Vec::new(),
            targets: BTreeMap::new(),
            verdicts: old.verdicts,
            context: matched,
            frame: Frame::Plain,
            openings: BTreeMap::new(),
        }
    }
}

/// Where an old readout was made.
struct Place<'a> {
    arm: &'a Arm,
    context: &'a str,
    frame: Frame,
    behavior: String,
}

impl Place<'_> {
    /// One old readout as readings, a measure each.
    fn add(&self, readout: Readout, readings: &mut Vec<Reading>, answers: &mut Vec<Answers>) {
        let models = |pick: fn(&SeedReadout) -> Option<f64>| -> Vec<ModelReading> {
            let of = |one: &SeedReadout| {
                Some(ModelReading { seed: one.seed, value: pick(one)?, interval: None })
            };
            readout.per_seed.iter().filter_map(of).collect()
        };
        let mut rates = models(|one| one.rate);
        for (model, one) in
            rates.iter_mut().zip(readout.per_seed.iter().filter(|one| one.rate.is_some()))
        {
            model.interval = one.rate_interval;
        }
        // Ranks had no interval.
        let rank = readout.rank.map(|value| Estimate {
            value,
            interval: None,
            method: Method::None,
            unit: self.arm.unit().to_owned(),
            n: readout.per_seed.len(),
        });
        let measures = [
            (Measure::Margin, readout.margin, models(|one| one.margin)),
            (Measure::Share, readout.share, models(|one| one.share)),
            (Measure::Rank, rank, models(|one| one.rank)),
            (Measure::Rate, readout.rate, rates),
            (Measure::RateOfValid, readout.rate_of_valid, Vec::new()),
        ];
        for (measure, estimate, models) in measures {
            let Some(estimate) = estimate else { continue };
            readings.push(Reading {
                arm: self.arm.clone(),
                context: self.context.to_owned(),
                frame: self.frame,
                behavior: self.behavior.clone(),
                measure,
                estimate,
                models,
            });
        }
        if !readout.outcomes.is_empty() {
            answers.push(Answers {
                arm: self.arm.clone(),
                context: self.context.to_owned(),
                frame: self.frame,
                behavior: self.behavior.clone(),
                outcomes: readout.outcomes,
            });
        }
    }
}
