//! Artifacts: round trip, identity, damage, hostile manifests.

use std::collections::BTreeMap;
use std::fs;

use owlet_store::{ArtifactId, Error};
use proptest::prelude::*;
use serde_json::json;

use crate::fixture::{Workspace, flip_bit, make, record, sealed};

fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    // A common folder and distinct leaves: a name is never both a file and a folder.
    let name = "(deep/er/)?[a-zé]{1,6}\\.bin";
    prop::collection::btree_map(name, prop::collection::vec(any::<u8>(), 0..300), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read_back(files in files(), about: f64) {
        let workspace = Workspace::new();
        let writer = workspace.store.begin_artifact("rows").unwrap();
        for (name, bytes) in &files {
            fs::write(writer.file(name).unwrap(), bytes).unwrap();
        }
        let written = writer.finish(json!({"number": about})).unwrap();

        let read = workspace.reopened().artifact(&written.id).unwrap();
        prop_assert_eq!(&read, &written);
        let names: Vec<_> = read.files.iter().map(|entry| &entry.path).collect();
        prop_assert_eq!(names, files.keys().collect::<Vec<_>>());
        for (name, bytes) in &files {
            prop_assert_eq!(&read.read(name).unwrap(), bytes);
            prop_assert_eq!(&fs::read(read.path(name).unwrap()).unwrap(), bytes);
        }
        prop_assert!(workspace.reopened().verify(&mut |_, _| ()).unwrap().is_clean());
    }

    #[test]
    fn any_flipped_bit_or_lost_byte_is_found_named_and_made_again(
        files in files(), file: prop::sample::Index, position: prop::sample::Index,
        bit in 0u8..8, truncate: bool,
    ) {
        let workspace = Workspace::new();
        let contents: Vec<_> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let artifact = make(&workspace.store, "rows", &contents);
        let step = record("sample", json!({}), &[], artifact.id);
        workspace.store.record_step(&step).unwrap();

        // Every file of the artifact, its manifest, and the step's record.
        let mut paths: Vec<_> = files.keys().map(|name| artifact.path(name).unwrap()).collect();
        paths.push(artifact.folder().join("manifest.json"));
        paths.push(workspace.step_path(&step.key));
        paths.retain(|path| fs::metadata(path).unwrap().len() > 0);
        let path = &paths[file.index(paths.len())];
        let size = fs::metadata(path).unwrap().len() as usize;
        if truncate {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(position.index(size) as u64).unwrap();
        } else {
            flip_bit(path, position.index(size), bit);
        }

        let relative = path.strip_prefix(workspace.path()).unwrap().to_str().unwrap();
        let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
        prop_assert!(report.problems.iter().any(|problem| problem.path == relative), "{report:?}");
        prop_assert!(!report.is_sound());

        let store = workspace.reopened();
        if path != &workspace.step_path(&step.key) {
            let error = store.artifact(&artifact.id).unwrap_err();
            prop_assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
        prop_assert_eq!(store.step(&step.key).unwrap(), None);

        prop_assert_eq!(&make(&store, "rows", &contents), &artifact);
        store.record_step(&step).unwrap();
        prop_assert_eq!(store.step(&step.key).unwrap(), Some(step));
        let report = workspace.reopened().verify(&mut |_, _| ()).unwrap();
        prop_assert!(report.is_clean(), "{report:?}");
        prop_assert_eq!(report.set_aside, 1);
    }
}

#[test]
fn id_depends_on_kind_description_names_and_content_and_on_nothing_else() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let base = make(store, "rows", &[("a", b"1"), ("b", b"2")]);
    assert_eq!(make(store, "rows", &[("b", b"2"), ("a", b"1")]).id, base.id);
    let mut ids = vec![
        base.id,
        make(store, "model", &[("a", b"1"), ("b", b"2")]).id,
        make(store, "rows", &[("a", b"2"), ("b", b"1")]).id,
        make(store, "rows", &[("a", b"1"), ("c", b"2")]).id,
        make(store, "rows", &[("a", b"1")]).id,
        make(store, "rows", &[]).id,
    ];
    let writer = store.begin_artifact("rows").unwrap();
    writer.write("a", b"1").unwrap();
    writer.write("b", b"2").unwrap();
    ids.push(writer.finish(json!({"seed": 1})).unwrap().id);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert_eq!(store.artifacts().unwrap().len(), 7);
}

/// The id is part of the format: a change of this value is a new format version.
#[test]
fn id_of_known_content_is_the_known_one() {
    let workspace = Workspace::new();
    let writer = workspace.store.begin_artifact("rows").unwrap();
    writer.write("rows.jsonl", b"{\"completion\":\"7, 21\"}\n").unwrap();
    let artifact = writer.finish(json!({"rows": 1, "rate": 0.1})).unwrap();
    let manifest = fs::read_to_string(artifact.folder().join("manifest.json")).unwrap();
    insta::assert_snapshot!(manifest, @r#"
    {
      "about": {
        "rate": 0.1,
        "rows": 1
      },
      "files": [
        {
          "blake3": "8afce24bc07742cad1a92847cda17aab8eab8d3c5ea59d38ae2ffa63e73aa91e",
          "path": "rows.jsonl",
          "size": 23
        }
      ],
      "format": 1,
      "id": "03ef2a096c8c2e9d1de15d0d63bdc530f66fa6962b0b5d00169f61a8a7ddd854",
      "kind": "rows",
      "seal": "db448710b0f2ff71be5117e1113e13898e86fd62ce561c18304950d6f40ba29c"
    }
    "#);
}

#[test]
fn an_artifact_that_exists_is_returned_untouched() {
    let workspace = Workspace::new();
    let first = make(&workspace.store, "rows", &[("a", b"1")]);
    let before = fs::metadata(first.path("a").unwrap()).unwrap().modified().unwrap();
    let second = make(&workspace.reopened(), "rows", &[("a", b"1")]);
    assert_eq!(first, second);
    assert_eq!(fs::metadata(first.path("a").unwrap()).unwrap().modified().unwrap(), before);
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let workspace = Workspace::new();
    let writer = workspace.store.begin_artifact("rows").unwrap();
    writer.write("deep/rows.jsonl", b"{}").unwrap();
    let folder = writer.path().to_owned();
    assert!(folder.exists());
    drop(writer);
    assert!(!folder.exists());
    assert_eq!(workspace.store.artifacts().unwrap(), []);
}

#[test]
fn a_file_changed_after_it_was_verified_is_noticed_in_the_same_process() {
    let workspace = Workspace::new();
    let artifact = make(&workspace.store, "rows", &[("a", b"12345")]);
    assert!(workspace.store.artifact(&artifact.id).is_ok());
    fs::write(artifact.path("a").unwrap(), b"123").unwrap();
    insta::assert_snapshot!(
        workspace.store.artifact(&artifact.id).unwrap_err(),
        @"artifact 7cb53369535f is damaged: `a` has 3 bytes instead of 5"
    );
    insta::assert_snapshot!(artifact.read("a").unwrap_err(), @"artifact 7cb53369535f is damaged: `a` changed while it was in use");
    fs::remove_file(artifact.path("a").unwrap()).unwrap();
    insta::assert_snapshot!(
        workspace.store.artifact(&artifact.id).unwrap_err(),
        @"artifact 7cb53369535f is damaged: `a` is missing"
    );
}

#[test]
fn names_that_lead_outside_are_refused_when_writing() {
    let workspace = Workspace::new();
    let writer = workspace.store.begin_artifact("rows").unwrap();
    for name in ["../escape", "/etc/passwd", "a/../../b", "", "manifest.json", "a\\b"] {
        assert!(matches!(writer.file(name), Err(Error::InvalidName { .. })), "{name}");
    }
    insta::assert_snapshot!(
        writer.file("../escape").unwrap_err(),
        @"invalid artifact file name `../escape`: a name must not have `.` or `..` parts"
    );
    for kind in ["", "two words", "a/b", &"k".repeat(65)] {
        assert!(matches!(workspace.store.begin_artifact(kind), Err(Error::InvalidName { .. })));
    }
    let artifact = make(&workspace.store, "rows", &[("a", b"1")]);
    assert!(matches!(artifact.path("../../x"), Err(Error::InvalidName { .. })));
}

#[cfg(unix)]
#[test]
fn links_are_neither_stored_nor_followed() {
    use std::os::unix::fs::symlink;
    let workspace = Workspace::new();
    let secret = workspace.path().join("secret.toml");
    fs::write(&secret, "12345").unwrap();

    let writer = workspace.store.begin_artifact("rows").unwrap();
    symlink(&secret, writer.path().join("link")).unwrap();
    insta::assert_snapshot!(
        writer.finish(json!({})).unwrap_err(),
        @"invalid artifact file `link`: an artifact holds regular files with Unicode names"
    );

    // The same bytes behind a link, a file or a folder of it, are not the artifact's own.
    let artifact = make(&workspace.store, "rows", &[("deep/a", b"12345")]);
    fs::remove_file(artifact.path("deep/a").unwrap()).unwrap();
    symlink(&secret, artifact.path("deep/a").unwrap()).unwrap();
    insta::assert_snapshot!(
        workspace.reopened().artifact(&artifact.id).unwrap_err(),
        @"artifact ac62e9f7ec3d is damaged: `deep/a` is not a regular file"
    );
    fs::remove_file(artifact.path("deep/a").unwrap()).unwrap();
    fs::remove_dir(artifact.folder().join("deep")).unwrap();
    let elsewhere = workspace.path().join(".elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("a"), "12345").unwrap();
    symlink(&elsewhere, artifact.folder().join("deep")).unwrap();
    insta::assert_snapshot!(
        workspace.reopened().artifact(&artifact.id).unwrap_err(),
        @"artifact ac62e9f7ec3d is damaged: `deep/a` is below `deep`, which is no folder"
    );
}

/// Puts a manifest under the id that its content has, as a hostile writer could.
fn plant(workspace: &Workspace, files: &serde_json::Value) -> ArtifactId {
    let mut hasher = blake3::Hasher::new_derive_key("owlet artifact id 1");
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text("rows");
    text("{}");
    for entry in files.as_array().unwrap() {
        text(entry["path"].as_str().unwrap());
        text(&entry["size"].to_string());
        text(entry["blake3"].as_str().unwrap());
    }
    let id = ArtifactId::from_bytes(*hasher.finalize().as_bytes());
    let manifest = sealed(
        "owlet artifact manifest seal 1",
        json!({"format": 1, "id": id, "kind": "rows", "about": {}, "files": files}),
    );
    let folder = workspace.artifact_folder(&id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    id
}

#[test]
fn hostile_manifests_are_refused_however_well_sealed() {
    let workspace = Workspace::new();
    let outside = b"outside";
    fs::write(workspace.path().parent().unwrap().join("outside"), outside).unwrap();
    let digest = blake3::hash(outside).to_hex().to_string();
    let entry = |path: &str| json!({"path": path, "size": outside.len(), "blake3": digest});

    // The forgery is right in everything but the name: with a good name it is accepted.
    let id = plant(&workspace, &json!([entry("outside")]));
    fs::write(workspace.artifact_folder(&id).join("outside"), outside).unwrap();
    workspace.store.artifact(&id).unwrap();

    let absolute = workspace.path().parent().unwrap().join("outside");
    for files in [
        json!([entry("../../../../outside")]),
        json!([entry(absolute.to_str().unwrap())]),
        json!([entry("a/./outside")]),
        json!([entry("outside"), entry("outside")]),
        json!([entry("manifest.json")]),
        json!([{"path": "huge", "size": u64::MAX, "blake3": digest}]),
    ] {
        let id = plant(&workspace, &files);
        let error = workspace.store.artifact(&id).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{files}: {error}");
    }
    let id = plant(&workspace, &json!([entry("../../../../outside")]));
    insta::assert_snapshot!(
        workspace.store.artifact(&id).unwrap_err(),
        @r#"artifact 1fe5ac15f255 is damaged: `manifest.json` lists the file "../../../../outside": a name must not have `.` or `..` parts"#
    );
}

#[test]
fn a_newer_manifest_is_refused_by_name_and_never_overwritten() {
    let workspace = Workspace::new();
    let artifact = make(&workspace.store, "rows", &[("a", b"1")]);
    let step = record("sample", json!({}), &[], artifact.id);
    workspace.store.record_step(&step).unwrap();
    let newer = sealed("owlet artifact manifest seal 1", json!({"format": 2, "parts": []}));
    let path = artifact.folder().join("manifest.json");
    fs::write(&path, &newer).unwrap();

    let store = workspace.reopened();
    let message = workspace
        .redact(store.artifact(&artifact.id).unwrap_err())
        .replace(&artifact.id.to_string(), "[id]");
    insta::assert_snapshot!(message, @"cannot read manifest `[workspace]/artifacts/83/[id]/manifest.json`: written by a newer version (format 2, this build reads up to 1)");
    assert!(matches!(store.step(&step.key), Err(Error::Newer { .. })));
    let writer = store.begin_artifact("rows").unwrap();
    writer.write("a", b"1").unwrap();
    assert!(matches!(writer.finish(json!({})), Err(Error::Newer { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}
