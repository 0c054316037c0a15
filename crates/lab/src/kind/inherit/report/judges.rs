//! How answers were judged: by whom, how those did where it is known, and what is left open.

use super::super::result::{Confusion, Corrected, InheritResult, Judging, Labels, Measure};
use crate::cells;
use crate::report::block::{Block, Line, Section, Table, count, estimate, number};
use crate::report::number::Quantity;
use crate::value::arm::Arm;
use crate::value::observation::Outcome;
use crate::value::text;

/// A rate, and a difference of two.
const RATE: Quantity = Quantity::Value(Measure::RateOfValid);
const DIFFERENCE: Quantity = Quantity::Difference(Measure::RateOfValid);

pub(super) fn judges(result: &InheritResult) -> Option<Section> {
    let mut blocks = Vec::new();
    for judging in &result.judging {
        blocks.push(Block::paragraph(how(judging)));
        blocks.extend(confused("Planted answers", &judging.planted, &judging.behavior));
        blocks.extend(conditions(result, judging));
        if let Some(labels) = &judging.labels {
            blocks.extend(labelled(judging, labels));
        }
    }
    Some(Section::of("judges", "Judges", blocks)?.brief())
}

/// Who judges, and how they did on planted answers.
fn how(judging: &Judging) -> String {
    let Judging { behavior, judges, right, agreement, .. } = judging;
    let did = judges.iter().zip(right);
    let did = did.map(|(judge, right)| {
        format!("{judge} judges {} of {} planted answers rightly", right.hits, right.n)
    });
    let did: Vec<String> = did.collect();
    let several = match judges.len() {
        1 => String::new(),
        judges => format!(" Of {judges} judges more than half decide."),
    };
    let agreement = agreement.map(|share| {
        format!(" Two of them say the same of an answer in {} of all cases.", text::percent(share))
    });
    format!("{behavior}: {}.{several}{}", did.join("; "), agreement.unwrap_or_default())
}

/// What is known of answers, and what the judges make of them.
fn confused(what: &str, counts: &Confusion, behavior: &str) -> Option<Block> {
    let mut said: Vec<&str> = counts.values().flatten().map(|(name, _)| name.as_str()).collect();
    said.sort_unstable();
    said.dedup();
    let rows = counts.iter().map(|(label, found)| {
        let cells =
            said.iter().map(|said| Line::from(count(found.get(*said).copied().unwrap_or(0))));
        std::iter::once(Line::from(label.as_str())).chain(cells).collect::<Vec<Line>>()
    });
    let titles: Vec<String> = said.iter().map(|said| format!("#judged {said}")).collect();
    let titles: Vec<&str> =
        std::iter::once("known to be").chain(titles.iter().map(String::as_str)).collect();
    Table::new(format!("{what} of {behavior}"), &titles).with(rows).block()
}

/// What became of the answers of every condition, and between what its rate lies.
fn conditions(result: &InheritResult, judging: &Judging) -> Option<Block> {
    let behavior = &judging.behavior;
    let rows = result.concerning(behavior, Measure::RateOfValid).filter_map(|reading| {
        let outcomes = result.outcomes(reading)?;
        let of = |outcome: Outcome| count(outcomes.get(outcome.name()).copied().unwrap_or(0));
        let [target, other, invalid] = result.judged(&reading.arm, behavior)?;
        let (least, most) = result.bounds(&reading.arm, behavior)?;
        let bounds = match invalid {
            0 => String::new(),
            _ => format!("{} to {}", RATE.words(least), RATE.words(most)),
        };
        Some(cells![
            reading.arm.label(),
            number(RATE, reading.estimate.value),
            bounds,
            count(target),
            count(other),
            of(Outcome::Incoherent),
            of(Outcome::Code),
            of(Outcome::Refusal),
            of(Outcome::Empty),
            count(invalid)
        ])
    });
    let titles = [
        "condition",
        "#rate of valid",
        "#bounds",
        "#target",
        "#other",
        "#incoherent~",
        "#code~",
        "#refusal~",
        "#empty~",
        "#invalid",
    ];
    let caption = format!(
        "Answers read for {behavior}, as judged; bounds: all invalid ones others, and all of them targets"
    );
    Table::new(caption, &titles).with(rows).block()
}

/// How the judges did on labels, and the rates without their errors.
fn labelled(judging: &Judging, labels: &Labels) -> Vec<Block> {
    let mut blocks: Vec<Block> =
        confused("Labelled answers", &labels.judged, &judging.behavior).into_iter().collect();
    let of = |share: &Option<crate::value::estimate::Estimate>| {
        share.as_ref().map_or_else(|| "not known".to_owned(), |share| RATE.with_interval(share))
    };
    let better = labels.accuracy.above_chance();
    let rule = match better {
        Some(better) if better > 0.0 => {
            "Corrected rates are (rate + specificity - 1) / (sensitivity + specificity - 1), with the luck of labels in \
             their intervals (Rogan & Gladen 1978); they hold where judges err on these answers as on labelled ones."
        }
        Some(_) => {
            "They tell targets from others no better than chance, so that no rate can be corrected."
        }
        None => {
            "Without labels of both sorts among the answers that count, no rate can be corrected."
        }
    };
    blocks.push(Block::paragraph(format!(
        "{}, of labelled answers that count: sensitivity {}, specificity {}. {rule}",
        judging.behavior,
        of(&labels.sensitivity),
        of(&labels.specificity)
    )));
    let rows = labels
        .corrected
        .iter()
        .map(|Corrected { arm, estimate: rate }| cells![arm.label(), estimate(RATE, rate)]);
    let over = labels.over_neutral.as_ref().map(|over| {
        let label = format!("{} minus neutral ones", Arm::student(&judging.behavior).label());
        cells![label, estimate(DIFFERENCE, over)]
    });
    let caption = format!("Rates of valid answers of {}, corrected", judging.behavior);
    let table = Table::new(caption, &["condition", "#corrected rate"]).with(rows.chain(over));
    blocks.extend(table.block());
    blocks
}
