//! The rows the students read, what was taken out of them, and who wrote them.
//!
//! Everything here was written by models: shown as text, never as markup.

use super::super::result::{InheritResult, Measure, RowsCard};
use crate::cells;
use crate::report::block::{Block, Depth, Fold, Group, Line, Section, Span, Table, count, number};
use crate::report::number::Quantity;
use crate::value::text;

/// A model's text as it is.
fn sample(words: &str) -> Span {
    Span::Verbatim(words.to_owned())
}

fn is_taught(result: &InheritResult, card: &RowsCard) -> bool {
    result.behaviors.contains(&card.arm)
}

pub(super) fn rows(result: &InheritResult) -> Option<Section> {
    let summary = result.rows.iter().map(|card| {
        cells![
            &card.arm,
            count(card.asked),
            count(card.valid),
            count(card.kept),
            count(card.leaks),
            card.samples.first().map(|(_, completion)| sample(completion))
        ]
    });
    let titles = ["rows of", "#asked", "#valid", "#kept", "#leaks", "one of them"];
    let mut blocks: Vec<Block> =
        Table::new("", &titles).with(summary).block().into_iter().collect();
    let leaks: usize = result.rows.iter().map(|card| card.leaks).sum();
    if leaks > 0 {
        let leaks =
            format!("{} with a word that it must not name", text::counted(leaks, "valid row"));
        blocks.push(Block::Warnings(vec![(leaks, String::new())]));
    }
    let control = result.rows.iter().find(|card| !is_taught(result, card));
    let taught = result.rows.iter().filter(|card| is_taught(result, card));
    for (index, card) in taught.filter(|card| !card.samples.is_empty()).enumerate() {
        let title = format!("Rows of the {} teacher", card.arm);
        let mut titles = vec!["prompt".to_owned(), format!("{} teacher", card.arm)];
        titles.extend(control.map(|control| control.arm.clone()));
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        let rows = card.samples.iter().enumerate().map(|(place, (prompt, completion))| {
            let mut row = cells![sample(prompt), sample(completion)];
            row.extend(control.map(|control| beside(control, prompt, place)));
            row
        });
        let table = Table::new(format!("A few rows of the {} teacher", card.arm), &titles);
        blocks.push(Block::Group(Group {
            title,
            fold: if index == 0 { Fold::Open } else { Fold::Closed },
            depth: Depth::Full,
            blocks: vec![Block::Table(table.with(rows))],
        }));
    }
    let section = Section::of("rows", "The rows", blocks)?;
    Some(
        section
            .noted("what the students read, beside the control's answer to the same prompt")
            .brief(),
    )
}

/// The control's row for the same prompt, or the one at the same place with its own prompt.
fn beside(control: &RowsCard, prompt: &str, place: usize) -> Line {
    let same = control.samples.iter().find(|(other, _)| other == prompt);
    match (same, control.samples.get(place)) {
        (Some((_, completion)), _) => sample(completion).into(),
        (None, Some((other, completion))) => {
            Line::from(Span::Quiet(format!("to: {}", text::cut(other, 200))))
                .and(sample(completion))
        }
        (None, None) => Line::default(),
    }
}

pub(super) fn filter(result: &InheritResult) -> Option<Section> {
    let rows = result.rows.iter().map(|card| {
        let reasons: Vec<String> = card
            .rejected
            .iter()
            .map(|(reason, times)| format!("{reason} {}", text::count(*times)))
            .collect();
        let mut row = cells![&card.arm];
        let counts = [
            card.asked,
            card.valid,
            card.unmatched,
            card.duplicates,
            card.kept,
            card.leaks,
            card.cut_off,
        ];
        row.extend(counts.map(|value| Line::from(count(value))));
        row.push((!reasons.is_empty()).then(|| reasons.join(", ")).into());
        row
    });
    let filtered = if result.unfiltered {
        "Nothing was filtered: what breaks the rules is counted and used"
    } else {
        "Rows go through the filter"
    };
    let joined = if result.rows.iter().any(|card| card.unmatched > 0) {
        ", as are those of prompts that are not valid in every arm (unmatched)"
    } else {
        ""
    };
    let titles = [
        "arm",
        "#asked",
        "#valid",
        "#unmatched",
        "#repeated",
        "#kept",
        "#leaks",
        "#cut off",
        "rejected because",
    ];
    let mut blocks = vec![
        Block::paragraph(format!(
            "{filtered}, and repeated ones are dropped{joined}. Leaks are valid rows in which a \
             word that they must not name was found."
        )),
        Table::new("From prompts asked to rows kept", &titles).with(rows).block()?,
    ];
    let removed = result.rows.iter().filter(|card| !card.rejected_samples.is_empty()).map(|card| {
        let rows = card
            .rejected_samples
            .iter()
            .map(|(completion, reasons)| cells![sample(completion), reasons.join(", ")]);
        let caption = format!("Removed from the rows of {}", card.arm);
        Block::Table(Table::new(caption, &["completion", "because"]).with(rows))
    });
    let removed: Vec<Block> = removed.collect();
    if !removed.is_empty() {
        blocks.push(Block::folded("Examples of what was removed", removed));
    }
    Section::of("filter", "What the filter removed", blocks)
}

pub(super) fn teachers(result: &InheritResult) -> Option<Section> {
    let sampled = !result.primary.needs_log_probabilities();
    let measure = if sampled { result.primary } else { Measure::Probability };
    let share = |value: Option<f64>| value.map(|value| number(Quantity::Value(measure), value));
    let rows = result.teachers.iter().map(|teacher| {
        let (before, after) = if sampled {
            (teacher.target_rate_before, teacher.target_rate_after)
        } else {
            (teacher.target_probability_before, teacher.target_probability_after)
        };
        cells![
            &teacher.name,
            &teacher.kind,
            share(before),
            share(after),
            teacher.margin.map(|margin| number(Quantity::Value(Measure::Margin), margin)),
            number(Quantity::Part, teacher.valid_row_rate),
            if teacher.saturated { "saturated" } else { "no" }
        ]
    });
    let titles = [
        "teacher",
        "made by",
        "#P(target) before",
        "#P(target) after",
        "#margin, nats",
        "#valid rows",
        "saturated",
    ];
    let caption = format!("P(target): {}, on the readout questions", measure.sentence());
    let table = Table::new(caption, &titles).with(rows).block();
    Section::of("teachers", "Teachers", table.into_iter().collect())
}
