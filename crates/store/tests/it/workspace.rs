//! The workspace folder: creating, refusing, sweeping.

use std::fs;

use owlet_store::{Error, Store};

use crate::fixture::{Workspace, make};

fn entries(workspace: &Workspace, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(workspace.path().join(folder)).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_workspace_says_what_it_is_and_opens_again() {
    let workspace = Workspace::new();
    let format = fs::read_to_string(workspace.path().join("format")).unwrap();
    assert_eq!(format, "owlet workspace 1\n");
    assert_eq!(Store::open(workspace.path()).unwrap().root(), workspace.path());
}

#[test]
fn a_newer_workspace_is_refused_by_name_and_never_overwritten() {
    let workspace = Workspace::new();
    let path = workspace.path().join("format");
    fs::write(&path, "owlet workspace 2\n").unwrap();
    for result in [Store::open(workspace.path()), Store::open_existing(workspace.path())] {
        let error = result.unwrap_err();
        assert_eq!(
            error.hint().as_deref(),
            Some("use the newer owlet that wrote it, or another workspace")
        );
        assert_eq!(
            workspace.redact(error),
            "cannot read workspace `[workspace]/format`: written by a newer version \
             (format 2, this build reads up to 1)"
        );
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "owlet workspace 2\n");
}

#[test]
fn folders_that_are_no_workspace_are_refused() {
    let workspace = Workspace::new();
    let message = |result: Result<Store, Error>| workspace.redact(result.unwrap_err());
    let other = workspace.path().join("other");
    insta::assert_snapshot!(message(Store::open_existing(&other)), @"`[workspace]/other` is not an owlet workspace: there is no such folder");
    assert!(!other.exists());
    fs::create_dir(&other).unwrap();
    insta::assert_snapshot!(message(Store::open_existing(&other)), @"`[workspace]/other` is not an owlet workspace: it has no `format` file");
    fs::write(other.join("thesis.tex"), "").unwrap();
    insta::assert_snapshot!(message(Store::open(&other)), @"`[workspace]/other` is not an owlet workspace: it has `thesis.tex` but no `format` file");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    fs::write(other.join("format"), "PNG").unwrap();
    insta::assert_snapshot!(message(Store::open(&other)), @"`[workspace]/other` is not an owlet workspace: its `format` file does not say `owlet workspace 1`");
    fs::write(other.join("format"), [0xff; 10_000]).unwrap();
    insta::assert_snapshot!(message(Store::open(&other)), @"`[workspace]/other` is not an owlet workspace: its `format` file does not say `owlet workspace 1`");
    insta::assert_snapshot!(message(Store::open(other.join("thesis.tex"))), @"`[workspace]/other/thesis.tex` is not an owlet workspace: it is a file");
    insta::assert_snapshot!(message(Store::open(other.join("thesis.tex/deeper"))), @"failed to create directory `[workspace]/other/thesis.tex/deeper`: Not a directory (os error 20)");
}

#[test]
fn a_workspace_whose_creation_was_interrupted_is_created() {
    let workspace = Workspace::new();
    let path = workspace.path().join("young");
    fs::create_dir_all(path.join("temporary/1-0")).unwrap();
    fs::write(path.join("temporary/1-0/0"), "owlet work").unwrap();
    fs::write(path.join("owlet.toml"), "").unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.verify(&mut |_, _| ()).unwrap().is_clean());
    assert!(!path.join("temporary/1-0").exists());
}

#[test]
fn leftovers_of_dead_processes_are_swept_and_those_of_live_ones_are_not() {
    let workspace = Workspace::new();
    let writer = workspace.store.begin_artifact("rows").unwrap();
    writer.write("a", b"1").unwrap();
    let live = writer.path().to_owned();
    let temporary = workspace.path().join("temporary");
    fs::create_dir_all(temporary.join("999-0/3/deep")).unwrap();
    fs::write(temporary.join("999-0.lock"), "").unwrap();
    fs::write(temporary.join("999-0/3/deep/file"), "half").unwrap();
    fs::create_dir(temporary.join("998-0")).unwrap();
    fs::write(temporary.join("997-0.lock"), "").unwrap();
    fs::write(temporary.join("stray"), "").unwrap();

    let other = workspace.reopened();
    make(&other, "rows", &[("b", b"2")]);
    assert!(live.join("a").exists());
    drop(other);
    drop(writer.finish(serde_json::json!({})).unwrap());
    let own = live.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        entries(&workspace, "temporary"),
        [own.clone(), format!("{own}.lock"), "sweep.lock".to_owned()]
    );
    assert_eq!(entries(&workspace, &format!("temporary/{own}")), [] as [&str; 0]);
}

#[test]
fn opening_and_reading_write_nothing() {
    let workspace = Workspace::new();
    make(&workspace.store, "rows", &[("a", b"1")]);
    let path = workspace.path().to_owned();
    let before = entries(&workspace, "temporary");
    let store = Store::open_existing(&path).unwrap();
    assert_eq!(store.artifacts().unwrap().len(), 1);
    assert_eq!(store.runs().unwrap().len(), 0);
    assert!(store.resolve("zz").is_err());
    store.verify(&mut |_, _| ()).unwrap();
    assert_eq!(entries(&workspace, "temporary"), before);
}

#[test]
fn a_part_of_a_workspace_is_held_by_one_at_a_time() {
    let workspace = Workspace::new();
    let hold = workspace.store.hold("serve").unwrap();
    assert!(hold.is_some());
    assert!(workspace.reopened().hold("serve").unwrap().is_none());
    assert!(workspace.store.hold("other").unwrap().is_some());
    drop(hold);
    assert!(workspace.reopened().hold("serve").unwrap().is_some());
    assert!(workspace.store.verify(&mut |_, _| ()).unwrap().is_clean());
}

#[cfg(target_os = "linux")]
#[test]
fn where_no_folder_can_be_made_none_is() {
    assert!(Store::open("/proc/owlet").is_err());
    assert!(Store::open("/proc/owlet/deep/er").is_err());
}
