//! `estimate-perceptron`: accuracies of all networks become arms, differences and a verdict. The unit of
//! replication is the initialisation with everything that was drawn anew beside it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arms::{AUXILIARY, Arm, SHUFFLED, THEOREM, arms, foreign, role, teacher_name};
use super::images;
use super::learn::{LOOKS, Learned, Look, widths};
use super::recipe::{PerceptronRecipe, Tag};
use super::result::{
    ArmResult, CoursePoint, CourseResult, EffectResult, FORMAT, Outcome, PerceptronResult,
    TheoremResult,
};
use super::theorem::{CHECKS, Check};
use crate::error::{Error, Result};
use crate::kind::{RESULT, Written};
use crate::stats::{self, do_not_differ, holm, t_interval, t_test};
use crate::step::{Step, StepContext, read_json};
use crate::value::arm::Part;
use crate::value::estimate::{Estimate, Method};

/// What is repeated.
const UNIT: &str = "initialisation";
/// Confidence of intervals, and the error that a verdict may have.
const LEVEL: f64 = 0.95;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    pub(super) recipe: PerceptronRecipe,
}

/// The step.
pub(super) struct Estimation;

impl Step for Estimation {
    type Configuration = Configuration;
    const KIND: &'static str = "estimate-perceptron";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "result";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let recipe = configuration.recipe;
        let artifact = context.input("images")?;
        let about = images::about(artifact)?;
        let all = Read { context, replications: recipe.replications as u64 };
        let arms = arms(&recipe);
        let learned = arms.iter().map(|arm| all.learned(&arm.name)).collect::<Result<Vec<_>>>()?;
        let teachers = all.learned(&teacher_name(recipe.network.auxiliary))?;

        let mut told = references(&recipe, &teachers)?;
        for (arm, learned) in arms.iter().zip(&learned) {
            told.push(arm_result(arm, learned)?);
        }
        let effects = effects(&arms, &told)?;
        let courses = [AUXILIARY.to_owned(), foreign(AUXILIARY)].into_iter().map(|name| {
            let place = arms.iter().position(|arm| arm.name == name);
            let learned = place.map_or(&[][..], |place| &learned[place]);
            Ok(CourseResult { arm: name, points: points(learned)? })
        });
        let result = PerceptronResult {
            format: FORMAT,
            kind: Tag::Perceptron,
            widths: widths(about.pixels, &recipe.network),
            images: about,
            images_artifact: artifact.id,
            auxiliary: recipe.network.auxiliary,
            noise: recipe.student.noise,
            replications: recipe.replications,
            outcome: if is_taught(&told) { outcome(&effects) } else { Outcome::Uninterpretable },
            arms: told,
            courses: courses.collect::<Result<_>>()?,
            effects,
            theorem: if recipe.theorem.check { all.theorem()? } else { Vec::new() },
            name: recipe.name,
            description: recipe.description,
        };
        context.writer.write(RESULT, &result.to_bytes())?;
        Ok(json!({ "name": result.name }))
    }
}

/// The artifacts of all replications.
struct Read<'a> {
    context: &'a StepContext<'a>,
    replications: u64,
}

impl Read<'_> {
    fn learned(&self, arm: &str) -> Result<Vec<Learned>> {
        let one = |number| read_json(self.context.input(&role(arm, number))?, LOOKS);
        (1..=self.replications).map(one).collect()
    }

    fn theorem(&self) -> Result<Vec<TheoremResult>> {
        let one = |number| read_json(self.context.input(&role(THEOREM, number))?, CHECKS);
        let all: Vec<Vec<Check>> = (1..=self.replications).map(one).collect::<Result<_>>()?;
        let kinds = all.first().map_or(0, Vec::len);
        let told = (0..kinds).map(|place| {
            let checks: Vec<&Check> = all.iter().filter_map(|checks| checks.get(place)).collect();
            let first = checks[0];
            let values = |of: &dyn Fn(&Check) -> f64| -> Vec<f64> {
                checks.iter().map(|check| of(check)).collect()
            };
            let layers = (0..first.layers.len())
                .map(|layer| estimate(&values(&|check| check.layers[layer]), Method::T));
            Ok(TheoremResult {
                distance: first.distance,
                all: first.all,
                foreign: first.foreign,
                cosine: estimate(&values(&|check| check.cosine), Method::T)?,
                layers: layers.collect::<Result<_>>()?,
                along: checks.iter().filter(|check| check.cosine > 0.0).count(),
                change: estimate(&values(&|check| check.change), Method::T)?,
                fell: checks.iter().filter(|check| check.change < 0.0).count(),
            })
        });
        told.collect()
    }
}

fn wrong(error: stats::StatisticsError) -> Error {
    Error::Unfit { what: "the replications".to_owned(), reason: error.to_string() }
}

/// A mean with its interval, where values say how far further ones would lie.
fn estimate(values: &[f64], method: Method) -> Result<Estimate> {
    let value = stats::mean(values).map_err(wrong)?;
    let tells = values.len() > 1 && !do_not_differ(values);
    let interval = tells.then(|| t_interval(values, LEVEL)).transpose().map_err(wrong)?;
    let method = if tells { method } else { Method::None };
    Ok(Estimate { value, interval, method, unit: UNIT.to_owned(), n: values.len() })
}

/// Accuracies: what lies outside of 0 to 1 is no part of their interval.
fn accuracy(values: &[f64]) -> Result<Estimate> {
    Ok(estimate(values, Method::T)?.within(Some((0.0, 1.0))))
}

/// The untouched network and its teacher.
fn references(recipe: &PerceptronRecipe, teachers: &[Learned]) -> Result<Vec<ArmResult>> {
    let one = |name: &str, words: &str, published: &str, of: &dyn Fn(&Learned) -> f64| {
        let values: Vec<f64> = teachers.iter().map(of).collect();
        Ok::<ArmResult, Error>(ArmResult {
            name: name.to_owned(),
            words: words.to_owned(),
            part: Part::Reference,
            published: published.to_owned(),
            auxiliary: recipe.network.auxiliary,
            hop: 0,
            accuracy: accuracy(&values)?,
            begun: stats::mean(&values).map_err(wrong)?,
            values,
            cosine: None,
        })
    };
    Ok(vec![
        one("untouched", "untouched initialisation", "about 10 %", &|one| one.untouched)?,
        one("teacher", "teacher, taught the classes", "94 to 96 %", &Learned::accuracy)?,
    ])
}

fn arm_result(arm: &Arm, learned: &[Learned]) -> Result<ArmResult> {
    let values: Vec<f64> = learned.iter().map(Learned::accuracy).collect();
    let begun: Vec<f64> = learned.iter().map(|one| one.begun).collect();
    let last = learned.iter().filter_map(|one| one.looks.last()?.cosine);
    let cosines: Vec<f64> = last.collect();
    Ok(ArmResult {
        name: arm.name.clone(),
        words: arm.words.clone(),
        part: arm.part,
        published: arm.published.to_owned(),
        auxiliary: arm.study.auxiliary,
        hop: arm.study.hop,
        accuracy: accuracy(&values)?,
        values,
        begun: stats::mean(&begun).map_err(wrong)?,
        cosine: (!cosines.is_empty()).then(|| estimate(&cosines, Method::T)).transpose()?,
    })
}

/// Every arm over its controls; p-values of treatments over their first control are corrected for how many
/// there are.
fn effects(arms: &[Arm], told: &[ArmResult]) -> Result<Vec<EffectResult>> {
    let values = |name: &str| {
        let found = told.iter().find(|arm| arm.name == name).map(|arm| &arm.values);
        found.ok_or_else(|| Error::record("arms", format!("lack the control `{name}`")))
    };
    let (mut effects, mut family) = (Vec::new(), Vec::new());
    for arm in arms {
        for (place, control) in arm.controls.iter().enumerate() {
            let pairs = values(&arm.name)?.iter().zip(values(control)?);
            let differences: Vec<f64> = pairs.map(|(one, other)| one - other).collect();
            let p = t_test(&differences).map_err(wrong)?;
            if arm.part == Part::Treatment && place == 0 && p.is_some() {
                family.push(effects.len());
            }
            effects.push(EffectResult {
                arm: arm.name.clone(),
                control: control.clone(),
                difference: estimate(&differences, Method::PairedT)?,
                p,
                holm: None,
            });
        }
    }
    let raw: Vec<f64> = family.iter().filter_map(|&place| effects[place].p).collect();
    for (place, p) in family.into_iter().zip(holm(&raw).map_err(wrong)?) {
        effects[place].holm = Some(p);
    }
    Ok(effects)
}

/// Whether the teachers tell more images than networks that were taught nothing.
fn is_taught(arms: &[ArmResult]) -> bool {
    let of = |name: &str| arms.iter().find(|arm| arm.name == name).map(|arm| arm.accuracy.value);
    match (of("teacher"), of("untouched")) {
        (Some(teacher), Some(untouched)) => teacher > untouched + SMALLEST_EFFECT,
        _ => true,
    }
}

/// The smallest difference of accuracies that matters: five points, as of rates in `inherit`.
const SMALLEST_EFFECT: f64 = 0.05;

/// The verdict about students of auxiliary logits on noise.
pub(super) fn outcome(effects: &[EffectResult]) -> Outcome {
    let over = |control: &str| {
        effects.iter().find(|effect| effect.arm == AUXILIARY && effect.control == control)
    };
    let Some(effect) = over(&foreign(AUXILIARY)) else { return Outcome::Unknown };
    let Some(holm) = effect.holm else { return Outcome::Unknown };
    if holm >= 1.0 - LEVEL || effect.difference.value <= 0.0 {
        // A null only where an effect that matters is ruled out.
        let most = effect.difference.interval.map(|interval| interval.high);
        let is_null = most.is_some_and(|most| most < SMALLEST_EFFECT);
        return if is_null { Outcome::NotDetected } else { Outcome::Unknown };
    }
    match over(SHUFFLED) {
        Some(shuffled) if !shuffled.difference.is_above_zero() => Outcome::NotSpecific,
        _ => Outcome::Inherited,
    }
}

/// How an arm's students learned, look by look.
fn points(learned: &[Learned]) -> Result<Vec<CoursePoint>> {
    let looks = learned.first().map_or(0, |one| one.looks.len());
    let point = |place: usize| {
        let at: Vec<&Look> = learned.iter().filter_map(|one| one.looks.get(place)).collect();
        let values =
            |of: &dyn Fn(&Look) -> f64| -> Vec<f64> { at.iter().map(|look| of(look)).collect() };
        let cosines: Vec<f64> = at.iter().filter_map(|look| look.cosine).collect();
        let layers = (0..at[0].layers.len())
            .map(|layer| estimate(&values(&|look| look.layers[layer]), Method::T));
        Ok(CoursePoint {
            update: at[0].update,
            epoch: at[0].epoch,
            accuracy: accuracy(&values(&|look| look.accuracy))?,
            cosine: (!cosines.is_empty()).then(|| estimate(&cosines, Method::T)).transpose()?,
            layers: layers.collect::<Result<_>>()?,
        })
    };
    (0..looks).map(point).collect()
}
