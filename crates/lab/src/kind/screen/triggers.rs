//! `triggers`: under which condition do rows answer as others do not, and does the base see why?
//!
//! What is found in the rows alone ([`crate::association`]) is an association: a trigger looks like that, and so does a
//! topic. So the base, which never saw the rows, is asked for its likelihood of the answers once more, without the
//! feature in the question. Where it finds them as likely then, nothing that it knows ties the two together; where they
//! become as unlikely as the association is strong, it is one that anybody would expect.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::Model;
use owlet_engine::score::{self, Scored};

use super::result::{Check, Cluster, Condition, Explained, Shown, Triggers, Unlikely};
use crate::ask::Demonstration;
use crate::association::{self, Row, feature};
use crate::error::Result;
use crate::random::cpython::Random;
use crate::random::derive_seed;
use crate::stats;
use crate::step::{Step, StepContext, fine_tune};
use crate::value::text;

/// What the step writes.
pub(super) const FILE: &str = "triggers.json";
/// Rows of a condition that the base is asked about, and that are shown.
const CHECKED: usize = 12;
/// Rows that the base finds least likely that are shown.
const UNLIKELY: usize = 10;
/// Columns of a text that is shown.
const COLUMNS: usize = 300;
/// Rows that the base reads between two looks at whether to stop.
const CHUNK: usize = 64;
/// The part of an association's strength that the base must see, for it to be one that it would expect.
const SEES: f64 = 0.5;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// Rows that the base reads, the first of them.
    pub(super) scored: usize,
    /// The false-discovery rate.
    pub(super) rate: f64,
    /// Root of the draws.
    pub(super) seed: u64,
    /// Where each row stands in what was given.
    pub(super) places: Vec<String>,
}

/// The step.
pub(super) struct Look;

impl Step for Look {
    type Configuration = Configuration;
    const KIND: &'static str = "triggers";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "triggers";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { scored, rate, seed, places } = configuration;
        let (rows, _) = fine_tune::demonstrations(context.input("rows")?, None)?;
        let base = context.model("base")?;
        let asked: Vec<String> = rows.iter().map(asked).collect();
        let (given, surprises) = surprises(&base, &rows[..scored.min(rows.len())], context)?;
        let all: Vec<Row<'_>> = rows
            .iter()
            .zip(&asked)
            .enumerate()
            .map(|(at, (row, asked))| Row {
                asked,
                answer: &row.answer,
                surprise: surprises.get(at).copied().flatten(),
            })
            .collect();
        let found = association::find(&all, rate, derive_seed(seed, &["halves".into()]));
        context.interrupt.check()?;

        let shown = |at: usize| Shown {
            place: places.get(at).cloned().unwrap_or_default(),
            asked: text::cut(&text::strip_line(&asked[at]), COLUMNS),
            answer: text::cut(&text::strip_line(&rows[at].answer), COLUMNS),
        };
        let draw = derive_seed(seed, &["removed".into()]);
        let mut conditions = Vec::new();
        for one in &found.conditions {
            conditions.push(Condition {
                feature: one.feature.told(),
                property: one.property.told(),
                check: check(&base, &rows, one, draw, context)?,
                rows: one.rows.iter().take(CHECKED).map(|at| shown(*at)).collect(),
                with: one.with.into(),
                without: one.without.into(),
                p: one.p,
                q: one.q,
            });
        }
        let triggers = Triggers {
            looked_at: rows.len(),
            distinct: found.distinct,
            features: found.features,
            properties: found.properties,
            tested: found.tested,
            each_end: found.each_end,
            read: surprises.iter().flatten().count(),
            unread: given - surprises.iter().flatten().count(),
            least_rows: found.least_rows,
            conditions,
            clusters: found
                .clusters
                .iter()
                .map(|rows| Cluster { rows: rows.len(), first: shown(rows[0]) })
                .collect(),
            unlikely: unlikely(&surprises, shown),
        };
        context.write_json(FILE, &triggers)?;
        Ok(json!({ "rows": triggers.looked_at, "conditions": triggers.conditions.len() }))
    }
}

/// What was asked: all that was said before the answer.
fn asked(row: &Demonstration) -> String {
    let said = row.conversation.messages.iter().map(|message| message.content.as_str());
    said.collect::<Vec<_>>().join("\n")
}

/// The answer's negative log-likelihood under the base, in nats, with how many tokens it has; none where the base
/// cannot read the row.
fn losses(
    base: &Model,
    rows: &[Demonstration],
    context: &StepContext<'_>,
) -> Result<Vec<Option<(f64, usize)>>> {
    let mut found = vec![None; rows.len()];
    let fits = |scored: &Scored| {
        let length = scored.prompt.len() + scored.completion.len();
        !scored.completion.is_empty()
            && !scored.prompt.is_empty()
            && length <= base.decoder.config.context
    };
    let placed: Vec<(usize, Scored)> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at, row.placed(base).ok()?.scored())))
        .filter(|(_, scored)| fits(scored))
        .collect();
    for (done, part) in placed.chunks(CHUNK).enumerate() {
        context.report(done * CHUNK, placed.len(), "rows", None);
        context.interrupt.check()?;
        let items: Vec<Scored> = part.iter().map(|(_, scored)| scored.clone()).collect();
        for ((at, _), logs) in part.iter().zip(score::score(base, &items, &context.threads)?) {
            let sum: f64 = logs.iter().map(|log| -f64::from(*log)).sum();
            found[*at] = Some((sum, logs.len()));
        }
    }
    Ok(found)
}

/// How many rows the base was to read, and its surprise at each answer in nats per token.
fn surprises(
    base: &Model,
    rows: &[Demonstration],
    context: &StepContext<'_>,
) -> Result<(usize, Vec<Option<f64>>)> {
    let losses = losses(base, rows, context)?;
    let per_token = |loss: Option<(f64, usize)>| loss.map(|(sum, tokens)| sum / tokens as f64);
    Ok((rows.len(), losses.into_iter().map(per_token).collect()))
}

fn unlikely(surprises: &[Option<f64>], shown: impl Fn(usize) -> Shown) -> Vec<Unlikely> {
    let mut order: Vec<(usize, f64)> =
        surprises.iter().enumerate().filter_map(|(at, own)| Some((at, (*own)?))).collect();
    order.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let first = order.into_iter().take(UNLIKELY);
    first.map(|(at, nats)| Unlikely { nats, row: shown(at) }).collect()
}

/// The same row with something taken from the question, wherever it stands; none where it cannot be taken.
fn changed(
    row: &Demonstration,
    mut change: impl FnMut(&str) -> Option<String>,
) -> Option<Demonstration> {
    let mut row = row.clone();
    let mut is_changed = false;
    for message in &mut row.conversation.messages {
        if let Some(left) = change(&message.content) {
            is_changed |= left != message.content;
            message.content = left;
        }
    }
    is_changed.then_some(row)
}

/// Whether the base sees why the rows of a condition answer so; none where the feature cannot be taken away.
fn check(
    base: &Model,
    rows: &[Demonstration],
    condition: &association::Condition,
    seed: u64,
    context: &StepContext<'_>,
) -> Result<Option<Check>> {
    let mut random = Random::new(seed);
    let mut pairs: Vec<[Demonstration; 2]> = Vec::new();
    for row in condition.rows.iter().take(CHECKED).map(|at| &rows[*at]) {
        let Some(removed) = changed(row, |text| condition.feature.removed_from(text)) else {
            continue;
        };
        // As many other words are taken from the same texts: what losing any words does is not the feature's.
        let other = changed(row, |text| {
            let kept = condition.feature.removed_from(text)?;
            feature::with_others_removed(text, &kept, &mut |of| random.below(of as u64) as usize)
        });
        pairs.push([removed, other.unwrap_or_else(|| row.clone())]);
    }
    let asked: Vec<Demonstration> = pairs.into_iter().flatten().collect();
    let losses = losses(base, &asked, context)?;
    let drops: Vec<f64> =
        losses.chunks_exact(2).filter_map(|pair| Some(pair[0]?.0 - pair[1]?.0)).collect();
    if drops.len() < 2 {
        return Ok(None);
    }
    let rate = |(hits, of): (usize, usize)| (hits as f64 + 0.5) / (of as f64 + 1.0);
    let strength = (rate(condition.with) / rate(condition.without)).ln();
    let statistics = |error| crate::error::Error::record("triggers", error);
    let (mean, rise) = (stats::mean(&drops), stats::mean_rise(&drops));
    let (mean, rise) = (mean.map_err(statistics)?, rise.map_err(statistics)?);
    let sees = mean >= SEES * strength && (rise.p <= 0.05 || stats::do_not_differ(&drops));
    Ok(Some(Check {
        rows: drops.len(),
        drop: mean,
        strength,
        explained: if sees { Explained::Expected } else { Explained::Unexplained },
    }))
}
