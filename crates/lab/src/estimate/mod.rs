//! From everything that was read to the result.
//!
//! This is the `estimate` step. It reads numbers out of artifacts ([`Given`]) and leaves what they
//! mean to pure functions: `effect` for differences and the matrix, `verdict` for gates, warnings
//! and answers. The rules are fixed in the recipe; nothing here chooses among seeds or checkpoints.

mod effect;
mod summary;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::result::{FORMAT, InheritResult, Replication, Role};
use crate::rows;
use crate::step::filter::Summary as Judged;
use crate::step::geometry::Cosines;
use crate::step::readout::ModelReadout;
use crate::step::select::Summary as Selected;
use crate::step::side_effects::Measured;
use crate::step::{StepContext, filter, geometry, read_json, readout, select, side_effects};

pub(crate) const ALGORITHM: u32 = 1;
/// The file of the result.
pub const FILE: &str = "result.json";
/// Rows shown in the result.
const SAMPLES: usize = 6;

/// One readout and what it is a readout of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Read {
    /// The input's role.
    pub input: String,
    /// The condition it belongs to.
    pub condition: String,
    /// The part the condition plays.
    pub role: Role,
    /// The behavior its rows carry.
    pub taught: Option<String>,
    /// The model's seed; `None` for single models.
    pub seed: Option<u64>,
}

impl Read {
    /// A readout of `condition`.
    pub fn new(
        input: &str,
        condition: &str,
        role: Role,
        taught: Option<String>,
        seed: Option<u64>,
    ) -> Self {
        Self { input: input.to_owned(), condition: condition.to_owned(), role, taught, seed }
    }
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The recipe: its rules and its names.
    pub recipe: Recipe,
    /// Taught behaviors by name.
    pub behaviors: Vec<String>,
    /// Behaviors only read, by name.
    pub read_also: Vec<String>,
    /// All readouts.
    pub reads: Vec<Read>,
    /// Arms of rows.
    pub arms: Vec<String>,
    /// Side effects: input, condition and seed.
    pub side_effects: Vec<(String, String, usize)>,
    /// Geometry: input, condition and seed.
    pub geometry: Vec<(String, String, usize)>,
    /// Updates of each student.
    pub updates: usize,
    /// What the plan left out.
    pub left_out: Vec<String>,
}

/// All that was read, as numbers.
pub(crate) struct Given {
    pub(crate) configuration: Configuration,
    /// By input.
    pub(crate) readouts: BTreeMap<String, ModelReadout>,
    /// By arm.
    pub(crate) judged: BTreeMap<String, Judged>,
    /// By arm.
    pub(crate) selected: BTreeMap<String, Selected>,
    /// A few kept rows by arm.
    pub(crate) samples: BTreeMap<String, Vec<(String, String)>>,
    /// By condition, one per seed.
    pub(crate) measured: BTreeMap<String, Vec<Measured>>,
    /// By condition and teacher, one per seed.
    pub(crate) cosines: BTreeMap<String, BTreeMap<String, Vec<Cosines>>>,
}

impl Given {
    pub(crate) fn behaviors(&self) -> impl Iterator<Item = &String> {
        let configuration = &self.configuration;
        configuration.behaviors.iter().chain(&configuration.read_also)
    }

    pub(crate) fn level(&self) -> f64 {
        self.configuration.recipe.gates.level
    }

    pub(crate) fn matched(&self) -> &str {
        &self.configuration.recipe.context.system
    }

    pub(crate) fn seeds(&self) -> &[u64] {
        &self.configuration.recipe.seeds.0
    }
}

pub(crate) fn run(context: &StepContext<'_>) -> Result<Value> {
    let configuration: Configuration = context.configuration()?;
    let mut given = Given {
        readouts: BTreeMap::new(),
        judged: BTreeMap::new(),
        selected: BTreeMap::new(),
        samples: BTreeMap::new(),
        measured: BTreeMap::new(),
        cosines: BTreeMap::new(),
        configuration,
    };
    for entry in &given.configuration.reads {
        let read = readout::read(context.input(&entry.input)?)?;
        given.readouts.insert(entry.input.clone(), read);
    }
    for arm in &given.configuration.arms {
        let judged = context.input(&format!("filter/{arm}"))?;
        let selected = context.input(&format!("select/{arm}"))?;
        given.judged.insert(arm.clone(), read_json(judged, filter::SUMMARY)?);
        given.selected.insert(arm.clone(), read_json(selected, select::SUMMARY)?);
        let rows = rows::read(selected, select::ROWS)?;
        let samples = rows.into_iter().take(SAMPLES).map(|row| (row.prompt, row.completion));
        given.samples.insert(arm.clone(), samples.collect());
    }
    for (input, condition, _) in &given.configuration.side_effects {
        let measured = read_json(context.input(input)?, side_effects::FILE)?;
        given.measured.entry(condition.clone()).or_default().push(measured);
    }
    for (input, condition, _) in &given.configuration.geometry {
        let cosines: BTreeMap<String, Cosines> = read_json(context.input(input)?, geometry::FILE)?;
        let all = given.cosines.entry(condition.clone()).or_default();
        for (teacher, cosine) in cosines {
            all.entry(teacher).or_default().push(cosine);
        }
    }
    let result = compute(&given)?;
    context.writer.write(FILE, &result.to_bytes())?;
    Ok(json!({ "name": result.name }))
}

/// The result of what was read.
pub(crate) fn compute(given: &Given) -> Result<InheritResult> {
    let configuration = &given.configuration;
    let recipe = &configuration.recipe;
    let scores = summary::scores(given);
    let conditions = summary::conditions(given, &scores)?;
    let (effects, comparisons) = effect::effects(given, &scores)?;
    let rows = summary::rows(given);
    let teachers = summary::teachers(given, &scores);
    let side_effects = summary::side_effects(given)?;
    let gates = verdict::gates(given, &teachers, &side_effects);
    let unique = recipe.carrier.rows;
    let replication = Replication {
        unit: "seed pair (same adapter initialisation and row order)".to_owned(),
        seeds: recipe.seeds.0.clone(),
        unique_rows: unique,
        updates: configuration.updates,
        batch: recipe.student.batch,
        epochs: (configuration.updates * recipe.student.batch) as f64 / unique.max(1) as f64,
    };
    let mut result = InheritResult {
        format: FORMAT,
        name: recipe.name.clone(),
        description: recipe.description.clone(),
        base: recipe.base.clone(),
        behaviors: configuration.behaviors.clone(),
        read_also: configuration.read_also.clone(),
        carrier: match recipe.carrier.kind {
            crate::recipe::CarrierKind::Numbers => "numbers".to_owned(),
            crate::recipe::CarrierKind::Logits => "logits".to_owned(),
        },
        replication,
        conditions,
        effects,
        matrix: effect::matrix(given, &scores)?,
        dose: effect::dose(given, &scores)?,
        teachers,
        rows,
        side_effects,
        geometry: summary::geometry(given)?,
        gates,
        warnings: Vec::new(),
        left_out: configuration.left_out.clone(),
        comparisons,
        verdicts: Vec::new(),
    };
    result.verdicts = verdict::verdicts(given, &result);
    result.warnings = verdict::warnings(given, &scores, &result)?;
    Ok(result)
}

/// A statistic that could not be made.
fn statistics(error: &crate::stats::StatisticsError) -> Error {
    Error::record("readouts", error)
}
