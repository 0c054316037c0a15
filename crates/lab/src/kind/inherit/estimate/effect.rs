//! Differences between treatments and controls, the matrix, and margins along training.
//!
//! Treatment and control are paired by seed wherever both have students; a control that is a single
//! model is subtracted from every student.

use std::collections::BTreeMap;

use super::summary::{Score, Scores, t};
use super::{Given, statistics};
use crate::error::Result;
use crate::kind::inherit::result::{DosePoint, Effect, Estimate, Matrix, Measure, Method, Role};
use crate::stats;

/// Seed of Monte Carlo permutations, used only where not all can be listed.
const PERMUTATION_SEED: u64 = 1;

/// One measure of a score.
fn measured(score: &Score, measure: Measure) -> Option<f64> {
    match measure {
        Measure::Margin => score.logits.as_ref().map(|logits| logits.margin),
        Measure::Share => score.logits.as_ref().map(|logits| logits.share),
        Measure::Rate => score.rate,
    }
}

/// A condition's value at each seed.
type BySeed = BTreeMap<u64, f64>;

fn by_seed(
    scores: &Scores,
    condition: &str,
    context: &str,
    behavior: &str,
    measure: Measure,
) -> BySeed {
    scores
        .of(condition, context, behavior)
        .iter()
        .filter_map(|(seed, score)| Some(((*seed)?, measured(score, measure)?)))
        .collect()
}

/// A single model's value, or the mean over draws.
fn single(
    scores: &Scores,
    condition: &str,
    context: &str,
    behavior: &str,
    measure: Measure,
) -> Option<f64> {
    let values: Vec<f64> = scores
        .of(condition, context, behavior)
        .iter()
        .filter_map(|(_, score)| measured(score, measure))
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn minus(one: &BySeed, other: &BySeed) -> BySeed {
    one.iter().filter_map(|(seed, value)| Some((*seed, value - other.get(seed)?))).collect()
}

fn minus_constant(one: &BySeed, other: f64) -> BySeed {
    one.iter().map(|(seed, value)| (*seed, value - other)).collect()
}

/// The mean of several conditions at each seed that all of them have.
fn mean(all: &[BySeed]) -> BySeed {
    let Some(first) = all.first() else {
        return BySeed::new();
    };
    first
        .keys()
        .filter_map(|seed| {
            let values: Option<Vec<f64>> = all.iter().map(|one| one.get(seed).copied()).collect();
            let values = values?;
            Some((*seed, values.iter().sum::<f64>() / values.len() as f64))
        })
        .collect()
}

/// What a behavior's students are compared with.
pub(super) struct Differences<'a> {
    given: &'a Given,
    scores: &'a Scores,
    context: &'a str,
    measure: Measure,
}

impl<'a> Differences<'a> {
    pub(super) fn new(
        given: &'a Given,
        scores: &'a Scores,
        context: &'a str,
        measure: Measure,
    ) -> Self {
        Self { given, scores, context, measure }
    }

    fn of(&self, condition: &str, behavior: &str) -> BySeed {
        by_seed(self.scores, condition, self.context, behavior, self.measure)
    }

    fn one(&self, condition: &str, behavior: &str) -> Option<f64> {
        single(self.scores, condition, self.context, behavior, self.measure)
    }

    fn student(&self, behavior: &str) -> BySeed {
        self.of(&format!("student/{behavior}"), behavior)
    }

    fn over_neutral(&self, behavior: &str) -> BySeed {
        minus(&self.student(behavior), &self.of("neutral", behavior))
    }

    /// What showing the most rows does, over showing neutral rows.
    fn shown(&self, behavior: &str) -> Option<f64> {
        let shown = &self.given.configuration.recipe.controls.in_context.rows;
        let most = shown.iter().max()?;
        let rows = self.one(&format!("in-context/{behavior}/{most}"), behavior)?;
        Some(rows - self.one(&format!("in-context/neutral/{most}"), behavior)?)
    }

    /// Students minus control; empty where the control is not there.
    fn against(&self, behavior: &str, control: Role) -> BySeed {
        let student = self.student(behavior);
        match control {
            Role::Neutral => self.over_neutral(behavior),
            Role::Base => match self.one("base", behavior) {
                Some(base) => minus_constant(&student, base),
                None => BySeed::new(),
            },
            Role::OtherBehavior => {
                let configuration = &self.given.configuration;
                if !configuration.recipe.controls.other_behavior {
                    return BySeed::new();
                }
                let others: Vec<BySeed> = configuration
                    .behaviors
                    .iter()
                    .filter(|other| *other != behavior)
                    .map(|other| self.of(&format!("student/{other}"), behavior))
                    .collect();
                minus(&student, &mean(&others))
            }
            Role::ShuffledWithin => {
                minus(&student, &self.of(&format!("shuffled-within/{behavior}"), behavior))
            }
            Role::ShuffledAcross => {
                minus(&student, &self.of(&format!("shuffled-across/{behavior}"), behavior))
            }
            Role::OtherBase => minus(&self.over_neutral(behavior), &self.moved(behavior, control)),
            Role::InContext => match self.shown(behavior) {
                Some(shown) => minus_constant(&self.over_neutral(behavior), shown),
                None => BySeed::new(),
            },
            Role::Teacher | Role::Student | Role::OtherBaseNeutral => BySeed::new(),
        }
    }

    /// How far a control itself moved from neutral.
    pub(super) fn moved(&self, behavior: &str, control: Role) -> BySeed {
        let neutral = self.of("neutral", behavior);
        match control {
            Role::ShuffledAcross => {
                minus(&self.of(&format!("shuffled-across/{behavior}"), behavior), &neutral)
            }
            Role::OtherBase => minus(
                &self.of(&format!("other-base/{behavior}"), behavior),
                &self.of("other-base/neutral", behavior),
            ),
            _ => BySeed::new(),
        }
    }
}

/// In the order of the recipe's seeds.
fn ordered(given: &Given, differences: &BySeed) -> Vec<f64> {
    given.seeds().iter().filter_map(|seed| differences.get(seed).copied()).collect()
}

/// A paired estimate of differences; `None` if there are none.
pub(super) fn estimate(given: &Given, differences: &BySeed) -> Result<Option<Estimate>> {
    let values = ordered(given, differences);
    if values.is_empty() {
        return Ok(None);
    }
    t(&values, given.level(), Method::PairedT, given.pair()).map(Some)
}

fn effect(
    given: &Given,
    behavior: &str,
    measure: Measure,
    control: Role,
    context: &str,
    differences: &BySeed,
) -> Result<Option<Effect>> {
    let Some(mut estimate) = estimate(given, differences)? else {
        return Ok(None);
    };
    if control == Role::Base {
        "student".clone_into(&mut estimate.unit);
        if estimate.method == Method::PairedT {
            estimate.method = Method::T;
        }
    }
    let per_seed = ordered(given, differences);
    let p_permutation = if per_seed.len() < 2 {
        None
    } else {
        let test = stats::sign_flips(&per_seed, PERMUTATION_SEED);
        Some(test.map_err(|error| statistics(&error))?.p_greater)
    };
    Ok(Some(Effect {
        behavior: behavior.to_owned(),
        measure,
        treatment: format!("student/{behavior}"),
        control,
        context: context.to_owned(),
        estimate,
        p_permutation,
        p_holm: None,
        per_seed,
    }))
}

/// All effects, matched context first, and how many share the correction.
pub(super) fn effects(given: &Given, scores: &Scores) -> Result<(Vec<Effect>, usize)> {
    let controls = [
        Role::Neutral,
        Role::OtherBehavior,
        Role::Base,
        Role::OtherBase,
        Role::ShuffledWithin,
        Role::ShuffledAcross,
        Role::InContext,
    ];
    let mut effects = Vec::new();
    let behaviors = &given.configuration.behaviors;
    for measure in [Measure::Margin, Measure::Share, Measure::Rate] {
        let matched = Differences::new(given, scores, given.matched(), measure);
        for behavior in behaviors {
            for control in controls {
                let differences = matched.against(behavior, control);
                effects.extend(effect(
                    given,
                    behavior,
                    measure,
                    control,
                    given.matched(),
                    &differences,
                )?);
            }
        }
    }
    for (context, measure) in given
        .other_contexts()
        .into_iter()
        .flat_map(|context| [(context, Measure::Margin), (context, Measure::Rate)])
    {
        let differences = Differences::new(given, scores, context, measure);
        for behavior in behaviors {
            let over = differences.against(behavior, Role::Neutral);
            effects.extend(effect(given, behavior, measure, Role::Neutral, context, &over)?);
        }
    }
    // The comparisons the verdict rests on.
    let mut primary: Vec<&mut Effect> = effects
        .iter_mut()
        .filter(|effect| {
            effect.measure == given.primary()
                && matches!(effect.control, Role::Neutral | Role::OtherBehavior)
                && effect.context == given.matched()
                && effect.p_permutation.is_some()
        })
        .collect();
    let raw: Vec<f64> = primary.iter().filter_map(|effect| effect.p_permutation).collect();
    let adjusted = stats::holm(&raw).map_err(|error| statistics(&error))?;
    for (effect, p) in primary.iter_mut().zip(&adjusted) {
        effect.p_holm = Some(*p);
    }
    let comparisons = raw.len();
    Ok((effects, comparisons))
}

/// The matrix, where two or more behaviors were taught.
pub(super) fn matrix(given: &Given, scores: &Scores) -> Result<Option<Matrix>> {
    let teachers = &given.configuration.behaviors;
    let readouts: Vec<String> = given.behaviors().cloned().collect();
    if teachers.len() < 2 {
        return Ok(None);
    }
    let all = Differences::new(given, scores, given.matched(), given.primary());
    let mut cells = Vec::new();
    for teacher in teachers {
        let mut row = Vec::new();
        for behavior in &readouts {
            let student = all.of(&format!("student/{teacher}"), behavior);
            let neutral = all.of("neutral", behavior);
            let cell = if neutral.is_empty() { student } else { minus(&student, &neutral) };
            let Some(estimate) = estimate(given, &cell)? else {
                return Ok(None);
            };
            row.push(estimate);
        }
        cells.push(row);
    }
    let mut replicates = Vec::new();
    for seed in given.seeds() {
        let rows: Option<Vec<Vec<f64>>> = teachers
            .iter()
            .map(|teacher| {
                let student = format!("student/{teacher}");
                let cell = |behavior: &String| all.of(&student, behavior).get(seed).copied();
                teachers.iter().map(cell).collect()
            })
            .collect();
        if let Some(rows) = rows {
            replicates.push(stats::Matrix::complete(&rows).map_err(|error| statistics(&error))?);
        }
    }
    let lambdas: Vec<f64> = replicates
        .iter()
        .map(|replicate| stats::lambda(replicate).map_err(|error| statistics(&error)))
        .collect::<Result<_>>()?;
    if lambdas.is_empty() {
        return Ok(None);
    }
    let test = stats::relabelling(&replicates, PERMUTATION_SEED);
    Ok(Some(Matrix {
        measure: given.primary(),
        teachers: teachers.clone(),
        readouts,
        cells,
        lambda: t(&lambdas, given.level(), Method::T, "matrix replicate")?,
        p: test.ok().map(|test| test.p_greater),
    }))
}

/// Margins of treatments and of the neutral students at each checkpoint.
pub(super) fn dose(given: &Given, _scores: &Scores) -> Result<Vec<DosePoint>> {
    if given.primary() != Measure::Margin {
        // An endpoint is read at the end of training alone.
        return Ok(Vec::new());
    }
    // condition, behavior, update → seed → margin
    let mut margins: BTreeMap<(String, String, usize), BySeed> = BTreeMap::new();
    for entry in &given.configuration.reads {
        let (Role::Student | Role::Neutral, Some(seed)) = (entry.role, entry.seed) else {
            continue;
        };
        let Some(readout) = given.readouts.get(&entry.input) else {
            continue;
        };
        for checkpoint in &readout.checkpoints {
            for reading in &checkpoint.readings {
                let own = entry.taught.as_ref().is_none_or(|taught| *taught == reading.behavior);
                if own && reading.context == given.matched() {
                    let key =
                        (entry.condition.clone(), reading.behavior.clone(), checkpoint.update);
                    margins.entry(key).or_default().insert(seed, reading.mean_margin());
                }
            }
        }
    }
    let mut points = Vec::new();
    for ((condition, behavior, update), values) in &margins {
        let over_neutral = match margins.get(&("neutral".to_owned(), behavior.clone(), *update)) {
            Some(neutral) if condition != "neutral" => estimate(given, &minus(values, neutral))?,
            _ => None,
        };
        points.push(DosePoint {
            condition: condition.clone(),
            behavior: behavior.clone(),
            update: *update,
            margin: t(&ordered(given, values), given.level(), Method::T, "student")?,
            over_neutral,
        });
    }
    Ok(points)
}
