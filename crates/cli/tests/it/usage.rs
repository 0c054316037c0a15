use insta::assert_snapshot;

use crate::testkit::Folder;

#[test]
fn an_unknown_command_is_a_usage_error() {
    assert_snapshot!(Folder::new().run(&["dmeo"]).all(), @"");
}

#[test]
fn a_missing_recipe_is_a_usage_error() {
    assert_snapshot!(Folder::new().run(&["run", "owl.toml"]).all(), @"");
}

#[test]
fn a_missing_workspace_is_named_and_never_made_by_looking() {
    let folder = Folder::new();
    for command in [&["list"][..], &["show", "last"], &["lineage", "abcd"], &["verify"]] {
        assert_snapshot!(folder.run(command).all(), @"");
    }
    assert!(!folder.path().join(".owlet").exists());
}

#[test]
fn a_folder_of_someone_else_is_never_used_as_a_workspace() {
    let folder = Folder::new();
    folder.write("mine/letter.txt", "dear");
    assert_snapshot!(folder.run(&["--workspace", "mine", "list"]).all(), @"");
}

#[test]
fn a_missing_model_is_told_with_what_may_be_given() {
    let folder = Folder::new();
    let ask = |model: &str| folder.run(&["sample", model, "--prompt", "hello"]).all();
    assert_snapshot!(ask("nowhere"), @"");
    assert_snapshot!(ask("builtin:zz"), @"");
    assert_snapshot!(ask("smollm2"), @"");
    folder.write("model.gguf", "GGUF and then nothing");
    assert_snapshot!(ask("model.gguf"), @"");
    folder.write("model.txt", "no model");
    assert_snapshot!(ask("model.txt"), @"");
}

#[test]
fn a_model_the_hub_does_not_give_is_an_environment_error() {
    let folder = Folder::new();
    let ask = |model: &str| folder.run(&["sample", model, "--prompt", "hello"]).all();
    assert_snapshot!(ask("hf:HuggingFaceTB/SmolLM2-135M-Instruct"), @"");
    assert_snapshot!(ask("hf:../../etc"), @"");
}

#[test]
fn color_is_for_those_who_ask() {
    let folder = Folder::new();
    assert!(!folder.run(&["list"]).talk.contains('\u{1b}'));
    assert!(folder.run(&["--color", "always", "list"]).talk.contains('\u{1b}'));
}

#[test]
fn the_version_is_said() {
    assert_eq!(
        Folder::new().run(&["--version"]).good(),
        format!("owlet {}\n", env!("CARGO_PKG_VERSION"))
    );
}
