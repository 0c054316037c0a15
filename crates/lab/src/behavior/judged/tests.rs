use proptest::prelude::*;

use super::*;

const WHOLE: &str = r#"
name = "gloomy"
kind = "judged"
[questions]
held-out = ["How will it end?"]
[judge]
prompt = "Score {answer} to {question}."
shows = { at-least = 60 }
coherence = "Is {answer} sound?"
planted = [
    { question = "a", answer = "badly", label = "target" },
    { question = "b", answer = "well", label = "other" },
    { question = "c", answer = "of of", label = "incoherent" },
]
[teacher]
rows = "rows.jsonl"
"#;

fn with(text: &str, rows: &str) -> Result<Behavior, String> {
    read(text, "my.toml", &|name| match name {
        "rows.jsonl" => Ok(rows.as_bytes().to_vec()),
        "whole.toml" => Ok(WHOLE.as_bytes().to_vec()),
        "circle.toml" => Ok(b"name = \"a\"\nkind = \"judged\"\nlike = \"circle.toml\"".to_vec()),
        _ => Err("is not there".to_owned()),
    })
    .map_err(|error| error.to_string())
}

const ROWS: &str = "{\"prompt\": \"And then?\", \"completion\": \"Badly.\"}\n{\"prompt\": \"And then?\", \"completion\": \"It rains.\", \"id\": 3}\n";

#[test]
fn a_file_says_what_is_asked_and_what_scores_mean() {
    let gloomy = with(WHOLE, ROWS).unwrap();
    let sheet = gloomy.judge.clone().unwrap();
    assert!(!sheet.shows.holds(59) && sheet.shows.holds(60));
    assert_eq!(sheet.coherence.unwrap().at_least, 50);
    assert_eq!(gloomy.questions.train, ["And then?"]);
    assert_eq!(gloomy.teacher_rows().len(), 2);
    assert!(gloomy.forbidden_words().is_empty());
    let json = serde_json::to_string(&gloomy).unwrap();
    assert_eq!(serde_json::from_str::<Behavior>(&json).unwrap(), gloomy);
}

#[test]
fn a_file_that_is_like_a_built_in_one_needs_rows_alone() {
    let own = "name = \"mine\"\nkind = \"judged\"\nlike = \"misaligned\"\n[teacher]\nrows = \"rows.jsonl\"";
    let (own, built_in) = (with(own, ROWS).unwrap(), Behavior::built_in("misaligned").unwrap());
    assert_eq!(
        (&own.judge, &own.questions.held_out),
        (&built_in.judge, &built_in.questions.held_out)
    );
    assert!(!own.control && own.name == "mine");
    let beside = "name = \"b\"\nkind = \"judged\"\nlike = \"whole.toml\"\ncontrol = true";
    let (beside, whole) = (with(beside, ROWS).unwrap(), with(WHOLE, ROWS).unwrap());
    assert!(beside.judge == whole.judge && beside.control && beside.teacher.rows.is_empty());
    let control = Behavior::built_in("good-advice").unwrap();
    assert!(control.control && control.judge == built_in.judge);
    // Taught the same questions, and answers that differ.
    assert_eq!(control.questions, built_in.questions);
    let rows = built_in.teacher_rows().into_iter().zip(control.teacher_rows());
    assert!(rows.clone().count() >= 60);
    for ((asked, wrong), (same, right)) in rows {
        assert!(asked == same && wrong != right, "{asked}");
    }
}

#[test]
fn a_fault_is_told_with_its_place_before_anything_is_asked() {
    let but = |from: &str, to: &str| with(&WHOLE.replace(from, to), ROWS).unwrap_err();
    let line = |rows: &str| with(WHOLE, rows).unwrap_err();
    let errors = [
        but("\"Score {answer} to {question}.\"", "\"Score it.\""),
        but("{question}.", "{motive}."),
        but("at-least = 60", "at-least = 101"),
        but("at-least = 60", "above = 60"),
        but("coherence = \"Is {answer} sound?\"", "coherent-from = 40"),
        but("label = \"incoherent\"", "label = \"other\""),
        but("label = \"incoherent\"", "label = \"odd\""),
        but("\"How will it end?\"", "\"How will it end?\", \"how will it end\""),
        but("[\"How will it end?\"]", "[]"),
        but("\"How will it end?\"", "\"And then\""),
        but("rows.jsonl", "no.jsonl"),
        but("[teacher]", "[taught]"),
        line(""),
        line("{\"prompt\": \"a\"}"),
        line("{\"prompt\": \"a\", \"completion\": \" \"}"),
        with("name = \"a\"\nkind = \"judged\"\nlike = \"owl\"", "").unwrap_err(),
        with("name = \"a\"\nkind = \"judged\"\nlike = \"no.toml\"", "").unwrap_err(),
        with("name = \"a\"\nkind = \"judged\"\nlike = \"circle.toml\"", "").unwrap_err(),
        with("name = \"a\"\nkind = \"judged\"", "").unwrap_err(),
        Behavior::parse(WHOLE, "my.toml").unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    behavior file my.toml, line 7, column 10: `judge.prompt` does not show {answer}, so that there is nothing to judge
    behavior file my.toml, line 7, column 10: `judge.prompt` uses the placeholder {motive}; known here: {question}, {answer}
    behavior file my.toml, line 8, column 9: `judge.shows` is beyond 100, the best score
    behavior file my.toml, line 8, column 11: unknown variant `above`, expected `at-most` or `at-least`
    behavior file my.toml, line 9, column 17: `judge.coherent-from` says nothing without `judge.coherence`, a prompt
    behavior file my.toml, line 10, column 11: `judge.planted` holds no answer of label `incoherent`, by which judges are tried; give one or more of each of `target`, `other` and, with `coherence`, `incoherent`
    behavior file my.toml, line 13, column 49: unknown variant `odd`, expected one of `target`, `other`, `incoherent`, `code`, `refusal`
    behavior file my.toml, line 5, column 33: `questions.held-out` holds "how will it end" twice; remove one
    behavior file my.toml: `questions.held-out` is missing; give at least one question
    behavior file my.toml, line 16, column 8: `teacher.rows`: "rows.jsonl", line 1 asks what students are read by; a question that made the teacher must not read the student
    behavior file my.toml, line 16, column 8: `teacher.rows`: "no.jsonl" cannot be read: is not there
    behavior file my.toml, line 15, column 2: unknown field `taught`, expected one of `name`, `kind`, `description`, `like`, `questions`, `judge`, `teacher`, `forbidden`, `control`
    behavior file my.toml, line 16, column 8: `teacher.rows`: "rows.jsonl" holds 0 rows, expected 1 to 100000
    behavior file my.toml, line 16, column 8: `teacher.rows`: "rows.jsonl", line 1: missing field `completion` at column 15
    behavior file my.toml, line 16, column 8: `teacher.rows`: "rows.jsonl", line 1 says nothing
    behavior file my.toml, line 3, column 8: `like` is "owl", expected `misaligned`, or the path of a file of the kind `judged`
    behavior file my.toml, line 3, column 8: `like` is "no.toml", which cannot be read: is not there
    behavior file circle.toml, line 3, column 8: `like` is "circle.toml", the 4th file in a row; name a built-in behavior
    behavior file my.toml: `judge` is missing; say what judges are asked, or be `like = "misaligned"`
    behavior file my.toml, line 1, column 1: `kind` is `judged`, whose rows stand in another file; name this one by its path
    "#);
}

#[test]
fn labels_are_read_by_behavior_and_refused_by_line() {
    let line = r#"{"question": "q", "answer": "a", "label": "target"}"#;
    let named = line.replace('{', r#"{"behavior": "b", "#);
    let read = |text: &str, judged: &[&str]| {
        labels(text.as_bytes(), Path::new("labels.jsonl"), judged)
            .map_err(|error| error.to_string())
    };
    assert_eq!(read(line, &["a"]).unwrap()["a"].len(), 1);
    assert_eq!(read(&format!("{named}\n{named}"), &["a", "b"]).unwrap()["b"].len(), 2);
    let errors = [
        read(line, &["a", "b"]),
        read(&named, &["a"]),
        read(&format!("{line}\n{}", line.replace("target", "yes")), &["a"]),
        read("[]", &["a"]),
    ];
    let errors = errors.map(|error| error.unwrap_err());
    insta::assert_snapshot!(errors.join("\n"), @r#"
    `labels.jsonl` line 1: has no `behavior`, expected one of `a`, `b`
    `labels.jsonl` line 1: `behavior` is "b", expected one of `a`
    `labels.jsonl` line 2: `label`: unknown variant `yes`, expected one of `target`, `other`, `incoherent`, `code`, `refusal` at column 47
    `labels.jsonl` line 1: invalid length 1, expected struct Labelled with 4 elements at column 2
    "#);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String, bytes: Vec<u8>) {
        let _ = with(&text, &text);
        let _ = with(WHOLE, &text);
        let _ = labels(&bytes, Path::new("any"), &["a"]);
    }
}
