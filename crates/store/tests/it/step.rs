//! Steps: keys, records, scratch.

use std::collections::BTreeMap;
use std::fs;

use owlet_store::{ArtifactId, Error, step_key};
use serde_json::json;

use crate::fixture::{Workspace, make, record, sealed};

#[test]
fn key_depends_on_kind_algorithm_configuration_and_inputs_with_their_roles() {
    let id = |byte| ArtifactId::from_bytes([byte; 32]);
    let inputs = |pairs: &[(&str, u8)]| -> BTreeMap<String, ArtifactId> {
        pairs.iter().map(|(role, byte)| ((*role).to_owned(), id(*byte))).collect()
    };
    let base = inputs(&[("model", 1), ("rows", 2)]);
    let settings = json!({"rank": 8, "rate": 0.0002});
    let key = step_key("train", 1, &settings, &base);
    assert_eq!(step_key("train", 1, &json!({"rate": 0.0002, "rank": 8}), &base), key);
    let mut keys = vec![
        key,
        step_key("tune", 1, &settings, &base),
        step_key("train", 2, &settings, &base),
        step_key("train", 1, &json!({"rank": 9, "rate": 0.0002}), &base),
        step_key("train", 1, &settings, &inputs(&[("model", 2), ("rows", 1)])),
        step_key("train", 1, &settings, &inputs(&[("model", 1)])),
        step_key("train", 1, &settings, &inputs(&[("model", 1), ("row", 2)])),
    ];
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 7);
    // The key is part of the format: a change of this value would forget every finished step.
    insta::assert_snapshot!(key, @"16d16fc269ad15c9a0bd3b588113aaf8d9efd905b349d3706ea7e9028a90395b");
}

#[test]
fn a_record_is_read_back_and_recording_it_again_changes_nothing() {
    let workspace = Workspace::new();
    let input = make(&workspace.store, "model", &[("weights", b"w")]);
    let output = make(&workspace.store, "rows", &[("rows.jsonl", b"{}")]);
    let step = record("sample", json!({"seed": 1}), &[("model", input.id)], output.id);
    assert_eq!(workspace.store.step(&step.key).unwrap(), None);
    workspace.store.record_step(&step).unwrap();
    assert_eq!(workspace.reopened().step(&step.key).unwrap(), Some(step.clone()));
    assert_eq!(workspace.store.steps().unwrap(), std::slice::from_ref(&step));

    let before = fs::read(workspace.step_path(&step.key)).unwrap();
    let mut again = step;
    again.about.seconds = 99.0;
    workspace.reopened().record_step(&again).unwrap();
    assert_eq!(fs::read(workspace.step_path(&again.key)).unwrap(), before);
}

#[test]
fn a_record_of_the_first_format_is_still_read() {
    let workspace = Workspace::new();
    let output = make(&workspace.store, "rows", &[("rows.jsonl", b"{}")]);
    let step = record("sample", json!({"seed": 1}), &[], output.id);
    workspace.store.record_step(&step).unwrap();
    let path = workspace.step_path(&step.key);
    let mut old: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("seal");
    old["about"].as_object_mut().unwrap().remove("work");
    old["format"] = json!(1);
    fs::write(&path, sealed("owlet step record seal 1", old)).unwrap();
    let read = workspace.reopened().step(&step.key).unwrap().unwrap();
    assert_eq!((read.format, read.about.work, read.output), (1, None, output.id));
}

#[test]
fn records_that_would_lie_are_refused() {
    let workspace = Workspace::new();
    let output = make(&workspace.store, "rows", &[("a", b"1")]);
    let other = make(&workspace.store, "rows", &[("a", b"2")]);
    let step = record("sample", json!({}), &[], output.id);

    let mut wrong = step.clone();
    wrong.configuration = json!({"seed": 2});
    insta::assert_snapshot!(
        workspace.store.record_step(&wrong).unwrap_err(),
        @"step record has key 74e26c582fb2 but its kind, configuration and inputs have key ccaf7bc98beb"
    );
    let gone = record("sample", json!({}), &[], ArtifactId::from_bytes([7; 32]));
    insta::assert_snapshot!(
        workspace.store.record_step(&gone).unwrap_err(),
        @"no artifact 0707070707070707070707070707070707070707070707070707070707070707 in this workspace"
    );
    let mut endless = step.clone();
    endless.about.seconds = f64::INFINITY;
    assert!(matches!(workspace.store.record_step(&endless), Err(Error::Unwritable { .. })));
    let mut future = step.clone();
    future.format += 1;
    insta::assert_snapshot!(
        workspace.store.record_step(&future).unwrap_err(),
        @"cannot write step record: format 3 is newer than 2"
    );

    workspace.store.record_step(&step).unwrap();
    let different = record("sample", json!({}), &[], other.id);
    insta::assert_snapshot!(
        workspace.store.record_step(&different).unwrap_err(),
        @"step 74e26c582fb2 (sample) made artifact 833e4df479b1 before and b8a45dfc098e now: the same key must give the same bytes"
    );
    assert_eq!(workspace.store.step(&step.key).unwrap(), Some(step));
}

#[test]
fn a_step_whose_output_is_gone_is_made_again_even_with_another_output() {
    let workspace = Workspace::new();
    let output = make(&workspace.store, "rows", &[("a", b"1")]);
    let step = record("sample", json!({}), &[], output.id);
    workspace.store.record_step(&step).unwrap();
    fs::remove_dir_all(output.folder()).unwrap();
    assert_eq!(workspace.reopened().step(&step.key).unwrap(), None);

    let other = make(&workspace.store, "rows", &[("a", b"2")]);
    let again = record("sample", json!({}), &[], other.id);
    assert_eq!(again.key, step.key);
    workspace.reopened().record_step(&again).unwrap();
    assert_eq!(workspace.store.step(&step.key).unwrap(), Some(again));
}

#[test]
fn a_half_written_record_is_set_aside_and_a_misplaced_one_is_not_believed() {
    let workspace = Workspace::new();
    let output = make(&workspace.store, "rows", &[("a", b"1")]);
    let step = record("sample", json!({}), &[], output.id);
    let other = record("sample", json!({"seed": 2}), &[], output.id);
    workspace.store.record_step(&step).unwrap();
    let path = workspace.step_path(&step.key);
    let whole = fs::read(&path).unwrap();
    for damage in [&whole[..whole.len() / 2], b"", &[0; 300], b"null\n"] {
        fs::write(&path, damage).unwrap();
        assert_eq!(workspace.store.steps().unwrap(), []);
        assert_eq!(workspace.store.step(&step.key).unwrap(), None);
        assert!(!path.exists());
    }
    fs::create_dir_all(workspace.step_path(&other.key).parent().unwrap()).unwrap();
    fs::write(workspace.step_path(&other.key), &whole).unwrap();
    assert_eq!(workspace.store.step(&other.key).unwrap(), None);
    let report = workspace.store.verify(&mut |_, _| ()).unwrap();
    assert!(report.is_clean());
    assert_eq!(report.set_aside, 5);
}

#[test]
fn scratch_survives_a_crash_and_is_gone_when_the_step_is_recorded() {
    let workspace = Workspace::new();
    let output = make(&workspace.store, "rows", &[("a", b"1")]);
    let step = record("sample", json!({}), &[], output.id);
    let scratch = workspace.store.scratch(&step.key).unwrap();
    fs::write(scratch.join("state"), b"row 17").unwrap();

    let store = workspace.reopened();
    assert_eq!(store.step(&step.key).unwrap(), None);
    assert_eq!(fs::read(store.scratch(&step.key).unwrap().join("state")).unwrap(), b"row 17");
    store.record_step(&step).unwrap();
    assert!(!scratch.exists());

    // A crash after recording and before clearing.
    fs::create_dir(&scratch).unwrap();
    assert!(store.step(&step.key).unwrap().is_some());
    assert!(!scratch.exists());
}
