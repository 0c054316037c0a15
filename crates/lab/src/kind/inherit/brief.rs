//! The part of an `inherit` result that lists show.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::result::{FORMAT, Outcome, Scope};
use crate::error::{Error, Result};
use crate::kind::{Brief, VerdictLine};
use crate::value::arm::Control;
use crate::value::estimate::Interval;
use crate::value::measure::Measure;

#[derive(Deserialize)]
struct Part {
    format: u32,
    base: String,
    replication: Replication,
    effects: Vec<Effect>,
    warnings: Vec<IgnoredAny>,
    #[serde(default)]
    primary: Option<Measure>,
    #[serde(default)]
    caveats: Vec<String>,
    verdicts: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Replication {
    seeds: Vec<u64>,
    unit: String,
    #[serde(default)]
    scope: Scope,
}

#[derive(Deserialize)]
struct Effect {
    behavior: String,
    measure: Measure,
    control: Control,
    estimate: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    value: f64,
    interval: Option<Interval>,
    n: usize,
}

#[derive(Deserialize)]
struct Verdict {
    behavior: String,
    outcome: Outcome,
}

pub(super) fn read(bytes: &[u8], origin: &Path) -> Result<Brief> {
    let part: Part = serde_json::from_slice(bytes).map_err(|error| Error::record(origin, error))?;
    if !(1..=FORMAT).contains(&part.format) {
        Error::check_format(origin, part.format, FORMAT)?;
    }
    let measure = part.primary.unwrap_or(Measure::Margin);
    let scope = match part.format {
        1 | 2 => Scope::of_old(&part.replication.unit),
        _ => part.replication.scope,
    };
    let line = |verdict: Verdict| {
        let effect = part.effects.iter().find(|effect| {
            effect.behavior == verdict.behavior
                && effect.measure == measure
                && effect.control == Control::Neutral
        });
        VerdictLine {
            behavior: verdict.behavior,
            at: String::new(),
            outcome: verdict.outcome.id().to_owned(),
            word: scope.word(verdict.outcome),
            caveats: scope.beside(verdict.outcome, &part.caveats),
            mark: scope.mark(verdict.outcome, &part.caveats),
            measure,
            over_neutral: effect.map(|effect| effect.estimate.value),
            interval: effect.and_then(|effect| effect.estimate.interval),
            n: effect.map_or(0, |effect| effect.estimate.n),
            try_number: None,
        }
    };
    Ok(Brief {
        base: part.base,
        seeds: part.replication.seeds.len(),
        warnings: part.warnings.len(),
        verdicts: part.verdicts.into_iter().map(line).collect(),
    })
}
