//! `registration.json`: what a run was to be judged by, written before its first step, and which results had
//! been seen by then.
//!
//! A rule that is changed after a result was seen no longer bounds what it says it bounds. So a run that
//! judges models which were judged before is numbered, and says what differs. A recipe that is run with new
//! root seeds until one pleases errs as often as there are seeds: what the others said is written down, too.

use std::collections::{BTreeMap, BTreeSet};

use owlet_store::{ArtifactId, RunDirectory, RunId, StepRecord, Store, canonical_json};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kind::registry::{self, KINDS};
use crate::kind::{RESULT, VerdictLine};
use crate::run::plan::{Node, Plan, Source};
use crate::run::record::plan::PlannedStep;
use crate::step::behavior;
use crate::value::registration::{Change, Look, Registration, Said};

/// The file.
pub(super) const FILE: &str = "registration.json";
/// The version of its format that this build writes.
const FORMAT: u32 = 2;
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
    store: &Store,
    (recipe, now, id): (&str, &str, &RunId),
) -> Result<Registration> {
    let (mut looks, mut earlier, mut elsewhere) = Default::default();
    let last = plan.nodes.last().filter(|last| last.inputs.keys().any(|role| is_drawn(role)));
    if let Some(last) = last {
        (looks, earlier) = seen((plan, last), store)?;
        under_way(last, store, id, (&mut looks, &mut earlier))?;
        for seen in [&mut looks, &mut earlier] {
            // A recipe that was run again under another name showed nothing new.
            let mut known: Vec<Vec<Change>> = Vec::new();
            seen.retain(|look| {
                let is_new = !known.contains(&look.changed);
                known.extend(is_new.then(|| look.changed.clone()));
                is_new
            });
        }
        let own = behaviors(&last.configuration);
        let asked = earlier.iter().flat_map(|look: &Look| &look.said);
        let asked = asked.map(|said| said.behavior.clone());
        elsewhere = asked.filter(|name| !own.contains(name)).collect::<BTreeSet<String>>();
    } else if let Some(last) = plan.nodes.last().filter(|last| judges_rows(last.kind.name)) {
        looks = seen_of_rows((plan, last), store)?;
    }
    Ok(Registration {
        format: FORMAT,
        registered: now.to_owned(),
        recipe: blake3::hash(recipe.as_bytes()).to_hex().to_string(),
        looks,
        earlier,
        elsewhere: elsewhere.into_iter().collect(),
    })
}

/// Of a finished run; none of one that an older owlet began.
///
/// # Errors
/// A file that this build does not read.
pub(super) fn read(run: &RunDirectory) -> Result<Option<Registration>> {
    let path = run.path().join(FILE);
    if !path.is_file() {
        // One that was taken away would take the looks with it.
        run.check_there(FILE)?;
        return Ok(None);
    }
    let registration: Registration = serde_json::from_slice(&run.read_file(FILE)?)
        .map_err(|error| Error::record(path.clone(), error))?;
    if !(1..=FORMAT).contains(&registration.format) {
        Error::check_format(&path, registration.format, FORMAT)?;
    }
    Ok(Some(registration))
}

/// Results in the store that judge some of the models that this plan will judge, by another rule; and those
/// that judge other models of the same base. Models are compared, not readings of them: the same students read
/// otherwise are the same students.
fn seen((plan, last): (&Plan, &Node), store: &Store) -> Result<(Vec<Look>, Vec<Look>)> {
    let (mut looks, mut earlier) = (Vec::new(), Vec::new());
    let outputs = recorded(plan, store)?;
    let made = |source: &Source| output(source, &outputs);
    let read_by = |source: &Source| match source {
        Source::Node(place) => made(plan.nodes[*place].inputs.get(MODEL)?),
        Source::Artifact(_) => None,
    };
    let drawn = last.inputs.iter().filter(|(role, _)| is_drawn(role));
    let mine: BTreeSet<ArtifactId> = drawn.filter_map(|(_, source)| read_by(source)).collect();
    let records = store.steps()?;
    let models: BTreeMap<ArtifactId, ArtifactId> = records
        .iter()
        .filter_map(|record| Some((record.output, *record.inputs.get(MODEL)?)))
        .collect();
    let judges = |record: &StepRecord| {
        let mut drawn = record.inputs.iter().filter(|(role, _)| is_drawn(role));
        drawn.any(|(_, id)| models.get(id).is_some_and(|model| mine.contains(model)))
    };
    let inputs = last.inputs.iter().map(|(role, source)| (role, made(source)));
    let own = settings(&last.configuration, inputs);
    // A run and a sweep judge alike, by steps of other kinds.
    for record in records.iter().filter(|record| record.inputs.keys().any(|role| is_drawn(role))) {
        let (judges, alike) =
            (judges(record), is_alike(&record.configuration, &last.configuration));
        if !judges && !alike {
            continue;
        }
        let inputs = record.inputs.iter().map(|(role, id)| (role, Some(*id)));
        let changed = changes(&settings(&record.configuration, inputs), &own);
        // Models that will be the same, though nothing says so before they are made again: of other questions,
        // say, whose answers are read from them.
        let judges = judges || makes_alike(&record.configuration, &last.configuration, &changed);
        let said = said(store, record);
        let look = Look { made: record.about.started.clone(), changed, said };
        if judges { &mut looks } else { &mut earlier }.push(look);
    }
    // Of two results of one second, the other one counts as the earlier.
    looks.sort_by_key(|look| (look.made.clone(), look.changed.is_empty()));
    // What followed the first result by this very rule saw nothing new.
    if let Some(first) = looks.iter().position(|look| look.changed.is_empty()) {
        earlier.retain(|look| look.made < looks[first].made);
        looks.truncate(first);
    }
    earlier.sort_by(|one, other| one.made.cmp(&other.made));
    Ok((looks, earlier))
}

/// Results in the store that judge the rows that this plan will judge, for the same base: whoever judges the same
/// rows until they come out clean has looked more than once. Rows are the same of which half of the answers are: they
/// are drawn anew by another seed, and lose some where somebody takes out what was found.
fn seen_of_rows((plan, last): (&Plan, &Node), store: &Store) -> Result<Vec<Look>> {
    let given = plan.nodes.iter().find_map(|node| answers(&node.configuration));
    let Some(given) = given else { return Ok(Vec::new()) };
    let own = recorded(plan, store)?.last().copied().flatten();
    let base = |configuration: &Value| recipe(configuration).get("base").cloned();
    let records = store.steps()?;
    let makers: BTreeMap<ArtifactId, &StepRecord> =
        records.iter().map(|record| (record.output, record)).collect();
    let is_same = |record: &StepRecord| {
        let known = judged(record, &makers);
        let common = known.intersection(&given).count();
        common > 0 && 2 * common >= known.len().min(given.len())
    };
    let now = settings(&last.configuration, std::iter::empty());
    let mut looks: Vec<Look> = records
        .iter()
        .filter(|record| record.kind == last.kind.name && Some(record.output) != own)
        .filter(|record| base(&record.configuration) == base(&last.configuration))
        .filter(|record| is_same(record))
        .map(|record| Look {
            made: record.about.started.clone(),
            changed: changes(&settings(&record.configuration, std::iter::empty()), &now),
            said: said(store, record),
        })
        .collect();
    looks.sort_by(|one, other| one.made.cmp(&other.made));
    Ok(looks)
}

fn judges_rows(step: &str) -> bool {
    KINDS.iter().any(|kind| kind.judges_rows(step))
}

/// The answers of a step that takes rows in, by their digests.
fn answers(configuration: &Value) -> Option<BTreeSet<[u8; 32]>> {
    let step = configuration.get("step").unwrap_or(configuration);
    let rows = step.get("conversations")?.as_array()?;
    // A record is written in canonical form, a plan as its step was made.
    let digest = |row: &Value| *blake3::hash(canonical_json(row).as_bytes()).as_bytes();
    Some(rows.iter().map(digest).collect())
}

/// The answers behind a result: those of the nearest step before it that took rows in.
fn judged(record: &StepRecord, makers: &BTreeMap<ArtifactId, &StepRecord>) -> BTreeSet<[u8; 32]> {
    let mut open = std::collections::VecDeque::from([record]);
    let mut known = BTreeSet::new();
    while let Some(next) = open.pop_front() {
        if let Some(rows) = answers(&next.configuration) {
            return rows;
        }
        let makers = next.inputs.values().filter_map(|id| makers.get(id));
        open.extend(makers.filter(|maker| known.insert(maker.output)));
    }
    BTreeSet::new()
}

/// What each node of a plan made before, by its record: a model whose files are gone was seen all the same.
fn recorded(plan: &Plan, store: &Store) -> Result<Vec<Option<ArtifactId>>> {
    let mut outputs: Vec<Option<ArtifactId>> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let inputs = node.inputs.iter();
        let inputs: Option<BTreeMap<String, ArtifactId>> =
            inputs.map(|(role, source)| Some((role.clone(), output(source, &outputs)?))).collect();
        let record = inputs.map(|inputs| store.step_record(&plan.key(node, &inputs).1)).transpose();
        outputs.push(match record {
            Ok(record) => record.flatten().map(|record| record.output),
            // What a newer owlet made is not known here, as nothing else of it is.
            Err(owlet_store::Error::Newer { .. }) => None,
            Err(error) => return Err(error.into()),
        });
    }
    Ok(outputs)
}

fn output(source: &Source, outputs: &[Option<ArtifactId>]) -> Option<ArtifactId> {
    match source {
        Source::Artifact(id) => Some(*id),
        Source::Node(place) => outputs[*place],
    }
}

/// Adds the runs that other processes are at: who starts several at once has no first one to show but the first.
fn under_way(
    last: &Node,
    store: &Store,
    own: &RunId,
    (looks, earlier): (&mut Vec<Look>, &mut Vec<Look>),
) -> Result<()> {
    let settings = |configuration: &Value| settings(configuration, std::iter::empty());
    for run in super::Record::all(store)? {
        if run.id() == own || run.is_finished() || !run.is_held().unwrap_or(false) {
            continue;
        }
        // What cannot be read is told by whoever lists it.
        let (Ok(header), Ok(plan)) = (run.header(), run.plan()) else { continue };
        let judges = |step: &&PlannedStep| step.inputs.keys().any(|role| is_drawn(role));
        let Some(step) = plan.steps.last().filter(judges) else { continue };
        let changed = changes(&settings(&step.configuration), &settings(&last.configuration));
        if changed.is_empty() || !is_alike(&step.configuration, &last.configuration) {
            continue;
        }
        let judges = makes_alike(&step.configuration, &last.configuration, &changed);
        let said = behaviors(&step.configuration).into_iter().map(|behavior| Said {
            behavior,
            outcome: "under-way".to_owned(),
            words: "(under way)".to_owned(),
        });
        let look = Look { made: header.started, changed, said: said.collect() };
        if judges { &mut *looks } else { &mut *earlier }.push(look);
    }
    Ok(())
}

/// What a result says. One that is gone, or of another format, still was one: of what its recipe asked it says
/// that it cannot be read.
fn said(store: &Store, record: &StepRecord) -> Vec<Said> {
    let read = || {
        let path = store.artifact(&record.output).ok()?.path(RESULT).ok()?;
        registry::brief(&fs_err::read(&path).ok()?, &path).ok()
    };
    let said = |verdict: VerdictLine| Said {
        words: verdict.words(),
        behavior: verdict.behavior,
        outcome: verdict.outcome,
    };
    let gone = |behavior: String| Said {
        behavior,
        outcome: "unreadable".to_owned(),
        words: "(a result that cannot be read)".to_owned(),
    };
    match read() {
        Some(brief) => brief.verdicts.into_iter().map(said).collect(),
        None => behaviors(&record.configuration).into_iter().map(gone).collect(),
    }
}

/// The recipe in a step's configuration; a record keeps the path of arithmetic beside what the step was told.
fn recipe(configuration: &Value) -> &Value {
    let step = configuration.get("step").unwrap_or(configuration);
    step.get("recipe").unwrap_or(step)
}

/// The behaviors that a step's recipe judges.
fn behaviors(configuration: &Value) -> BTreeSet<String> {
    let names = recipe(configuration).get("behaviors").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a result is of the same base, both of taught teachers or both of untaught ones.
fn is_alike(one: &Value, other: &Value) -> bool {
    let (one, other) = (recipe(one), recipe(other));
    let is_null = |recipe: &Value| KINDS.iter().any(|kind| kind.is_null(recipe));
    one.get("base") == other.get("base") && is_null(one) == is_null(other)
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
    let mut settings = BTreeMap::new();
    add("", recipe(configuration), &mut settings);
    settings.retain(|path, _| !NAMES.contains(&path.as_str()));
    for (role, id) in inputs.filter(|(role, _)| role.starts_with(behavior::READ)) {
        let content = id.map_or_else(|| "new".to_owned(), |id| id.short());
        settings.insert(format!("content of {role}"), content);
    }
    settings
}

/// Whether models of the same seeds and of a common behavior are made alike, whatever they are asked.
fn makes_alike(one: &Value, other: &Value, changed: &[Change]) -> bool {
    let seeds = |configuration: &Value| -> BTreeSet<u64> {
        let seeds = recipe(configuration).get("seeds").and_then(Value::as_array);
        seeds.into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let makes = |key: &str| KINDS.iter().any(|kind| kind.makes_models(key));
    !seeds(one).is_disjoint(&seeds(other))
        && !behaviors(one).is_disjoint(&behaviors(other))
        && !changed.iter().any(|change| makes(&change.key))
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
