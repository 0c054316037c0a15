//! Declarations and what weights say of them, as blocks.

use super::{Agreement, Checked, CheckedBase, Held};
use crate::compare::exact;
use crate::report::block::{Answer, Block, Depth, Line, Mark, Report, Section};

/// What there is to say.
pub fn report(checked: &[Checked]) -> Report {
    let alone = checked.len() == 1;
    let titled = |one: &Checked| {
        if alone {
            blocks(one)
        } else {
            vec![Block::under(&one.declared.of, Depth::Brief, blocks(one))]
        }
    };
    let declared = checked.iter().flat_map(titled).collect();
    let mut sections = vec![Section::of("declared", "What is declared", declared)];
    let blind = BLIND.iter().map(|line| Line::from(*line)).collect();
    sections.push(Section::of("blind", "What this does not see", vec![Block::List(blind)]));
    let names: Vec<&str> = checked.iter().map(|one| one.declared.of.as_str()).collect();
    Report {
        kind: "declarations",
        title: names.join(", "),
        lead: String::new(),
        what: "what others declare, held against weights".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sections: sections.into_iter().flatten().map(Section::brief).collect(),
    }
}

const BLIND: [&str; 3] = [
    "A base that is confirmed shares its weights with the model; which came first, and whose name it is, weights do not say.",
    "Rows, licences and writers are words of whoever wrote the card: nothing here checks them.",
    "Of rows, `owlet attribute` tells which of some models wrote them.",
];

fn blocks(checked: &Checked) -> Vec<Block> {
    let declared = &checked.declared;
    let mut facts: Vec<(String, Line)> = Vec::new();
    for base in &declared.bases {
        let kinship = base.kinship.map(|kinship| format!(", {}", kinship.name()));
        let revision = base.revision.as_ref().map(|revision| format!(" at {revision}"));
        let told = format!(
            "{}{}{} ({})",
            base.name,
            revision.unwrap_or_default(),
            kinship.unwrap_or_default(),
            base.said.join("; ")
        );
        facts.push(("base".to_owned(), told.into()));
    }
    let mut fact = |name: &str, words: String| {
        if !words.is_empty() {
            facts.push((name.to_owned(), words.into()));
        }
    };
    fact(if declared.is_rows { "made from" } else { "rows" }, declared.rows.join(", "));
    fact("written by", declared.writers.join(", "));
    fact("licence", declared.licence.clone().unwrap_or_default());
    let held = match &declared.held {
        Held::Whole(_) => "a whole model",
        Held::Adapter(_) => "an adapter",
        Held::Nothing => "",
    };
    fact("weights beside it", held.to_owned());
    let mut blocks = Vec::new();
    if !facts.is_empty() {
        blocks.push(Block::Facts(facts));
    }
    let answers: Vec<Answer> = checked.bases.iter().map(answer).collect();
    if answers.is_empty() {
        blocks.push(Block::paragraph("No base is declared, so that nothing can be checked."));
    } else {
        blocks.push(Block::Answers(answers));
    }
    if !declared.faults.is_empty() {
        let fault = |fault: &String| (fault.clone(), String::new());
        blocks.push(Block::Warnings(declared.faults.iter().map(fault).collect()));
    }
    blocks
}

fn answer(base: &CheckedBase) -> Answer {
    let (mark, name) = match base.agreement {
        Agreement::Confirmed => (Mark::Yes, "confirmed"),
        Agreement::Contradicted => (Mark::No, "contradicted"),
        Agreement::CannotSay => (Mark::Unclear, "not told"),
    };
    let kinship = base.base.kinship.map(|kinship| format!(" ({})", kinship.name()));
    let parts = [
        base.p.map(|p| format!("p {}", exact(p))),
        base.found.as_ref().map(|found| format!("found: {found}")),
        Some(base.why.clone()),
    ];
    Answer {
        mark,
        name: name.to_owned(),
        word: format!("{}{}", base.base.name, kinship.unwrap_or_default()),
        over: Vec::new(),
        why: parts.into_iter().flatten().collect::<Vec<_>>().join("; "),
    }
}
