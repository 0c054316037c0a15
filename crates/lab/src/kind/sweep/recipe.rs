//! The recipe of a sweep: an `inherit` recipe with a table of keys, each with the values it is to have, or with a
//! list of points, each with a name and what it says otherwise.

use schemars::{Schema, json_schema, schema_for};
use serde::Serialize;
use toml::{Table, Value};

use super::result::{POINT, Published};
use crate::error::{Error, Result};
use crate::kind::inherit::recipe::{DEFAULTS, Recipe};
use crate::recipe::layer::Stack;
use crate::recipe::{Layer, Setting, check};

/// The table that makes a sweep of an `inherit` recipe.
pub const TABLE: &str = "sweep";
/// The list of published figures that points are shown beside.
pub(super) const PUBLISHED: &str = "published";

/// The name of a point in its table.
const NAME: &str = "name";
/// Longest name of a point, in characters: it stands over columns.
const LONGEST_NAME: usize = 24;

/// What rows are made of, and what that decides by default: only a point with a name may have its own.
const OF_MEDIUM: [&str; 3] = ["carrier.medium", "controls", "gates.min-valid-rate"];

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
    (
        "carrier.medium",
        "decides the defaults of other keys: write a point for each, `[[sweep]]` with a `name`",
    ),
    ("behaviors", "are judged at every point; teach them all in one recipe"),
    ("read-also", "are read at every point"),
    ("controls.", "stands beside every point"),
    ("gates.", "is part of the rule, which is one for all points"),
    ("student.checkpoints", "are read in a run of its own: a sweep reads the end of training"),
];

/// A key with the values it is to have, or `point` with the names of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The key, by its path.
    pub key: String,
    /// The values, in the order given.
    pub values: Vec<Value>,
}

impl Axis {
    /// The values as they are shown: names as they are, others as TOML.
    pub(super) fn words(&self) -> Vec<String> {
        let words = |value: &Value| match value.as_str() {
            Some(name) if self.key == POINT => name.to_owned(),
            _ => called(value),
        };
        self.values.iter().map(words).collect()
    }
}

/// What a point says over the recipe that all have in common.
struct Variant {
    at: String,
    places: Vec<usize>,
    sets: Vec<Setting>,
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
    /// Keys with the values they are to have, or the list of points.
    pub sweep: Value,
    /// What others found, to be shown beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
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
        let mut plain = layers.to_vec();
        let (swept, own) = take(TABLE, &mut plain, sets);
        let (published, own) = take(PUBLISHED, &mut plain, &own);
        let stack = Stack::new::<Recipe>(&[DEFAULTS], layers, sets)?;
        let error = |at: &Where, reason: String| stack.error_at(at, reason);
        let whole = || vec![TABLE.to_owned()];
        let given = Given::of(swept).map_err(|reason| error(&whole(), reason))?;
        let (axes, variants) = given.variants().map_err(|(at, reason)| error(&at, reason))?;
        let refusal = |at: &str, refused: &Error| {
            let reason = said(refused);
            // What is wrong without the sweep is told where it stands.
            match Recipe::resolve(&plain, &own) {
                Err(plainly) if said(&plainly) == reason => plainly,
                _ => {
                    let place =
                        given.keys.iter().find(|(place, _)| reason.contains(&key_of(place)));
                    let place = place.map_or_else(whole, |(place, _)| place.clone());
                    error(&place, format!("at {at}: {reason}"))
                }
            }
        };
        let resolved = |variant: Variant| {
            let at = variant.at.clone();
            point(variant, (&plain, &own)).map_err(|refused| refusal(&at, &refused))
        };
        let mut points = variants.into_iter().map(resolved).collect::<Result<Vec<Point>>>()?;
        one_rule(&points).map_err(|reason| error(&whole(), reason))?;
        let sweep = match &*given.named {
            [] => {
                let keys = axes.iter().map(|axis| (axis.key.clone(), axis.values.clone().into()));
                Value::Table(keys.collect())
            }
            _ => named(&points)?,
        };
        let common = points[0].recipe.clone();
        share_prompts(&mut points);
        let published =
            published.into_iter().next_back().unwrap_or_else(|| Vec::<Value>::new().into());
        let published = beside(published, &points)
            .map_err(|reason| error(&vec![PUBLISHED.to_owned()], reason))?;
        Ok(Self { common, sweep, published, axes, points })
    }
}

/// A point's recipe.
fn point(variant: Variant, (plain, own): (&[Layer], &[Setting])) -> Result<Point> {
    let Variant { at, places, sets } = variant;
    let all: Vec<Setting> = own.iter().cloned().chain(sets).collect();
    let mut recipe = Recipe::resolve(plain, &all)?;
    // What happens along training is another question, and would be read at every point.
    recipe.student.checkpoints.clear();
    Ok(Point { at, places, recipe })
}

/// Verdicts of all points are corrected together, which needs one rule.
fn one_rule(points: &[Point]) -> std::result::Result<(), String> {
    let rule = |point: &Point| {
        let gates = &point.recipe.gates;
        (gates.level, gates.smallest_effect, gates.least_mass)
    };
    match points.iter().find(|point| rule(point) != rule(&points[0])) {
        Some(other) => Err(format!(
            "at {}: the defaults there have another level, smallest effect or least mass than at {}; set them in [gates]",
            other.at, points[0].at
        )),
        None => Ok(()),
    }
}

/// Published figures that concern the points, or what is wrong with the list.
fn beside(given: Value, points: &[Point]) -> std::result::Result<Vec<Published>, String> {
    let all: Vec<Published> = given.try_into().map_err(|error: toml::de::Error| {
        format!("is no list of figures: {}", error.message().trim().replace('\n', ", "))
    })?;
    for one in &all {
        let point = points.iter().find(|point| point.at == one.at).ok_or_else(|| {
            let names: Vec<&str> = points.iter().map(|point| point.at.as_str()).collect();
            format!("`at` is `{}`, expected one of {}", one.at, names.join("; "))
        })?;
        if !point.recipe.behaviors.contains(&one.behavior) {
            return Err(format!(
                "`behavior` is `{}`, which is not among `behaviors`",
                one.behavior
            ));
        }
    }
    Ok(all)
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

/// Takes what stands at `key` out of layers and settings: the values, the one said last at the end, and the
/// settings that say something else.
fn take(key: &str, layers: &mut [Layer], sets: &[Setting]) -> (Vec<Value>, Vec<Setting>) {
    let mut found: Vec<Value> = layers.iter_mut().filter_map(|layer| layer.take(key)).collect();
    found.extend(sets.iter().filter_map(|set| set.at(key)));
    (found, sets.iter().filter(|set| set.at(key).is_none()).cloned().collect())
}

/// What is said of a sweep.
struct Given {
    /// Keys with their values, sorted.
    keys: Vec<(Where, Value)>,
    /// Points with names.
    named: Vec<Value>,
}

impl Given {
    /// What is said later is meant.
    fn of(all: Vec<Value>) -> std::result::Result<Self, String> {
        let (mut keys, mut named): (Vec<(Where, Value)>, _) = (Vec::new(), Vec::new());
        for value in all {
            if let Value::Array(points) = value {
                (keys, named) = (Vec::new(), points);
                continue;
            }
            if !named.is_empty() {
                return Err(
                    "is a list of points with names; no key can be swept beside it".to_owned()
                );
            }
            let mut leaves = Vec::new();
            flatten(vec![TABLE.to_owned()], value, &mut leaves);
            for (at, value) in leaves {
                keys.retain(|(known, _)| key_of(known) != key_of(&at));
                keys.push((at, value));
            }
        }
        keys.sort_by_key(|(at, _)| key_of(at));
        Ok(Self { keys, named })
    }

    /// The axes, and every point on them; or what is wrong, and where.
    fn variants(&self) -> std::result::Result<(Vec<Axis>, Vec<Variant>), (Where, String)> {
        let whole = |reason: String| (vec![TABLE.to_owned()], reason);
        let (axes, variants) = if self.named.is_empty() {
            let mut axes = Vec::new();
            for (at, value) in &self.keys {
                axes.push(axis(at, value).map_err(|reason| (at.clone(), reason))?);
            }
            if axes.is_empty() || axes.len() > MOST_KEYS {
                return Err(whole(format!(
                    "holds {} keys, expected one, or two for a grid, such as \"carrier.rows\" = [250, 500]",
                    axes.len()
                )));
            }
            let count: usize = axes.iter().map(|axis| axis.values.len()).product();
            // Refused below, and not counted out.
            let variants = (0..count.min(MOST_POINTS + 1)).map(|number| combination(&axes, number));
            if count > MOST_POINTS {
                return Err(whole(format!("makes {count} points, expected at most {MOST_POINTS}")));
            }
            let variants = variants.collect::<Vec<_>>();
            (axes, variants)
        } else {
            self.named_variants().map_err(whole)?
        };
        Ok((axes, variants))
    }

    fn named_variants(&self) -> std::result::Result<(Vec<Axis>, Vec<Variant>), String> {
        if !(2..=MOST_POINTS).contains(&self.named.len()) {
            let count = self.named.len();
            return Err(format!("holds {count} points, expected 2 to {MOST_POINTS}"));
        }
        let mut variants: Vec<Variant> = Vec::new();
        for (place, value) in self.named.iter().enumerate() {
            let mut own = value.as_table().cloned().unwrap_or_default();
            let name = own.remove(NAME).and_then(|name| name.as_str().map(str::to_owned));
            let fits = |name: &String| name.len() <= LONGEST_NAME && check::name(name).is_ok();
            let Some(name) = name.filter(fits) else {
                return Err(format!(
                    "point {} has no `name`, expected 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`",
                    place + 1
                ));
            };
            if variants.iter().any(|known| known.at == name) {
                return Err(format!("holds two points with the name `{name}`"));
            }
            let mut leaves = Vec::new();
            flatten(vec![TABLE.to_owned()], Value::Table(own.clone()), &mut leaves);
            let own_here = |key: &String| OF_MEDIUM.iter().any(|table| is_below(key, table));
            let mut keys = leaves.iter().map(|(at, _)| key_of(at)).filter(|key| !own_here(key));
            if let Some(refused) = keys.find_map(|key| fixed(&key)) {
                return Err(format!("at {name}: {refused}"));
            }
            let sets = own.iter().map(|(key, value)| Setting::of(key, value)).collect();
            variants.push(Variant { at: name, places: vec![place], sets });
        }
        let names = variants.iter().map(|one| Value::String(one.at.clone())).collect();
        Ok((vec![Axis { key: POINT.to_owned(), values: names }], variants))
    }
}

/// The points with their names and all that tells them from the first one: what a medium brings along as well, so
/// that the list means the same over the first point's recipe.
fn named(points: &[Point]) -> Result<Value> {
    let written = |point: &Point| {
        Table::try_from(&point.recipe).map_err(|error| point.recipe.unusable(error.to_string()))
    };
    let defaults: Table = DEFAULTS.parse().unwrap_or_default();
    let common = written(&points[0])?;
    let mut list = Vec::new();
    for point in points {
        let mut own = differing(&common, &written(point)?, &defaults);
        own.insert(NAME.to_owned(), point.at.clone().into());
        list.push(Value::Table(own));
    }
    Ok(Value::Array(list))
}

/// What `own` says otherwise than `common`; a key that it does not write has its default.
fn differing(common: &Table, own: &Table, defaults: &Table) -> Table {
    let mut all = Table::new();
    let keys = common.keys().chain(own.keys().filter(|key| !common.contains_key(*key)));
    for key in keys {
        let below = Table::new();
        let (one, other, default) = (common.get(key), own.get(key), defaults.get(key));
        let value = match (one, other) {
            (one, other) if one == other => continue,
            (Some(Value::Table(one)), Some(Value::Table(other)))
                if one.get("kind") == other.get("kind") =>
            {
                let default = default.and_then(Value::as_table).unwrap_or(&below);
                Value::Table(differing(one, other, default))
            }
            (_, Some(other)) => other.clone(),
            (_, None) => match default {
                Some(default) => default.clone(),
                None => continue,
            },
        };
        all.insert(key.clone(), value);
    }
    all
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

/// Why a key cannot be swept, where it cannot.
fn fixed(key: &str) -> Option<String> {
    let (_, why) = FIXED.iter().find(|(fixed, _)| is_below(key, fixed.trim_end_matches('.')))?;
    Some(format!("cannot be swept: `{key}` {why}"))
}

/// Whether a key is `table` or stands in it.
fn is_below(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Point `number` of all combinations.
fn combination(axes: &[Axis], number: usize) -> Variant {
    let places = places(axes, number);
    let set = axes.iter().zip(&places).map(|(axis, &at)| (&axis.key, &axis.values[at]));
    let named: Vec<String> =
        set.clone().map(|(key, value)| format!("{key} = {}", called(value))).collect();
    let sets = set.map(|(key, value)| Setting::of(key, value)).collect();
    Variant { at: named.join(", "), places, sets }
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
        "description": "One key or two, each with the values it is to have: one run over all of them, e.g. \"carrier.rows\" = [250, 500, 1000]. Or a list of points, each with a `name` and what it says otherwise.",
        "type": ["object", "array"]
    });
    let published = json_schema!({
        "description": "What others found, to be shown beside points of a sweep.",
        "type": "array",
        "items": schema_for!(Published)
    });
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.insert(TABLE.to_owned(), table.to_value());
        properties.insert(PUBLISHED.to_owned(), published.to_value());
    }
    schema
}
