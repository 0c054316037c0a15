//! A draft of the public summary of training content (EU AI Act, Art. 53(1)(d); template of the AI Office of
//! 24 July 2025), filled with what the lineage holds.
//!
//! The template's three sections are kept. What owlet cannot know is said to be unknown, so that whoever
//! signs the summary sees what is left to be stated.

use std::fmt::Write;

use super::Subject;
use super::card::{findings, is_rows, lineage, plain};
use crate::value::text;

const UNKNOWN: &str = "not known to owlet";

/// The draft, as Markdown.
pub fn summary(subject: &Subject) -> String {
    let mut out = format!(
        "# Public summary of training content: draft\n\n\
         Made by owlet {} on {} from the lineage of artifact `{}`. \
         A draft: whoever provides the model must complete it and answers for it.\n",
        subject.version, subject.now, subject.itself.id
    );
    general(subject, &mut out);
    sources(subject, &mut out);
    processing(subject, &mut out);
    out
}

fn item(out: &mut String, what: &str, words: &str) {
    let _ = writeln!(out, "- **{what}**: {words}");
}

fn general(subject: &Subject, out: &mut String) {
    out.push_str("\n## 1. General information\n\n### 1.1 Provider\n\n");
    item(out, "Name, contact, representative in the Union", UNKNOWN);
    out.push_str("\n### 1.2 Model\n\n");
    item(out, "Name", &plain(&subject.itself.name));
    let bases: Vec<String> = subject
        .bases()
        .map(|outside| {
            let hub = outside.hub.as_ref().map(|hub| format!(" ({} on the hub)", plain(hub)));
            format!("{}{}", plain(&outside.name), hub.unwrap_or_default())
        })
        .collect();
    let depends = match bases.as_slice() {
        [] => "none on record".to_owned(),
        bases => format!(
            "{}; the summary of each covers what it was trained on, this one what came after",
            text::listed(bases)
        ),
    };
    item(out, "Models it depends on", &depends);
    let made = subject.steps.get(&subject.itself.id).map(|made| made.started.clone());
    item(out, "Trained on", &made.unwrap_or_else(|| UNKNOWN.to_owned()));
    item(out, "Placed on the Union market", UNKNOWN);
    out.push_str("\n### 1.3 Modalities and size of the training data\n\n");
    item(out, "Modalities", "text");
    let rows = subject.sources.iter().filter(|source| source.is_rows).count();
    let rows = match rows {
        0 => UNKNOWN.to_owned(),
        1 => format!("one set of rows on record; tokens {UNKNOWN}"),
        number => format!("{number} sets of rows on record; tokens {UNKNOWN}"),
    };
    item(out, "Size", &rows);
    item(out, "Languages, latest date of acquisition", UNKNOWN);
}

fn sources(subject: &Subject, out: &mut String) {
    out.push_str("\n## 2. List of data sources\n");
    let headings = [
        ("2.1 Publicly available datasets", UNKNOWN),
        ("2.2 Private datasets obtained from third parties", UNKNOWN),
        (
            "2.3 Data crawled and scraped from online sources",
            "none by owlet; of other tools, not known to owlet",
        ),
        ("2.4 User data", UNKNOWN),
    ];
    for (title, words) in headings {
        let _ = writeln!(out, "\n### {title}\n\n{words}");
    }
    out.push_str("\n### 2.5 Synthetic data\n\n");
    let writers = subject.writers();
    if writers.is_empty() {
        let _ = writeln!(out, "none on record");
    } else {
        let _ = writeln!(out, "Rows written by models, and the models that wrote them:\n");
        for writer in writers {
            let from = writer.step.as_ref().map(|step| format!(", made by `{step}`"));
            let _ = writeln!(out, "- {}{}", plain(&writer.name), from.unwrap_or_default());
        }
        let files = subject.files.iter().filter(|file| is_rows(&file.path));
        for file in files {
            let _ = writeln!(
                out,
                "- `{}`: {}, SHA-256 `{}`",
                file.path,
                text::bytes(file.size),
                file.sha256
            );
        }
    }
    let _ = writeln!(out, "\n### 2.6 Other sources\n\n{UNKNOWN}");
    out.push_str("\n### Lineage on record\n\n");
    for line in lineage(subject) {
        let _ = writeln!(out, "- {line}");
    }
}

fn processing(subject: &Subject, out: &mut String) {
    out.push_str("\n## 3. Data processing\n\n");
    item(out, "Reservations of rights (text and data mining)", UNKNOWN);
    let filters = subject.filters().count();
    let removed = match filters {
        0 => UNKNOWN.to_owned(),
        number => format!(
            "{} kept only rows of the carrier's form; they do not look for illegal content",
            text::counted(number, "filter")
        ),
    };
    item(out, "Removal of illegal content", &removed);
    out.push_str("- **Other information**: what was found in the models and rows on record:\n");
    for line in findings(subject) {
        let _ = writeln!(out, "  - {line}");
    }
}
