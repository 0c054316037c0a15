//! From what models gave to readings: a group-by with a mean over questions, then over models.

use std::collections::BTreeMap;

use super::{Given, statistics};
use crate::error::Result;
use crate::kind::inherit::old_readout::{self as readout, ModelReadout, Samples};
use crate::kind::inherit::result::{
    Answers, Arm, Estimate, Frame, Interval, Measure, Method, ModelReading, Reading,
};
use crate::scorer::outcome::OutcomeTable;
use crate::stats;
use crate::value::text::counted;

/// What readings are grouped by, beside their measure: arm, context, frame and behavior.
type Place = (Arm, String, Frame, String);

/// What one model (or draw of rows) gave to one behavior's questions in one place.
#[derive(Clone, Debug, Default)]
struct Model {
    seed: Option<u64>,
    /// By measure, for each question in the behavior's order, all it gave.
    values: BTreeMap<Measure, Vec<Vec<f64>>>,
    outcomes: OutcomeTable,
}

impl Model {
    /// Mean over the answers to each question, of those that have one.
    fn of_questions(&self, measure: Measure) -> Vec<f64> {
        let questions = self.values.get(&measure).into_iter().flatten();
        let mean = |given: &Vec<f64>| given.iter().sum::<f64>() / given.len() as f64;
        questions.filter(|given| !given.is_empty()).map(mean).collect()
    }

    /// What the model gave in all: hits and answers.
    fn counts(&self, measure: Measure) -> (u64, u64) {
        let all = self.values.get(&measure).into_iter().flatten().flatten();
        all.fold((0, 0), |(hits, n), value| (hits + u64::from(*value > 0.0), n + 1))
    }

    /// Its value: the mean over questions, so that one asked more often does not weigh more; where the
    /// measure is pooled, the mean over all it gave.
    fn value(&self, measure: Measure) -> Option<f64> {
        let values = if measure.is_pooled() {
            self.values.get(&measure)?.iter().flatten().copied().collect()
        } else {
            self.of_questions(measure)
        };
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// All readings in the order of arms, places, behaviors and measures, and the answers behind them.
pub(super) fn readings(given: &Given) -> Result<(Vec<Reading>, Vec<Answers>)> {
    let models = models(given);
    let (mut readings, mut answers) = (Vec::new(), Vec::new());
    let matched = (given.matched(), Frame::Plain);
    for arm in given.arms() {
        for (context, frame) in std::iter::once(matched).chain(given.elsewhere()) {
            for behavior in given.behaviors() {
                let place = (arm.clone(), context.to_owned(), frame, behavior.clone());
                let Some(models) = models.get(&place) else { continue };
                for measure in Measure::ALL {
                    readings.extend(reading(&place, models, measure, given.level())?);
                }
                let mut outcomes = OutcomeTable::default();
                models.iter().for_each(|model| outcomes.merge(&model.outcomes));
                if outcomes.total() > 0 {
                    let (arm, context, frame, behavior) = place;
                    let rows = outcomes.rows().into_iter();
                    let outcomes = rows.map(|(name, count)| (name, count as usize)).collect();
                    answers.push(Answers { arm, context, frame, behavior, outcomes });
                }
            }
        }
    }
    Ok((readings, answers))
}

/// The reading of one arm in one place; `None` where it was not read in this measure.
fn reading(
    (arm, context, frame, behavior): &Place,
    models: &[Model],
    measure: Measure,
    level: f64,
) -> Result<Option<Reading>> {
    let read: Vec<(&Model, f64)> =
        models.iter().filter_map(|model| Some((model, model.value(measure)?))).collect();
    // Log-probabilities of some models of an arm are a selection; they count only where all have them.
    let selection = measure.needs_log_probabilities() && read.len() < models.len();
    if read.is_empty() || selection {
        return Ok(None);
    }
    let single = match models {
        [model] if model.seed.is_none() => Some(model),
        _ => None,
    };
    let estimate = match single {
        Some(model) if measure.needs_log_probabilities() => {
            t(&model.of_questions(measure), level, Method::TOverQuestions, measure.unit_within())?
        }
        Some(model) => {
            let (hits, n) = model.counts(measure);
            Estimate {
                value: hits as f64 / n as f64,
                interval: Some(wilson(hits, n, level)?),
                method: Method::Wilson,
                unit: measure.unit_within().to_owned(),
                n: n as usize,
            }
        }
        None => {
            let values: Vec<f64> = read.iter().map(|(_, value)| *value).collect();
            t(&values, level, Method::T, arm.unit())?
        }
    };
    let models = read.into_iter().map(|(model, value)| {
        let interval = if measure.needs_log_probabilities() {
            None
        } else {
            let (hits, n) = model.counts(measure);
            Some(wilson(hits, n, level)?)
        };
        Ok(ModelReading { seed: model.seed, value, interval })
    });
    Ok(Some(Reading {
        arm: arm.clone(),
        context: context.clone(),
        frame: *frame,
        behavior: behavior.clone(),
        measure,
        estimate,
        models: models.collect::<Result<_>>()?,
    }))
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

fn wilson(hits: u64, n: u64, level: f64) -> Result<Interval> {
    let interval = stats::wilson(hits, n, level).map_err(|error| statistics(&error))?;
    Ok(Interval { low: interval.low, high: interval.high, level })
}

/// What every model gave, at the end of training, by place.
fn models(given: &Given) -> BTreeMap<Place, Vec<Model>> {
    let mut found: BTreeMap<Place, Vec<Model>> = BTreeMap::new();
    for entry in &given.configuration.reads {
        let Some(readout) = given.readouts.get(&entry.input) else { continue };
        let place = |context: &str, frame: Frame, behavior: &str| -> Option<Place> {
            // A prompted teacher is read under its own prompt: that is its matched context.
            let own = matches!(entry.arm, Arm::Teacher(_));
            let context = if own { given.matched() } else { context };
            let known = frame == Frame::Plain || context == given.matched();
            known.then(|| (entry.arm.clone(), context.to_owned(), frame, behavior.to_owned()))
        };
        let checkpoints = &readout.checkpoints;
        let used = match entry.arm {
            Arm::InContext { .. } => &checkpoints[..],
            _ => &checkpoints[checkpoints.len().saturating_sub(1)..],
        };
        let plain = used.iter().flat_map(|checkpoint| &checkpoint.readings);
        let read = plain.map(|reading| (Frame::Plain, reading));
        let read: Vec<(Frame, &readout::Reading)> =
            read.chain(readout.prefixed.iter().map(|one| (Frame::AfterNumbers, one))).collect();
        for &(frame, reading) in &read {
            let Some(place) = place(&reading.context, frame, &reading.behavior) else { continue };
            let mut model = Model { seed: entry.seed, ..Model::default() };
            model.add_reading(reading);
            let samples = samples_of(readout, &reading.behavior, &reading.context, frame);
            samples.into_iter().for_each(|samples| model.add_samples(samples));
            found.entry(place).or_default().push(model);
        }
        // Answers of a model that tells no log-probabilities, or too few.
        for samples in &readout.samples {
            let frame = frame_of(samples);
            let known = read.iter().any(|(at, reading)| {
                *at == frame
                    && reading.behavior == samples.behavior
                    && reading.context == samples.context
            });
            if known {
                continue;
            }
            let Some(place) = place(&samples.context, frame, &samples.behavior) else { continue };
            let mut model = Model { seed: entry.seed, ..Model::default() };
            model.add_samples(samples);
            found.entry(place).or_default().push(model);
        }
    }
    found
}

fn frame_of(samples: &Samples) -> Frame {
    if samples.prefix { Frame::AfterNumbers } else { Frame::Plain }
}

fn samples_of<'a>(
    readout: &'a ModelReadout,
    behavior: &str,
    context: &str,
    frame: Frame,
) -> Option<&'a Samples> {
    readout.samples.iter().find(|samples| {
        samples.behavior == behavior && samples.context == context && frame_of(samples) == frame
    })
}

impl Model {
    fn add_reading(&mut self, reading: &readout::Reading) {
        for question in &reading.questions {
            for (measure, value) in [
                (Measure::Margin, question.margin),
                (Measure::Share, question.share),
                (Measure::Rank, question.rank),
                (Measure::Probability, question.probability),
            ] {
                self.values.entry(measure).or_default().push(vec![value]);
            }
        }
    }

    fn add_samples(&mut self, samples: &Samples) {
        for table in &samples.questions {
            let ones = |hits: u64, all: u64| (0..all).map(move |at| f64::from(u8::from(at < hits)));
            for (measure, all) in
                [(Measure::Rate, table.total()), (Measure::RateOfValid, table.valid())]
            {
                let values = ones(table.target, all).collect();
                self.values.entry(measure).or_default().push(values);
            }
            self.outcomes.merge(table);
        }
    }
}
/// Margins that could not be read, in words: per behavior and context, in how many models.
pub(super) fn unread(given: &Given) -> Vec<String> {
    let mut found: BTreeMap<(&str, &str), (usize, usize, usize)> = BTreeMap::new();
    for entry in &given.configuration.reads {
        for unread in given.readouts.get(&entry.input).into_iter().flat_map(|read| &read.unread) {
            let frame = if unread.prefix { Frame::AfterNumbers } else { Frame::Plain };
            let own = matches!(entry.arm, Arm::Teacher(_));
            let matched = own || unread.context == given.matched();
            let context = if matched { given.matched() } else { &unread.context };
            let context = frame.label().filter(|_| matched).unwrap_or(context);
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
