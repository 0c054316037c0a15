//! A comparison as blocks.

use std::collections::BTreeSet;

use super::{
    Comparison, Difference, Found, Grid, LEVEL, Look, Looked, Merge, Pair, Relation, UNITS, Verdict,
};
use crate::cells;
use crate::report::block::{
    Answer, Block, Depth, Line, Mark, Report, Section, Table, count, number,
};
use crate::report::number::Quantity;
use crate::value::text;

/// What none of the looks sees.
const BLIND: [&str; 4] = [
    "A run of the same seed on other data counts as the same base: that is what inheritance needs.",
    "Units that were left out by importance, experts, layers distilled or trained anew, and a rotation together with another tokenizer are not seen through.",
    "What two models learned alike from the same data is not ancestry and is not tested for.",
    "Which of two came first, weights do not say.",
];

/// What there is to say.
pub fn report(comparison: &Comparison) -> Report {
    let names = &told_apart(&comparison.models);
    let called = |pair: &Pair| format!("{} and {}", names[pair.models[0]], names[pair.models[1]]);
    let answers = comparison.pairs.iter().map(|pair| answer(pair, called(pair))).collect();
    let mut sections =
        vec![Section::of("verdict", "Do they share a base?", vec![Block::Answers(answers)])];
    if let Some(tree) = &comparison.tree {
        let mut blocks = vec![Block::Text(tree.drawn(names))];
        blocks.extend(comparison.merges.iter().map(|merge| Block::paragraph(mixed(merge, names))));
        sections.push(Section::of("tree", "How near they are", blocks));
    }
    let alone = comparison.pairs.len() == 1;
    let titled = |pair: &Pair, blocks: Vec<Block>| {
        if alone { blocks } else { vec![Block::under(called(pair), Depth::Brief, blocks)] }
    };
    let changed = comparison.pairs.iter().flat_map(|pair| {
        let blocks = pair.relation.as_ref().map(|relation| related(relation, pair, names));
        blocks.map(|blocks| titled(pair, blocks)).unwrap_or_default()
    });
    sections.push(Section::of("changed", "What changed", changed.collect()));
    let looks = comparison.pairs.iter().flat_map(|pair| titled(pair, looked(pair)));
    sections.push(
        Section::of("looks", "What was looked at", looks.collect()).map(|section| {
            section.noted(format!(
                "{UNITS} hidden units a layer; p corrected for layers (Holm) and for the looks, level {LEVEL}"
            ))
        }),
    );
    let blind = BLIND.iter().map(|line| Line::from(*line)).collect();
    sections.push(Section::of("blind", "What this does not see", vec![Block::List(blind)]));
    Report {
        kind: "comparison",
        title: comparison.models.join(", "),
        lead: String::new(),
        what: format!("weights alone, seed {}", comparison.seed),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sections: sections.into_iter().flatten().map(Section::brief).collect(),
    }
}

/// Columns of a name beside another one, in a line of two.
const NAME: usize = 16;

/// Names as they stand where two are side by side: whole if they are short; otherwise their ends, for paths begin
/// alike, with their numbers in the order given where those do not tell them apart.
fn told_apart(names: &[String]) -> Vec<String> {
    let numbered =
        |(at, name): (usize, &String)| format!("{}:{}", at + 1, text::end(name, NAME - 3));
    let short: Vec<String> = names.iter().map(|name| text::end(name, NAME)).collect();
    let distinct: BTreeSet<&String> = short.iter().collect();
    if distinct.len() == names.len() {
        return short;
    }
    names.iter().enumerate().map(numbered).collect()
}

fn answer(pair: &Pair, name: String) -> Answer {
    let (mark, word) = match pair.verdict {
        Verdict::Dependent => (Mark::Yes, "dependent"),
        Verdict::Independent => (Mark::No, "independent"),
        Verdict::NotComparable => (Mark::Unclear, "not comparable"),
    };
    // A p-value says nothing without what it is held against.
    let p = pair.p.map(|p| {
        let side = if p < LEVEL { "below" } else { "not below" };
        format!("p {}, {side} the level of {LEVEL}; ", exact(p))
    });
    let p = p.unwrap_or_default();
    // Terminals have more room for the second.
    Answer {
        mark,
        name: word.to_owned(),
        word: name,
        over: Vec::new(),
        why: format!("{p}{}", pair.why),
    }
}

/// A p-value with its size, however small.
pub(crate) fn exact(p: f64) -> String {
    match p {
        p if p < 1e-99 => "below 1e-99".to_owned(),
        p if p < 0.001 => format!("{p:.0e}"),
        p => text::plain(p),
    }
}

fn mixed(merge: &Merge, names: &[String]) -> String {
    // Less than a hundredth is said as none.
    let counted = merge.parts.iter().filter(|(_, part)| part.abs() >= 0.005);
    let parts: Vec<String> =
        counted.map(|(model, part)| format!("{part:.2} × {}", names[*model])).collect();
    let rest = if merge.is_mixture {
        String::new()
    } else {
        "; each of them is such a combination of the others, and which came last is not told"
            .to_owned()
    };
    format!(
        "{} is {}, but for {} of its difference to the nearest{rest}.",
        names[merge.model],
        parts.join(" + "),
        text::percent(merge.left)
    )
}

fn related(relation: &Relation, pair: &Pair, names: &[String]) -> Vec<Block> {
    let [first, second] = pair.models.map(|model| names[model].as_str());
    let mut lines: Vec<Line> = Vec::new();
    if relation.differences.iter().all(|one| one.size == 0.0) {
        lines.push("Nothing, in what was looked at.".into());
    }
    if let Some(rank) = relation.adapter_rank {
        lines.push(
            format!("All that changed is of rank {rank} at most: an adapter of that rank.").into(),
        );
    }
    lines.extend(relation.grid.as_ref().map(|grid| Line::from(rounded(grid, first, second))));
    let mut blocks = Vec::new();
    if !lines.is_empty() {
        blocks.push(Block::List(lines));
    }
    let row = |one: &Difference| {
        let rank = one.rank.map(|[least, most]| match (least, most) {
            _ if most == one.full => format!("{most} or more"),
            _ if least == most => most.to_string(),
            _ => format!("{least} to {most}"),
        });
        let size = if one.size > 0.0 && one.size < 0.01 {
            format!("{:.1e}", one.size)
        } else {
            text::plain(one.size)
        };
        cells![&one.kind, size, rank]
    };
    let caption =
        format!("From {first} to {second}: length of the difference over that of the weights");
    let table = Table::new(caption, &["tensors", "#difference", "#rank"]);
    blocks.extend(table.with(relation.differences.iter().map(row)).block());
    blocks
}

fn rounded(grid: &Grid, first: &str, second: &str) -> String {
    let (on, other) = if grid.second { (second, first) } else { (first, second) };
    let run = match grid.run {
        None => format!("floats with {} bits of fraction", grid.bits),
        Some(0) => format!("a grid of {} bits, a scale for each row", grid.bits),
        Some(run) => format!("a grid of {} bits, a scale for every {run} numbers", grid.bits),
    };
    format!("{on} lies on {run}; {} of {other} is within half a step.", text::percent(grid.within))
}

fn looked(pair: &Pair) -> Vec<Block> {
    let equal = format!(
        "{} of {} tensors of one shape are the same bytes.",
        pair.equal.equal, pair.equal.of
    );
    let mut blocks = vec![Block::paragraph(equal)];
    let table = Table::new("", &["look", "#layers", "#least", "#most", "#corrected p"]);
    let taken = |looked: &&Looked| looked.not_taken.is_none();
    blocks.extend(table.with(pair.looks.iter().filter(taken).map(summary)).block());
    blocks.extend(pair.looks.iter().filter_map(|looked| {
        let why = looked.not_taken.as_ref()?;
        Some(Block::note(format!("not taken: {}; {why}", looked.look.name())))
    }));
    for looked in pair.looks.iter().filter(|looked| !looked.layers.is_empty()) {
        let titles: &[&str] = match looked.look {
            Look::Matching | Look::AlignedMatching => {
                &["#layer", "#agree", "#paired", "#p", "#corrected p"]
            }
            _ => &["#layer", "#z", "#alike", "#p", "#corrected p"],
        };
        let rows =
            looked.layers.iter().zip(&looked.adjusted).enumerate().map(|(layer, (found, p))| {
                let [one, other] = match found {
                    Found::Places(found) => [
                        number(Quantity::Plain, rounded_to_tenths(found.z)),
                        number(Quantity::Plain, found.mean),
                    ],
                    Found::Matching(found) => [count(found.agree), count(found.paired)],
                };
                cells![count(layer), one, other, exact(found.p()), exact(*p)]
            });
        let table = Table::new(looked.look.name(), titles).with(rows.collect::<Vec<_>>());
        blocks.push(Block::full(table.block().into_iter().collect()));
    }
    blocks
}

/// One look on one line: the range of what it found.
fn summary(looked: &Looked) -> Vec<Line> {
    let said = |found: &Found| match found {
        Found::Places(found) => (found.z, format!("z {:.1}", found.z)),
        Found::Matching(found) => {
            (found.agree as f64, format!("{} of {}", found.agree, found.paired))
        }
    };
    let mut all: Vec<(f64, String)> = looked.layers.iter().map(said).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let [least, most] = [all.first(), all.last()].map(|said| said.map(|(_, words)| words.clone()));
    let p = looked.best().map(|(_, p)| exact(p));
    cells![looked.look.name(), count(looked.layers.len()), least, most, p]
}

fn rounded_to_tenths(z: f64) -> f64 {
    (10.0 * z).round() / 10.0
}
