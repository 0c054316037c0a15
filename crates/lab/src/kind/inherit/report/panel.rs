//! What else changed in the students, as one table and one sentence.

use super::super::result::{InheritResult, SideEffect};
use crate::cells;
use crate::report::block::{Block, Line, Section, Table, estimate, number};
use crate::report::number::Quantity;
use crate::value::arm::Arm;
use crate::value::estimate::Estimate;
use crate::value::text;

pub(super) fn side_effects(result: &InheritResult) -> Option<Section> {
    let rows = result.side_effects.iter().map(|effect| {
        let scale = effect.measure.scale();
        let (value, change) = (Quantity::In(scale), Quantity::Change(scale));
        let over = |over: &Option<Estimate>| over.as_ref().map(|over| estimate(change, over));
        cells![
            effect.arm.label(),
            &effect.label,
            estimate(value, &effect.estimate),
            effect.base.map(|base| number(value, base)),
            over(&effect.over_neutral),
            over(&effect.over_base)
        ]
    });
    let titles = [
        "condition",
        "measure",
        "#mean over students",
        "#untouched base",
        "#over neutral students",
        "#neutral over base",
    ];
    let table = Table::new("Side effects of training", &titles).with(rows).block()?;
    let mut blocks = sentences(result);
    blocks.push(Block::full(vec![table]));
    let section = Section::of("side-effects", "What else changed", blocks)?;
    let note =
        "in students, beside their behaviors; intervals of differences hold together".to_owned();
    Some(section.noted(note).brief())
}

/// What the differences say, in words; nothing of a result that has none.
fn sentences(result: &InheritResult) -> Vec<Block> {
    let mut blocks = Vec::new();
    let of = |pick: fn(&SideEffect) -> Option<&Estimate>| {
        result
            .side_effects
            .iter()
            .filter_map(move |one| Some((one, pick(one)?)))
            .collect::<Vec<_>>()
    };
    let over_neutral = of(|one| one.over_neutral.as_ref());
    let over_base = of(|one| one.over_base.as_ref());
    let groups = [
        (
            over_neutral,
            "students of a teacher from the neutral students",
            "over the neutral students",
        ),
        (over_base, "the neutral students from the untouched base", "over the untouched base"),
    ];
    for (all, whom, over) in groups {
        let seen = all.iter().filter(|(_, over)| over.interval.is_some()).count();
        if seen == 0 {
            continue;
        }
        let found = all.iter().filter(|(_, over)| over.is_above_zero() || over.is_below_zero());
        let lines: Vec<Line> = found
            .map(|(one, difference)| {
                let by = Quantity::Change(one.measure.scale()).with_interval(difference);
                Line::from(format!("{}: {}, {by} {over}", one.arm.label(), one.label))
            })
            .collect();
        let of = text::counted(seen, "difference");
        if lines.is_empty() {
            blocks.push(Block::paragraph(format!(
                "None of {of} that were read tells {whom} (their intervals hold together)."
            )));
        } else {
            let lead =
                format!("{} of {of} tell {whom} (their intervals hold together):", lines.len());
            blocks.push(Block::paragraph(lead));
            blocks.push(Block::List(lines));
        }
    }
    if blocks.is_empty() && result.side_effects.iter().any(|one| one.arm != Arm::Base) {
        blocks.push(Block::paragraph(
            "Too few repetitions, or no neutral students: no difference has an interval.",
        ));
    }
    blocks
}
