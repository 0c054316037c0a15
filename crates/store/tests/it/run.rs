//! Runs: headers, events, files.

use std::fs;
use std::io::Write;

use owlet_store::Error;
use serde_json::json;

use crate::fixture::{Workspace, make, record, run};

#[test]
fn runs_are_listed_oldest_first_with_what_was_known_at_their_start() {
    let workspace = Workspace::new();
    let (late, late_header) = run("2026-11-22T08:00:00Z", 0x0001);
    let (early, early_header) = run("2026-11-21T22:51:44Z", 0x3f2a);
    workspace.store.create_run(&late, &late_header).unwrap();
    workspace.store.create_run(&early, &early_header).unwrap();
    let runs = workspace.reopened().runs().unwrap();
    let ids: Vec<_> = runs.iter().map(|run| run.id().as_str()).collect();
    assert_eq!(ids, ["20261121-225144-3f2a", "20261122-080000-0001"]);
    assert_eq!(runs[0].header().unwrap(), early_header);

    let taken = workspace.store.create_run(&early, &early_header).unwrap_err();
    insta::assert_snapshot!(taken, @"run `20261121-225144-3f2a` exists already");
    let (missing, _) = run("2026-11-23T00:00:00Z", 1);
    let missing = workspace.store.open_run(&missing).unwrap_err();
    insta::assert_snapshot!(missing, @"no run `20261123-000000-0001` in this workspace");
}

#[test]
fn events_are_read_back_in_order_and_can_be_followed() {
    let workspace = Workspace::new();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = workspace.store.create_run(&id, &header).unwrap();
    assert_eq!(run.events().unwrap(), [] as [serde_json::Value; 0]);
    for number in 0..3 {
        run.append_event(&json!({"event": number, "text": "line\nbreak"})).unwrap();
    }
    let follower = workspace.reopened().open_run(&id).unwrap();
    let (events, offset) = follower.events_from(0).unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2], json!({"event": 2, "text": "line\nbreak"}));
    assert_eq!(follower.events_from(offset).unwrap(), (vec![], offset));
    run.append_event(&json!({"event": 3})).unwrap();
    assert_eq!(follower.events_from(offset).unwrap().0, [json!({"event": 3})]);
    assert!(matches!(run.append_event(&json!(17)), Err(Error::Unwritable { .. })));
}

#[test]
fn an_event_cut_short_by_a_crash_is_skipped_and_the_next_one_is_whole() {
    let workspace = Workspace::new();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = workspace.store.create_run(&id, &header).unwrap();
    run.append_event(&json!({"event": 1})).unwrap();
    let path = run.path().join("events.jsonl");
    let mut log = fs::File::options().append(true).open(&path).unwrap();
    log.write_all(b"{\"event\": 2, \"te").unwrap();
    assert_eq!(run.events().unwrap(), [json!({"event": 1})]);

    let next = workspace.reopened().open_run(&id).unwrap();
    next.append_event(&json!({"event": 3})).unwrap();
    assert_eq!(next.events().unwrap(), [json!({"event": 1}), json!({"event": 3})]);
    assert!(workspace.store.verify(&mut |_, _| ()).unwrap().is_clean());

    log.write_all(b"{\"event\": 4]\n").unwrap();
    insta::assert_snapshot!(
        workspace.redact(next.events().unwrap_err()),
        @"damaged event log `[workspace]/runs/20261121-225144-0001/events.jsonl`: the line at byte 41 is not JSON (column 12)"
    );
    assert!(!workspace.store.verify(&mut |_, _| ()).unwrap().is_sound());
}

#[test]
fn files_are_replaced_as_a_whole_and_cannot_lead_outside() {
    let workspace = Workspace::new();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = workspace.store.create_run(&id, &header).unwrap();
    run.write_file("result.json", b"{}").unwrap();
    run.write_file("result.json", b"{\"a\": 1}").unwrap();
    run.write_file("figures/matrix.json", b"[]").unwrap();
    assert_eq!(run.read_file("result.json").unwrap(), b"{\"a\": 1}");
    assert_eq!(
        run.files().unwrap(),
        ["figures/matrix.json", "result.json", "run.json", "seal.json"]
    );
    for name in ["../escape", "/escape", "run.json", "events.jsonl", "seal.json", ""] {
        assert!(matches!(run.write_file(name, b""), Err(Error::InvalidName { .. })), "{name}");
    }
    insta::assert_snapshot!(run.read_file("plan.json").unwrap_err(), @"no file `plan.json` in run `20261121-225144-0001`");
    assert!(matches!(run.read_file("../../format"), Err(Error::InvalidName { .. })));
}

#[test]
fn a_damaged_header_is_named() {
    let workspace = Workspace::new();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = workspace.store.create_run(&id, &header).unwrap();
    let path = run.path().join("run.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("owl", "elk")).unwrap();
    insta::assert_snapshot!(
        workspace.redact(run.header().unwrap_err()),
        @"damaged run header `[workspace]/runs/20261121-225144-0001/run.json`: does not match its seal: it was changed after it was written"
    );
}

#[test]
fn a_run_is_held_by_one_and_can_be_asked_to_stop() {
    let workspace = Workspace::new();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = workspace.store.create_run(&id, &header).unwrap();
    let other = workspace.reopened().open_run(&id).unwrap();
    assert!(!other.is_held().unwrap());
    let hold = run.hold().unwrap();
    assert!(hold.is_some() && other.is_held().unwrap());
    assert!(other.hold().unwrap().is_none());
    assert!(!run.is_asked_to_stop());
    other.ask_to_stop().unwrap();
    assert!(run.is_asked_to_stop());
    drop(hold);
    assert!(!other.is_held().unwrap() && other.hold().unwrap().is_some());
}

#[test]
fn whatever_was_changed_in_a_finished_run_is_refused_and_named() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("a", b"123")]);
    let step = record("sample", json!({}), &[], rows.id);
    store.record_step(&step).unwrap();
    let (id, header) = run("2026-11-21T22:51:44Z", 1);
    let run = store.create_run(&id, &header).unwrap();
    run.append_event(&json!({"event": 1})).unwrap();
    run.write_file("result.json", b"{\"owl\": 0.1}").unwrap();
    run.write_file("plan.json", b"{}").unwrap();
    run.close([(step.key, rows.id)]).unwrap();
    let problems = || {
        let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
        let lines: Vec<_> = report.problems.iter().map(|p| format!("{:?}: {p}", p.kind)).collect();
        lines.join("\n")
    };
    assert_eq!(problems(), "");

    std::fs::write(run.path().join("result.json"), "{\"owl\": 9.1}").unwrap();
    std::fs::write(run.path().join("events.jsonl"), "{\"event\": 2}\n").unwrap();
    std::fs::write(run.path().join("notes.txt"), "mine").unwrap();
    std::fs::remove_file(run.path().join("plan.json")).unwrap();
    std::fs::remove_dir_all(rows.folder()).unwrap();
    insta::assert_snapshot!(workspace.redact(run.read_file("result.json").unwrap_err()), @"damaged file of a run `[workspace]/runs/20261121-225144-0001/result.json`: was changed after it was written");
    insta::assert_snapshot!(workspace.redact(run.read_file("notes.txt").unwrap_err()), @"damaged file of a run `[workspace]/runs/20261121-225144-0001/notes.txt`: is not in the run's seal: it was not written by owlet, or not to its end");
    insta::assert_snapshot!(problems(), @"
    Damaged: `runs/20261121-225144-0001/events.jsonl` was changed after it was written
    Missing: `runs/20261121-225144-0001/plan.json` is missing
    Damaged: `runs/20261121-225144-0001/result.json` was changed after it was written
    Missing: `runs/20261121-225144-0001/seal.json` says it took step 74e26c582fb2 that made artifact 8ac75d1e6267, which is gone
    OutputGone: `steps/74/74e26c582fb289d1edcdbfdd77c09ed6a732bb730a5b725ffe83a502f6a4ee61.json` (sample) made artifact 8ac75d1e6267, which is missing or damaged
    ");

    std::fs::remove_file(workspace.step_path(&step.key)).unwrap();
    std::fs::remove_file(run.path().join("seal.json")).unwrap();
    insta::assert_snapshot!(workspace.redact(run.read_file("result.json").unwrap_err()), @"damaged run seal `[workspace]/runs/20261121-225144-0001/seal.json`: is missing");
    insta::assert_snapshot!(problems(), @"Damaged: `runs/20261121-225144-0001/seal.json` is missing");
    // A file that is written again is what it is now.
    let (id, header) = super::fixture::run("2026-11-21T22:51:44Z", 2);
    let other = store.create_run(&id, &header).unwrap();
    other.write_file("report.html", b"old").unwrap();
    other.close([]).unwrap();
    other.write_file("report.html", b"new").unwrap();
    assert_eq!(other.read_file("report.html").unwrap(), b"new");
}
