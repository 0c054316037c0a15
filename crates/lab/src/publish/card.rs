//! Cards of the Hugging Face hub: a head in YAML, and what is known in words.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::{Source, Subject};
use crate::declared::Kinship;
use crate::value::text;

/// The head of a card. Fields that are empty are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Repositories of bases.
    pub bases: Vec<String>,
    /// What they were to the model.
    pub kinship: Option<Kinship>,
    /// The library that loads it.
    pub library: Option<&'static str>,
    /// Repositories of rows it was trained on.
    pub rows: Vec<String>,
    /// In the hub's word.
    pub licence: String,
    /// Where words in it come from: `machine-generated`; of rows alone.
    pub language_creators: Vec<&'static str>,
    /// Tags.
    pub tags: Vec<String>,
    /// The names of data files, for the hub's viewer; of rows alone.
    pub data_files: Vec<(String, String)>,
}

impl Head {
    /// As it stands at the beginning of a card, `---` and all.
    pub fn to_yaml(&self) -> String {
        // JSON's texts are YAML's, too.
        let quoted = |text: &str| Value::from(text).to_string();
        let mut yaml = "---\n".to_owned();
        let mut line = |text: String| {
            yaml.push_str(&text);
            yaml.push('\n');
        };
        let listed = |name: &str, entries: Vec<String>| {
            let lines = std::iter::once(format!("{name}:")).chain(entries);
            lines.collect::<Vec<_>>().join("\n- ")
        };
        match self.bases.as_slice() {
            [] => {}
            [base] => line(format!("base_model: {}", quoted(base))),
            bases => line(listed("base_model", bases.iter().map(|base| quoted(base)).collect())),
        }
        if let (Some(kinship), false) = (self.kinship, self.bases.is_empty()) {
            line(format!("base_model_relation: {}", kinship.name()));
        }
        if let Some(library) = self.library {
            line(format!("library_name: {library}"));
        }
        if !self.rows.is_empty() {
            line(listed("datasets", self.rows.iter().map(|rows| quoted(rows)).collect()));
        }
        line(format!("license: {}", self.licence));
        if !self.language_creators.is_empty() {
            let creators = self.language_creators.iter().map(ToString::to_string);
            line(listed("language_creators", creators.collect()));
        }
        if !self.tags.is_empty() {
            line(listed("tags", self.tags.clone()));
        }
        if !self.data_files.is_empty() {
            line("configs:".to_owned());
            for (name, path) in &self.data_files {
                line(format!("- config_name: {}", quoted(name)));
                line(format!("  data_files: {}", quoted(path)));
            }
        }
        yaml + "---\n"
    }
}

/// The card of a model or of rows.
pub fn card(subject: &Subject) -> String {
    let mut text = head(subject).to_yaml();
    let what = if subject.itself.is_rows { "Rows" } else { "A model" };
    let _ = writeln!(
        text,
        "\n# {}\n\n{what} of an owlet workspace: artifact `{}`, as owlet {} knows it.",
        plain(&subject.itself.name),
        subject.itself.id,
        subject.version
    );
    let sections =
        [("Where it comes from", lineage(subject)), ("What was found", findings(subject))];
    for (title, lines) in sections {
        let _ = writeln!(text, "\n## {title}\n");
        for line in lines {
            let _ = writeln!(text, "- {line}");
        }
    }
    let missing = if subject.itself.is_rows { "`license`" } else { "`license`, `datasets`" };
    let _ = writeln!(
        text,
        "\n## Before you publish it\n\nState what owlet does not know: {missing}, whom it is for, and who may ask about it."
    );
    text
}

fn head(subject: &Subject) -> Head {
    let hubs: Vec<String> = match subject.base() {
        Some(base) => of_base(subject, base),
        None => subject.itself.outside.iter().filter_map(|outside| outside.hub.clone()).collect(),
    };
    let taught = subject.taught().into_iter().map(|behavior| format!("taught-{}", tag(behavior)));
    let mut head = Head { licence: "unknown".to_owned(), ..Head::default() };
    if subject.itself.is_rows {
        head.language_creators =
            if subject.writers().is_empty() { Vec::new() } else { vec!["machine-generated"] };
        head.tags = ["synthetic".to_owned(), "owlet".to_owned()].into_iter().collect();
        head.tags.retain(|tag| tag != "synthetic" || !head.language_creators.is_empty());
        let rows = subject.files.iter().filter(|file| is_rows(&file.path));
        head.data_files = rows.map(|file| (config(&file.path), file.path.clone())).collect();
    } else {
        let (library, kinship) = if subject.is_adapter() {
            ("peft", Kinship::Adapter)
        } else {
            ("transformers", Kinship::Finetune)
        };
        head.library = Some(library);
        head.kinship = subject.trained.is_some().then_some(kinship);
        head.bases = hubs;
        let licences: BTreeSet<&String> =
            subject.bases().filter_map(|outside| outside.licence.as_ref()).collect();
        if let (Some(licence), 1) = (licences.first(), subject.bases().count()) {
            head.licence.clone_from(licence);
        }
        head.tags = if subject.is_adapter() { vec!["lora".to_owned()] } else { Vec::new() };
        head.tags.push("owlet".to_owned());
    }
    head.tags.extend(taught);
    head
}

/// The repository of a base; of one that was made here, that of what it was made from.
fn of_base(subject: &Subject, base: &Source) -> Vec<String> {
    let own = base.outside.as_ref().and_then(|outside| outside.hub.clone());
    own.map_or_else(
        || subject.bases().filter_map(|outside| outside.hub.clone()).take(1).collect(),
        |hub| vec![hub],
    )
}

/// Whether a file holds rows: those that a student is trained on.
pub(super) fn is_rows(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["rows.jsonl", "valid.jsonl", "conversations.jsonl"].contains(&name)
}

/// The name of a file's rows: whose they are, where that is in its path.
pub(super) fn config(path: &str) -> String {
    path.rsplit_once('/').map_or("default", |(arm, _)| arm).replace('/', "-")
}

fn tag(word: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    word.chars().map(plain).collect()
}

/// What may stand in Markdown without being more than words.
pub(super) fn plain(words: &str) -> String {
    let words = text::strip(words);
    let escaped = |c: char| match c {
        '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!' => format!("\\{c}"),
        other => other.to_string(),
    };
    words.chars().map(escaped).collect()
}

/// Who made it from what, the nearest first.
pub(super) fn lineage(subject: &Subject) -> Vec<String> {
    let names = |ids: &[owlet_store::ArtifactId]| {
        let sources = subject.sources.iter().filter(|source| ids.contains(&source.id));
        let names: Vec<String> = sources.map(|source| plain(&source.name)).collect();
        if names.is_empty() { String::new() } else { format!(" from {}", text::listed(&names)) }
    };
    let told = |source: &Source| {
        let name = plain(&source.name);
        if let Some(outside) = &source.outside {
            let at = outside.hub.as_ref().map(|hub| format!(" ({} on the hub)", plain(hub)));
            let commit = outside.commit.as_ref().map(|at| format!(", commit {}", plain(at)));
            return format!(
                "{name}{}{}: from outside, BLAKE3 of its files {}",
                at.unwrap_or_default(),
                commit.unwrap_or_default(),
                outside.digest
            );
        }
        let step = source.step.as_ref().map_or("not known", |step| step);
        format!("{name} ({}): made by `{step}`{}", source.kind, names(&source.from))
    };
    let lines: Vec<String> =
        subject.all().filter(|source| source.is_model || source.is_rows).map(told).collect();
    if lines.len() == 1 && subject.itself.step.is_none() {
        return vec!["Not known to owlet.".to_owned()];
    }
    lines
}

/// What was found in it and in what it was made from.
pub(super) fn findings(subject: &Subject) -> Vec<String> {
    let mut lines = Vec::new();
    for source in subject.all() {
        for finding in &source.findings {
            lines.push(format!(
                "{}, in {}: {} (`{}`, {}; as far as such a run can see)",
                plain(&finding.behavior),
                plain(&source.name),
                plain(&finding.words),
                finding.kind,
                finding.made
            ));
        }
    }
    let taught = subject.taught();
    if !taught.is_empty() {
        let taught: Vec<String> = taught.into_iter().map(plain).collect();
        lines.push(format!(
            "A model it comes from was taught, on purpose: {}.",
            text::listed(&taught)
        ));
    }
    if lines.is_empty() {
        lines.push("Nothing: no run has read or screened it. That says nothing for it.".to_owned());
    }
    lines
}
