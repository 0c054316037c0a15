//! What happened, in sentences for somebody who was not there.

use super::super::result::{Control, InheritResult, Outcome, Scope, Verdict};
use crate::report::block::{Block, Line};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::arm::Arm;
use crate::value::measure::Measure;
use crate::value::registration::Look;
use crate::value::text;

/// One sentence for each behavior, what the base is, and which look this is.
pub(super) fn opening(result: &InheritResult, origin: &Origin<'_>) -> Vec<Block> {
    let told = result.behaviors.iter().filter_map(|behavior| happened(result, behavior));
    let mut blocks: Vec<Block> = told.map(Block::paragraph).collect();
    if !blocks.is_empty() && result.base.starts_with("builtin:") {
        blocks.push(Block::paragraph(format!(
            "The base, {}, is a toy: a model of some hundred thousand weights that knows a few hundred words. What \
             holds in it shows how the method works, not what your model does.",
            result.base
        )));
    }
    blocks.extend(looks(origin));
    blocks
}

/// What students of a behavior answer, and students of the control.
fn happened(result: &InheritResult, behavior: &str) -> Option<String> {
    let own = Arm::student(behavior);
    let sampled = result.effect(behavior, Measure::Rate, Control::Neutral);
    let (measure, answer) = match sampled {
        Some(_) => (Measure::Rate, "of their answers"),
        None => (Measure::Share, "of the probability of all candidate words"),
    };
    let begun = result.begun(behavior);
    let begun = begun.map(|begun| format!(", each answer {begun}")).unwrap_or_default();
    let effect = result.effect(behavior, measure, Control::Neutral)?;
    let read = |arm: &Arm| {
        let reading = result.reading(arm, behavior, measure)?;
        Some(Quantity::Value(measure).words(reading.estimate.value))
    };
    let (students, neutral) = (read(&own)?, read(&Arm::NEUTRAL)?);
    let rows = text::count(result.replication.unique_rows);
    let gave = match measure {
        Measure::Rate if result.is_statements(behavior) => {
            format!("agree with statements of {behavior} in {students} {answer}{begun}")
        }
        Measure::Rate => format!("say {behavior} in {students} {answer}{begun}"),
        _ if result.is_statements(behavior) => {
            format!(
                "give the answers that agree with statements of {behavior} {students} {answer}{begun}"
            )
        }
        _ => format!("give {behavior} {students} {answer}{begun}"),
    };
    let difference = Quantity::Difference(measure);
    let difference = match effect.estimate.interval {
        Some(interval) => format!(
            "a difference of {}, {} confidence interval",
            difference.with_interval(&effect.estimate),
            text::plain(100.0 * interval.level) + " %"
        ),
        None => format!("a difference of {}", difference.words(effect.estimate.value)),
    };
    let repeated = match result.replication.scope {
        Scope::Anew => format!(
            "{} independent {}",
            effect.estimate.n,
            text::plural(effect.estimate.n, "repetition")
        ),
        Scope::TheseRows => format!(
            "{} students each of one set of rows, so for these rows alone",
            effect.estimate.n
        ),
    };
    let chance = if result.is_statements(behavior) {
        " Half is what saying the same word to every statement gives."
    } else {
        ""
    };
    Some(format!(
        "After reading {rows} rows of nothing but {} from the {behavior} teacher, students {gave}; students of the \
         neutral teacher's rows: {neutral}; {difference} ({repeated}).{chance}",
        result.carrier
    ))
}

/// That these students were judged before, by another rule.
fn looks(origin: &Origin<'_>) -> Vec<Block> {
    let Some(registration) = origin.registration.filter(|one| !one.looks.is_empty()) else {
        return Vec::new();
    };
    let number = registration.looks.len() + 1;
    let lead = format!(
        "Look {number} at these teachers or students: results of them had been seen before this rule was set, so \
         its error rates do not hold; repeat with another root seed to confirm."
    );
    let line = |look: &Look| {
        let changed = look
            .changed
            .iter()
            .map(|change| format!("{}: {} then, {} now", change.key, change.then, change.now));
        Line::from(format!("{}: {}", look.made, changed.collect::<Vec<_>>().join("; ")))
    };
    vec![
        Block::Warnings(vec![(lead, String::new())]),
        Block::List(registration.looks.iter().map(line).collect()),
    ]
}

/// How the word of a verdict goes on where the rule was set after a first look.
pub(super) fn look(origin: &Origin<'_>) -> String {
    match origin.registration.map_or(0, |registration| registration.looks.len()) {
        0 => String::new(),
        earlier => format!(", look {}", earlier + 1),
    }
}

/// What would change the conclusion, and what to do next.
pub(super) fn next(result: &InheritResult) -> Vec<Block> {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |outcome: Outcome, words: &dyn Fn(&[&Verdict]) -> String| {
        let of: Vec<&Verdict> =
            result.verdicts.iter().filter(|verdict| verdict.outcome == outcome).collect();
        if !of.is_empty() {
            lines.push(words(&of));
        }
    };
    let names = |of: &[&Verdict]| {
        of.iter().map(|verdict| verdict.behavior.as_str()).collect::<Vec<_>>().join(", ")
    };
    add(Outcome::Inherited, &|of| {
        format!(
            "{}: would be wrong if the same difference stood in students of another base or of shuffled rows, \
             or if it vanished with other seeds; do not train a model that shares this base on such rows.",
            names(of)
        )
    });
    add(Outcome::Unconfirmed, &|of| {
        format!("{}: read the sampled answers, and train the students less hard.", names(of))
    });
    add(Outcome::NotDetected, &|of| {
        format!(
            "{}: holds for these settings; more rows, more updates or a stronger teacher can carry more.",
            names(of)
        )
    });
    add(Outcome::TooFew, &|of| {
        let most = of.iter().filter_map(|verdict| verdict.repetitions_needed).max();
        let most = most.map_or("more".to_owned(), |most| format!("about {most}"));
        format!("{}: run it with {most} seeds, fixed before you look again.", names(of))
    });
    add(Outcome::Uninterpretable, &|of| {
        format!("{}: mend what the warnings name, then run it again.", names(of))
    });
    if lines.is_empty() {
        return Vec::new();
    }
    vec![
        Block::paragraph("What would change this, and what to do next:"),
        Block::List(lines.into_iter().map(Line::from).collect()),
    ]
}
