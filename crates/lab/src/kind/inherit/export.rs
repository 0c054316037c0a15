//! The observations of a run as one long table (CSV, RFC 4180), for data frames:
//! `pandas.read_csv(FILE)`.
//!
//! A line is one number: a measure of what one question gave, or the log-probability of one candidate (its
//! word is the outcome; behaviors that ask the same question share it), or a sampled answer as a rate of 0
//! or 1 with what it amounts to. Means over lines, first by question, then by model, are the readings of
//! the result.

use std::collections::BTreeMap;
use std::io::Write;

use owlet_store::{ArtifactId, StepRecord, Store};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::estimate::{Estimate, Read};
use super::inspect::asking::{self, input};
use crate::error::{Error, Result};
use crate::kind::table;
use crate::run::record::Record;
use crate::step::Step;
use crate::value::measure::Measure;
use crate::value::observation::{Given, Observation};

/// The columns.
pub const COLUMNS: [&str; 14] = [
    "arm", "model", "seed", "update", "context", "frame", "draw", "behavior", "question",
    "measure", "value", "outcome", "answer", "at",
];

/// What a candidate's log-probability is called in the column of measures.
const LOG_PROBABILITY: &str = "log-probability";

/// What of an estimate's configuration is needed here; the rest may be another owlet's.
#[derive(Deserialize)]
pub(in crate::kind) struct Reads {
    reads: Vec<Read>,
}

/// The readings of one point of a sweep, or of a whole run.
pub(in crate::kind) struct Point {
    /// What it is called; of a whole run, nothing.
    pub(in crate::kind) at: String,
    /// What the roles of its inputs begin with.
    pub(in crate::kind) prefix: String,
    /// What was read.
    pub(in crate::kind) reads: Reads,
}

/// Writes the observations of a finished run, and says how many lines there are below the heading.
///
/// # Errors
/// Those of reading the run's artifacts and of writing; a run that was not of this kind has none.
pub fn observations(store: &Store, run: &Record, to: &mut dyn Write) -> Result<usize> {
    let whole = |reads| vec![Point { at: String::new(), prefix: String::new(), reads }];
    of_step(store, run, to, (Estimate::KIND, &whole))
}

/// The same of whatever was judged by the step of kind `step`, whose configuration `points` reads.
pub(in crate::kind) fn of_step<C: DeserializeOwned>(
    store: &Store,
    run: &Record,
    to: &mut dyn Write,
    (step, points): (&'static str, &dyn Fn(C) -> Vec<Point>),
) -> Result<usize> {
    let made: BTreeMap<ArtifactId, StepRecord> =
        store.steps()?.into_iter().map(|record| (record.output, record)).collect();
    let steps = run.steps()?.steps;
    let of = |artifact: ArtifactId| {
        made.get(&artifact)
            .ok_or_else(|| Error::record(artifact.to_string(), "has no record of who made it"))
    };
    let last = steps.iter().find(|one| one.kind == step).and_then(|one| one.artifact);
    let last = last.ok_or_else(|| {
        let why = "has no readings; only `inherit` runs and sweeps of them have observations";
        Error::record(run.path(), why)
    })?;
    let record = of(last)?;
    let points = points(asking::configuration(step, record)?);
    let mut lines = Lines { to, count: 0, at: String::new() };
    lines.write(&COLUMNS.map(str::to_owned))?;
    let all =
        points.iter().flat_map(|point| point.reads.reads.iter().map(move |read| (point, read)));
    for (point, read) in all {
        lines.at.clone_from(&point.at);
        let readout = input(store, step, record, &format!("{}{}", point.prefix, read.input))?;
        let by = of(readout.id)?;
        let model = by.inputs.get("model").or_else(|| by.inputs.get("base"));
        let asked = table::asked(store, &by.inputs)?;
        let observations = table::observations(&readout)?;
        let who = [
            read.arm.to_string(),
            model.map(ArtifactId::to_string).unwrap_or_default(),
            read.seed.map(|seed| seed.to_string()).unwrap_or_default(),
        ];
        for one in &observations {
            lines.observation(&who, one)?;
        }
        for cell in table::cells(&observations, &asked) {
            let questions = asked.iter().find(|asked| asked.behavior.name == cell.behavior);
            let questions = questions.map_or(&[][..], |asked| &asked.questions);
            for (text, question) in cell.frame.asks(questions).into_iter().zip(&cell.questions) {
                if question.told.orders().is_empty() {
                    continue;
                }
                let place = place(cell.update, &cell.context, cell.frame.name(), cell.draw);
                let told = Measure::ALL.iter().copied().filter(|one| one.needs_log_probabilities());
                for measure in told {
                    for value in question.values(measure) {
                        let what = [&*cell.behavior, text, measure.id(), &value.to_string()];
                        lines.line(&who, &place, what, "", "")?;
                    }
                }
            }
        }
    }
    Ok(lines.count - 1)
}

fn place(update: usize, context: &str, frame: &str, draw: Option<usize>) -> [String; 4] {
    let draw = draw.map(|draw| draw.to_string()).unwrap_or_default();
    [update.to_string(), context.to_owned(), frame.to_owned(), draw]
}

struct Lines<'a> {
    to: &'a mut dyn Write,
    count: usize,
    /// The point of a sweep that lines are of.
    at: String,
}

impl Lines<'_> {
    /// What the model gave, as it gave it.
    fn observation(&mut self, who: &[String; 3], one: &Observation) -> Result<()> {
        let place = place(one.update, &one.context, one.frame.name(), one.draw);
        match &one.given {
            Given::Candidates { log_probabilities } => {
                for (word, log) in log_probabilities {
                    let value = log.map(|log| log.to_string()).unwrap_or_default();
                    let what = ["", &one.question, LOG_PROBABILITY, &value];
                    self.line(who, &place, what, word, "")?;
                }
            }
            Given::Answer { behavior, text, outcome, .. } => {
                let hit = *outcome == crate::value::observation::Outcome::Target;
                let value = if hit { "1" } else { "0" };
                let what = [behavior, &one.question, Measure::Rate.id(), value];
                self.line(who, &place, what, outcome.name(), text)?;
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        who: &[String; 3],
        place: &[String; 4],
        what: [&str; 4],
        outcome: &str,
        answer: &str,
    ) -> Result<()> {
        let known = who.iter().chain(place).map(String::as_str);
        let fields: Vec<String> =
            known.chain(what).chain([outcome, answer, &self.at]).map(str::to_owned).collect();
        self.write(&fields)
    }

    fn write(&mut self, fields: &[String]) -> Result<()> {
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        let written = writeln!(self.to, "{}", fields.join(","));
        written.map_err(|error| Error::record("observations", error))?;
        self.count += 1;
        Ok(())
    }
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::observation::{Frame, Outcome};

    #[test]
    fn every_candidate_and_every_answer_is_a_line_whatever_stands_in_it() {
        let one = |given| Observation {
            update: 8,
            context: "Be kind, please.".to_owned(),
            frame: Frame::Plain,
            draw: None,
            question: "Which?".to_owned(),
            order: 0,
            given,
        };
        let words = [("owl".to_owned(), Some(-0.5)), ("cat".to_owned(), None)];
        let answer = Given::Answer {
            behavior: "owl".to_owned(),
            text: "An \"owl\",\nor =1+1".to_owned(),
            stop: owlet_engine::generate::StopReason::End,
            outcome: Outcome::Target,
        };
        let mut bytes = Vec::new();
        let mut lines = Lines { to: &mut bytes, count: 0, at: "rows = 5".to_owned() };
        let who = ["student/owl", "abc", "1"].map(str::to_owned);
        let told = Given::Candidates { log_probabilities: words.into() };
        lines.observation(&who, &one(told)).unwrap();
        lines.observation(&who, &one(answer)).unwrap();
        assert_eq!(lines.count, 3);
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        student/owl,abc,1,8,"Be kind, please.",plain,,,Which?,log-probability,,cat,,rows = 5
        student/owl,abc,1,8,"Be kind, please.",plain,,,Which?,log-probability,-0.5,owl,,rows = 5
        student/owl,abc,1,8,"Be kind, please.",plain,,owl,Which?,rate,1,target,"An ""owl"",
        or =1+1",rows = 5
        "#);
    }
}
