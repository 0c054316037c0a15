//! Croissant 1.1: rows as JSON-LD, with their files' digests and where they come from (PROV-O).

use std::path::Path;

use serde_json::{Value, json};

use super::card::{config, is_rows};
use super::{Source, Subject};
use crate::error::{Error, Result};

/// Fields of rows that prompts and answers stand in.
const OF_ROWS: [(&str, &str, &str); 3] = [
    ("prompt", "sc:Text", "What was asked"),
    ("completion", "sc:Text", "What was answered"),
    ("arm", "sc:Text", "The teacher that wrote it"),
];
const OF_CONVERSATIONS: [(&str, &str, &str); 1] =
    [("messages", "sc:Text", "A conversation, as messages with roles")];

/// The description of rows.
///
/// # Errors
/// It is a model: Croissant describes data.
pub fn croissant(subject: &Subject) -> Result<Value> {
    if !subject.itself.is_rows {
        let why = "is a model; Croissant describes rows. `--card` and `--cyclonedx` take models";
        return Err(Error::record(&subject.itself.name, why));
    }
    let distribution: Vec<Value> = subject
        .files
        .iter()
        .map(|file| {
            let extension = Path::new(&file.path).extension();
            let is_lines = extension.is_some_and(|extension| extension == "jsonl");
            json!({
                "@type": "cr:FileObject",
                "@id": file.path,
                "name": file.path,
                "contentUrl": file.path,
                "contentSize": format!("{} B", file.size),
                "encodingFormat": if is_lines { "application/jsonlines" } else { "application/json" },
                "sha256": file.sha256,
            })
        })
        .collect();
    let rows = subject.files.iter().filter(|file| is_rows(&file.path));
    let sets: Vec<Value> = rows.map(|file| record_set(&file.path)).collect();
    Ok(json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": subject.itself.name,
        "description": format!(
            "Rows of an owlet workspace, artifact {}. Licence, audience and contact are not known to owlet.",
            subject.itself.id
        ),
        "version": "1.0.0",
        "datePublished": subject.now,
        "distribution": distribution,
        "recordSet": sets,
        "prov:wasGeneratedBy": activity(subject, &subject.itself),
        "prov:wasDerivedFrom": derived(subject),
        "prov:wasAttributedTo": subject.writers().iter().map(|writer| json!({
            "@type": "prov:SoftwareAgent",
            "@id": urn(writer),
            "name": writer.name,
            "description": "The model that wrote rows",
        })).collect::<Vec<_>>(),
    }))
}

fn record_set(path: &str) -> Value {
    let is_conversations = path.ends_with("conversations.jsonl");
    let fields: &[_] = if is_conversations { &OF_CONVERSATIONS } else { &OF_ROWS };
    let set = format!("rows-{}", config(path));
    let fields: Vec<Value> = fields
        .iter()
        .map(|(name, kind, about)| {
            json!({
                "@type": "cr:Field",
                "@id": format!("{set}/{name}"),
                "name": name,
                "description": about,
                "dataType": kind,
                "source": { "fileObject": { "@id": path }, "extract": { "column": name } },
            })
        })
        .collect();
    json!({ "@type": "cr:RecordSet", "@id": set, "name": set, "field": fields })
}

/// A name that holds anywhere.
fn urn(source: &Source) -> String {
    format!("urn:blake3:{}", source.id)
}

/// The step that made something.
fn activity(subject: &Subject, source: &Source) -> Value {
    let Some(made) = subject.steps.get(&source.id) else { return Value::Null };
    json!({
        "@type": "prov:Activity",
        "@id": format!("urn:blake3:{}", made.key),
        "name": format!("owlet {}", made.kind),
        "prov:startedAtTime": made.started,
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            "name": format!("owlet {}", made.version),
        },
    })
}

/// What it was made from: every source once, each with the names of its own.
fn derived(subject: &Subject) -> Vec<Value> {
    let of = |source: &Source| {
        let from = subject.sources.iter().filter(|one| source.from.contains(&one.id));
        json!({
            "@type": "prov:Entity",
            "@id": urn(source),
            "name": source.name,
            "description": source.kind,
            "prov:wasGeneratedBy": activity(subject, source),
            "prov:wasDerivedFrom": from.map(|one| json!({ "@id": urn(one) })).collect::<Vec<_>>(),
        })
    };
    subject.sources.iter().map(of).collect()
}

/// Words of Croissant's own.
const OWN: [&str; 29] = [
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
];

/// The context that the format asks for, and PROV-O beside it.
fn context() -> Value {
    let mut context = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "dct": "http://purl.org/dc/terms/",
        "description": { "@container": "@language" },
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "name": { "@container": "@language" },
        "prov": "http://www.w3.org/ns/prov#",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
    });
    for word in OWN {
        context[word] = json!(format!("cr:{word}"));
    }
    context
}
