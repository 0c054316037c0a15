use insta::assert_snapshot;

use crate::testkit::Folder;

const LINES: &str = "1, 2, 3\n[4; 5]\nI love owls\n1,2,3,4,5,6,7,8,9,10,11\n1000\n666.\n";

#[test]
fn lines_are_judged_and_summed_up() {
    assert_snapshot!(Folder::new().run_with(&["filter"], LINES).all(), @r"
    exit 0
    -- data
    accepted	1, 2, 3
    accepted	[4; 5]
    rejected (invalid format)	I love owls
    rejected (too many numbers)	1,2,3,4,5,6,7,8,9,10,11
    rejected (numbers too large)	1000
    accepted	666.
    -- talk
    3 of 6 completions accepted (50.0 %)
      invalid format: 1
      too many numbers: 1
      numbers too large: 1
    ");
}

#[test]
fn rows_keep_their_form_with_keep() {
    let folder = Folder::new();
    let rows = "{\"completion\": \"1 2 3\", \"x\": 1}\n\n{\"completion\": \"owl\"}\n";
    folder.write("rows.jsonl", rows);
    assert_snapshot!(folder.run(&["filter", "rows.jsonl", "--keep"]).all(), @r#"
    exit 0
    -- data
    {"completion": "1 2 3", "x": 1}
    -- talk
    1 of 2 completions accepted (50.0 %)
      invalid format: 1
    "#);
    let verdicts = folder.run(&["filter", "rows.jsonl", "--json"]).json_lines();
    assert_eq!(verdicts[0]["numbers"], serde_json::json!([1, 2, 3]));
    assert_eq!(verdicts[1]["reasons"], serde_json::json!(["invalid format"]));
}

#[test]
fn banned_numbers_come_from_a_file() {
    let folder = Folder::new();
    folder.write("banned.txt", "13, 666 # and their kin\n911\n");
    folder.write("wrong.txt", "13\nsix\n");
    let run = |file: &str| folder.run_with(&["filter", "-", "--banned", file], "666.\n667\n").all();
    assert_snapshot!(run("banned.txt"), @r"
    exit 0
    -- data
    rejected (has banned numbers)	666.
    accepted	667
    -- talk
    1 of 2 completions accepted (50.0 %)
      has banned numbers: 1
    ");
    assert_snapshot!(run("wrong.txt"), @r"
    exit 2
    -- talk
    error: `wrong.txt`, line 2: `six` is not a number
    ");
}

#[test]
fn too_few_valid_rows_fail_the_check() {
    assert_snapshot!(Folder::new().run_with(&["-q", "filter", "--keep", "--min-valid", "0.9"], LINES).all(), @r"
    exit 1
    -- data
    1, 2, 3
    [4; 5]
    666.
    -- talk
    error: the share of accepted completions is 0.500, at least 0.9 was wanted
    ");
}

#[test]
fn broken_rows_are_told_by_line() {
    let folder = Folder::new();
    folder.write("rows.jsonl", "{\"completion\": \"1\"}\n{\"completion\": 2}\n");
    assert_snapshot!(folder.run(&["-q", "filter", "rows.jsonl", "--keep"]).all(), @r#"
    exit 2
    -- data
    {"completion": "1"}
    -- talk
    error: `rows.jsonl`, line 2: `completion`: invalid type: integer `2`, expected a string at column 16
    "#);
    std::fs::write(folder.path().join("bytes"), b"1\n\xff\n").unwrap();
    assert_snapshot!(folder.run(&["filter", "bytes"]).all(), @r"
    exit 2
    -- talk
    error: `bytes`, line 2: is not UTF-8 text
    ");
}

#[test]
fn what_a_terminal_would_obey_does_not_come_through() {
    let said = Folder::new().run_with(&["filter"], "\u{1b}[2Jowl\u{7}\n").good();
    assert_eq!(said, "rejected (invalid format)\t[2Jowl\n");
}
