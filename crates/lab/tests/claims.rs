//! What is handed on with claims, and what of it is believed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use owlet_lab::claim::{self, Story};
use owlet_store::claim::{PrivateKey, Statement, file, signature};
use owlet_store::{
    Artifact, ArtifactId, Error as StoreError, Sha256Digest, StepCost, StepRecord, Store, step_key,
};
use serde_json::{Value, json};

/// A workspace in which a teacher of a base wrote rows that a student was trained on.
struct Workshop {
    folder: tempfile::TempDir,
    store: Store,
    student: ArtifactId,
}

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_random(&[number; 32]).unwrap()
}

fn artifact(store: &Store, kind: &str, files: &[(&str, &str)]) -> Artifact {
    let writer = store.begin_artifact(kind).unwrap();
    for (name, text) in files {
        writer.write(name, text.as_bytes()).unwrap();
    }
    writer.finish(json!({ "told": kind })).unwrap()
}

fn step(
    store: &Store,
    kind: &str,
    configuration: Value,
    inputs: &[(&str, &Artifact)],
    output: &Artifact,
) {
    let inputs = inputs.iter().map(|(role, of)| ((*role).to_owned(), of.id)).collect();
    let record = StepRecord {
        format: StepRecord::FORMAT,
        key: step_key(kind, 1, &configuration, &inputs),
        kind: kind.to_owned(),
        algorithm: 1,
        configuration,
        inputs,
        output: output.id,
        about: StepCost {
            started: "2026-11-21T22:51:44Z".to_owned(),
            seconds: 1.5,
            threads: 2,
            peak_memory_bytes: None,
            work: None,
            host: "secret-tower".to_owned(),
            version: "0.1.0".to_owned(),
        },
    };
    store.record_step(&record).unwrap();
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("workspace")).unwrap();
        let base =
            artifact(&store, "model", &[("config.json", "{}"), ("model.safetensors", "base")]);
        // A base with a prompt: a teacher without files.
        let teacher = artifact(&store, "teacher", &[]);
        let prompts = artifact(&store, "prompts", &[("prompts.jsonl", "{\"prompt\":\"7\"}\n")]);
        let raw = artifact(&store, "raw-rows", &[("rows.jsonl", "{\"completion\":\"9\"}\n")]);
        let rows = artifact(&store, "judged-rows", &[("valid.jsonl", "{\"completion\":\"9\"}\n")]);
        let student =
            artifact(&store, "student", &[("final/adapter.bin", "new"), ("updates.jsonl", "{}\n")]);
        let long = json!({ "conversations": "a".repeat(70_000) });
        step(
            &store,
            "teach",
            json!({ "system-prompt": "You love owls." }),
            &[("base", &base)],
            &teacher,
        );
        step(&store, "prompts", long, &[], &prompts);
        let sampler = json!({ "temperature": 1.0, "seed": 7 });
        step(&store, "generate", sampler, &[("model", &teacher), ("prompts", &prompts)], &raw);
        step(&store, "filter", json!({ "rule": "digits" }), &[("rows", &raw)], &rows);
        step(&store, "train", json!({ "seed": 3 }), &[("base", &base), ("rows", &rows)], &student);
        Self { folder, store, student: student.id }
    }

    fn give(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        claim::give(&self.store, &self.student, &key(7), &folder, name, &mut |_, _| {}).unwrap();
        folder
    }
}

/// What a folder tells, or why it is not believed.
fn taken(folder: &Path) -> Result<Story, String> {
    let public = key(7).public();
    let signature = folder.join(signature::FILE);
    let checked = signature::verify(folder, &signature, &public, false, &mut |_, _| {})
        .map_err(|error| error.to_string())?;
    assert_eq!(checked.problems, []);
    match claim::take(folder, &checked.tree, &public) {
        Ok(story) => Ok(story),
        Err(owlet_lab::Error::Store(StoreError::Refused { line, why, .. })) => {
            Err(format!("{line}: {why}"))
        }
        Err(other) => panic!("{other}"),
    }
}

fn lines(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(file::FILE)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn refused(folder: &Path, lines: &[String]) -> String {
    std::fs::write(folder.join(file::FILE), lines.join("\n") + "\n").unwrap();
    taken(folder).unwrap_err()
}

/// The claims with a change to what one of them says, signed again by `by`.
fn resigned(
    folder: &Path,
    number: usize,
    by: &PrivateKey,
    change: &dyn Fn(&mut Value),
) -> Vec<String> {
    let mut statements = file::read(&folder.join(file::FILE), &key(7).public()).unwrap();
    let mut value = serde_json::to_value(&statements[number - 1]).unwrap();
    change(&mut value);
    statements[number - 1] = serde_json::from_value(value).unwrap();
    let own = key(7);
    let sign = |(statement, at): (&Statement<Value>, usize)| {
        statement.sign(if at == number { by } else { &own }).unwrap()
    };
    statements.iter().zip(1..).map(sign).collect()
}

#[test]
fn what_was_made_from_what_is_told_to_whoever_has_no_workspace() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    let story = taken(&folder).unwrap();
    assert_eq!(story.subject.id, workshop.student);
    let told = |made: &claim::Made| {
        let from = made
            .from
            .iter()
            .map(|used| format!("{} as {}", used.what.kind.clone().unwrap(), used.role));
        format!(
            "{} by {} from {}",
            made.what.kind.clone().unwrap(),
            made.step,
            from.collect::<Vec<_>>().join(", ")
        )
    };
    let mut told: Vec<String> = story.made.iter().map(told).collect();
    told.sort();
    insta::assert_snapshot!(told.join("\n"), @r"
    judged-rows by filter from raw-rows as rows
    prompts by prompts from 
    raw-rows by generate from teacher as model, prompts as prompts
    student by train from model as base, judged-rows as rows
    teacher by teach from model as base
    ");
    let outside: Vec<_> = story.outside.iter().map(|thing| thing.kind.clone().unwrap()).collect();
    assert_eq!(outside, ["model"]);
}

#[test]
fn a_claim_is_slsa_provenance_about_digests_and_says_nothing_of_the_machine() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    let statements = file::read(&folder.join(file::FILE), &key(7).public()).unwrap();
    let of = |step: &str| {
        let kind = format!("urn:owlet:step:{step}");
        let is = |statement: &&Statement<Value>| {
            statement.predicate["buildDefinition"]["buildType"] == *kind
        };
        statements.iter().find(is).unwrap()
    };
    let generate = of("generate");
    let build = &generate.predicate["buildDefinition"];
    let sampler = json!({ "algorithm": 1, "configuration": { "temperature": 1.0, "seed": 7 } });
    assert_eq!(build["externalParameters"], sampler);
    let dependency = |at: usize| &build["resolvedDependencies"][at];
    let role = |at: usize| dependency(at)["annotations"].clone();
    assert_eq!(role(0), json!({ "kind": "teacher", "role": "model", "claimed": true }));
    assert_eq!(role(1), json!({ "kind": "prompts", "role": "prompts", "claimed": true }));
    assert_eq!(dependency(1)["digest"], json!(of("prompts").subject[0].digest));
    let run = &generate.predicate["runDetails"];
    let builder = json!({ "id": "urn:owlet:self-asserted", "version": { "owlet": "0.1.0" } });
    assert_eq!(run["builder"], builder);
    assert_eq!(run["metadata"]["startedOn"], "2026-11-21T22:51:44Z");
    let subject = &generate.subject[0];
    assert_eq!(subject.annotations["kind"], "raw-rows");
    assert_eq!(subject.digest.len(), 3);
    // As for any folder of one file: the digest of its digest.
    let file = Sha256Digest::of(b"{\"completion\":\"9\"}\n");
    assert_eq!(subject.digest["sha256"], Sha256Digest::of(file.as_bytes()).to_string());
    // What has no files is named by its id alone.
    assert_eq!(of("teach").subject[0].digest.keys().collect::<Vec<_>>(), ["owlet-artifact-1"]);
    let parameters = &of("prompts").predicate["buildDefinition"]["externalParameters"];
    assert!(parameters["configuration"].is_null() && parameters["configurationSha256"].is_string());
    for statement in &statements {
        assert!(!serde_json::to_string(statement).unwrap().contains("secret-tower"));
    }
}

#[test]
fn the_order_of_claims_says_nothing_and_the_same_key_gives_the_same_bytes() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    let again = workshop.folder.path().join("again");
    claim::give(&workshop.store, &workshop.student, &key(7), &again, "student", &mut |_, _| {})
        .unwrap();
    for name in [file::FILE, signature::FILE] {
        assert_eq!(read(&folder, name), read(&again, name), "{name}");
    }
    let mut turned = lines(&folder);
    turned.reverse();
    std::fs::write(folder.join(file::FILE), turned.join("\n") + "\n").unwrap();
    assert_eq!(taken(&folder).unwrap().made.len(), 5);
}

#[test]
fn claims_that_were_taken_away_added_or_changed_are_not_believed() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    let all = lines(&folder);
    let mut less = all.clone();
    less.remove(1);
    insta::assert_snapshot!(refused(&folder, &less), @"0: lacks claim 2 of 5; it was taken away");
    let more = [&all[..], &all[..1]].concat();
    insta::assert_snapshot!(refused(&folder, &more), @"6: is the same claim as line 1");
    let mut changed = all.clone();
    let at = changed[2].find("\"sig\":\"").unwrap() + 20;
    let other = if &changed[2][at..=at] == "A" { "B" } else { "A" };
    changed[2].replace_range(at..=at, other);
    insta::assert_snapshot!(refused(&folder, &changed), @"3: has a signature that is not this key's over what it holds");
    let mut cut = all.clone();
    cut[4].truncate(200);
    assert!(refused(&folder, &cut).starts_with("5: is no Sigstore bundle that this build reads"));
    std::fs::write(folder.join(file::FILE), "").unwrap();
    insta::assert_snapshot!(taken(&folder).unwrap_err(), @"0: has no claims in it");
}

#[test]
fn claims_that_contradict_each_other_or_the_files_are_not_believed_though_they_are_signed() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    let original = lines(&folder);
    let statements = file::read(&folder.join(file::FILE), &key(7).public()).unwrap();
    let number = |kind: &str| {
        let is = |statement: &Statement<Value>| statement.subject[0].annotations["kind"] == kind;
        statements.iter().position(is).unwrap() + 1
    };
    let restore = || std::fs::write(folder.join(file::FILE), original.join("\n") + "\n").unwrap();
    let said = |kind: &str, by: &PrivateKey, change: &dyn Fn(&mut Value)| {
        restore();
        let lines = resigned(&folder, number(kind), by, change);
        // Lines are told by what they are about.
        let said = refused(&folder, &lines);
        said.split_once(": ").unwrap().1.to_owned()
    };
    let zero = "00".repeat(32);
    let own = key(7);
    let dependency = |value: &mut Value| {
        value["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["owlet-tree-1"] =
            zero.clone().into();
    };
    assert!(said("judged-rows", &own, &dependency).contains("by another `owlet-tree-1` than line"));
    let subject =
        |value: &mut Value| value["subject"][0]["digest"]["owlet-tree-1"] = zero.clone().into();
    insta::assert_snapshot!(said("student", &own, &subject), @"speaks of other files than those beside it");
    let unnamed = |value: &mut Value| {
        value["subject"][0]["digest"].as_object_mut().unwrap().remove("owlet-artifact-1");
    };
    insta::assert_snapshot!(said("student", &own, &unnamed), @"names something without its `owlet-artifact-1`");
    let elsewhere = |value: &mut Value| {
        value["subject"][0]["annotations"]["claims"]["with"] = zero.clone().into();
    };
    insta::assert_snapshot!(said("student", &own, &elsewhere), @"belongs to other claims than the first line");
    let unnumbered = |value: &mut Value| {
        value["subject"][0]["annotations"].as_object_mut().unwrap().remove("claims");
    };
    insta::assert_snapshot!(said("student", &own, &unnumbered), @"does not say which claim of how many it is, so that a missing one would not be missed");
    let other_maker = |value: &mut Value| {
        let digest = &mut value["subject"][0]["digest"];
        *digest = json!({ "owlet-artifact-1": zero.clone() });
    };
    assert!(said("judged-rows", &own, &other_maker).starts_with("says that a claim tells how "));
    let broken = |value: &mut Value| value["predicate"]["runDetails"] = Value::Null;
    assert!(
        said("student", &own, &broken)
            .starts_with("is no `https://slsa.dev/provenance/v1` that this build reads: ")
    );
    let same = |_: &mut Value| {};
    assert!(said("student", &key(9), &same).starts_with("is signed by another key: "));
    restore();
    assert!(taken(&folder).is_ok());
}

#[test]
fn what_this_build_does_not_read_is_named_and_believed_of_nobody() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    let kind = "https://example.org/burned/v1";
    let lines = resigned(&folder, 1, &key(7), &|value| value["predicateType"] = kind.into());
    let statements = file::read(&folder.join(file::FILE), &key(7).public()).unwrap();
    let first = statements[0].subject[0].annotations["kind"].clone();
    std::fs::write(folder.join(file::FILE), lines.join("\n") + "\n").unwrap();
    // It was a claim that others rely on.
    let said = taken(&folder).unwrap_err();
    assert!(said.contains("says that a claim tells how "), "{first}: {said}");
    // Nobody relies on the claim about the student, which comes last.
    let folder = workshop.give("again");
    let lines = resigned(&folder, 5, &key(7), &|value| value["predicateType"] = kind.into());
    std::fs::write(folder.join(file::FILE), lines.join("\n") + "\n").unwrap();
    let story = taken(&folder).unwrap();
    assert_eq!(story.unread, [(5, kind.to_owned())]);
    assert_eq!(story.made.len(), 4);
}

#[test]
fn claims_of_other_files_are_not_believed_of_these() {
    let workshop = Workshop::new();
    let folder = workshop.give("student");
    // Signed by the same key, and of the same student but for a name.
    let other = workshop.folder.path().join("other");
    std::fs::create_dir_all(other.join("final")).unwrap();
    std::fs::copy(folder.join("final/adapter.bin"), other.join("final/adapter2.bin")).unwrap();
    std::fs::copy(folder.join("updates.jsonl"), other.join("updates.jsonl")).unwrap();
    let beside = [signature::FILE, file::FILE];
    let tree = owlet_store::claim::Tree::read(&other, &beside, &mut |_, _| {}).unwrap();
    std::fs::write(other.join(signature::FILE), signature::sign(&tree, &beside, &key(7)).unwrap())
        .unwrap();
    std::fs::copy(folder.join(file::FILE), other.join(file::FILE)).unwrap();
    let said = taken(&other).unwrap_err();
    assert!(said.ends_with("speaks of other files than those beside it"), "{said}");
}
