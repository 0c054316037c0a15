//! `writer`: which of some models wrote rows, or why that cannot be asked of these.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::result::Writer;
use crate::attribute::{self, Candidate, Settings};
use crate::error::{Error, Result};
use crate::step::{Step, StepContext, fine_tune};

/// What the step writes.
pub(super) const FILE: &str = "writer.json";
/// The role of a candidate, before its place.
pub(super) const CANDIDATE: &str = "candidate:";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// What the candidates are called, in the order of their places.
    pub(super) names: Vec<String>,
    /// How many of them, the last ones, only stand in for writers that nobody named.
    pub(super) stand_ins: usize,
    /// What divided the logits when the rows were written.
    pub(super) temperature: f64,
    /// Confidence level.
    pub(super) level: f64,
    /// Most rows that are read.
    pub(super) rows: usize,
    /// Seed of the draw of rows, and of the resampling that intervals are made of.
    pub(super) seed: u64,
}

/// The step.
pub(super) struct WriterStep;

impl Step for WriterStep {
    type Configuration = Configuration;
    const KIND: &'static str = "writer";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "attribution";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { names, stand_ins, temperature, level, rows, seed } = configuration;
        let named_by_user = names.len() - stand_ins.min(names.len());
        let (answers, _) = fine_tune::demonstrations(context.input("rows")?, None)?;
        let load = |(at, name): (usize, String)| -> Result<Candidate> {
            let model = context.model(&format!("{CANDIDATE}{at}"))?;
            Ok(Candidate { name, model, stands_in: at >= named_by_user })
        };
        // One model under two names, such as a teacher that is the base, is one candidate.
        let mut known = BTreeSet::new();
        let mut named = names.into_iter().enumerate().collect::<Vec<_>>();
        let id = |(at, _): &(usize, String)| Ok(context.input(&format!("{CANDIDATE}{at}"))?.id);
        let ids = named.iter().map(id).collect::<Result<Vec<_>>>()?;
        named.retain(|(at, _)| known.insert(ids[*at]));
        let candidates = named.into_iter().map(load).collect::<Result<Vec<Candidate>>>()?;
        let settings = Settings {
            temperature,
            level,
            most_rows: rows,
            seed,
            threads: context.threads.clone(),
            interrupt: context.interrupt.clone(),
            progress: &|now| (context.progress)(now),
        };
        // What does not fit is an answer of its own: the other questions of the gate are asked all the same.
        let writer = match attribute::attribute(&candidates, answers, &settings) {
            Ok(found) => Writer::Attributed(found),
            Err(Error::Unfit { what, reason }) => Writer::NotAsked(format!("{what} {reason}")),
            Err(other) => return Err(other),
        };
        context.write_json(FILE, &writer)?;
        Ok(match &writer {
            Writer::Attributed(found) => json!({ "verdict": found.verdict }),
            Writer::NotAsked(why) => json!({ "not-asked": why }),
        })
    }
}
