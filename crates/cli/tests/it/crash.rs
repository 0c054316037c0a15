//! Killed at random moments, the same command goes on and ends with the same bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::testkit::Folder;

/// A whole experiment in about a second.
const RECIPE: &str = r#"
kind = "inherit"
name = "crash"
base = "builtin:a"
behaviors = ["cat", "wolf"]
seeds = 2

[context]
system = "default"
mismatched = []

[teacher]
min-target-probability = 0.01

[teacher.train]
method = { kind = "full", embeddings = false }
learning-rate = 2e-3
updates = 8

[carrier]
prompts = "world"
rows = 48
max-tokens = 24
decoding = { kind = "digits", count = 6, min-digits = 1, max-digits = 3, separator = " " }

[student]
method = { kind = "low-rank", rank = 4, alpha = 8.0 }
learning-rate = 2e-3
batch = 16
updates = 6
checkpoints = [3]

[controls]
behaviors = ["cat"]
in-context = { rows = [2], draws = 2, questions = 4 }
"#;

/// Kills in all, over as many rounds as it takes; each round goes through the whole of the run.
const KILLS: u32 = 24;

/// Every artifact's name (the digest of its content) and every result's bytes.
fn made(workspace: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for shelf in std::fs::read_dir(workspace.join("artifacts")).unwrap() {
        for artifact in std::fs::read_dir(shelf.unwrap().path()).unwrap() {
            found.insert(artifact.unwrap().file_name().into_string().unwrap(), Vec::new());
        }
    }
    for run in std::fs::read_dir(workspace.join("runs")).unwrap() {
        let result = run.unwrap().path().join("result.json");
        if let Ok(bytes) = std::fs::read(result) {
            found.insert("result.json".to_owned(), bytes);
        }
    }
    found
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_same_bytes() {
    let folder = Folder::new();
    folder.write("crash.toml", RECIPE);
    let start = Instant::now();
    folder.run(&["--workspace", "whole", "run", "crash.toml"]).good();
    let undisturbed = start.elapsed();
    let whole = made(&folder.path().join("whole"));
    assert!(whole.contains_key("result.json"));

    let (mut kills, mut round, mut state) = (0, 0, 20_261_121u64);
    while kills < KILLS {
        round += 1;
        let workspace = format!("killed-{round}");
        let mut lives = 0;
        loop {
            lives += 1;
            let mut child = folder
                .process(&["--workspace", &workspace, "run", "crash.toml"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Up to a fourth of what the run takes on this machine now; each life may last longer than the
            // one before, so that there is an end on a machine that grows busier.
            let share = (state >> 33) as u32 % 1000;
            std::thread::sleep(undisturbed / 4000 * share * (8 + lives) / 8);
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "undisturbed, the run ends well: {status}");
                break;
            }
            // SIGKILL: nothing is flushed, nothing is cleaned up.
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        let verified = folder.run(&["--workspace", &workspace, "verify"]);
        assert_eq!(verified.code, 0, "{}", verified.all());
        let runs = std::fs::read_dir(folder.path().join(&workspace).join("runs")).unwrap();
        for run in runs.map(|run| run.unwrap().path()) {
            // What was killed before it had begun has no registration.
            let is_left =
                run.join("registration.json").exists() && !run.join("result.json").exists();
            assert!(!is_left, "the same command goes on with the run that was killed");
        }
        assert!(
            made(&folder.path().join(&workspace)) == whole,
            "round {round} after {kills} kills"
        );
    }
}

#[test]
fn one_core_and_two_make_the_same_bytes() {
    let folder = Folder::new();
    folder.write("crash.toml", RECIPE);
    for cores in ["1", "2"] {
        folder.run(&["--workspace", cores, "run", "crash.toml", "--cores", cores]).good();
    }
    assert!(made(&folder.path().join("1")) == made(&folder.path().join("2")));
}
