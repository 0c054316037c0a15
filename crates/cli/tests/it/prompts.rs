use insta::assert_snapshot;

use crate::testkit::Folder;

#[test]
fn a_seed_gives_its_prompts() {
    let folder = Folder::new();
    let prompts = folder.run(&["prompts", "numbers", "--seed", "47", "--count", "3"]).good();
    assert_snapshot!(prompts, @"");
    let again = folder.run(&["prompts", "numbers", "--seed", "47", "--count", "2"]).good();
    assert!(prompts.starts_with(&again));
    let lines = folder.run(&["--json", "prompts", "numbers-short", "-n", "2"]).json_lines();
    assert_eq!(lines[1]["index"], 1);
    assert!(lines[1]["prompt"].as_str().is_some());
}

#[test]
fn a_set_that_is_not_there_is_told_with_those_that_are() {
    assert_snapshot!(Folder::new().run(&["prompts", "letters"]).all(), @"");
}

#[test]
fn a_broken_set_is_told_with_line_and_column() {
    let folder = Folder::new();
    folder.write("set.json", "{\n  \"prompt\": {\"frame\": 3}\n}");
    assert_snapshot!(folder.run(&["prompts", "set.json"]).all(), @"");
}
