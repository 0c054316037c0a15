//! The graph of a matrix: the graphs of its pairs, in which equal steps are one, and a step that judges them all.

use super::judge::{self, Judge, PAIR};
use super::recipe::MatrixRecipe;
use super::verdict;
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::kind::behaviors::{self, Fit};
use crate::kind::inherit;
use crate::kind::inherit::recipe::{Recipe, Replicated};
use crate::kind::models::Models;
use crate::kind::together::Union;
use crate::model::spec::Spec;
use crate::model::world::World;
use crate::run::plan::{Outline, PlanContext};
use crate::value::text;

pub(super) fn plan(recipe: &MatrixRecipe, context: &PlanContext) -> Result<Outline> {
    let taught = asked_of_all(recipe, context)?;
    let names: Vec<String> = taught.iter().map(|behavior| behavior.name.clone()).collect();
    let context = PlanContext { behaviors: taught, ..context.clone() };
    let mut union = Union::new(PAIR);
    let mut pairs = Vec::new();
    for (number, pair) in recipe.pairs.iter().enumerate() {
        let own = Recipe { behaviors: names.clone(), ..pair.recipe.clone() };
        let estimate = union.add(number, inherit::plan::plan_of_pair(&own, &context)?)?;
        pairs.push(judge::Pair { teacher: pair.teacher, student: pair.student, estimate });
    }
    let configuration = judge::Configuration {
        recipe: serde_json::to_value(recipe)
            .map_err(|error| Error::record(recipe.common.name.as_str(), error))?,
        bases: recipe.bases.clone(),
        pairs,
        left_out: union.left_out().to_vec(),
    };
    union.judged_by::<Judge>("matrix", &configuration, &power(recipe))
}

/// The behaviors as the first base is asked about them, where every other one can be asked the same and can read what
/// the others write: else columns of the matrix would answer to different questions.
fn asked_of_all(recipe: &MatrixRecipe, context: &PlanContext) -> Result<Vec<Behavior>> {
    let refuse = |reason: String| Err(recipe.common.unusable(format!("`bases`: {reason}")));
    let mut known: Vec<(&String, String, Option<World>)> = Vec::new();
    for base in &recipe.bases {
        let (source, world) = Models::find(&Spec::Here(base.clone()), context)?;
        let digest = source.map(|source| source.digest()).transpose()?.unwrap_or_default();
        if let Some((other, ..)) = known.iter().find(|(_, own, _)| *own == digest) {
            return refuse(format!("`{base}` and `{other}` are the same model"));
        }
        known.push((base, digest, world));
    }
    let (first, _, world) = &known[0];
    let taught = inherit::plan::behaviors(&recipe.common.behaviors, world.as_ref(), context)?;
    for (base, _, own) in &known[1..] {
        let (one, other) = match (world, own) {
            (None, None) => continue,
            (Some(one), Some(other)) => (one, other),
            (one, _) => {
                let few = if one.is_some() { first } else { base };
                return refuse(format!(
                    "`{few}` is a grown model of few words, the other one of `{first}` and `{base}` is not: it cannot be asked the same, nor read its rows; give grown models a run of their own"
                ));
            }
        };
        for behavior in &taught {
            if let Some(why) = Fit::new(behavior, other.tokenizer()).refusal(behavior) {
                return refuse(format!(
                    "`{base}` cannot be asked about `{}` as `{first}` is: {why}",
                    behavior.name
                ));
            }
        }
        let medium = recipe.common.carrier.medium.rules();
        for (writer, writes, reader, reads) in
            [(first, one, base, other), (base, other, first, one)]
        {
            if let Some(word) = unread(writes, reads, medium.world().is_some()) {
                return refuse(format!(
                    "`{reader}` cannot read the {} of `{writer}`: it knows no word `{word}`",
                    medium.name()
                ));
            }
        }
    }
    Ok(taught)
}

/// A word that rows may be made of, of a world, which another does not know: numbers, and where rows are in `words`
/// any.
fn unread<'a>(writes: &'a World, reads: &World, words: bool) -> Option<&'a String> {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let mut own = writes.vocabulary().iter().filter(|word| words || is_number(word));
    own.find(|word| behaviors::unread(word, reads.tokenizer()).is_some())
}

/// What the recipe's repetitions can say at most.
fn power(recipe: &MatrixRecipe) -> String {
    let common = &recipe.common;
    let (repetitions, bases) = (common.seeds.0.len(), recipe.bases.len());
    let behaviors = common.behaviors.len();
    let cells = format!(
        "{} of students: {} of {bases} bases, each with neutral ones",
        text::counted(bases * bases * behaviors, "cell"),
        text::counted(behaviors, "behavior"),
    );
    if common.replication.teacher == Replicated::Shared {
        return format!("{cells}; rows that all repetitions share have no p by relabelling");
    }
    let floor = verdict::floor(bases, repetitions);
    let least = (floor * behaviors as f64).min(1.0);
    let alpha = 1.0 - common.gates.level;
    let repeated = text::counted(repetitions, "repetition");
    let can = format!(
        "{cells}; {repeated} can give p {} by relabelling bases, {} corrected over {}",
        text::p_value(Some(floor)),
        text::p_value(Some(least)),
        text::counted(behaviors, "behavior")
    );
    if least <= alpha {
        return can;
    }
    let needed = verdict::repetitions(bases, alpha / behaviors as f64);
    format!("{can}: too few for any verdict, set seeds = {needed} or more")
}
