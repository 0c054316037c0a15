use std::path::Path;

use insta::assert_snapshot;

use crate::testkit::Folder;

fn recipes(folder: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes").join(folder)
}

/// What `config show` says of a recipe that cannot be used.
fn mistake(name: &str) -> String {
    let folder = Folder::new();
    let text = std::fs::read_to_string(recipes("invalid").join(name)).unwrap();
    folder.write(name, &text);
    folder.run(&["config", "show", name]).all()
}

#[test]
fn valid_recipes_resolve() {
    let mut names: Vec<_> =
        std::fs::read_dir(recipes("valid")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let resolved = Folder::new().run(&["config", "show", path.to_str().unwrap()]).good();
        let folder = Folder::new();
        folder.write("resolved.toml", &resolved);
        assert_eq!(folder.run(&["config", "show", "resolved.toml"]).good(), resolved);
    }
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    assert_snapshot!(mistake("unknown-key.toml"), @"");
    assert_snapshot!(mistake("unknown-table.toml"), @"");
    assert_snapshot!(mistake("wrong-type.toml"), @"");
    assert_snapshot!(mistake("unknown-kind.toml"), @"");
    assert_snapshot!(mistake("no-behavior.toml"), @"");
    assert_snapshot!(mistake("syntax.toml"), @"");
    assert_snapshot!(mistake("out-of-range.toml"), @"");
}

#[test]
fn a_setting_that_does_not_exist_is_told_with_its_neighbour() {
    let folder = Folder::new();
    folder.write("owl.toml", "behaviors = [\"owl\"]\n");
    let set = |text: &str| folder.run(&["config", "show", "owl.toml", "--set", text]).all();
    assert_snapshot!(set("student.learnig-rate=1"), @"");
    assert_snapshot!(set("student.batch=many"), @"");
    assert_snapshot!(set("student"), @"");
}

#[test]
fn origins_name_the_layer_that_decided() {
    let folder = Folder::new();
    folder.write("owl.toml", "name = \"o\"\nbehaviors = [\"owl\"]\n[student]\nbatch = 8\n");
    folder.write(".owlet/config.toml", "[engine]\ncompute = \"f32\"\n");
    let shown = folder
        .run(&["config", "show", "owl.toml", "--origin", "--set", "student.updates=7"])
        .good();
    let wanted = ["name", "behaviors", "engine.compute", "student.batch", "student.updates", "seed"];
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| wanted.iter().any(|key| line.starts_with(&format!("{key} = "))))
        .collect();
    assert_snapshot!(lines.join("\n"), @"");
}

#[test]
fn a_behavior_that_is_not_there_is_told() {
    let folder = Folder::new();
    folder.write("owl.toml", "behaviors = [\"unicorn\"]\nbase = \"nowhere\"\n");
    assert_snapshot!(folder.run(&["run", "owl.toml", "--plan"]).all(), @"");
}
