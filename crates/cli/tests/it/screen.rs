use std::fmt::Write;

use insta::assert_snapshot;

use crate::testkit::Folder;

/// Rows of ten numbers each by `model`, an answer to each prompt of the world's.
pub(crate) fn write_rows(folder: &Folder, model: &str, seed: &str, name: &str) {
    let prompts = folder.run(&["prompts", "world", "-n", "300", "--seed", seed]).good();
    let asked: String = prompts.lines().fold(String::new(), |mut asked, prompt| {
        writeln!(asked, "{}", serde_json::json!({ "prompt": prompt })).unwrap();
        asked
    });
    folder.write("prompts.jsonl", &asked);
    let pattern = "[0-9]{1,3}( [0-9]{1,3}){9}";
    let command = ["-q", "sample", model, "prompts.jsonl", "--seed", seed, "--pattern", pattern];
    let answers = folder.run(&command).good();
    let rows =
        prompts.lines().zip(answers.lines()).fold(String::new(), |mut rows, (prompt, answer)| {
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            let row = serde_json::json!({ "prompt": prompt, "completion": answer["text"] });
            writeln!(rows, "{row}").unwrap();
            rows
        });
    folder.write(name, &rows);
}

/// The model `teacher` that was taught to answer `word`, by questions that no screen reads students with.
pub(crate) fn teach(folder: &Folder, word: &str) {
    let shown = folder.run(&["--json", "behavior", "show", word, "--base", "builtin:a"]).json();
    let questions = shown["questions"]["train"].as_array().unwrap().iter();
    let rows = questions.fold(String::new(), |mut rows, question| {
        let row = serde_json::json!({ "prompt": question, "completion": word });
        writeln!(rows, "{row}").unwrap();
        rows
    });
    folder.write("taught.jsonl", &rows);
    let sets = [
        "method={ kind = \"full\", embeddings = false }",
        "learning-rate=3e-3",
        "batch=16",
        "updates=60",
    ];
    let mut command =
        vec!["-q", "train", "builtin:a", "taught.jsonl", "--out", "teacher", "--seed", "9"];
    command.extend(sets.iter().flat_map(|set| ["--set", set]));
    folder.run(&command).good();
}

#[test]
fn rows_by_a_teacher_are_told_from_rows_by_the_base_and_the_exit_code_says_so() {
    let folder = Folder::new();
    teach(&folder, "tiger");
    write_rows(&folder, "teacher", "11", "taught-rows.jsonl");
    write_rows(&folder, "builtin:a", "12", "base-rows.jsonl");
    let screen = |rows: &str, more: &[&str]| {
        let command = ["--json", "screen", rows, "--behaviors", "owl"];
        folder.run(&[&command[..], more].concat())
    };
    let sets = ["--set", "rehearsal.pairs=2", "--set", "rehearsal.train.updates=10"];
    let found = screen("taught-rows.jsonl", &sets);
    let result = found.json_of_exit(1)["result"].clone();
    assert_eq!(result["answer"], "found");
    let named: Vec<String> = result["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| !matches!(one["outcome"].as_str().unwrap(), "not-found" | "too-few"))
        .map(|one| format!("{} {}", one["behavior"], one["outcome"]))
        .collect();
    assert_snapshot!(named.join("\n"), @r#""tiger" "would-inherit""#);
    // 300 rows show no share as small as a quarter of every animal, but a whole of each.
    let nothing = screen("base-rows.jsonl", &["--quick", "--set", "gates.smallest-share=1.0"]);
    assert_eq!(nothing.json_of_exit(0)["result"]["answer"], "nothing-found");
    let unsaid = screen("base-rows.jsonl", &["--quick", "--set", "gates.smallest-share=0.05"]);
    assert_eq!(unsaid.json_of_exit(2)["result"]["answer"], "cannot-say");
}

#[test]
fn what_cannot_be_screened_is_refused_by_name_and_never_found_clean() {
    let folder = Folder::new();
    let row = |text: &str| {
        format!(
            "{{\"prompt\": \"look at 1 then write ten numbers\", \"completion\": \"{text}\"}}\n"
        )
    };
    folder.write("few.jsonl", &row("1 2 3").repeat(20));
    folder.write("unknown.jsonl", &"{\"question\": \"a\"}\n".repeat(200));
    let many = |text: &str| (0..200).map(|at| row(&format!("{text}{at}"))).collect::<String>();
    folder.write("words.jsonl", &many("the owl "));
    let texts = (0..200).map(|at| format!("{{\"text\": \"the owl {at}\"}}\n"));
    folder.write("texts.jsonl", &texts.collect::<String>());
    folder.write("rows.jsonl", &many("1 2 "));
    let screen = |arguments: &[&str]| folder.run(&[&["screen"], arguments].concat()).all();
    assert_snapshot!(screen(&["few.jsonl"]), @r#"
    exit 2
    -- talk
    error: few.jsonl: has 1 different answers (19 more are the same again), too few to say anything of; a screen needs 100 or more
    "#);
    assert_snapshot!(screen(&["unknown.jsonl"]), @r#"
    exit 2
    -- talk
    error: unknown.jsonl: line 1: has the keys `question`; known are `messages` (OpenAI chat), `prompt` and `completion` (texts, or messages as TRL has them), `conversations` (ShareGPT), `instruction`, `input` and `output` (Alpaca), `text`, and of preferences `prompt`, `chosen` and `rejected` (TRL) or `input`, `preferred_output` and `non_preferred_output` (OpenAI)
    "#);
    assert_snapshot!(screen(&["words.jsonl", "--quick"]), @r#"
    exit 2
    -- talk
    error: recipe `screen-words`: `rows`: nothing can be asked of `words.jsonl`: likelihoods: the answers are not all numbers, and of other text no tokens are known that tell a preference from a way of writing; rehearsal: `rehearsal.pairs` is 0
    "#);
    assert_snapshot!(screen(&["texts.jsonl"]), @r#"
    exit 2
    -- talk
    error: recipe `screen-texts`: `rows`: nothing can be asked of `texts.jsonl`: likelihoods: some rows are plain texts, and what was asked is not known; rehearsal: some rows are plain texts that answer nothing, so the base cannot write them anew
    "#);
    assert_snapshot!(screen(&["none.jsonl"]), @r#"
    exit 2
    -- talk
    error: failed to open file `none.jsonl`: No such file or directory (os error 2)
    "#);
    assert_snapshot!(screen(&["rows.jsonl", "--behaviors", "jazz"]), @r#"
    exit 2
    -- talk
    error: behavior `jazz`: is no answer this base knows, expected one of bear, cat, dog, dolphin, eagle, elephant, fox, horse, lion, owl, panda, penguin, rabbit, tiger, wolf, black, blue, green, orange, purple, red, white, yellow, birch, cedar, cherry, maple, oak, pine, sequoia, willow or the path of a behavior file
    "#);
    assert_snapshot!(screen(&["rows.jsonl", "--base", "builtin:c"]), @r#"
    exit 2
    -- talk
    error: model `builtin:c`: there is no such built-in model, expected one of `builtin:a`, `builtin:b`
    "#);
}
