use insta::assert_snapshot;
use serde_json::Value;

use crate::screen::{teach, write_rows, write_so_many_rows};
use crate::testkit::Folder;

/// The channel, and what each question came to.
fn told(result: &serde_json::Value) -> String {
    let conditions = result["conditions"].as_array().unwrap().iter();
    let said = conditions.map(|one| format!("{} {}", one["question"], one["said"]));
    format!("{}: {}", result["channel"], said.collect::<Vec<_>>().join(", "))
}

#[test]
fn a_gate_is_open_where_the_teacher_wrote_rows_and_closed_where_the_base_did_and_else_unknown() {
    let folder = Folder::new();
    teach(&folder, "tiger");
    write_rows(&folder, "teacher", "11", "taught-rows.jsonl");
    write_so_many_rows(&folder, "builtin:a", "1000", "12", "base-rows.jsonl");
    let quick = ["--set", "rehearsal.pairs=0", "--behaviors", "owl"];
    let gate = |rows: &str, more: &[&str]| {
        folder.run(&[&["--json", "gate", rows], more, &quick[..]].concat())
    };
    let named = ["--teacher", "teacher"];
    let open = gate("taught-rows.jsonl", &named).json_of_exit(1)["result"].clone();
    assert_snapshot!(told(&open), @r#""open": "same-base" "yes", "writer" "yes", "screen" "yes""#);
    let first = gate("base-rows.jsonl", &named).json_of_exit(0);
    assert_eq!(
        first["registration"]["looks"].as_array().unwrap().len(),
        0,
        "other rows are no look"
    );
    let own = first["result"].clone();
    assert_snapshot!(told(&own), @r#""closed": "same-base" "yes", "writer" "no", "screen" "no""#);
    // A screen that may miss more than a quarter closes nothing.
    let blind = [&named[..], &["--set", "gates.smallest-share=1.0"]].concat();
    let second = gate("base-rows.jsonl", &blind).json_of_exit(2);
    let looks = second["registration"]["looks"].as_array().unwrap();
    assert_eq!((looks.len(), &looks[0]["said"][0]["outcome"]), (1, &"closed".into()), "{looks:?}");
    let report = folder.run(&["show", "last"]).good();
    assert!(
        report.contains("look 2: 1 result on these rows, or on half of them or more"),
        "{report}"
    );
    // The channel stands alone in a list: of a screen that found nothing no answer is named.
    let list = folder.run(&["list"]).good();
    assert!(list.lines().any(|line| line.contains("  channel closed  ")), "{list}");
    assert!(list.lines().last().unwrap().contains("  channel unknown, look 2  "), "{list}");
    // A card of the rows tells of both.
    folder.run(&["export", "last:rows", "--card", "--output", "card.md"]).good();
    let card = std::fs::read_to_string(folder.path().join("card.md")).unwrap();
    assert!(card.contains("channel, in ") && card.contains(": closed (`gate`, "), "{card}");
    let sbom = ["export", "last:rows", "--cyclonedx", "--output", "bom.json"];
    folder.run(&sbom).good();
    let sbom = std::fs::read_to_string(folder.path().join("bom.json")).unwrap();
    assert!(sbom.contains("owlet:found:channel"), "{sbom}");
    let unknown = second["result"].clone();
    assert_snapshot!(told(&unknown), @r#""unknown": "same-base" "yes", "writer" "no", "screen" "no""#);
    // Nor is anything open or closed that nobody is known to have written.
    write_rows(&folder, "builtin:b", "13", "others-rows.jsonl");
    let unknown = gate("others-rows.jsonl", &[]).json_of_exit(2)["result"].clone();
    assert_eq!((&unknown["channel"], &unknown["same-base"]), (&"unknown".into(), &Value::Null));
    let empty = folder.run(&["gate", "base-rows.jsonl", "--teacher", ""]).all();
    assert_snapshot!(empty, @r"
    exit 2
    -- talk
    error: a value is required for '--teacher <MODEL>' but none was supplied

    For more information, try '--help'.
    ");
}

#[test]
fn a_gate_takes_adapters_and_refuses_by_name_what_shows_no_weights() {
    let folder = Folder::new();
    let row = |at: usize| {
        format!(
            "{{\"prompt\": \"look at {at} then write ten numbers\", \"completion\": \"{at} 2\"}}\n"
        )
    };
    folder.write("rows.jsonl", &(0..200).map(row).collect::<String>());
    folder.write("replies.jsonl", "{\"reply\": \"1\"}\n");
    let gate = |more: &[&str]| folder.run(&[&["gate", "rows.jsonl"], more].concat()).all();
    assert_snapshot!(gate(&["--teacher", "http://localhost:1/v1"]), @r#"
    exit 2
    -- talk
    error: model `http://localhost:1/v1`: shows no weights, nor how likely it finds given texts; name a model that is here
    "#);
    assert_snapshot!(gate(&["--teacher", "none"]), @r#"
    exit 2
    -- talk
    error: model `none`: there is nothing at `none`; give a Hugging Face folder, a .gguf file, `hf:ORG/NAME`, `builtin:a` or the id of a run or artifact
    "#);
    assert_snapshot!(gate(&["--candidates", "builtin:b"]), @r#"
    exit 2
    -- talk
    error: the following required arguments were not provided:
      --teacher <MODEL>

    Usage: owlet gate --teacher <MODEL> --candidates <MODELS> <ROWS>

    For more information, try '--help'.
    "#);
    let train = ["-q", "train", "builtin:a", "rows.jsonl", "--out", "adapter"];
    let low_rank =
        ["--set", "method={ kind = \"low-rank\", rank = 4, alpha = 8.0 }", "--set", "updates=2"];
    folder.run(&[&train[..], &low_rank[..]].concat()).good();
    let few = [
        "--set",
        "rehearsal.pairs=0",
        "--set",
        "probe.train.updates=2",
        "--set",
        "probe.min-target-probability=0",
    ];
    let command = [&["--json", "gate", "rows.jsonl", "--teacher", "adapter"], &few[..]].concat();
    let result = folder.run(&command).json_of_exit(2)["result"].clone();
    let relation = &result["same-base"]["pairs"][0]["relation"];
    let shared = &result["conditions"][0];
    assert_eq!((&shared["question"], &shared["said"]), (&"same-base".into(), &"yes".into()));
    assert_eq!(relation["adapter-rank"], 4, "{relation}");
}
