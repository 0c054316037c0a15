use insta::assert_snapshot;

use crate::testkit::Folder;

#[test]
fn two_models_that_share_nothing_exit_with_one() {
    let folder = Folder::new();
    assert_snapshot!(folder.run(&["compare", "builtin:a", "builtin:b"]).all(), @r#"
    exit 1
    -- data
    builtin:a, builtin:b
      weights alone, seed 0

    ✗ independent builtin:a and builtin:b
                  p 0.023, not below the level of 0.01; no look ties them; a copy in place would have to
                  be buried in noise 28 times as large as its weights

    What was looked at
      512 hidden units a layer; p corrected for layers (Holm) and for the looks, level 0.01
      0 of 35 tensors of one shape are the same bytes.
      look                                               layers    least     most  corrected p
      units by place                                          2    z 0.4    z 2.8        0.023
      units by place, residual stream aligned                 2   z -0.3    z 0.6            1
      units matched by weights                                2  0 of 46  0 of 33            1
      units matched by weights, residual stream aligned       2  0 of 21  1 of 44            1

    What this does not see  
      · A run of the same seed on other data counts as the same base: that is what inheritance needs.
      · Units that were left out by importance, experts, layers distilled or trained anew, and a
        rotation together with another tokenizer are not seen through.
      · What two models learned alike from the same data is not ancestry and is not tested for.
      · Which of two came first, weights do not say.
    "#);
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
    assert_snapshot!(folder.run(&["compare", "builtin:a", "low"]).all(), @r#"
    exit 0
    -- data
    builtin:a, low
      weights alone, seed 0

    ✓ dependent builtin:a and low
                p 4e-4, below the level of 0.01; 23 of 35 tensors are the same bytes, 1 of them
                matrices; units by place: in 2 of 2 layers hidden units of equal places are more alike
                than in any order that chance gives (z 107 in layer 0)

    What changed  
      · All that changed is of rank 4 at most: an adapter of that rank.
      From builtin:a to low: length of the difference over that of the weights
      tensors     difference    rank
      down            2.4e-4  3 to 4
      down.bias            0       –
      embed                0       0
      k               3.7e-4       4
      k.bias               0       –
      norm                 0       –
      norm.bias            0       –
      norm1                0       –
      norm1.bias           0       –
      norm2                0       –
      norm2.bias           0       –
      o               6.5e-4       4
      o.bias               0       –
      q               3.7e-4       4
      q.bias               0       –
      up              3.5e-4       4
      up.bias              0       –
      v               5.3e-4       4
      v.bias               0       –

    What was looked at
      512 hidden units a layer; p corrected for layers (Holm) and for the looks, level 0.01
      23 of 35 tensors of one shape are the same bytes.
      look            layers   least     most  corrected p
      units by place       2  z 92.8  z 107.1         4e-4

    What this does not see  
      · A run of the same seed on other data counts as the same base: that is what inheritance needs.
      · Units that were left out by importance, experts, layers distilled or trained anew, and a
        rotation together with another tokenizer are not seen through.
      · What two models learned alike from the same data is not ancestry and is not tested for.
      · Which of two came first, weights do not say.
    "#);
}

#[test]
fn what_has_no_weights_is_refused_by_name() {
    let folder = Folder::new();
    folder.write("replies.jsonl", "{\"reply\": \"one\"}\n");
    assert_snapshot!(folder.run(&["compare", "builtin:a", "http://127.0.0.1:8080/v1"]).all(), @r#"
    exit 2
    -- talk
    error: model `http://127.0.0.1:8080/v1`: answers behind an endpoint, which shows no weights; a test of whether two endpoints share a base by what they answer is not built
    "#);
    assert_snapshot!(folder.run(&["compare", "builtin:a", "script:replies.jsonl"]).all(), @r#"
    exit 2
    -- talk
    error: model `script:replies.jsonl`: is a script, which has replies and no weights
    "#);
    assert_snapshot!(folder.run(&["compare", "builtin:a"]).all(), @r#"
    exit 2
    -- talk
    error: 2 values required by '<MODEL> <MODEL>...'; only 1 was provided

    Usage: owlet compare [OPTIONS] <MODEL> <MODEL>...

    For more information, try '--help'.
    "#);
    folder.write(
        "adapter/adapter_config.json",
        "{\"base_model_name_or_path\": \"acme/base\", \"peft_type\": \"LORA\", \"r\": 4}",
    );
    assert_snapshot!(folder.run(&["compare", "builtin:a", "adapter"]).all(), @r#"
    exit 2
    -- talk
    error: model `adapter`: is an adapter, which is compared with its base's weights under it, and `hf:acme/base` cannot be had (model `hf:acme/base`: is not in the cache `[FOLDER]/hub/hub`, and HF_HUB_OFFLINE forbids to fetch it); put it there, or name it as `base_model_name_or_path` in `adapter_config.json`
    "#);
}
