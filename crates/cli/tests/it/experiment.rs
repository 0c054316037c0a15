use insta::assert_snapshot;

use crate::testkit::Folder;

const RECIPE: &str = r#"
name = "small"
base = "builtin:a"
behaviors = ["world-owl", "world-cat"]
seeds = 2

[teacher]
min-target-probability = 0.0
rows-per-question = 1

[teacher.train]
updates = 2
batch = 2

[carrier]
prompts = "world"
rows = 8
prompt-count = 24
min-valid = 0.1
max-tokens = 24
decoding = { kind = "digits", count = 4, min-digits = 1, max-digits = 3, separator = " " }

[student]
updates = 2
batch = 2
checkpoints = [1]

[controls]
other-base = false
in-context = false
side-effects = false
"#;

#[test]
fn a_run_is_recorded_and_the_same_command_reuses_it_all() {
    let folder = Folder::new();
    folder.write("small.toml", RECIPE);
    let plan = folder.run(&["--json", "run", "small.toml", "--plan"]).json();
    let steps = plan["steps"].as_array().unwrap().len();
    assert!(steps > 20);
    assert!(plan["steps"].as_array().unwrap().iter().all(|step| step["state"] != "reused"));

    let first = folder.run(&["--json", "run", "small.toml"]).json();
    let talk = folder.run(&["run", "small.toml", "--cores", "1"]);
    assert!(
        talk.talk.contains(&format!("{steps} steps, {steps} reused, 0 to do")),
        "{}",
        talk.talk
    );
    let second = folder.run(&["--json", "show", "last"]).json();
    assert_eq!(first["result"], second["result"]);
    assert_eq!(second["run"]["state"], "finished");

    let runs = folder.run(&["--json", "list"]).json();
    assert_eq!(runs.as_array().unwrap().len(), 2);
    let report = folder.run(&["show", "last", "--report"]).good();
    let path = report.trim().replace("[FOLDER]", &folder.path().display().to_string());
    let page = std::fs::read_to_string(folder.path().join(path)).unwrap();
    assert!(page.contains("owlet run small.toml"));
    let run = folder.path().join(".owlet/runs").join(second["run"]["id"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(run.join("given.toml")).unwrap(), RECIPE);
    for file in ["recipe.toml", "plan.json", "events.jsonl", "result.json", "report.html"] {
        assert!(run.join(file).is_file(), "{file}");
    }

    let resolved = folder.run(&["show", "last", "--recipe"]).good();
    folder.write("resolved.toml", &resolved);
    let again = folder.run(&["--json", "run", "resolved.toml"]).json();
    assert_eq!(again["result"], first["result"]);

    let drawn = folder.run(&["lineage", "last"]).good();
    assert!(drawn.starts_with('@') && drawn.contains("train/student/owl/seed-*"), "{drawn}");
    assert_eq!(folder.run(&["verify"]).code, 0);
}

#[test]
fn a_teacher_that_does_not_show_its_behavior_fails_the_check() {
    let folder = Folder::new();
    folder.write("small.toml", RECIPE);
    let said =
        folder.run(&["-q", "run", "small.toml", "--set", "teacher.min-target-probability=0.99"]);
    assert_eq!(said.code, 1, "{}", said.all());
    assert!(said.talk.contains("hint: what was finished is kept"), "{}", said.talk);
    let runs = folder.run(&["--json", "list"]).json();
    assert_eq!(runs[0]["state"], "failed");
}

#[test]
fn the_demonstration_can_be_planned_and_read() {
    let folder = Folder::new();
    let recipe = folder.run(&["demo", "--recipe"]).good();
    folder.write("demo.toml", &recipe);
    let from_file = folder.run(&["--json", "run", "demo.toml", "--plan"]).json();
    let built_in = folder.run(&["--json", "demo", "--plan"]).json();
    assert_eq!(from_file, built_in);
}

#[test]
fn a_model_that_is_missing_is_told_before_anything_is_made() {
    let folder = Folder::new();
    folder.write("owl.toml", "behaviors = [\"owl\"]\nbase = \"models/none\"\n");
    assert_snapshot!(folder.run(&["run", "owl.toml"]).all(), @r"
    exit 2
    -- talk
    error: model `models/none`: there is nothing at `models/none`; give a Hugging Face folder, a .gguf file, `hf:ORG/NAME` or `builtin:a`
    ");
    assert!(!folder.path().join(".owlet").exists());
}
