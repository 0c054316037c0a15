//! Removal on purpose: what goes, what stays known, and what making anew does.

use std::fs;

use owlet_store::{Entity, Error, ProblemKind};
use serde_json::json;

use crate::fixture::{Workspace, flip_bit, make, record, run};

const NOW: &str = "2026-11-29T12:00:00Z";

#[test]
fn a_removed_artifact_is_gone_and_still_known() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("rows.jsonl", b"123"), ("more/a", b"45")]);
    let student = make(store, "student", &[("weights", b"w")]);
    let sample = record("sample", json!({}), &[], rows.id);
    let train = record("train", json!({}), &[("rows", rows.id)], student.id);
    store.record_step(&sample).unwrap();
    store.record_step(&train).unwrap();

    let alone = store.alone().unwrap().unwrap();
    assert_eq!(store.remove_artifact(&alone, &rows.id, NOW).unwrap(), 5);
    assert_eq!(store.remove_artifact(&alone, &rows.id, NOW).unwrap(), 0, "it is gone already");
    drop(alone);

    let store = workspace.reopened();
    assert!(!workspace.artifact_folder(&rows.id).exists());
    let error = store.artifact(&rows.id).unwrap_err();
    insta::assert_snapshot!(error, @"artifact 5ca1eac89ac3 (rows) was removed on 2026-11-29T12:00:00Z");
    let known = store.removed(&rows.id).unwrap();
    assert_eq!((known.kind.as_str(), known.size(), known.files), ("rows", 5, rows.files.clone()));
    assert_eq!(store.step(&sample.key).unwrap(), None, "its step is to be made");
    assert_eq!(store.step_record(&sample.key).unwrap(), Some(sample));
    assert_eq!(store.resolve(&rows.id.to_string()[..8]).unwrap(), Entity::Artifact(rows.id));
    let lineage = store.lineage(&student.id).unwrap();
    let told: Vec<_> =
        lineage.nodes.iter().map(|node| (node.kind.clone().unwrap(), node.removed)).collect();
    let expected = [("sample", false), ("rows", true), ("train", false), ("student", false)];
    assert_eq!(told, expected.map(|(kind, removed)| (kind.to_owned(), removed)));
    let report = store.verify(&mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.artifacts, report.removed), (1, 1));
}

#[test]
fn what_is_made_anew_counts_as_removed_no_more() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("rows.jsonl", b"123")]);
    let step = record("sample", json!({}), &[], rows.id);
    store.record_step(&step).unwrap();
    store.remove_artifact(&store.alone().unwrap().unwrap(), &rows.id, NOW).unwrap();

    make(store, "rows", &[("rows.jsonl", b"123")]);
    store.record_step(&step).unwrap();
    assert_eq!(store.removed_ids().unwrap(), []);
    assert_eq!(store.removed(&rows.id), None);
    // What is lost by accident now is no removal.
    fs::remove_dir_all(workspace.artifact_folder(&rows.id)).unwrap();
    let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
    assert_eq!((report.removed, report.problems.len()), (0, 1), "{report:?}");
    assert_eq!(report.problems[0].kind, ProblemKind::OutputGone);
}

#[test]
fn a_step_whose_output_was_removed_must_make_the_same_again() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let one = make(store, "rows", &[("rows.jsonl", b"1")]);
    let step = record("sample", json!({}), &[], one.id);
    store.record_step(&step).unwrap();
    store.remove_artifact(&store.alone().unwrap().unwrap(), &one.id, NOW).unwrap();
    let other = make(store, "rows", &[("rows.jsonl", b"2")]);
    let refused = store.record_step(&record("sample", json!({}), &[], other.id)).unwrap_err();
    assert!(matches!(refused, Error::NotDeterministic { before, .. } if before == one.id));
}

#[test]
fn nothing_is_taken_away_while_somebody_is_at_work() {
    let workspace = Workspace::new();
    let (one, other) = (&workspace.store, workspace.reopened());
    let at_work = [one.at_work().unwrap(), other.at_work().unwrap()];
    assert!(one.alone().unwrap().is_none());
    drop(at_work);
    let alone = one.alone().unwrap().unwrap();
    assert!(other.alone().unwrap().is_none(), "one at a time");
    let waiting = std::thread::spawn(move || other.at_work().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert!(!waiting.is_finished(), "whoever wants to work waits");
    drop(alone);
    waiting.join().unwrap();
}

#[test]
fn a_removed_run_is_off_the_list_whole_and_can_be_put_back() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("rows.jsonl", b"123")]);
    let step = record("sample", json!({}), &[], rows.id);
    store.record_step(&step).unwrap();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let directory = store.create_run(&id, &header).unwrap();
    directory.write_file("result.json", b"{}").unwrap();
    directory.append_event(&json!({"unit": 1})).unwrap();
    directory.close([(step.key, rows.id)]).unwrap();
    let hold = directory.hold().unwrap().unwrap();
    assert!(matches!(store.remove_run(&id), Err(Error::RunAtWork { .. })));
    drop(hold);

    store.remove_run(&id).unwrap();
    assert!(matches!(store.open_run(&id), Err(Error::MissingRun { .. })));
    assert_eq!(store.run_ids().unwrap(), []);
    let removed = store.removed_runs().unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].header().unwrap(), header);
    assert_eq!(removed[0].read_file("result.json").unwrap(), b"{}");
    // Its seal holds although what it made was removed, too.
    store.remove_artifact(&store.alone().unwrap().unwrap(), &rows.id, NOW).unwrap();
    let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.runs, report.removed_runs), (0, 1));

    store.restore_run(&id).unwrap();
    assert!(matches!(store.restore_run(&id), Err(Error::MissingRun { .. })));
    assert_eq!(store.run_ids().unwrap(), std::slice::from_ref(&id));
    assert!(workspace.reopened().verify(&mut |_, _| ()).unwrap().is_clean());
}

#[test]
fn damage_among_what_was_removed_is_named() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("rows.jsonl", b"123")]);
    store.record_step(&record("sample", json!({}), &[], rows.id)).unwrap();
    store.remove_artifact(&store.alone().unwrap().unwrap(), &rows.id, NOW).unwrap();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    store.create_run(&id, &header).unwrap().write_file("result.json", b"{}").unwrap();
    store.remove_run(&id).unwrap();
    let name = rows.id.to_string();
    let removed = workspace.path().join("removed");
    flip_bit(&removed.join("artifacts").join(&name[..2]).join(format!("{name}.json")), 40, 1);
    fs::write(removed.join("runs").join(id.as_str()).join("result.json"), "{ }").unwrap();
    fs::write(removed.join("notes.txt"), "").unwrap();
    fs::create_dir_all(removed.join("runs/tomorrow")).unwrap();
    let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
    let kinds: Vec<_> = report
        .problems
        .iter()
        .map(|problem| {
            (problem.path.split('/').take(2).collect::<Vec<_>>().join("/"), problem.kind)
        })
        .collect();
    let expected = [
        ("removed/artifacts", ProblemKind::Damaged),
        ("removed/notes.txt", ProblemKind::Foreign),
        ("removed/runs", ProblemKind::Damaged),
        ("removed/runs", ProblemKind::Foreign),
        // Without a sound note nobody knows that it was removed on purpose.
        ("steps/", ProblemKind::OutputGone),
    ];
    assert_eq!(kinds.len(), expected.len(), "{report:?}");
    for ((path, kind), (wanted, of)) in kinds.iter().zip(expected) {
        assert!(path.starts_with(wanted) && *kind == of, "{report:?}");
    }
}

#[test]
fn unfinished_work_and_damaged_things_are_counted_and_go() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let key = record("train", json!({}), &[], make(store, "rows", &[]).id).key;
    fs::write(store.scratch(&key).unwrap().join("state"), vec![0; 70]).unwrap();
    fs::create_dir_all(workspace.path().join("damaged/thing-1")).unwrap();
    fs::write(workspace.path().join("damaged/thing-1/file"), vec![0; 30]).unwrap();
    fs::write(workspace.path().join("damaged/other-1"), vec![0; 5]).unwrap();
    let left = store.left_over().unwrap();
    assert_eq!(left.scratch, [(key, 70)]);
    assert_eq!(left.damaged, [("other-1".to_owned(), 5), ("thing-1".to_owned(), 30)]);
    let alone = store.alone().unwrap().unwrap();
    for (name, _) in &left.damaged {
        store.discard_damaged(&alone, name).unwrap();
    }
    store.clear_scratch(&key).unwrap();
    assert_eq!(store.left_over().unwrap(), owlet_store::LeftOver::default());
}
