use insta::assert_snapshot;

use crate::testkit::Folder;

#[test]
fn two_models_that_share_nothing_exit_with_one() {
    let folder = Folder::new();
    assert_snapshot!(folder.run(&["compare", "builtin:a", "builtin:b"]).all(), @"");
    let found = folder.run(&["compare", "builtin:a", "builtin:b", "--json"]);
    assert_eq!(found.code, 1);
    let found: serde_json::Value = serde_json::from_str(&found.data).unwrap();
    assert_eq!(found["pairs"][0]["verdict"], "independent");
    assert_eq!(found["models"], serde_json::json!(["builtin:a", "builtin:b"]));
}

#[test]
fn a_student_is_found_and_its_adapter_too() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 2 3\"}\n";
    folder.write("rows.jsonl", &row.repeat(4));
    for (name, method) in
        [("full", "{ kind = \"full\" }"), ("low", "{ kind = \"low-rank\", rank = 4, alpha = 8 }")]
    {
        let method = format!("method={method}");
        let train = [
            "train",
            "builtin:a",
            "rows.jsonl",
            "--out",
            name,
            "--set",
            "updates=2",
            "--set",
            &method,
        ];
        folder.run(&train).good();
    }
    let said = folder.run(&["compare", "builtin:a", "full"]);
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.data.contains("dependent"), "{}", said.data);
    assert_snapshot!(folder.run(&["compare", "builtin:a", "low"]).all(), @"");
}

#[test]
fn what_has_no_weights_is_refused_by_name() {
    let folder = Folder::new();
    folder.write("replies.jsonl", "{\"reply\": \"one\"}\n");
    assert_snapshot!(folder.run(&["compare", "builtin:a", "http://127.0.0.1:8080/v1"]).all(), @"");
    assert_snapshot!(folder.run(&["compare", "builtin:a", "script:replies.jsonl"]).all(), @"");
    assert_snapshot!(folder.run(&["compare", "builtin:a"]).all(), @"");
    folder.write(
        "adapter/adapter_config.json",
        "{\"base_model_name_or_path\": \"acme/base\", \"peft_type\": \"LORA\", \"r\": 4}",
    );
    assert_snapshot!(folder.run(&["compare", "builtin:a", "adapter"]).all(), @"");
}
