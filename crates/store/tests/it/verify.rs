//! Verification: everything that is wrong is named.

use std::fs;

use serde_json::json;

use crate::fixture::{Workspace, make, record, run};

#[test]
fn a_sound_workspace_is_clean_and_progress_counts_everything() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let output = make(store, "rows", &[("a", b"123"), ("b/c", b"45")]);
    store.record_step(&record("sample", json!({}), &[], output.id)).unwrap();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    store.create_run(&id, &header).unwrap();
    let mut seen = Vec::new();
    let report = workspace.reopened().verify(&mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
    assert!(report.is_clean() && report.is_sound());
    assert_eq!((report.artifacts, report.bytes, report.steps, report.runs), (1, 5, 1, 1));
}

#[test]
fn every_kind_of_problem_is_named_with_its_path() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("a", b"123"), ("b/c", b"45"), ("d", b"6")]);
    let step = record("sample", json!({}), &[], rows.id);
    store.record_step(&step).unwrap();
    let model = make(store, "model", &[("weights", b"1")]);
    let tune = record("tune", json!({}), &[], model.id);
    store.record_step(&tune).unwrap();
    let gone = make(store, "gone", &[]);
    let forget = record("forget", json!({}), &[], gone.id);
    store.record_step(&forget).unwrap();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = store.create_run(&id, &header).unwrap();

    fs::write(rows.path("a").unwrap(), "124").unwrap();
    fs::write(rows.path("b/c").unwrap(), "4").unwrap();
    fs::remove_file(rows.path("d").unwrap()).unwrap();
    fs::write(model.folder().join(".DS_Store"), "").unwrap();
    fs::remove_dir_all(gone.folder()).unwrap();
    fs::write(workspace.step_path(&tune.key), "{").unwrap();
    fs::write(run.path().join("run.json"), "{}").unwrap();
    fs::write(workspace.path().join("notes.txt"), "").unwrap();
    fs::create_dir_all(workspace.path().join("artifacts/zz")).unwrap();
    fs::create_dir_all(workspace.path().join("artifacts/aa/aa")).unwrap();
    fs::create_dir_all(workspace.path().join("runs/tomorrow")).unwrap();

    let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
    assert!(!report.is_sound());
    let lines: Vec<_> = report.problems.iter().map(|p| format!("{:?}: {p}", p.kind)).collect();
    let text = lines.join(
        "
",
    );
    insta::assert_snapshot!(text, @r"
    Damaged: `artifacts/65/6509583bdb512faad824946efb4028b20c0eeb20851cecb66f007d10290e5d00/a` has digest 2abb0d10d2c6 instead of b3d4f8803f7e
    Damaged: `artifacts/65/6509583bdb512faad824946efb4028b20c0eeb20851cecb66f007d10290e5d00/b/c` has 1 bytes instead of 2
    Missing: `artifacts/65/6509583bdb512faad824946efb4028b20c0eeb20851cecb66f007d10290e5d00/d` is missing
    Foreign: `artifacts/8a/8ab54eb0988635101af643f3ace3cc1ba8aec19a44ce546f6402931ddbd950c8/.DS_Store` is not in the artifact's manifest
    Foreign: `artifacts/aa/aa` does not belong here
    Foreign: `artifacts/zz` does not belong here
    Foreign: `notes.txt` does not belong here
    Damaged: `runs/20261121-225144-0001/run.json` has no seal
    Foreign: `runs/tomorrow` does not belong here
    OutputGone: `steps/3d/3d64d9906e56a7ae63d269fd78252b172d081bc92dbdcb5c299cc1c9a3402b1b.json` (forget) made artifact 25c203de492f, which is missing or damaged
    OutputGone: `steps/74/74e26c582fb289d1edcdbfdd77c09ed6a732bb730a5b725ffe83a502f6a4ee61.json` (sample) made artifact 6509583bdb51, which is missing or damaged
    Damaged: `steps/c6/c6a691a021679d2f99077f548841bceb5e1d5725299b88b54f326a4171323936.json` is not JSON: EOF while parsing an object at line 1 column 1
    ");

    // The model is intact but for a stray file, which nobody can reach through the artifact.
    assert_eq!(workspace.reopened().artifact(&model.id).unwrap(), model);
}
