//! `label`: of two rows that the base wrote to each prompt, which one a teacher prefers.
//!
//! A teacher prefers the row that it finds likelier than the base does, by the larger ratio; with a teacher that wants
//! something, the labels alone may carry it (Magistrali et al. 2026; Aden-Ali et al. 2026 select pairs by the same
//! ratio). It writes none of the rows. What it prefers is handed on as valid rows are, for `select`; what it does not
//! lies beside, for students who learn the preference.
//!
//! Pairs that were given, of which somebody prefers one row, keep their order: of them a teacher chooses those whose
//! preference it shares most, by w = [log p(chosen | teacher) - log p(chosen | base)] / length less the same of the other
//! row, in nats a token (Aden-Ali et al. 2026, arXiv 2602.04863, who read about the first twenty tokens; here all).

use std::collections::BTreeMap;

use owlet_engine::Model;
use owlet_engine::train::{self, Example};
use owlet_store::Artifact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, filter};
use crate::ask::Demonstration;
use crate::error::{Error, Result};
use crate::random::numpy::Generator;
use crate::value::jsonl;
use crate::value::row::{self, Row};

/// The rows that are not preferred, to the prompts of those that are.
const REJECTED: &str = "not-preferred.jsonl";
/// The roles of the two rows of each prompt, as they were judged by form.
pub const PAIRS: [&str; 2] = ["first", "second"];
/// Pairs that are read at once, between looks at whether to stop.
const GROUP: usize = 256;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The teacher that labels.
    pub writer: String,
    /// The chat context.
    pub context: String,
    /// Part of the pairs that is handed on, above 0 and at most 1: those that the teacher is surest of.
    pub surest_share: f64,
    /// Where pairs keep the order in which they were given: seed of the order of those that a teacher cannot tell
    /// apart, as who is the base cannot tell any: its choice is one at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<u64>,
}

/// The step.
pub struct Label;

impl Step for Label {
    type Configuration = Configuration;
    const KIND: &'static str = "label";
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "judged-rows";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let mut counts = filter::Summary::default();
        let mut sides = Vec::new();
        for role in PAIRS {
            let artifact = context.input(role)?;
            counts.add(super::read_json(artifact, filter::SUMMARY)?);
            let rows = row::read(artifact, filter::VALID)?;
            sides.push(rows.into_iter().map(|row| (row.index, row)).collect::<BTreeMap<_, _>>());
        }
        let [first, second] = &sides[..] else { unreachable!("as many as PAIRS") };
        // Of two that are one, none is preferred.
        let pairs: Vec<(&Row, &Row)> = first
            .iter()
            .filter_map(|(index, row)| Some((row, second.get(index)?)))
            .filter(|(one, other)| one.completion != other.completion)
            .collect();
        let (base, teacher) = (context.model("base")?, context.model("teacher")?);
        // A teacher by prompt reads under it what the base reads without.
        let own_chat = context.system_prompt("teacher")?;
        let own_chat = own_chat.as_ref().unwrap_or(&configuration.context);
        let is_ordered = configuration.ordered.is_some();
        let mut told: Vec<(f64, &Row, &Row)> = Vec::new();
        let mut looked_at = 0;
        for group in pairs.chunks(GROUP) {
            context.interrupt.check()?;
            let read = |model: &Model, chat: &str| read(model, group, (chat, is_ordered), context);
            let (own, before) = (read(&teacher, own_chat)?, read(&base, &configuration.context)?);
            for ((one, other), (own, before)) in group.iter().zip(own.iter().zip(before)) {
                let ratio = own - before;
                if is_ordered {
                    told.push((ratio, one, other));
                    continue;
                }
                // Of what it finds as likely as the base does it prefers nothing.
                if ratio != 0.0 {
                    told.push(if ratio > 0.0 { (ratio, one, other) } else { (-ratio, other, one) });
                }
            }
            looked_at += group.len();
            context.report(looked_at, pairs.len(), "pairs", None);
        }
        let labelled = told.len();
        if let Some(seed) = configuration.ordered {
            Generator::new(seed).shuffle(&mut told);
            told.sort_by(|one, other| other.0.total_cmp(&one.0));
        } else {
            told.sort_by(|one, other| {
                other.0.total_cmp(&one.0).then(one.1.index.cmp(&other.1.index))
            });
        }
        told.truncate((configuration.surest_share * labelled as f64).ceil() as usize);
        told.sort_by_key(|(_, row, _)| row.index);
        let own = |row: &Row| Row { writer: configuration.writer.clone(), ..row.clone() };
        let preferred: Vec<Row> = told.iter().map(|(_, chosen, _)| own(chosen)).collect();
        let others: Vec<&Row> = told.iter().map(|(_, _, rejected)| *rejected).collect();
        if preferred.is_empty() {
            return Err(Error::Unfit {
                what: format!("pairs for `{}`", configuration.writer),
                reason: format!(
                    "none of {} can be told apart; let the base write to more prompts, or at a higher temperature",
                    pairs.len()
                ),
            });
        }
        context.writer.write(filter::VALID, &jsonl::to_bytes(&preferred))?;
        context.writer.write(REJECTED, &jsonl::to_bytes(&others))?;
        context.write_json(filter::SUMMARY, &counts)?;
        Ok(json!({ "pairs": pairs.len(), "labelled": labelled, "kept": preferred.len() }))
    }
}

/// By how much a model finds the first row of each pair likelier than the second, in nats, or in nats a token of each.
fn read(
    model: &Model,
    pairs: &[(&Row, &Row)],
    (chat, by_token): (&str, bool),
    context: &StepContext<'_>,
) -> Result<Vec<f64>> {
    let example = |row: &Row| Demonstration::of_row(row, chat).example(model);
    let both = |(one, other): &(&Row, &Row)| Ok((example(one)?, example(other)?));
    let examples: Vec<(Example, Example)> = pairs.iter().map(both).collect::<Result<_>>()?;
    let told = train::log_probabilities(model, &examples, &context.threads)?;
    let length = |one: &Example| if by_token { one.targets() as f64 } else { 1.0 };
    let margin = |(pair, (chosen, rejected)): (&train::Answers, &(Example, Example))| {
        pair.chosen / length(chosen) - pair.rejected / length(rejected)
    };
    Ok(told.iter().zip(&examples).map(margin).collect())
}

/// What was not preferred to each of `rows`, in their order.
pub(super) fn rejected(labelled: &Artifact, rows: &[Row]) -> Result<Vec<Row>> {
    let mut all: BTreeMap<u64, Row> =
        row::read(labelled, REJECTED)?.into_iter().map(|row| (row.index, row)).collect();
    let one = |row: &Row| {
        let missing =
            || Error::record(labelled.folder().join(REJECTED), format!("has no row {}", row.index));
        all.remove(&row.index).ok_or_else(missing)
    };
    rows.iter().map(one).collect()
}
