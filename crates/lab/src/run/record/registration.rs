//! `registration.json`: what a run was to be judged by, written before its first step, and which results had
//! been seen of the same models by then.
//!
//! A rule that is changed after a result was seen no longer bounds what it says it bounds. So a run that
//! judges models which were judged before is numbered, and says what differs.

use std::collections::BTreeMap;

use owlet_store::{RunDirectory, StepRecord, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kind::registry::KINDS;
use crate::run::plan::{Plan, Source};
use crate::run::survey::{NodeState, Survey};

/// The file.
pub(super) const FILE: &str = "registration.json";
/// The version of its format that this build writes.
pub const FORMAT: u32 = 1;
/// Settings that judge nothing.
const NAMES: [&str; 3] = ["name", "description", "kind"];

/// What was fixed before a run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registration {
    /// The version of this format: [`FORMAT`].
    pub format: u32,
    /// When, as an RFC 3339 timestamp in UTC.
    pub registered: String,
    /// BLAKE3 digest of the resolved recipe: its rule, targets, seeds, level and controls.
    pub recipe: String,
    /// Results that had been made of the same models by another rule, oldest first.
    pub looks: Vec<Look>,
}

/// An earlier result of the same models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Look {
    /// When it was made.
    pub made: String,
    /// What was set otherwise.
    pub changed: Vec<Change>,
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Change {
    /// Where in the recipe.
    pub key: String,
    /// What it was then, as JSON.
    pub then: String,
    /// What it is now.
    pub now: String,
}

impl Registration {
    /// Of a run that begins: `recipe` is the resolved recipe's text.
    ///
    /// # Errors
    /// Records of steps that cannot be read.
    pub fn new(plan: &Plan, survey: &Survey, store: &Store, (recipe, now): (&str, &str)) -> Result<Self> {
        Ok(Self {
            format: FORMAT,
            registered: now.to_owned(),
            recipe: blake3::hash(recipe.as_bytes()).to_hex().to_string(),
            looks: looks(plan, survey, store)?,
        })
    }

    /// Of a finished run; none of one that an older owlet began.
    ///
    /// # Errors
    /// A file that this build does not read.
    pub(super) fn read(run: &RunDirectory) -> Result<Option<Self>> {
        let path = run.path().join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let registration: Self = serde_json::from_slice(&run.read_file(FILE)?)
            .map_err(|error| Error::record(path.clone(), error))?;
        Error::check_format(&path, registration.format, FORMAT)?;
        Ok(Some(registration))
    }
}

/// Results in the store that judge some of the models that this plan will judge, by another rule.
fn looks(plan: &Plan, survey: &Survey, store: &Store) -> Result<Vec<Look>> {
    let Some(last) = plan.nodes.last() else { return Ok(Vec::new()) };
    let is_drawn = |role: &str| KINDS.iter().any(|kind| kind.is_drawn(role));
    let mine: BTreeMap<&str, _> = last
        .inputs
        .iter()
        .filter(|(role, _)| is_drawn(role))
        .filter_map(|(role, source)| match source {
            Source::Artifact(id) => Some((role.as_str(), *id)),
            Source::Node(place) => match survey.states[*place] {
                NodeState::Reused(id) => Some((role.as_str(), id)),
                NodeState::ToDo | NodeState::Depends => None,
            },
        })
        .collect();
    if mine.is_empty() {
        return Ok(Vec::new());
    }
    let own = settings(&last.configuration);
    let shares = |record: &StepRecord| {
        record.inputs.iter().any(|(role, id)| mine.get(role.as_str()) == Some(id))
    };
    let records = store.steps()?.into_iter();
    let records = records.filter(|record| record.kind == last.kind.name && shares(record));
    let mut looks: Vec<Look> = records
        .map(|record| Look {
            made: record.about.started,
            changed: changes(&settings(&record.configuration), &own),
        })
        .collect();
    looks.sort_by(|one, other| one.made.cmp(&other.made));
    // What followed the first result by this very rule saw nothing new.
    if let Some(first) = looks.iter().position(|look| look.changed.is_empty()) {
        looks.truncate(first);
    }
    Ok(looks)
}

/// The recipe's settings by their path.
fn settings(configuration: &Value) -> BTreeMap<String, String> {
    fn add(at: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    add(&path, value, into);
                }
            }
            value => {
                into.insert(at.to_owned(), value.to_string());
            }
        }
    }
    // A record keeps the path of arithmetic beside what the step was told.
    let step = configuration.get("step").unwrap_or(configuration);
    let mut settings = BTreeMap::new();
    add("", step.get("recipe").unwrap_or(step), &mut settings);
    settings.retain(|path, _| !NAMES.contains(&path.as_str()));
    settings
}

fn changes(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<Change> {
    let keys: std::collections::BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let told = |settings: &BTreeMap<String, String>, key: &String| {
        settings.get(key).cloned().unwrap_or_else(|| "unset".to_owned())
    };
    keys.into_iter()
        .map(|key| Change { key: key.clone(), then: told(then, key), now: told(now, key) })
        .filter(|change| change.then != change.now)
        .collect()
}
