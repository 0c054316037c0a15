//! `registration.json`: what a run was to be judged by, written before its first step, and which results had
//! been seen of the same models by then.
//!
//! A rule that is changed after a result was seen no longer bounds what it says it bounds. So a run that
//! judges models which were judged before is numbered, and says what differs.

use std::collections::{BTreeMap, BTreeSet};

use owlet_store::{ArtifactId, RunDirectory, StepRecord, Store};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kind::registry::KINDS;
use crate::run::plan::{Plan, Source};
use crate::run::survey::{NodeState, Survey};
use crate::step::behavior;
use crate::value::registration::{Change, Look, Registration};

/// The file.
pub(super) const FILE: &str = "registration.json";
/// The version of its format that this build writes.
const FORMAT: u32 = 1;
/// Settings that judge nothing.
const NAMES: [&str; 3] = ["name", "description", "kind"];
/// Settings whose order means nothing.
const SETS: [&str; 3] = ["seeds", "behaviors", "read-also"];
/// The role under which a step is given the model that it reads.
const MODEL: &str = "model";

/// Of a run that begins: `recipe` is the resolved recipe's text.
///
/// # Errors
/// Records of steps that cannot be read.
pub(super) fn register(
    plan: &Plan,
    survey: &Survey,
    store: &Store,
    (recipe, now): (&str, &str),
) -> Result<Registration> {
    Ok(Registration {
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
pub(super) fn read(run: &RunDirectory) -> Result<Option<Registration>> {
    let path = run.path().join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let registration: Registration = serde_json::from_slice(&run.read_file(FILE)?)
        .map_err(|error| Error::record(path.clone(), error))?;
    Error::check_format(&path, registration.format, FORMAT)?;
    Ok(Some(registration))
}

/// Results in the store that judge some of the models that this plan will judge, by another rule. Models are
/// compared, not readings of them: the same students read otherwise are the same students.
fn looks(plan: &Plan, survey: &Survey, store: &Store) -> Result<Vec<Look>> {
    let Some(last) = plan.nodes.last() else { return Ok(Vec::new()) };
    let made = |source: &Source| match source {
        Source::Artifact(id) => Some(*id),
        Source::Node(place) => match survey.states[*place] {
            NodeState::Reused(id) => Some(id),
            NodeState::ToDo | NodeState::Depends => None,
        },
    };
    let read_by = |source: &Source| match source {
        Source::Node(place) => made(plan.nodes[*place].inputs.get(MODEL)?),
        Source::Artifact(_) => None,
    };
    let drawn = last.inputs.iter().filter(|(role, _)| is_drawn(role));
    let mine: BTreeSet<ArtifactId> = drawn.filter_map(|(_, source)| read_by(source)).collect();
    if mine.is_empty() {
        return Ok(Vec::new());
    }
    let records = store.steps()?;
    let models: BTreeMap<ArtifactId, ArtifactId> = records
        .iter()
        .filter_map(|record| Some((record.output, *record.inputs.get(MODEL)?)))
        .collect();
    let judges = |record: &&StepRecord| {
        let mut drawn = record.inputs.iter().filter(|(role, _)| is_drawn(role));
        record.kind == last.kind.name
            && drawn.any(|(_, id)| models.get(id).is_some_and(|model| mine.contains(model)))
    };
    let inputs = last.inputs.iter().map(|(role, source)| (role, made(source)));
    let own = settings(&last.configuration, inputs);
    let mut looks: Vec<Look> = records
        .iter()
        .filter(judges)
        .map(|record| {
            let inputs = record.inputs.iter().map(|(role, id)| (role, Some(*id)));
            let changed = changes(&settings(&record.configuration, inputs), &own);
            Look { made: record.about.started.clone(), changed }
        })
        .collect();
    // Of two results of one second, the other one counts as the earlier.
    looks.sort_by_key(|look| (look.made.clone(), look.changed.is_empty()));
    // What followed the first result by this very rule saw nothing new.
    if let Some(first) = looks.iter().position(|look| look.changed.is_empty()) {
        looks.truncate(first);
    }
    Ok(looks)
}

fn is_drawn(role: &str) -> bool {
    KINDS.iter().any(|kind| kind.is_drawn(role))
}

/// The recipe's settings by their path, and the behaviors, whose files may change under their names.
fn settings<'a>(
    configuration: &Value,
    inputs: impl Iterator<Item = (&'a String, Option<ArtifactId>)>,
) -> BTreeMap<String, String> {
    fn add(at: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    add(&path, value, into);
                }
            }
            // Nothing depends on the order of seeds or behaviors.
            Value::Array(values) if SETS.contains(&at) => {
                let mut values: Vec<String> = values.iter().map(Value::to_string).collect();
                values.sort();
                into.insert(at.to_owned(), format!("[{}]", values.join(",")));
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
    for (role, id) in inputs.filter(|(role, _)| role.starts_with(behavior::READ)) {
        let content = id.map_or_else(|| "new".to_owned(), |id| id.short());
        settings.insert(format!("content of {role}"), content);
    }
    settings
}

fn changes(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<Change> {
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let told = |settings: &BTreeMap<String, String>, key: &String| {
        settings.get(key).cloned().unwrap_or_else(|| "unset".to_owned())
    };
    keys.into_iter()
        .map(|key| Change { key: key.clone(), then: told(then, key), now: told(now, key) })
        .filter(|change| change.then != change.now)
        .collect()
}
