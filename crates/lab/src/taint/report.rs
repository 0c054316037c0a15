//! Taint as blocks.

use std::collections::BTreeMap;

use owlet_store::ArtifactId;

use super::{Finding, Standing, Taint, Thing};
use crate::cells;
use crate::report::block::{Block, Line, Report, Section, Table};
use crate::run::record::naming::without_seed;
use crate::value::text;

/// What there is to say.
pub fn report(taint: &Taint) -> Report {
    let names: BTreeMap<ArtifactId, String> =
        taint.things.iter().map(|thing| (thing.id, called(thing))).collect();
    let kinds = [
        (Standing::Named, "named", "What was asked about", ""),
        (Standing::Carries, "carries", "Found to carry it: recall", ""),
        (Standing::Taught, "taught", "Taught it: recall", ""),
        (
            Standing::Suspect,
            "suspects",
            "Suspects: read them, or recall",
            "made from what stands above, and never judged: a reason to look, not a finding",
        ),
        (Standing::Unclear, "unclear", "Judged, and not told", "repeat with more, or recall"),
        (
            Standing::Clean,
            "clean",
            "Judged, and not found to carry it",
            "as far as the named results can see",
        ),
    ];
    let answer = if taint.is_any() { something(taint) } else { nothing(taint) };
    let mut sections = vec![Section::of("answer", "Is anything tainted?", answer)];
    for (standing, id, title, note) in kinds {
        let things: Vec<&Thing> =
            taint.things.iter().filter(|thing| thing.standing == standing).collect();
        let section = Section::of(id, title, table(&things, &names));
        sections.push(section.map(|section| section.noted(note)));
    }
    sections.push(Section::of("blind", "What this does not see", vec![Block::List(blind(taint))]));
    Report {
        kind: "taint",
        title: taint.of.clone(),
        lead: String::new(),
        what: summary(taint),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sections: sections.into_iter().flatten().map(Section::brief).collect(),
    }
}

fn summary(taint: &Taint) -> String {
    let number =
        |standing: Standing| taint.things.iter().filter(|thing| thing.standing == standing).count();
    let parts = [
        (number(Standing::Carries), "found to carry it"),
        (number(Standing::Taught), "taught it"),
        (number(Standing::Suspect), "suspect"),
        (number(Standing::Unclear), "not told"),
        (number(Standing::Clean), "judged clean"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| format!("{} {words}", text::count(number)))
        .collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn something(taint: &Taint) -> Vec<Block> {
    let has = |standing: Standing| taint.things.iter().any(|thing| thing.standing == standing);
    let found = has(Standing::Carries);
    let words = match (found, has(Standing::Taught), has(Standing::Named)) {
        (true, ..) => "Models or rows of this workspace were found to carry it.",
        (false, true, _) => {
            "Models of this workspace were taught it; in nothing else was it found so far."
        }
        (false, false, true) => "Models or rows were made from it.",
        (false, false, false) => "Models or rows are tainted.",
    };
    vec![Block::paragraph(words)]
}

fn nothing(taint: &Taint) -> Vec<Block> {
    let cleared = match taint.cleared {
        0 => "No model and no rows of this workspace are known to carry it, and none were judged."
            .to_owned(),
        number => format!(
            "{} judged, and not found to carry it, as far as the results can see.",
            match number {
                1 => "One model or set of rows was".to_owned(),
                number => format!("{} models and sets of rows were", text::count(number)),
            }
        ),
    };
    vec![Block::paragraph(cleared)]
}

fn blind(taint: &Taint) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![
        "Copies: the same rows, given to another run as a file, are another artifact here.".into(),
        "What was made outside this workspace, and what nobody screened or read.".into(),
    ];
    if taint.missing > 0 {
        lines.push(
            format!(
                "{} gone, and not on purpose: results may be among them (`owlet verify`).",
                text::counted(taint.missing, "artifact")
            )
            .into(),
        );
    }
    if !taint.unread.is_empty() {
        let named: Vec<String> = taint.unread.iter().map(ArtifactId::short).collect();
        lines.push(
            format!(
                "{} that cannot be read: {}.",
                text::counted(named.len(), "result"),
                named.join(", ")
            )
            .into(),
        );
    }
    lines
}

/// What a person may call a thing.
fn called(thing: &Thing) -> String {
    thing.name.clone().unwrap_or_else(|| thing.id.short())
}

/// Things that differ by their seed alone on one line.
fn table(things: &[&Thing], names: &BTreeMap<ArtifactId, String>) -> Vec<Block> {
    let mut rows: Vec<([String; 3], usize)> = Vec::new();
    for thing in things {
        let parts: Vec<&str> = thing.parts.iter().map(String::as_str).collect();
        let part = match parts.as_slice() {
            [] => String::new(),
            parts => format!(" (rows of {})", text::listed(parts)),
        };
        let what = format!("{}{part}", without_seed(&called(thing)));
        let row = [what, thing.kind.clone(), why(thing, names)];
        match rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, number)) => *number += 1,
            None => rows.push((row, 1)),
        }
    }
    let rows = rows.into_iter().map(|([what, kind, why], number)| {
        let what = if number > 1 { format!("{what} ({number})") } else { what };
        cells![what, kind, why]
    });
    Table::new("", &["what", "kind", "why"]).with(rows).block().into_iter().collect()
}

fn why(thing: &Thing, names: &BTreeMap<ArtifactId, String>) -> String {
    let mut parts = Vec::new();
    if thing.standing == Standing::Taught {
        parts.push("taught it on purpose".to_owned());
    }
    if let Some((from, step)) = &thing.from {
        let from = names.get(from).cloned().unwrap_or_else(|| from.short());
        parts.push(format!("from {} by {step}", without_seed(&from)));
    }
    parts.extend(found(&thing.findings, thing.standing));
    if let Some(used) = &thing.used {
        parts.push(format!("used by {used}"));
    }
    if thing.removed {
        parts.push("its files were removed".to_owned());
    }
    parts.join("; ")
}

/// Findings in words, what decides first; those of one run and one verdict once.
fn found(findings: &[Finding], standing: Standing) -> Vec<String> {
    let mut findings: Vec<&Finding> = findings.iter().collect();
    let decides = match standing {
        Standing::Clean => Some(false),
        Standing::Unclear => None,
        _ => Some(true),
    };
    findings.sort_by_key(|finding| (finding.carries != decides, finding.made.clone()));
    let mut said = Vec::new();
    for finding in findings {
        let by = match &finding.run {
            Some(run) => format!("run {}", run.nonce()),
            None => format!("result {}", finding.result.short()),
        };
        let words = format!("{} {} ({} {by})", finding.behavior, finding.words, finding.kind);
        if !said.contains(&words) {
            said.push(words);
        }
    }
    said
}
