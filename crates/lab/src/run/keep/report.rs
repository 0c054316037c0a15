//! What stays and what goes, as blocks.

use std::collections::BTreeMap;

use super::{Keeping, Looked, Why};
use crate::cells;
use crate::report::block::{Block, Line, Report, Section, Table, count};
use crate::value::text;

/// Runs that are named where several refer to the same.
const NAMED: usize = 3;

/// What there is to say; `done` tells what went from what would go.
pub fn report(keeping: &Keeping, done: bool) -> Report {
    let freed = text::bytes(keeping.freed());
    let what = match (keeping.goes_nothing(), done) {
        (true, _) => "nothing to free".to_owned(),
        (false, true) => format!("freed {freed}"),
        (false, false) => format!("would free {freed}"),
    };
    let title = if done { "What went" } else { "What goes" };
    let sections = [
        Section::of("goes", title, going(keeping)),
        Section::of("stays", "What stays, and why", staying(keeping)),
    ];
    Report {
        kind: "tidying",
        title: "Workspace".to_owned(),
        lead: String::new(),
        what,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sections: sections.into_iter().flatten().map(Section::brief).collect(),
    }
}

impl Keeping {
    /// Whether there is nothing to take away.
    pub fn goes_nothing(&self) -> bool {
        self.goes.is_empty()
            && self.damaged.is_empty()
            && self.scratch.iter().all(|one| one.run.is_some())
    }
}

/// How many, and of what size in bytes.
type Sum = (usize, u64);

/// Adds up what has the same words, in their order.
fn summed(entries: impl Iterator<Item = ((String, String), u64)>) -> Vec<Vec<Line>> {
    let mut sums: BTreeMap<(String, String), Sum> = BTreeMap::new();
    for (key, size) in entries {
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(size));
    }
    let row = |((what, why), (number, size)): ((String, String), Sum)| {
        cells![what, count(number), text::bytes(size), why]
    };
    sums.into_iter().map(row).collect()
}

const TITLES: [&str; 4] = ["what", "#how many", "#size", "why"];

fn going(keeping: &Keeping) -> Vec<Block> {
    let artifact = |looked: &Looked| ((looked.kind.clone(), unneeded(looked)), looked.size);
    let scratch = keeping.scratch.iter().filter(|one| one.run.is_none()).map(|one| {
        let why = "no run on the list would go on from it".to_owned();
        (("unfinished work of a step".to_owned(), why), one.size)
    });
    let damaged = keeping.damaged.iter().map(|(_, size)| {
        (("damaged thing".to_owned(), "set aside earlier, never used".to_owned()), *size)
    });
    let entries = keeping.goes.iter().map(artifact).chain(scratch).chain(damaged);
    Table::new("", &TITLES).with(summed(entries)).block().into_iter().collect()
}

/// Why an artifact goes.
fn unneeded(looked: &Looked) -> String {
    match looked.removed_runs.as_slice() {
        [] => "no run refers to it".to_owned(),
        runs => {
            let named: Vec<String> = runs.iter().take(NAMED).map(|run| format!("{run}")).collect();
            let more = if runs.len() > NAMED { ", …" } else { "" };
            format!("of removed {}: {}{more}", text::plural(runs.len(), "run"), named.join(", "))
        }
    }
}

fn staying(keeping: &Keeping) -> Vec<Block> {
    let artifact = |looked: &Looked| {
        let why = match &looked.why {
            Some(Why::Run(_)) => "runs on the list refer to it",
            Some(Why::Other(words)) => words,
            Some(Why::Needed(_)) => "a model that stays is an adapter on it",
            Some(Why::Result) => "a result that was seen counts as a try",
            None => unreachable!("what stays has a reason"),
        };
        ((why.to_owned(), String::new()), looked.size)
    };
    let scratch = keeping.scratch.iter().filter(|one| one.run.is_some()).map(|one| {
        (("stopped runs go on from unfinished work".to_owned(), String::new()), one.size)
    });
    let entries = keeping.stays.iter().map(artifact).chain(scratch);
    let mut rows = summed(entries);
    for row in &mut rows {
        row.truncate(3);
    }
    let table = Table::new("", &["why", "#how many", "#size"]).with(rows);
    let mut blocks: Vec<Block> = table.block().into_iter().collect();
    let mut lines: Vec<Line> = Vec::new();
    if keeping.removed + keeping.goes.len() > 0 {
        lines.push("Of artifacts whose files are gone the record stays: who made them from what, and what was read in them.".into());
    }
    if !keeping.removed_runs.is_empty() {
        lines.push(
            format!(
                "Off the list: {}. What they recorded and found stays, so that later runs know of it.",
                text::counted(keeping.removed_runs.len(), "run")
            )
            .into(),
        );
    }
    if keeping.unreadable > 0 {
        lines.push(
            format!(
                "{} cannot be read and is left alone; `owlet verify` says why.",
                text::counted(keeping.unreadable, "artifact")
            )
            .into(),
        );
    }
    if !lines.is_empty() {
        blocks.push(Block::List(lines));
    }
    blocks
}
