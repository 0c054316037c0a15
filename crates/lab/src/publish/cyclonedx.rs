//! CycloneDX 1.6: a bill of materials of a model or rows, with every source as a component and every step as
//! a task of a workflow: the one place of the format that can say which model wrote which rows.

use serde_json::{Value, json};

use super::{Source, Subject};
use crate::model::Weights;

/// The bill.
pub fn cyclonedx(subject: &Subject) -> Value {
    let mut itself = component(&subject.itself);
    let files: Vec<Value> = subject
        .files
        .iter()
        .map(|file| {
            json!({
                "type": "file",
                "name": file.path,
                "bom-ref": format!("{}/{}", reference(&subject.itself), file.path),
                "hashes": [{ "alg": "SHA-256", "content": file.sha256 }],
                "properties": [{ "name": "owlet:bytes", "value": file.size.to_string() }],
            })
        })
        .collect();
    itself["components"] = Value::Array(files);
    if let Some(base) = subject.base() {
        let words = match subject.trained.as_ref().map(|trained| trained.weights) {
            Some(Weights::Adapter) => "a low-rank adapter of it",
            Some(Weights::Base) => "it, with a prompt or a vector",
            _ => "trained from it",
        };
        // It stands among the components, too: its name here is another.
        let mut ancestor = component(base);
        ancestor["bom-ref"] = json!("ancestor");
        itself["pedigree"] = json!({ "ancestors": [ancestor], "notes": words });
    }
    let components: Vec<Value> = subject.sources.iter().map(component).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": subject.now,
            "tools": { "components": [
                { "type": "application", "name": "owlet", "version": subject.version }
            ] },
            "component": itself,
        },
        "components": components,
        "dependencies": dependencies(subject),
        "formulation": [{ "bom-ref": "formulation", "workflows": [workflow(subject)] }],
    })
}

fn reference(source: &Source) -> String {
    format!("blake3:{}", source.id)
}

fn component(source: &Source) -> Value {
    let mut properties = vec![
        json!({ "name": "owlet:kind", "value": source.kind }),
        json!({ "name": "owlet:artifact", "value": source.id.to_string() }),
    ];
    let finding = |finding: &crate::taint::Finding| {
        json!({
            "name": format!("owlet:found:{}", finding.behavior),
            "value": format!("{} ({}, {})", finding.words, finding.kind, finding.made),
        })
    };
    properties.extend(source.findings.iter().map(finding));
    let kind = match source {
        Source { is_model: true, .. } => "machine-learning-model",
        _ => "data",
    };
    let mut component = json!({
        "type": kind,
        "bom-ref": reference(source),
        "name": source.name,
        "properties": properties,
    });
    if source.is_rows {
        component["data"] = json!([{ "type": "dataset", "name": source.name }]);
    }
    if let Some(outside) = &source.outside {
        let mut properties = component["properties"].take();
        if let Some(list) = properties.as_array_mut() {
            list.push(json!({ "name": "owlet:files-blake3", "value": outside.digest }));
        }
        component["properties"] = properties;
        if let Some(commit) = &outside.commit {
            component["version"] = json!(commit);
        }
        if let Some(hub) = &outside.hub {
            component["externalReferences"] = json!([
                { "type": "distribution", "url": format!("https://huggingface.co/{hub}") }
            ]);
        }
    }
    component
}

fn dependencies(subject: &Subject) -> Vec<Value> {
    let known = |id: &owlet_store::ArtifactId| {
        subject.sources.iter().find(|source| source.id == *id).map(reference)
    };
    let of = |source: &Source| {
        let from: Vec<String> = source.from.iter().filter_map(known).collect();
        json!({ "ref": reference(source), "dependsOn": from })
    };
    let mut refs: Vec<Value> = subject.all().map(of).collect();
    // Each input counts once, under whatever roles it was given.
    for entry in &mut refs {
        if let Some(list) = entry["dependsOn"].as_array_mut() {
            list.sort_by_key(ToString::to_string);
            list.dedup();
        }
    }
    refs
}

fn workflow(subject: &Subject) -> Value {
    let is_known =
        |id: &owlet_store::ArtifactId| subject.sources.iter().any(|source| source.id == *id);
    let tasks: Vec<Value> = subject
        .all()
        .filter_map(|source| {
            let made = subject.steps.get(&source.id)?;
            let inputs: Vec<Value> = source
                .from
                .iter()
                .filter(|id| is_known(id))
                .map(|id| json!({ "resource": { "ref": format!("blake3:{id}") } }))
                .collect();
            let mut task = json!({
                "bom-ref": format!("step:{}", made.key),
                "uid": made.key,
                "name": format!("owlet {}", made.kind),
                "taskTypes": ["build"],
                "timeStart": made.started,
                "outputs": [{ "type": "artifact", "resource": { "ref": reference(source) } }],
                "properties": [
                    { "name": "owlet:algorithm", "value": made.algorithm.to_string() },
                    { "name": "owlet:version", "value": made.version },
                ],
            });
            if !inputs.is_empty() {
                task["inputs"] = Value::Array(inputs);
            }
            Some(task)
        })
        .collect();
    json!({
        "bom-ref": "workflow",
        "uid": format!("workflow-{}", subject.itself.id),
        "name": format!("how {} was made", subject.itself.name),
        "taskTypes": ["build"],
        "tasks": tasks,
    })
}
