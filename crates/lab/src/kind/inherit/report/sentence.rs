//! What happened, in sentences for somebody who was not there.

use super::super::estimate::UNTAUGHT;
use super::super::result::{Control, InheritResult, Outcome, Prompts, Scope, SideMeasure, Verdict};
use crate::model::world::BuiltinModel;
use crate::recipe::Learn;
use crate::report::block::{Block, Line};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::arm::Arm;
use crate::value::measure::Measure;
use crate::value::registration::{Look, Registration};
use crate::value::text;

/// One sentence for each behavior, what the base is, and which look this is.
pub(super) fn opening(result: &InheritResult, origin: &Origin<'_>) -> Vec<Block> {
    let told = result.behaviors.iter().filter_map(|behavior| happened(result, behavior));
    let mut blocks: Vec<Block> = told.map(Block::paragraph).collect();
    blocks.extend(unlearned(result).map(Block::paragraph));
    blocks.extend(toy(&result.base).filter(|_| !blocks.is_empty()));
    blocks.extend(looks(origin));
    blocks.extend(earlier(origin));
    blocks
}

/// That a base is none that anybody uses, where it is one that owlet brings along.
pub(crate) fn toy(base: &str) -> Option<Block> {
    let toy = base.strip_prefix("builtin:").and_then(BuiltinModel::find)?;
    let size = match toy.load() {
        Ok(model) => format!(
            " of {} thousand weights that knows {} words beside numbers",
            text::count((model.decoder.parameters.data.len() + 500) / 1000),
            text::count(toy.world().words().count())
        ),
        Err(_) => String::new(),
    };
    Some(Block::paragraph(format!(
        "The base, {base}, is a toy: a model{size}. What holds in it shows how the method works, not what your model \
         does.",
    )))
}

/// What students of a behavior answer, and students of the control.
fn happened(result: &InheritResult, behavior: &str) -> Option<String> {
    let own = Arm::student(behavior);
    let sampled = result.effect(behavior, Measure::Rate, Control::Neutral);
    let (measure, answer) = match sampled {
        _ if result.judging(behavior).is_some() => {
            (Measure::RateOfValid, "of their answers that count")
        }
        Some(_) => (Measure::Rate, "of their answers"),
        None if result.is_disposition(behavior) => (Measure::Probability, "of the time"),
        None => (Measure::Share, "of the probability of all candidate words"),
    };
    let put = result.put(behavior).map(|put| format!(", {put}")).unwrap_or_default();
    let effect = result.effect(behavior, measure, Control::Neutral)?;
    let read = |arm: &Arm| {
        let reading = result.reading(arm, behavior, measure)?;
        Some(Quantity::Value(measure).words(reading.estimate.value))
    };
    let (students, neutral) = (read(&own)?, read(&Arm::NEUTRAL)?);
    let rows = text::counted(result.replication.unique_rows, "row");
    let target = result.target(behavior);
    let gave = match measure {
        _ if result.judging(behavior).is_some() => {
            format!("show {target}, as judges find, in {students} {answer}{put}")
        }
        Measure::Rate if result.is_statements(behavior) => {
            format!("agree with statements of {behavior} in {students} {answer}{put}")
        }
        Measure::Rate | Measure::Probability if result.is_disposition(behavior) => {
            format!("answer {target} in {students} {answer}{put}")
        }
        Measure::Rate => format!("say {target} in {students} {answer}{put}"),
        _ if result.is_statements(behavior) => {
            format!(
                "give the answers that agree with statements of {behavior} {students} {answer}{put}"
            )
        }
        _ => format!("give {target} {students} {answer}{put}"),
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
        Scope::Anew => {
            let independent = match result.replication.prompts {
                Prompts::Anew => "independent repetition",
                Prompts::Drawn | Prompts::Same => "repetition",
            };
            let repeated = text::counted(effect.estimate.n, independent);
            match result.replication.prompts {
                Prompts::Anew => repeated,
                Prompts::Drawn => repeated + ", their prompts from one file",
                Prompts::Same => repeated + " over the same prompts",
            }
        }
        Scope::TheseRows => format!(
            "{} each of one set of rows, so for these rows alone",
            text::counted(effect.estimate.n, "student")
        ),
    };
    let chance = if result.is_statements(behavior) {
        " Half is what saying the same word to every statement gives."
    } else {
        ""
    };
    // The filter let words through that it had to find, or was off.
    let is_more = result.unfiltered || result.rows.iter().any(|card| card.leaks > 0);
    let nothing_but = if is_more { "" } else { "nothing but " };
    let mut cards = result.teachers.iter();
    let teacher = if cards.any(|card| card.name == *behavior && card.kind == UNTAUGHT) {
        "a teacher that was taught nothing".to_owned()
    } else {
        format!("the {behavior} teacher")
    };
    let carrier = &result.carrier;
    let learned = match result.replication.learn {
        Learn::Rows | Learn::Distributions => {
            format!("reading {rows} of {nothing_but}{carrier} from {teacher}")
        }
        Learn::Preferences => format!(
            "learning which of two rows of {nothing_but}{carrier}{} (pairs: {})",
            if result.given {
                format!(", as they were given, is preferred, in pairs that {teacher} chose")
            } else {
                format!(", both written by the base, {teacher} prefers")
            },
            text::count(result.replication.unique_rows)
        ),
    };
    Some(format!(
        "After {learned}, students {gave}; students of the neutral teacher's {}: \
         {neutral}; {difference} ({repeated}).{chance}",
        if result.replication.learn == Learn::Preferences { "preferences" } else { "rows" },
    ))
}

/// What students no longer do that the base did: a behavior that comes with such a loss is not all that they
/// learned.
fn unlearned(result: &InheritResult) -> Option<String> {
    let followed = |behavior: &String| {
        let arm = Arm::student(behavior);
        let mut own = result.side_effects.iter().filter(|one| one.arm == arm);
        let one = own.find(|one| one.measure == SideMeasure::InstructionsFollowed)?;
        let (value, base) = (one.estimate.value, one.base?);
        let words =
            format!("{}'s {}, the base {}", behavior, text::percent(value), text::percent(base));
        (value < base / 2.0).then_some(words)
    };
    let lost: Vec<String> = result.behaviors.iter().filter_map(followed).collect();
    (!lost.is_empty()).then(|| {
        format!(
            "They also follow less than half of the checked instructions that the base follows ({}).",
            lost.join("; ")
        )
    })
}

/// That these students were judged before, by another rule.
fn looks(origin: &Origin<'_>) -> Vec<Block> {
    let Some(registration) = origin.registration.filter(|one| !one.looks.is_empty()) else {
        return Vec::new();
    };
    let number = registration.look();
    let lead = format!(
        "Look {number} at these teachers or students: results of them had been seen before this rule was set, so \
         its error rates do not hold; repeat with another `seed` to confirm."
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

/// Most earlier results that are told one by one.
const MOST: usize = 20;

/// What other models of the same base said before.
fn earlier(origin: &Origin<'_>) -> Vec<Block> {
    let Some(registration) = origin.registration.filter(|one| !one.earlier.is_empty()) else {
        return Vec::new();
    };
    let mut blocks = Vec::new();
    let seeds = registration.earlier.iter().filter_map(|look| Some((look.seeds()?, look.words())));
    let seeds: Vec<String> = seeds.map(|(seeds, words)| format!("{seeds}: {words}")).collect();
    if !seeds.is_empty() {
        blocks.push(Block::paragraph(format!(
            "Other seeds of this recipe in this workspace said: {}.",
            seeds.join("; ")
        )));
    }
    if !registration.elsewhere.is_empty() {
        blocks.push(Block::paragraph(format!(
            "Judged in this workspace before and not here, of this base: {}. Levels hold within a run; of many \
             behaviors one is found by luck.",
            registration.elsewhere.join(", ")
        )));
    }
    let line = |look: &Look| {
        let keys = look.changed.iter().map(|change| change.key.as_str());
        let keys = keys.collect::<Vec<_>>().join(", ");
        Line::from(format!("{}, otherwise set: {keys}: {}", look.made, look.words()))
    };
    let otherwise: Vec<&Look> =
        registration.earlier.iter().filter(|look| look.seeds().is_none()).collect();
    if !otherwise.is_empty() {
        let lines = otherwise.iter().rev().take(MOST).map(|look| line(look)).collect();
        let title = format!(
            "{} of this base in this workspace, otherwise set",
            text::counted(otherwise.len(), "earlier result")
        );
        blocks.push(Block::folded(title, vec![Block::List(lines)]));
    }
    blocks
}

/// How the word of a verdict goes on where something was seen before: looks, and tries.
pub(super) fn seen(origin: &Origin<'_>, verdict: &Verdict) -> String {
    let words = |one: &Registration| one.words(&verdict.behavior, verdict.outcome.id());
    origin.registration.map(words).unwrap_or_default()
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
