//! Conditions, teachers, rows and side effects, each as the result shows it.

use std::collections::BTreeMap;

use super::{Given, PREFIXED, Read, statistics};
use crate::error::Result;
use crate::kind::inherit::old_readout::{ModelReadout, Reading, Samples};
use crate::kind::inherit::result::{
    Condition, Cosine, Estimate, Geometry, Interval, Measure, Method, ReadoutSummary, Role,
    RowsCard, SeedReadout, SideEffect, TeacherCard,
};
use crate::scorer::outcome::OutcomeTable;
use crate::stats;
use crate::step::side_effects::Measured;
use crate::value::text::counted;

/// A teacher surer of its target than this may have little else left to say.
///
/// At P = 0.999 the odds are 1,000 to 1, about seven nats: the loss on its answers, and with it the
/// gradient that could still reshape the rest of the model, is below 0.001 nats, so further updates
/// only inflate weights. It is a rule of thumb and makes a warning, not a gate.
const SATURATED: f64 = 0.999;

/// What one model says of one behavior in one context.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    /// What its log-probabilities say, where they were told.
    pub(super) logits: Option<Logits>,
    pub(super) rate: Option<f64>,
    pub(super) outcomes: Option<OutcomeTable>,
}

/// What log-probabilities say: means over questions, and by question.
#[derive(Clone, Debug)]
pub(super) struct Logits {
    pub(super) margin: f64,
    pub(super) share: f64,
    pub(super) rank: f64,
    pub(super) probability: f64,
    margins: Vec<f64>,
    shares: Vec<f64>,
}

/// Condition, context and behavior.
type Key = (String, String, String);

/// Scores by condition, context and behavior: one per model (or draw), with its seed.
pub(super) struct Scores {
    finals: BTreeMap<Key, Vec<(Option<u64>, Score)>>,
}

impl Scores {
    /// Scores of a condition's models.
    pub(super) fn of(
        &self,
        condition: &str,
        context: &str,
        behavior: &str,
    ) -> &[(Option<u64>, Score)] {
        let key = (condition.to_owned(), context.to_owned(), behavior.to_owned());
        self.finals.get(&key).map_or(&[], Vec::as_slice)
    }
}

fn score(reading: &Reading) -> Score {
    let logits = Logits {
        margin: reading.mean_margin(),
        share: reading.mean_share(),
        rank: reading.mean_rank(),
        probability: reading.mean_probability(),
        margins: reading.questions.iter().map(|question| question.margin).collect(),
        shares: reading.questions.iter().map(|question| question.share).collect(),
    };
    Score { logits: Some(logits), rate: None, outcomes: None }
}

pub(super) fn scores(given: &Given) -> Scores {
    let mut scores = Scores { finals: BTreeMap::new() };
    for entry in &given.configuration.reads {
        let Some(readout) = given.readouts.get(&entry.input) else {
            continue;
        };
        let drawn = entry.role == Role::InContext;
        let used = if drawn {
            &readout.checkpoints[..]
        } else {
            &readout.checkpoints[readout.checkpoints.len().saturating_sub(1)..]
        };
        for checkpoint in used {
            for reading in &checkpoint.readings {
                let mut score = score(reading);
                let samples = samples_of(readout, &reading.behavior, &reading.context, false);
                add_rates(&mut score, samples);
                // A prompted teacher is read under its own prompt: that is its matched context.
                let context =
                    if entry.role == Role::Teacher { given.matched() } else { &reading.context };
                let key = (entry.condition.clone(), context.to_owned(), reading.behavior.clone());
                scores.finals.entry(key).or_default().push((entry.seed, score));
            }
        }
        for reading in &readout.prefixed {
            let matched = entry.role == Role::Teacher || reading.context == given.matched();
            if !matched {
                continue;
            }
            let mut score = score(reading);
            let samples = samples_of(readout, &reading.behavior, &reading.context, true);
            add_rates(&mut score, samples);
            let key = (entry.condition.clone(), PREFIXED.to_owned(), reading.behavior.clone());
            scores.finals.entry(key).or_default().push((entry.seed, score));
        }
        // Answers of a model that tells no log-probabilities, or too few.
        for samples in &readout.samples {
            let same = |reading: &Reading| {
                reading.behavior == samples.behavior && reading.context == samples.context
            };
            let read = if samples.prefix {
                readout.prefixed.iter().any(same)
            } else {
                used.iter().flat_map(|checkpoint| &checkpoint.readings).any(same)
            };
            let matched = entry.role == Role::Teacher || samples.context == given.matched();
            if read || (samples.prefix && !matched) {
                continue;
            }
            let mut score = Score::default();
            add_rates(&mut score, Some(samples));
            let context = match entry.role {
                _ if samples.prefix => PREFIXED,
                Role::Teacher => given.matched(),
                _ => &samples.context,
            };
            let key = (entry.condition.clone(), context.to_owned(), samples.behavior.clone());
            scores.finals.entry(key).or_default().push((entry.seed, score));
        }
    }
    // Margins of some models of a condition are a selection; they count only where all have one.
    for models in scores.finals.values_mut() {
        if models.iter().any(|(_, score)| score.logits.is_none()) {
            for (_, score) in models.iter_mut() {
                score.logits = None;
            }
        }
    }
    scores
}

fn samples_of<'a>(
    readout: &'a ModelReadout,
    behavior: &str,
    context: &str,
    prefix: bool,
) -> Option<&'a Samples> {
    readout.samples.iter().find(|samples| {
        samples.behavior == behavior && samples.context == context && samples.prefix == prefix
    })
}

/// Question → student: the mean over questions of each question's rate.
fn add_rates(score: &mut Score, samples: Option<&Samples>) {
    let Some(samples) = samples else {
        return;
    };
    let rates: Vec<f64> = samples.questions.iter().filter_map(OutcomeTable::rate).collect();
    if rates.is_empty() {
        return;
    }
    score.rate = Some(rates.iter().sum::<f64>() / rates.len() as f64);
    let mut all = OutcomeTable::default();
    for table in &samples.questions {
        all.merge(table);
    }
    score.outcomes = Some(all);
}

/// A mean with a t interval over `values`; one value has none.
pub(super) fn t(values: &[f64], level: f64, method: Method, unit: &str) -> Result<Estimate> {
    let value = stats::mean(values).map_err(|error| statistics(&error))?;
    let interval = if values.len() < 2 {
        None
    } else {
        let interval = stats::t_interval(values, level).map_err(|error| statistics(&error))?;
        // Models that do not differ at all say nothing about further ones.
        (interval.high > interval.low).then_some(Interval {
            low: interval.low,
            high: interval.high,
            level,
        })
    };
    Ok(Estimate {
        value,
        method: if interval.is_some() { method } else { Method::None },
        interval,
        unit: unit.to_owned(),
        n: values.len(),
    })
}

fn wilson(hits: u64, n: u64, level: f64) -> Result<Option<Estimate>> {
    if n == 0 {
        return Ok(None);
    }
    let interval = stats::wilson(hits, n, level).map_err(|error| statistics(&error))?;
    Ok(Some(Estimate {
        value: hits as f64 / n as f64,
        interval: Some(Interval { low: interval.low, high: interval.high, level }),
        method: Method::Wilson,
        unit: "answer".to_owned(),
        n: n as usize,
    }))
}

fn summary(
    scores: &[(Option<u64>, Score)],
    role: Role,
    context: &str,
    level: f64,
) -> Result<Option<ReadoutSummary>> {
    if scores.is_empty() {
        return Ok(None);
    }
    let single = scores.len() == 1 && scores[0].0.is_none();
    let unit = match role {
        Role::InContext => "draw of rows",
        Role::Teacher => "teacher",
        _ => "student",
    };
    let logits: Option<Vec<&Logits>> =
        scores.iter().map(|(_, score)| score.logits.as_ref()).collect();
    let over = |value: fn(&Logits) -> f64, questions: fn(&Logits) -> &Vec<f64>| {
        let Some(logits) = &logits else {
            return Ok(None);
        };
        if single {
            let questions = questions(logits[0]);
            return t(questions, level, Method::TOverQuestions, "question").map(Some);
        }
        let values: Vec<f64> = logits.iter().map(|logits| value(logits)).collect();
        t(&values, level, Method::T, unit).map(Some)
    };
    let mut outcomes = OutcomeTable::default();
    for (_, score) in scores {
        if let Some(table) = &score.outcomes {
            outcomes.merge(table);
        }
    }
    let rates: Vec<f64> = scores.iter().filter_map(|(_, score)| score.rate).collect();
    let valid: Vec<f64> =
        scores.iter().filter_map(|(_, score)| score.outcomes.as_ref()?.rate_of_valid()).collect();
    let rate = |values: &[f64], n: u64| {
        if values.is_empty() {
            Ok(None)
        } else if single {
            wilson(outcomes.target, n, level)
        } else {
            t(values, level, Method::T, unit).map(Some)
        }
    };
    Ok(Some(ReadoutSummary {
        context: context.to_owned(),
        margin: over(|logits| logits.margin, |logits| &logits.margins)?,
        share: over(|logits| logits.share, |logits| &logits.shares)?,
        rank: logits.as_ref().map(|logits| {
            logits.iter().map(|logits| logits.rank).sum::<f64>() / logits.len() as f64
        }),
        rate: rate(&rates, outcomes.total())?,
        rate_of_valid: rate(&valid, outcomes.valid())?,
        outcomes: outcome_counts(&outcomes),
        per_seed: scores
            .iter()
            .map(|(seed, score)| {
                let hits = score.outcomes.as_ref().map(|table| (table.target, table.total()));
                let rate = match hits {
                    Some((hits, answers)) => wilson(hits, answers, level)?,
                    None => None,
                };
                let logits = score.logits.as_ref();
                Ok(SeedReadout {
                    seed: *seed,
                    margin: logits.map(|logits| logits.margin),
                    share: logits.map(|logits| logits.share),
                    rank: logits.map(|logits| logits.rank),
                    rate: score.rate,
                    rate_interval: rate.and_then(|rate| rate.interval),
                })
            })
            .collect::<Result<_>>()?,
    }))
}

fn outcome_counts(table: &OutcomeTable) -> BTreeMap<String, usize> {
    if table.total() == 0 {
        return BTreeMap::new();
    }
    table.rows().into_iter().map(|(name, count)| (name, count as usize)).collect()
}

pub(super) fn conditions(given: &Given, scores: &Scores) -> Result<Vec<Condition>> {
    let mut seen: Vec<&Read> = Vec::new();
    for entry in &given.configuration.reads {
        if !seen.iter().any(|known| known.condition == entry.condition) {
            seen.push(entry);
        }
    }
    let level = given.level();
    seen.into_iter()
        .map(|entry| {
            let read = |context: &str| -> Result<BTreeMap<String, ReadoutSummary>> {
                let mut found = BTreeMap::new();
                for behavior in given.behaviors() {
                    let of = scores.of(&entry.condition, context, behavior);
                    if let Some(summary) = summary(of, entry.role, context, level)? {
                        found.insert(behavior.clone(), summary);
                    }
                }
                Ok(found)
            };
            let mut mismatched = BTreeMap::new();
            for context in given.other_contexts() {
                let found = read(context)?;
                if !found.is_empty() {
                    mismatched.insert(context.to_owned(), found);
                }
            }
            Ok(Condition {
                id: entry.condition.clone(),
                label: label(entry),
                role: entry.role,
                taught: entry.taught.clone(),
                readouts: read(given.matched())?,
                mismatched,
            })
        })
        .collect()
}

fn label(entry: &Read) -> String {
    let rows = entry.condition.rsplit('/').next().unwrap_or_default();
    match (entry.role, &entry.taught) {
        (Role::Student, Some(name)) => format!("students of the {name} teacher"),
        (Role::Neutral, _) => "students of the neutral teacher".to_owned(),
        (Role::Teacher, Some(name)) => format!("{name} teacher"),
        (Role::InContext, name) => {
            let arm = name.as_deref().unwrap_or("neutral");
            format!("base shown {rows} {arm} rows")
        }
        (role, Some(name)) => format!("{}, {name}", role.label()),
        (role, None) => role.label().to_owned(),
    }
}

pub(super) fn teachers(given: &Given, scores: &Scores) -> Vec<TeacherCard> {
    let recipe = &given.configuration.recipe;
    let kind = match recipe.teacher.kind {
        crate::kind::inherit::recipe::TeacherKind::FineTune => "fine-tune",
        crate::kind::inherit::recipe::TeacherKind::SystemPrompt => "system-prompt",
    };
    given
        .configuration
        .arms
        .iter()
        .map(|arm| {
            let taught = given.configuration.behaviors.contains(arm);
            let of = |condition: &str, value: fn(&Score) -> Option<f64>| {
                let scores = scores.of(condition, given.matched(), arm);
                let values: Option<Vec<f64>> =
                    scores.iter().map(|(_, score)| value(score)).collect();
                let values = values.filter(|values| !values.is_empty())?;
                Some(values.iter().sum::<f64>() / values.len() as f64)
            };
            let sure = |score: &Score| score.logits.as_ref().map(|logits| logits.probability);
            // Where answers are the measure, they are the teacher's as well.
            let rate = |condition: &str| {
                let rate = of(condition, |score| score.rate);
                rate.filter(|_| given.primary() == Measure::Rate)
            };
            let teacher = format!("teacher/{arm}");
            let was_trained =
                given.configuration.reads.iter().any(|entry| entry.condition == teacher);
            let probability = of(&teacher, sure);
            TeacherCard {
                name: arm.clone(),
                kind: if was_trained { kind } else { "base" }.to_owned(),
                target_probability_before: of("base", sure).filter(|_| taught),
                target_probability_after: probability,
                target_rate_before: rate("base").filter(|_| taught),
                target_rate_after: rate(&teacher),
                margin: of(&teacher, |score| score.logits.as_ref().map(|logits| logits.margin)),
                valid_row_rate: given
                    .judged
                    .get(arm)
                    .map_or(0.0, |judged| judged.valid as f64 / judged.asked.max(1) as f64),
                saturated: probability.is_some_and(|probability| probability > SATURATED),
            }
        })
        .collect()
}

pub(super) fn rows(given: &Given) -> Vec<RowsCard> {
    given
        .configuration
        .arms
        .iter()
        .filter_map(|arm| {
            let judged = given.judged.get(arm)?;
            let selected = given.selected.get(arm)?;
            Some(RowsCard {
                arm: arm.clone(),
                asked: judged.asked,
                valid: judged.valid,
                rejected: judged.rejected.clone(),
                unmatched: selected.unmatched,
                duplicates: selected.duplicates,
                leaks: judged.leaks,
                cut_off: judged.cut_off,
                kept: selected.kept,
                samples: given.samples.get(arm).cloned().unwrap_or_default(),
                rejected_samples: judged.rejected_samples.clone(),
            })
        })
        .collect()
}

/// Margins that could not be read, in words: per behavior and context, in how many models.
pub(super) fn unread(given: &Given) -> Vec<String> {
    let mut found: BTreeMap<(&str, &str), (usize, usize, usize)> = BTreeMap::new();
    for entry in &given.configuration.reads {
        for unread in given.readouts.get(&entry.input).into_iter().flat_map(|read| &read.unread) {
            let context = if unread.prefix { PREFIXED } else { given.matched() };
            let matched = entry.role == Role::Teacher || unread.context == given.matched();
            let context = if matched { context } else { &unread.context };
            let (models, missing, questions) =
                found.entry((&unread.behavior, context)).or_default();
            *models += 1;
            *missing += unread.missing;
            *questions += unread.questions;
        }
    }
    found
        .into_iter()
        .map(|((behavior, context), (models, missing, questions))| {
            format!(
                "margins of {behavior} in context `{context}`: the endpoint tells too few tokens to hold every candidate, for {missing} of {questions} questions to {}; rates are read instead",
                counted(models, "model")
            )
        })
        .collect()
}

/// Of the students, and of the base.
type Pick = fn(&Measured) -> (Option<f64>, Option<f64>);

pub(super) fn side_effects(given: &Given) -> Result<Vec<SideEffect>> {
    let measures: [(&str, &str, Pick); 3] = [
        ("held-out-loss", "loss on held-out rows of their teacher, nats per token", |measured| {
            (measured.held_out_loss, measured.base_held_out_loss)
        }),
        (
            "ability-loss",
            "loss on held-out rows of the neutral teacher, nats per token",
            |measured| (measured.ability_loss, measured.base_ability_loss),
        ),
        ("valid-row-rate", "valid rows among those they write without constraint", |measured| {
            (Some(measured.valid_row_rate), None)
        }),
    ];
    let mut effects = Vec::new();
    for (condition, measured) in &given.measured {
        for (measure, label, pick) in measures {
            let values: Vec<f64> = measured.iter().filter_map(|one| pick(one).0).collect();
            if values.is_empty() {
                continue;
            }
            effects.push(SideEffect {
                condition: condition.clone(),
                measure: measure.to_owned(),
                label: label.to_owned(),
                estimate: t(&values, given.level(), Method::T, "student")?,
                base: measured.first().and_then(|one| pick(one).1),
            });
        }
    }
    Ok(effects)
}

pub(super) fn geometry(given: &Given) -> Result<Option<Geometry>> {
    let mut cosines = Vec::new();
    for (condition, by_teacher) in &given.cosines {
        for (teacher, all) in by_teacher {
            let layers = all.first().map_or(0, |one| one.per_layer.len());
            let values = |pick: fn(&crate::step::geometry::Cosines) -> f64| -> Vec<f64> {
                all.iter().map(pick).collect()
            };
            cosines.push(Cosine {
                condition: condition.clone(),
                teacher: teacher.clone(),
                total: t(&values(|one| one.total), given.level(), Method::T, "student")?,
                per_layer: (0..layers)
                    .map(|layer| {
                        let sum: f64 = all.iter().filter_map(|one| one.per_layer.get(layer)).sum();
                        sum / all.len() as f64
                    })
                    .collect(),
                permuted: t(&values(|one| one.permuted), given.level(), Method::T, "student")?,
            });
        }
    }
    Ok((!cosines.is_empty()).then_some(Geometry { cosines }))
}
