//! What is said of attributed rows.

use super::{Attributed, Found, Verdict};
use crate::cells;
use crate::report::block::{
    Block, Depth, Line, Report, Section, Span, Table, count, estimate, number,
};
use crate::report::number::Quantity;
use crate::value::text;

/// The report; `what` says which rows.
pub fn report(found: &Attributed, what: String) -> Report {
    let sections = [answer(found), table(found), blind(found)];
    Report {
        kind: "attribution",
        title: "Who wrote these rows?".to_owned(),
        lead: String::new(),
        what,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn answer(found: &Attributed) -> Option<Section> {
    let rows = text::counted(found.rows, "row");
    let share = |name: &str| {
        let one = found.candidates.iter().find(|one| one.name == name);
        one.map(|one| Quantity::Part.with_interval(&one.share)).unwrap_or_default()
    };
    let sentence = match &found.verdict {
        Verdict::One(name) => format!(
            "Of these candidates {name} wrote the {rows}, or a model like it: {}.",
            share(name)
        ),
        Verdict::Several(names) if names.len() == 1 => format!(
            "{} wrote a part of the {rows}, or a model like it: {}. None of the other candidates is told from the rest.",
            names[0],
            share(&names[0])
        ),
        Verdict::Several(names) => {
            let named: Vec<String> =
                names.iter().map(|name| format!("{name} {}", share(name))).collect();
            format!(
                "Of the {rows} these candidates, or models like them, wrote, if nobody else did: {}.",
                text::listed(&named)
            )
        }
        Verdict::NoneOfThese => {
            "None of these candidates: the one that leads would not write such rows.".to_owned()
        }
        Verdict::CannotSay => format!(
            "{rows} do not tell the candidates from each other. Give more rows, or candidates that differ more."
        ),
    };
    Some(Section::of("answer", "Answer", vec![Block::paragraph(sentence)])?.brief())
}

fn table(found: &Attributed) -> Option<Section> {
    let mut order: Vec<&Found> = found.candidates.iter().collect();
    order.sort_by(|one, other| other.share.value.total_cmp(&one.share.value));
    let rows = order.iter().map(|one| {
        cells![
            &one.name,
            estimate(Quantity::Part, &one.share),
            number(Quantity::P, one.corrected_p),
            number(Quantity::Plain, one.gain),
            number(Quantity::Plain, one.log_likelihood),
            number(Quantity::Plain, one.fit),
        ]
    });
    let titles = ["candidate", "#share of rows", "#p", "#gain", "#nats a row", "#fit"];
    let table = Table::new("", &titles).with(rows).block()?;
    let like =
        |[name, like]: &[String; 2]| Line::from(format!("left out: {name}, which is like {like}"));
    let left_out: Vec<Line> = found.alike.iter().map(like).collect();
    let mut blocks = vec![table];
    if !left_out.is_empty() {
        blocks.push(Block::List(left_out));
    }
    let section = Section::of("candidates", "Candidates", blocks)?;
    Some(section.brief().noted(
        "p: one-sided, of no row at all, corrected over candidates. Gain: nats that the mixture of all loses without it. Fit: its surprise at the rows, in standard deviations; far from 0, it does not write such rows",
    ))
}

fn blind(found: &Attributed) -> Option<Section> {
    let lines = [
        "a writer that is not among the candidates: the nearest one leads, and only a poor fit of one that leads alone is noticed".to_owned(),
        "which of several models tuned towards the same: a weaker one counts as the stronger".to_owned(),
        "rows whose numbers were shuffled, which loses nearly all of it".to_owned(),
        format!("another temperature than {}, and filters on values", text::plain(found.temperature)),
        "text that is not numbers: it is not read".to_owned(),
    ];
    let lines: Vec<Line> = lines.into_iter().map(Line::from).collect();
    let facts = vec![
        ("answers given".to_owned(), count(found.given).into()),
        ("with numbers".to_owned(), count(found.rows).into()),
        ("tokens of numbers".to_owned(), count(found.tokens).into()),
        ("level".to_owned(), Span::Words(text::percent(found.level)).into()),
    ];
    let blocks = vec![Block::List(lines), Block::Facts(facts)];
    let mut section = Section::of("blind", "What this does not see", blocks)?;
    section.depth = Depth::Brief;
    Some(section)
}
