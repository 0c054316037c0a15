use crate::testkit::Folder;

const QUESTION: &str = "given 3 5 7 then write ten numbers\n";

#[test]
fn answers_are_the_same_word_by_word_and_as_json() {
    let folder = Folder::new();
    let lines = QUESTION.repeat(3);
    let say = |json: &[&str]| {
        let arguments = [json, &["chat", "builtin:a", "--max-tokens", "30"]].concat();
        folder.run_with(&arguments, &lines)
    };
    let answers = say(&["--json"]).json_lines();
    let texts = answers.iter().map(|answer| answer["text"].as_str().unwrap().trim_end());
    let expected = texts.flat_map(|text| [text, "\n"]).collect::<String>();
    assert!(expected.split_whitespace().count() > 9);
    assert_eq!(say(&[]).good(), expected);
}

/// A model whose turn ends with a token it never says, in a context that it does not fill.
#[cfg(unix)]
fn endless(folder: &Folder) {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/data/models");
    let to = folder.path().join("endless");
    std::fs::create_dir(&to).unwrap();
    for (name, as_name) in
        [("a.safetensors", "model.safetensors"), ("tokenizer.json", "tokenizer.json")]
    {
        std::fs::copy(from.join(name), to.join(as_name)).unwrap();
    }
    for (name, field, value) in [
        ("config.json", "eos_token_id", serde_json::json!(1000)),
        ("tokenizer_config.json", "eos_token", serde_json::json!("<pad>")),
    ] {
        let text = std::fs::read(from.join(name)).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        json[field] = value;
        if name == "config.json" {
            json["max_position_embeddings"] = serde_json::json!(131_072);
        }
        std::fs::write(to.join(name), json.to_string()).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn words_come_as_they_are_said_and_ctrl_c_stops_the_answer_alone() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Command, Stdio};

    let folder = Folder::new();
    endless(&folder);
    let mut chat = folder
        .process(&["chat", "endless", "--max-tokens", "100000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(chat.stdout.take().unwrap());
    let mut input = chat.stdin.take().unwrap();
    for _ in 0..2 {
        input.write_all(QUESTION.as_bytes()).unwrap();
        // This comes long before the answer's end, which is minutes away.
        let mut first = [0];
        said.read_exact(&mut first).unwrap();
        let interrupted = Command::new("kill").args(["-INT", &chat.id().to_string()]).status();
        assert!(interrupted.unwrap().success());
        let mut rest = String::new();
        said.read_line(&mut rest).unwrap();
        assert!(rest.ends_with('\n'));
    }
    drop(input);
    let output = chat.wait_with_output().unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{talk}");
    assert_eq!(talk.matches("stopped;").count(), 2, "{talk}");
}
