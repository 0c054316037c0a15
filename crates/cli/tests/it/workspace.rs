use std::collections::BTreeMap;

use insta::assert_snapshot;
use owlet_store::{Artifact, RunHeader, RunId, StepCost, StepRecord, Store, step_key};
use serde_json::json;

use crate::testkit::Folder;

/// A workspace with a base, two students of it, a readout of both, and a run that failed.
fn workspace() -> (Folder, Vec<Artifact>) {
    let folder = Folder::new();
    let store = Store::open(folder.path().join(".owlet")).unwrap();
    let make = |kind: &str, output: &str, seed: u64, inputs: &[(&str, &Artifact)]| {
        let writer = store.begin_artifact(output).unwrap();
        writer.write("data.txt", format!("{kind} {seed}").as_bytes()).unwrap();
        let artifact = writer.finish(json!({ "seed": seed })).unwrap();
        let inputs: BTreeMap<_, _> =
            inputs.iter().map(|(role, artifact)| ((*role).to_owned(), artifact.id)).collect();
        let configuration = json!({ "seed": seed });
        store
            .record_step(&StepRecord {
                format: StepRecord::FORMAT,
                key: step_key(kind, 1, &configuration, &inputs),
                kind: kind.to_owned(),
                algorithm: 1,
                configuration,
                inputs,
                output: artifact.id,
                about: StepCost {
                    started: format!("2026-11-21T22:51:4{seed}Z"),
                    seconds: 1.5,
                    threads: 2,
                    peak_memory_bytes: None,
                    host: "tower".to_owned(),
                    version: "0.1.0".to_owned(),
                },
            })
            .unwrap();
        artifact
    };
    let base = make("base", "model", 0, &[]);
    let one = make("train", "student", 1, &[("base", &base)]);
    let two = make("train", "student", 2, &[("base", &base)]);
    let read = make("readout", "readout", 3, &[("one", &one), ("two", &two)]);

    let id = RunId::new("2026-11-21T22:51:44Z", 0x3f2a).unwrap();
    let header = RunHeader {
        format: RunHeader::FORMAT,
        id: id.clone(),
        name: "owl".to_owned(),
        started: "2026-11-21T22:51:44Z".to_owned(),
        host: "tower".to_owned(),
        version: "0.1.0".to_owned(),
        about: json!({}),
    };
    let run = store.create_run(&id, &header).unwrap();
    run.append_event(&json!({ "event": "step-failed", "step": "train/owl", "message": "disk full" }))
        .unwrap();
    let steps = json!([
        { "name": "base", "kind": "base", "artifact": base.id },
        { "name": "train/owl/seed-1", "kind": "train", "artifact": one.id },
        { "name": "train/owl/seed-2", "kind": "train", "artifact": two.id },
        { "name": "readout", "kind": "readout", "artifact": read.id },
    ]);
    run.write_file("steps.json", steps.to_string().as_bytes()).unwrap();
    (folder, vec![base, one, two, read])
}

#[test]
fn runs_artifacts_and_steps_are_listed() {
    let (folder, _) = workspace();
    assert_snapshot!(folder.run(&["list"]).all(), @"");
    assert_snapshot!(folder.run(&["list", "artifacts"]).all(), @"");
    assert_snapshot!(folder.run(&["list", "steps"]).all(), @"");
    let runs = folder.run(&["list", "--json"]).json();
    assert_snapshot!(serde_json::to_string_pretty(&runs).unwrap(), @"");
    let steps = folder.run(&["list", "steps", "--json"]).json();
    assert_snapshot!(serde_json::to_string_pretty(&steps[0]).unwrap(), @"");
    let artifacts = folder.run(&["list", "artifacts", "--json"]).json();
    assert_eq!(artifacts.as_array().unwrap().len(), 4);
}

#[test]
fn lineage_is_drawn_and_given_as_edges() {
    let (folder, artifacts) = workspace();
    let [base, one, _, read] = &artifacts[..] else { panic!("four artifacts") };
    assert_snapshot!(folder.run(&["lineage", &read.id.to_string()[..8]]).good(), @"");
    assert_snapshot!(folder.run(&["lineage", "3f2a"]).good(), @"");
    assert_snapshot!(folder.run(&["lineage", &one.id.to_string(), "--descendants"]).good(), @"");
    let lineage = folder.run(&["lineage", &read.id.to_string(), "--json"]).json();
    assert_eq!(lineage["of"], read.id.to_string());
    let from_base = lineage["edges"].as_array().unwrap().iter();
    assert_eq!(from_base.filter(|edge| edge["from"]["id"] == base.id.to_string()).count(), 2);
}

#[test]
fn a_run_an_artifact_and_a_step_are_shown() {
    let (folder, artifacts) = workspace();
    assert_snapshot!(folder.run(&["show", "last"]).all(), @"");
    assert_snapshot!(folder.run(&["show", &artifacts[1].id.to_string()]).all(), @"");
    let steps = folder.run(&["list", "steps", "--json"]).json();
    let key = steps[1]["key"].as_str().unwrap();
    assert_snapshot!(folder.run(&["show", key]).all(), @"");
    assert_snapshot!(folder.run(&["show", "3f2a", "--report"]).all(), @"");
    assert_snapshot!(folder.run(&["show", "ffff0000"]).all(), @"");
}

#[test]
fn verify_finds_damage_and_says_so_by_its_exit_code() {
    let (folder, artifacts) = workspace();
    assert_snapshot!(folder.run(&["verify"]).all(), @"");
    let file = artifacts[1].folder().join("data.txt");
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file in a temporary folder")]
    permissions.set_readonly(false);
    std::fs::set_permissions(&file, permissions).unwrap();
    std::fs::write(&file, "train 9").unwrap();
    assert_snapshot!(folder.run(&["verify"]).all(), @"");
    let report = folder.run(&["verify", "--json"]);
    assert_eq!(report.code, 1);
    let report: serde_json::Value = serde_json::from_str(&report.data).unwrap();
    assert_eq!(report["problems"][0]["kind"], "damaged");
}
