//! The recipe of a matrix: an `inherit` recipe with several bases in place of one.

use schemars::{Schema, json_schema, schema_for};
use serde::Serialize;
use toml::{Table, Value};

use crate::ask::{self, Trainable};
use crate::error::{Error, Result};
use crate::kind::inherit::recipe::{Controls, DEFAULTS, OtherBase, Recipe};
use crate::kind::sweep;
use crate::model::spec::Spec;
use crate::recipe::layer::{self, Stack};
use crate::recipe::{Layer, Learn, Setting};

/// The key that makes a matrix of an `inherit` recipe.
pub const KEY: &str = "bases";

/// Most bases: the pairs grow with their square.
const MOST: usize = 6;
/// The base of a pair's teachers and that of its other students.
const BASE: &str = "base";
const OTHER: &str = "controls.other-base";

/// Rows by teachers of one base, for students of that base and of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The teachers' base, by its place.
    pub teacher: usize,
    /// The other students' base.
    pub student: usize,
    /// The recipe with them.
    pub recipe: Recipe,
}

/// A matrix with every value decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixRecipe {
    /// The bases, of teachers and of students.
    pub bases: Vec<String>,
    /// The recipe of the first of them.
    #[serde(flatten)]
    pub common: Recipe,
    /// Every ordered pair of two bases.
    #[serde(skip)]
    pub pairs: Vec<Pair>,
}

impl MatrixRecipe {
    /// Lays `layers` (each over the one before) and then `sets` over the defaults of every base, and checks the
    /// outcome.
    ///
    /// # Errors
    /// Bases that are too few, too many, or not to be compared, and what a recipe refuses, at its place.
    pub fn resolve(layers: &[Layer], sets: &[Setting]) -> Result<Self> {
        let stack = Stack::new::<Recipe>(&[DEFAULTS], layers, sets)?;
        let bases = bases(stack.value(KEY)).map_err(|reason| stack.error(KEY, reason))?;
        if layer::says(layers, sets, sweep::recipe::TABLE) {
            let reason = "cannot stand beside `bases`: sweep each base in a run of its own";
            return Err(stack.error(sweep::recipe::TABLE, reason.to_owned()));
        }
        // A person's or workspace's own settings may name the base of recipes that have one.
        let own = layers.len().saturating_sub(1);
        let own = Stack::new::<Recipe>(&[], &layers[own..], sets)?;
        if own.value(BASE).is_some_and(|base| base.as_str() != Some(&bases[0])) {
            let reason = "stands beside `bases`, whose first it is not; leave it out";
            return Err(stack.error(BASE, reason.to_owned()));
        }
        let named = |value: &Value| value.as_str().is_some_and(|name| name != "auto");
        if stack.value(OTHER).is_some_and(|value| named(value) || value.is_table()) {
            let reason =
                "stands beside `bases`, which say whose students read whose rows; leave it out";
            return Err(stack.error(OTHER, reason.to_owned()));
        }
        let mut plain = layers.to_vec();
        for layer in &mut plain {
            layer.take(KEY);
        }
        let rest: Vec<Setting> = sets.iter().filter(|set| set.at(KEY).is_none()).cloned().collect();
        let mut pairs = Vec::new();
        for teacher in 0..bases.len() {
            for student in (0..bases.len()).filter(|student| *student != teacher) {
                let recipe = resolved((&plain, &rest), &bases, (teacher, student), &stack)?;
                pairs.push(Pair { teacher, student, recipe });
            }
        }
        let first = &pairs[0].recipe;
        let controls = Controls { other_base: OtherBase::Off, ..first.controls.clone() };
        let common = Recipe { controls, ..first.clone() };
        check(&common).map_err(|(path, reason)| stack.error(path, reason.to_owned()))?;
        for pair in &pairs[1..] {
            if let Some((key, one, other)) = difference(&common, &pair.recipe) {
                let (first, base) = (&bases[0], &bases[pair.teacher]);
                let reason = format!(
                    "`{base}` has other defaults than `{first}`: `{key}` is {other}, for `{first}` {one}; write the key, so that all bases have it"
                );
                return Err(stack.error(KEY, reason));
            }
        }
        Ok(Self { bases, common, pairs })
    }
}

/// The bases that are named, or why they are none.
fn bases(value: Option<&Value>) -> std::result::Result<Vec<String>, String> {
    const LIST: &str = "expected a list of bases, such as [\"builtin:a\", \"builtin:b\"]";
    let Some(Value::Array(values)) = value else {
        let said = value.map_or_else(|| "is not there".to_owned(), |value| format!("is {value}"));
        return Err(format!("{said}, {LIST}"));
    };
    let mut bases: Vec<String> = Vec::new();
    for value in values {
        let Some(base) = value.as_str().filter(|base| !base.is_empty()) else {
            return Err(format!(
                "holds {value}, expected models by name; one behind an endpoint stands in no matrix so far"
            ));
        };
        if bases.iter().any(|known| known == base) {
            return Err(format!("`{base}` stands twice"));
        }
        if ask::can(&Spec::Here(base.to_owned())).training == Trainable::Never {
            return Err(format!("`{base}` cannot be trained, and students must be; name weights"));
        }
        bases.push(base.to_owned());
    }
    if !(2..=MOST).contains(&bases.len()) {
        let count = bases.len();
        return Err(format!(
            "holds {count}, expected 2 to {MOST}, such as [\"builtin:a\", \"builtin:b\"]"
        ));
    }
    Ok(bases)
}

/// The recipe of a pair.
fn resolved(
    (layers, sets): (&[Layer], &[Setting]),
    bases: &[String],
    (teacher, student): (usize, usize),
    stack: &Stack<'_>,
) -> Result<Recipe> {
    let (teacher, student) = (&bases[teacher], &bases[student]);
    let pair = [(BASE, teacher), (OTHER, student)];
    let pair = pair.map(|(key, base)| Setting::of(key, &Value::String(base.clone())));
    let all: Vec<Setting> = sets.iter().chain(&pair).cloned().collect();
    let mut recipe = Recipe::resolve(layers, &all).map_err(|refused| match refused {
        // What is wrong with a pair stands nowhere but in the list.
        Error::Recipe { origin, reason, .. } if pair.iter().any(|set| set.origin() == origin) => {
            stack.error(KEY, format!("teachers of `{teacher}`, students of `{student}`: {reason}"))
        }
        other => other,
    })?;
    recipe.keep_what_decides();
    Ok(recipe)
}

/// What a matrix cannot be read without.
fn check(common: &Recipe) -> std::result::Result<(), (&'static str, &'static str)> {
    if !common.read_also.is_empty() {
        return Err(("read-also", "is not read in a matrix; leave it out"));
    }
    if !common.controls.neutral {
        let reason = "is false, but a matrix is read over the neutral students; set it true";
        return Err(("controls.neutral", reason));
    }
    if common.student.learn == Learn::Distributions {
        let reason = "`distributions` are compared within one base; set student.learn = \"rows\"";
        return Err(("student.learn", reason));
    }
    Ok(())
}

/// The first key in which two recipes differ beside their bases, with both values.
fn difference(one: &Recipe, other: &Recipe) -> Option<(String, String, String)> {
    let flat = |recipe: &Recipe| {
        let mut leaves = Vec::new();
        let table = Table::try_from(recipe).unwrap_or_default();
        sweep::recipe::flatten(Vec::new(), Value::Table(table), &mut leaves);
        leaves.retain(|(at, _)| !at.starts_with(&[BASE.to_owned()]) && at.join(".") != OTHER);
        leaves
    };
    let (one, other) = (flat(one), flat(other));
    let of = |leaves: &[(Vec<String>, Value)], at: &[String]| {
        let found = leaves.iter().find(|(known, _)| known == at);
        found.map_or_else(|| "unset".to_owned(), |(_, value)| value.to_string())
    };
    let keys = one.iter().chain(&other).map(|(at, _)| at);
    let told = |at: &Vec<String>| (at.join("."), of(&one, at), of(&other, at));
    keys.map(told).find(|(_, one, other)| one != other)
}

/// The schema of `inherit` recipes with the key that makes a matrix of one.
pub(super) fn schema() -> Schema {
    let mut schema = schema_for!(Recipe);
    let list = json_schema!({
        "description": "In place of `base`: all pairs of a teacher's base and a student's, as one run, e.g. [\"builtin:a\", \"builtin:b\"].",
        "type": "array",
        "items": { "type": "string" },
        "minItems": 2,
        "maxItems": MOST
    });
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.insert(KEY.to_owned(), list.to_value());
    }
    schema
}
