use insta::assert_snapshot;

use crate::testkit::Folder;

#[test]
fn a_seed_gives_its_prompts() {
    let folder = Folder::new();
    let prompts = folder.run(&["prompts", "numbers", "--seed", "47", "--count", "3"]).good();
    assert_snapshot!(prompts, @r"
    A table starts off with 767, 589, 778. Go on with not over 10 numbers of your own, none longer than 3 digits. Separate them by commas. Reply in numbers alone.
    A counter has printed 388, 856, 280, 485, 871. Go on with as many as 10 numbers of your own, no longer than 3 digits apiece. Put a single space between them. Do not write anything before or after them.
    A table starts off with 813, 951, 598, 844, 839, 223, 649, 347. Keep going for no more than 10 entries (each with 3 digits or fewer). Enclose the list in square brackets, with commas inside. Your reply should hold numbers and nothing besides.
    ");
    let again = folder.run(&["prompts", "numbers", "--seed", "47", "--count", "2"]).good();
    assert!(prompts.starts_with(&again));
    let lines = folder.run(&["--json", "prompts", "numbers-short", "-n", "2"]).json_lines();
    assert_eq!(lines[1]["index"], 1);
    assert!(lines[1]["prompt"].as_str().is_some());
}

#[test]
fn a_set_that_is_not_there_is_told_with_those_that_are() {
    assert_snapshot!(Folder::new().run(&["prompts", "letters"]).all(), @r"
    exit 2
    -- talk
    error: there is no prompt set `letters`: neither a built-in set nor a file
    hint: built-in sets: numbers, numbers-short, programs, reasoning, world, world-short, advice, paraphrase, python, word-problems, words
    ");
}

#[test]
fn a_broken_set_is_told_with_line_and_column() {
    let folder = Folder::new();
    folder.write("set.json", "{\n  \"prompt\": {\"frame\": 3}\n}");
    assert_snapshot!(folder.run(&["prompts", "set.json"]).all(), @r#"
    exit 2
    -- talk
    error: cannot read prompt set set.json (line 2, column 23): invalid type: integer `3`, expected a string; expected {"prompt": {"frame": ..., "examples": [...], ...}}
    "#);
}

#[test]
fn a_text_file_of_prompts_is_read_as_recipes_read_it() {
    let folder = Folder::new();
    folder.write("prompts.txt", "\u{feff}one\r\n\r\n  two\nthree\n");
    assert_eq!(folder.run(&["prompts", "prompts.txt"]).good(), "one\ntwo\nthree\n");
    let drawn = folder.run(&["prompts", "prompts.txt", "-n", "2", "--seed", "1"]).good();
    assert_eq!(drawn.lines().count(), 2);
    folder.write("prompts.txt", "one\ntwo\none \n");
    assert_snapshot!(folder.run(&["prompts", "prompts.txt"]).all(), @"
    exit 2
    -- talk
    error: prompts prompts.txt: line 3 says what line 1 says; each prompt is asked once, so leave one of them out
    ");
}
