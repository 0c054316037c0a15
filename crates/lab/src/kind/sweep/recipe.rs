//! The recipe of a sweep: an `inherit` recipe with a table of keys, each with the values it is to have.

use schemars::{Schema, json_schema, schema_for};
use serde::Serialize;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::kind::inherit::recipe::{DEFAULTS, Recipe};
use crate::recipe::layer::Stack;
use crate::recipe::{Layer, Setting};

/// The table that makes a sweep of an `inherit` recipe.
pub const TABLE: &str = "sweep";

/// Most keys that are swept together.
const MOST_KEYS: usize = 2;
/// Most points: each is an experiment of its own, and all of them are corrected for.
const MOST_POINTS: usize = 32;

/// Keys that cannot be swept (with what is below them where they end in a dot), and why.
const FIXED: [(&str, &str); 13] = [
    ("kind", "says what the run is"),
    ("name", "changes nothing"),
    ("description", "changes nothing"),
    ("seed", "draws everything anew: repetitions do that, set `seeds`"),
    ("seeds", "are the repetitions of every point"),
    ("carrier.prompt-seed", "draws prompts anew: repetitions do that, set `seeds`"),
    (
        "base",
        "decides the defaults of other keys: give each base a run of its own, or name them in `bases`",
    ),
    ("carrier.medium", "decides the defaults of other keys: give each carrier a run of its own"),
    ("behaviors", "are judged at every point; teach them all in one recipe"),
    ("read-also", "are read at every point"),
    ("controls.", "stands beside every point"),
    ("gates.", "is part of the rule, which is one for all points"),
    ("student.checkpoints", "are read in a run of its own: a sweep reads the end of training"),
];

/// A key with the values it is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The key, by its path.
    pub key: String,
    /// The values, in the order given.
    pub values: Vec<Value>,
}

/// One point of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What it is called: `carrier.rows = 500`.
    pub at: String,
    /// Which value it has on each axis, by its place.
    pub places: Vec<usize>,
    /// The recipe with its values.
    pub recipe: Recipe,
}

/// A sweep with every value decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepRecipe {
    /// The recipe at its first point.
    #[serde(flatten)]
    pub common: Recipe,
    /// Keys with the values they are to have.
    pub sweep: Table,
    /// The same in order.
    #[serde(skip)]
    pub axes: Vec<Axis>,
    /// Every combination of values, the last key's fastest.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// Where a key of the table stands in a layer, for errors: `["sweep", "carrier.rows"]`.
type Where = Vec<String>;

impl SweepRecipe {
    /// Lays `layers` (each over the one before) and then `sets` over the defaults, at every point, and checks
    /// the outcome.
    ///
    /// # Errors
    /// A key that there is not or that cannot be swept, too many points, and what a recipe refuses of a value,
    /// at its place.
    pub fn resolve(layers: &[Layer], sets: &[Setting]) -> Result<Self> {
        let (plain, own, found) = take(layers, sets);
        let stack = Stack::new::<Recipe>(&[DEFAULTS], layers, sets)?;
        let error = |at: &Where, reason: String| stack.error_at(at, reason);
        let whole = || vec![TABLE.to_owned()];
        let mut axes = Vec::new();
        for (at, value) in &found {
            axes.push(axis(at, value).map_err(|reason| error(at, reason))?);
        }
        if axes.is_empty() || axes.len() > MOST_KEYS {
            let reason = format!(
                "holds {} keys, expected one, or two for a grid, such as \"carrier.rows\" = [250, 500]",
                axes.len()
            );
            return Err(error(&whole(), reason));
        }
        let count: usize = axes.iter().map(|axis| axis.values.len()).product();
        if count > MOST_POINTS {
            let reason = format!("makes {count} points, expected at most {MOST_POINTS}");
            return Err(error(&whole(), reason));
        }
        let refusal = |at: &str, refused: &Error| {
            let reason = said(refused);
            // What is wrong without the sweep is told where it stands.
            match Recipe::resolve(&plain, &own) {
                Err(plainly) if said(&plainly) == reason => plainly,
                _ => {
                    let place = found.iter().find(|(place, _)| reason.contains(&key_of(place)));
                    let place = place.map_or_else(whole, |(place, _)| place.clone());
                    error(&place, format!("at {at}: {reason}"))
                }
            }
        };
        let resolved = |number: usize| {
            let (at, point) = point(&axes, number, (&plain, &own));
            point.map_err(|refused| refusal(&at, &refused))
        };
        let mut points = (0..count).map(resolved).collect::<Result<Vec<Point>>>()?;
        let common = points[0].recipe.clone();
        share_prompts(&mut points);
        let sweep = axes.iter().map(|axis| (axis.key.clone(), Value::Array(axis.values.clone())));
        Ok(Self { common, sweep: sweep.collect(), axes, points })
    }
}

/// What point `number` of all combinations is called, and the point, or what is refused of it.
fn point(
    axes: &[Axis],
    number: usize,
    (plain, own): (&[Layer], &[Setting]),
) -> (String, Result<Point>) {
    let places = places(axes, number);
    let set = axes.iter().zip(&places).map(|(axis, &at)| (&axis.key, &axis.values[at]));
    let named: Vec<String> =
        set.clone().map(|(key, value)| format!("{key} = {}", called(value))).collect();
    let at = named.join(", ");
    let set = set.map(|(key, value)| Setting::of(key, value));
    let all: Vec<Setting> = own.iter().cloned().chain(set).collect();
    let point = Recipe::resolve(plain, &all).map(|mut recipe| {
        // What happens along training is another question, and would be read at every point.
        recipe.student.checkpoints.clear();
        Point { at: at.clone(), places, recipe }
    });
    (at, point)
}

/// What a point is called by a value: as TOML, but a table by its kind and then what else it says.
pub(super) fn called(value: &Value) -> String {
    let Value::Table(table) = value else { return value.to_string() };
    let (inner, own): (Vec<_>, Vec<_>) =
        table.iter().filter(|(key, _)| *key != "kind").partition(|(_, value)| value.is_table());
    let kind = table.get("kind").map(plain);
    let inner = inner.into_iter().map(|(_, value)| called(value));
    let own = own.into_iter().map(|(key, value)| format!("{key} {}", plain(value)));
    kind.into_iter().chain(inner).chain(own).collect::<Vec<_>>().join(", ")
}

/// A value without the quotes of a text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What an error says, without its place.
fn said(error: &Error) -> String {
    match error {
        Error::Recipe { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// Layers and settings without the table, and its keys with their values, sorted.
fn take(layers: &[Layer], sets: &[Setting]) -> (Vec<Layer>, Vec<Setting>, Vec<(Where, Value)>) {
    let (mut plain, mut found) = (layers.to_vec(), Vec::new());
    let mut add = |value: Value| {
        let mut leaves = Vec::new();
        flatten(vec![TABLE.to_owned()], value, &mut leaves);
        for (at, value) in leaves {
            // What is said later is meant.
            found.retain(|(known, _)| key_of(known) != key_of(&at));
            found.push((at, value));
        }
    };
    plain.iter_mut().filter_map(|layer| layer.take(TABLE)).for_each(&mut add);
    sets.iter().filter_map(|set| set.at(TABLE)).for_each(&mut add);
    let own = sets.iter().filter(|set| set.at(TABLE).is_none()).cloned().collect();
    found.sort_by_key(|(at, _)| key_of(at));
    (plain, own, found)
}

/// Keys may be quoted with their dots, or be tables in tables.
pub(in crate::kind) fn flatten(at: Where, value: Value, into: &mut Vec<(Where, Value)>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                flatten([at.clone(), vec![key]].concat(), value, into);
            }
        }
        value => into.push((at, value)),
    }
}

fn key_of(at: &Where) -> String {
    at[1..].join(".")
}

/// A key with its values, or why it cannot be swept.
fn axis(at: &Where, value: &Value) -> std::result::Result<Axis, String> {
    let key = key_of(at);
    let fixed = |key: &String| {
        let (_, why) = FIXED.iter().find(|(fixed, _)| match fixed.strip_suffix('.') {
            Some(table) => key == table || key.starts_with(fixed),
            None => key == fixed || key.starts_with(&format!("{fixed}.")),
        })?;
        Some(format!("cannot be swept: `{key}` {why}"))
    };
    // A table sets what stands in it, whatever it is a table of.
    let mut all = Vec::new();
    for value in value.as_array().into_iter().flatten() {
        flatten(at.clone(), value.clone(), &mut all);
    }
    let below = all.iter().map(|(at, _)| key_of(at));
    if let Some(why) = std::iter::once(key.clone()).chain(below).find_map(|key| fixed(&key)) {
        return Err(why);
    }
    let Value::Array(values) = value else {
        return Err(format!("is {value}, expected a list of values, such as [250, 500]"));
    };
    if values.len() < 2 {
        return Err("expected two values or more".to_owned());
    }
    let twice = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value));
    if let Some((_, twice)) = twice {
        return Err(format!("holds {twice} twice"));
    }
    Ok(Axis { key, values: values.clone() })
}

/// The place of point `number` on each axis.
fn places(axes: &[Axis], mut number: usize) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for axis in axes.iter().rev() {
        places.push(number % axis.values.len());
        number /= axis.values.len();
    }
    places.reverse();
    places
}

/// Where points differ in their number of rows alone, all ask the prompts that the largest needs: then rows are
/// written once, and a smaller student's are among a larger one's teacher's.
fn share_prompts(points: &mut [Point]) {
    let given = points.iter().any(|point| point.recipe.carrier.prompt_count > 0);
    let most = points.iter().map(|point| point.recipe.carrier.prompt_count()).max().unwrap_or(0);
    let fewest = points.iter().map(|point| point.recipe.carrier.prompt_count()).min().unwrap_or(0);
    if !given && fewest < most {
        for point in points {
            point.recipe.carrier.prompt_count = most;
        }
    }
}

/// The schema of `inherit` recipes with the table that makes a sweep of one.
pub(super) fn schema() -> Schema {
    let mut schema = schema_for!(Recipe);
    let table = json_schema!({
        "description": "One key or two, each with the values it is to have: one run over all of them, e.g. \"carrier.rows\" = [250, 500, 1000].",
        "type": "object"
    });
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.insert(TABLE.to_owned(), table.to_value());
    }
    schema
}
