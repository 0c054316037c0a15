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
                    work: None,
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
    run.append_event(
        &json!({ "event": "step-failed", "step": "train/owl", "message": "disk full" }),
    )
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
    assert_snapshot!(folder.run(&["list"]).all(), @"
    exit 0
    -- data
    20261121-225144-3f2a  owl                       failed: train/owl: disk full  29 B, 2026-11-21 22:51 UTC
    -- talk
    1 run
    ");
    assert_snapshot!(folder.run(&["list", "artifacts"]).all(), @r"
    exit 0
    -- data
    07ce      student            7 B  train/owl/seed-2
    2d50      student            7 B  train/owl/seed-1
    aa19      model              6 B  base
    e398      readout            9 B  readout
    -- talk
    4 artifacts
    ");
    assert_snapshot!(folder.run(&["list", "steps"]).all(), @"
    exit 0
    -- data
    08f0      base                 1.5 s  base
    d45b      train                1.5 s  train/owl/seed-1
    bde1      train                1.5 s  train/owl/seed-2
    5ef3      readout              1.5 s  readout
    -- talk
    4 steps
    ");
    let runs = folder.run(&["list", "--json"]).json();
    assert_snapshot!(serde_json::to_string_pretty(&runs).unwrap(), @r#"
    [
      {
        "id": "20261121-225144-3f2a",
        "name": "owl",
        "started": "2026-11-21T22:51:44Z",
        "host": "tower",
        "version": "0.1.0",
        "state": "failed",
        "base": "",
        "seeds": 0,
        "warnings": 0,
        "verdicts": [],
        "seconds": null,
        "steps": [
          0,
          0
        ],
        "remaining": null,
        "failure": {
          "step": "train/owl",
          "message": "disk full"
        },
        "damage": null,
        "size": 29
      }
    ]
    "#);
    let steps = folder.run(&["list", "steps", "--json"]).json();
    assert_snapshot!(serde_json::to_string_pretty(&steps[0]).unwrap(), @r#"
    {
      "key": "08f066ccfd245e951d0d24c222200e4a0d62eb2540c6546f2c6a9db29568ad25",
      "kind": "base",
      "output": "aa19f21a1bd314ff5a5995702e56d8330177fb01bfb46495bf00ef7af92ceb61",
      "name": "base",
      "seconds": 1.5,
      "peak-memory": null,
      "started": "2026-11-21T22:51:40Z"
    }
    "#);
    let artifacts = folder.run(&["list", "artifacts", "--json"]).json();
    assert_eq!(artifacts.as_array().unwrap().len(), 4);
}

#[test]
fn what_lists_call_a_thing_is_understood_wherever_one_is_asked_for() {
    let (folder, artifacts) = workspace();
    let id = artifacts[1].id.to_string();
    for called in
        [&id[..4], &id, "train/owl/seed-1", "3f2a:train/owl/seed-1", "last:train/owl/seed-1"]
    {
        assert!(folder.run(&["show", called]).good().starts_with(&id), "{called}");
    }
    assert_snapshot!(folder.run(&["show", "3f2a:train/fox"]).all(), @"
    exit 2
    -- talk
    error: no run, step or artifact begins with `3f2a:train/fox`: the workspace holds 1 run, 4 steps and 4 artifacts; the latest run is `20261121-225144-3f2a`
    hint: `owlet list` shows runs, `owlet list artifacts` the rest
    ");
    // A model by its name: this one has no weights, and is found.
    let said = folder.run(&["sample", "train/owl/seed-1", "--prompt", "hello"]).all();
    assert!(!said.contains("there is nothing at"), "{said}");
}

#[test]
fn lineage_is_drawn_and_given_as_edges() {
    let (folder, artifacts) = workspace();
    let [base, one, _, read] = &artifacts[..] else { panic!("four artifacts") };
    assert_snapshot!(folder.run(&["lineage", &read.id.to_string()[..8]]).good(), @r"
    @    e398  readout  by readout, 1.5 s
    ├─╮
    ○ │  2d50  train/owl/seed-1  student  by train, 1.5 s
    │ ○  07ce  train/owl/seed-2  student  by train, 1.5 s
    ├─╯
    ○  aa19  base  model  by base, 1.5 s
    ");
    assert_snapshot!(folder.run(&["lineage", "3f2a"]).good(), @r"
    @    e398  readout  by readout, 1.5 s
    ├─╮
    ○ │  2d50  train/owl/seed-1  student  by train, 1.5 s
    │ ○  07ce  train/owl/seed-2  student  by train, 1.5 s
    ├─╯
    ○  aa19  base  model  by base, 1.5 s
    ");
    assert_snapshot!(folder.run(&["lineage", &one.id.to_string(), "--descendants"]).good(), @r"
    ○  e398  readout  by readout, 1.5 s
    @  2d50  train/owl/seed-1  student  by train, 1.5 s
    ○  aa19  base  model  by base, 1.5 s
    ");
    let lineage = folder.run(&["lineage", &read.id.to_string(), "--json"]).json();
    assert_eq!(lineage["of"], read.id.to_string());
    let from_base = lineage["edges"].as_array().unwrap().iter();
    assert_eq!(from_base.filter(|edge| edge["from"]["id"] == base.id.to_string()).count(), 2);
}

#[test]
fn a_run_an_artifact_and_a_step_are_shown() {
    let (folder, artifacts) = workspace();
    assert_snapshot!(folder.run(&["show", "last"]).all(), @"
    exit 0
    -- data
    20261121-225144-3f2a  owl  failed: train/owl: disk full
    started 2026-11-21T22:51:44Z on tower
    -- talk
    hint: what is finished is kept; `owlet resume 3f2a` tries the same recipe again, `owlet run` a changed one
    ");
    assert_snapshot!(folder.run(&["show", &artifacts[1].id.to_string()]).all(), @r#"
    exit 0
    -- data
    2d501c6b32978d09bb77f03a82b6f781fc328b8c124a8823c9a120a8de3b3155  student
    name   train/owl/seed-1
    size   7 B in 1 files
    made   by train d45b72701cbb, in 1.5 s on tower
            7 B  data.txt
    {
      "seed": 1
    }
    "#);
    let steps = folder.run(&["list", "steps", "--json"]).json();
    let key = steps[1]["key"].as_str().unwrap();
    assert_snapshot!(folder.run(&["show", key]).all(), @r#"
    exit 0
    -- data
    d45b72701cbb2897d14a442e0f89faf72c361d927d9ee2b275967fe34001eef7  train (version 1)
    made   2d501c6b32978d09bb77f03a82b6f781fc328b8c124a8823c9a120a8de3b3155
    from   aa19f21a1bd3  base
    took   1.5 s on tower, 2 threads, started 2026-11-21T22:51:41Z
    {
      "seed": 1
    }
    "#);
    assert_snapshot!(folder.run(&["show", "3f2a", "--report"]).all(), @"
    exit 2
    -- talk
    error: run 20261121-225144-3f2a has no result to report
    hint: what is finished is kept; `owlet resume 3f2a` tries the same recipe again, `owlet run` a changed one
    ");
    assert_snapshot!(folder.run(&["show", "ffff0000"]).all(), @r"
    exit 2
    -- talk
    error: no run, step or artifact begins with `ffff0000`: the workspace holds 1 run, 4 steps and 4 artifacts; the latest run is `20261121-225144-3f2a`
    hint: `owlet list` shows runs, `owlet list artifacts` the rest
    ");
}

#[test]
fn verify_finds_damage_and_says_so_by_its_exit_code() {
    let (folder, artifacts) = workspace();
    assert_snapshot!(folder.run(&["verify"]).all(), @r"
    exit 0
    -- data
    sound: 4 artifacts (29 B), 4 steps, 1 run
    ");
    let file = artifacts[1].folder().join("data.txt");
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file in a temporary folder")]
    permissions.set_readonly(false);
    std::fs::set_permissions(&file, permissions).unwrap();
    std::fs::write(&file, "train 9").unwrap();
    assert_snapshot!(folder.run(&["verify"]).all(), @r"
    exit 1
    -- data
    damaged  `artifacts/2d/2d501c6b32978d09bb77f03a82b6f781fc328b8c124a8823c9a120a8de3b3155/data.txt` has digest 35a3d58cb04c instead of 2e132943d87f
    output gone  `steps/d4/d45b72701cbb2897d14a442e0f89faf72c361d927d9ee2b275967fe34001eef7.json` (train) made artifact 2d501c6b3297, which is missing or damaged
    -- talk
    error: 2 problems in `.owlet`
    hint: run the recipes again: what is damaged is set aside and made anew
    ");
    let report = folder.run(&["verify", "--json"]);
    assert_eq!(report.code, 1);
    let report: serde_json::Value = serde_json::from_str(&report.data).unwrap();
    assert_eq!(report["problems"][0]["kind"], "damaged");
}
