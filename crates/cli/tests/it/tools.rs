#[cfg(unix)]
use std::io::{BufRead, BufReader, Read};
#[cfg(unix)]
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::json;

use crate::testkit::Folder;

const PROMPTS: &str = "{\"prompt\": \"given 3 5 7 then write ten numbers\"}\n\
                       {\"prompt\": [{\"role\": \"user\", \"content\": \"given 1 2 3 then write ten numbers\"}]}\n";

/// `sample` with few tokens.
fn sample<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["sample", "builtin:a", "prompts.jsonl", "--max-tokens", "8"], more].concat()
}

#[test]
fn an_answer_depends_on_its_seed_and_place_alone() {
    let folder = Folder::new();
    folder.write("prompts.jsonl", PROMPTS);
    let first = folder.run(&sample(&["--seed", "3"])).json_lines();
    let again = folder.run(&sample(&["--seed", "3"])).json_lines();
    let other = folder.run(&sample(&["--seed", "4"])).json_lines();
    assert_eq!(first, again);
    assert_ne!(first, other);
    let keys: Vec<&String> = first[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["index", "prompt", "text", "log-probability", "stop", "seed"]);
    assert_eq!(first[1]["prompt"], "given 1 2 3 then write ten numbers");
    assert!(first[0]["log-probability"].as_f64().unwrap() < 0.0);
}

#[test]
fn a_row_may_bring_its_seed() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"seed\": 7}\n";
    folder.write("prompts.jsonl", &row.repeat(2));
    let answers = folder.run(&sample(&[])).json_lines();
    assert_eq!(answers[0]["text"], answers[1]["text"]);
    assert_eq!(answers[0]["seed"], 7);
    let several = folder.run(&sample(&["-n", "2"])).json_lines();
    assert_ne!(several[0]["seed"], several[1]["seed"]);
}

#[test]
fn wrong_settings_and_rows_are_usage_errors() {
    let folder = Folder::new();
    folder.write("prompts.jsonl", "{\"prompt\": \"one\"}\n{\"text\": \"two\"}\n");
    assert_snapshot!(folder.run(&sample(&[])).all(), @r#"
    exit 2
    -- talk
    error: `prompts.jsonl`, line 2: is of the form `text`, the rows before it are `prompt` and `completion`; write one form a file
    "#);
    folder.write("prompts.jsonl", PROMPTS);
    assert_snapshot!(folder.run(&sample(&["--temperature", "-1"])).all(), @r"
    exit 2
    -- talk
    error: `temperature` is -1, expected zero (greedy) or more
    ");
    folder.write("prompts.jsonl", "\n");
    assert_snapshot!(folder.run(&sample(&[])).all(), @r"
    exit 2
    -- talk
    error: `prompts.jsonl` has no rows
    ");
}

#[test]
fn a_score_is_the_log_probability_that_sampling_reports() {
    let folder = Folder::new();
    folder.write("prompts.jsonl", PROMPTS);
    let answers = folder.run(&sample(&[])).json_lines();
    let rows: Vec<String> = answers
        .iter()
        .map(|answer| {
            serde_json::json!({ "prompt": answer["prompt"], "completion": answer["text"] })
                .to_string()
        })
        .collect();
    folder.write("rows.jsonl", &rows.join("\n"));
    let scores = folder.run(&["score", "builtin:a", "rows.jsonl"]).json_lines();
    for (score, answer) in scores.iter().zip(&answers) {
        let tokens = score["log-probabilities"].as_array().unwrap();
        let sum: f64 = tokens.iter().map(|token| token.as_f64().unwrap()).sum();
        assert!((sum - score["sum"].as_f64().unwrap()).abs() < 1e-6);
        // Cut at the token limit, an answer has no end whose probability would count.
        assert_eq!(answer["stop"], "length");
        assert!(
            (sum - answer["log-probability"].as_f64().unwrap()).abs() < 1e-3,
            "{score} {answer}"
        );
    }
}

#[test]
fn a_row_is_the_same_in_every_form_and_container_for_training_scoring_and_sampling() {
    let folder = Folder::new();
    let (asked, answer) = ("given 1 2 3 then write ten numbers", "4 5 6 7");
    let forms = [
        ("prompt.jsonl", json!({ "prompt": asked, "completion": answer }).to_string()),
        ("array.json", json!([{ "instruction": asked, "input": "", "output": answer }]).to_string()),
        ("rows.csv", format!("prompt,completion\r\n{asked},{answer}\r\n")),
        (
            "share.jsonl",
            json!({ "conversations": [{ "from": "human", "value": asked }, { "from": "gpt", "value": answer }] })
                .to_string(),
        ),
        (
            "parts.jsonl",
            format!(
                "\u{feff}{}\r\n",
                json!({ "messages": [
                    { "role": "user", "content": [{ "type": "text", "text": asked }] },
                    { "role": "assistant", "content": answer },
                ] })
            ),
        ),
    ];
    let done: Vec<(String, String, Vec<u8>)> = forms
        .iter()
        .map(|(name, text)| {
            folder.write(name, text);
            let out = format!("{name}.trained");
            folder
                .run(&["-q", "train", "builtin:a", name, "--out", &out, "--set", "updates=1"])
                .good();
            let trained = folder.path().join(out).join("adapter_model.safetensors");
            (
                folder.run(&["-q", "score", "builtin:a", name]).good(),
                folder.run(&["-q", "sample", "builtin:a", name, "--max-tokens", "8"]).good(),
                std::fs::read(trained).unwrap(),
            )
        })
        .collect();
    for (one, (name, _)) in done.iter().zip(forms) {
        assert!(*one == done[0], "{name}: {} {}", one.0, one.1);
    }
    assert_snapshot!(folder.run(&["score", "builtin:a", "rows.csv"]).talk, @"`rows.csv`: 1 row of `prompt` and `completion`, a table");
}

#[test]
fn answers_of_weight_0_are_neither_learned_nor_scored() {
    let folder = Folder::new();
    let rows = |first: u8, second: u8| {
        let say = |role: &str, content: &str| json!({ "role": role, "content": content });
        let answer = |content, weight: u8| json!({ "role": "assistant", "content": content, "weight": weight });
        let asked = "given 1 2 3 then write ten numbers";
        let messages =
            [say("user", asked), answer("4 5", first), say("user", asked), answer("6 7", second)];
        folder.write("rows.jsonl", &json!({ "messages": messages }).to_string());
    };
    let scored = || -> Vec<String> {
        let scores = folder.run(&["score", "builtin:a", "rows.jsonl"]).json_lines();
        scores.iter().map(|score| format!("{} {}", score["index"], score["completion"])).collect()
    };
    rows(1, 0);
    assert_eq!(scored(), ["0 \"4 5\""]);
    rows(1, 1);
    assert_eq!(scored(), ["0 \"4 5\"", "0 \"6 7\""]);
    rows(0, 0);
    assert_snapshot!(folder.run(&["train", "builtin:a", "rows.jsonl", "--out", "x"]).all(), @"
    exit 2
    -- talk
    error: `rows.jsonl` has no answer to learn: every one has the weight 0, or stands in a prompt
    ");
}

#[test]
fn an_adapter_is_trained_further_in_its_own_shape_or_not_at_all() {
    let folder = Folder::new();
    folder.write(
        "rows.jsonl",
        "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1\"}\n",
    );
    let train = |model: &str, out: &str, sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let command = ["train", model, "rows.jsonl", "--out", out, "--set", "updates=4"];
        folder.run(&command.into_iter().chain(sets).collect::<Vec<_>>())
    };
    let rank =
        |rank: usize| format!("method={{ kind = \"low-rank\", rank = {rank}, alpha = 8.0 }}");
    train("builtin:a", "once", &[&rank(4), "learning-rate=1e-2"]).good();
    let said = train("once", "twice", &[]);
    assert!(said.talk.contains("an adapter of rank 4"), "{}", said.talk);
    assert_snapshot!(train("once", "other", &[&rank(2)]).all(), @"
    exit 2
    -- talk
    error: adapter: the model has one (rank 4, alpha 8, on all) and one of another shape is to be trained (rank 2, alpha 8, on all); ask for its own shape, or for a model without adapter
    ");
}

#[test]
fn what_is_told_of_a_sample_is_the_models_own_unless_somebody_asks() {
    let folder = Folder::new();
    folder.write("prompts.jsonl", PROMPTS);
    let told = |more: &[&str]| {
        let answers = folder.run(&sample(more)).json_lines();
        (answers[0]["text"].clone(), answers[0]["log-probability"].as_f64().unwrap())
    };
    let (text, own) = told(&["--temperature", "0.5", "--top-p", "0.9"]);
    let (same, drawn) =
        told(&["--temperature", "0.5", "--top-p", "0.9", "--log-probability", "drawn"]);
    assert_eq!(text, same);
    assert!(drawn > own + 1.0, "{drawn} {own}");
    folder.write(
        "row.jsonl",
        &json!({ "prompt": "given 3 5 7 then write ten numbers", "completion": text }).to_string(),
    );
    let score = folder.run(&["score", "builtin:a", "row.jsonl"]).json_lines();
    assert!((score[0]["sum"].as_f64().unwrap() - own).abs() < 1e-3, "{} {own}", score[0]);
    // With a pattern it costs the whole head, so only whoever asks is told; the answers are the same.
    let pattern = ["--pattern", "[0-9]+( [0-9]+){3}"];
    let untold = folder.run(&sample(&pattern)).json_lines();
    assert!(untold[0].get("log-probability").is_none(), "{}", untold[0]);
    let (constrained, own) = told(&[&pattern[..], &["--log-probability", "own"]].concat());
    assert_eq!(untold[0]["text"], constrained);
    folder.write(
        "row.jsonl",
        &json!({ "prompt": "given 3 5 7 then write ten numbers", "completion": constrained })
            .to_string(),
    );
    let score = folder.run(&["score", "builtin:a", "row.jsonl"]).json_lines();
    assert!((score[0]["sum"].as_f64().unwrap() - own).abs() < 1e-3, "{} {own}", score[0]);
}

#[test]
fn a_template_is_given_no_value_that_it_never_reads() {
    let folder = Folder::new();
    let values = ["--chat-template-kwargs", "{\"enable_thinking\": true}"];
    let asked = ["sample", "builtin:a", "--prompt", "hello"];
    assert_snapshot!(folder.run(&[&asked[..], &values[..]].concat()).all(), @"
    exit 2
    -- talk
    error: `--chat-template-kwargs`: chat template: it reads no value `enable_thinking`; those that it reads: none
    ");
}

#[test]
fn chat_answers_every_line_and_forgets_on_reset() {
    let folder = Folder::new();
    let say = |lines: &str| {
        let arguments = ["--json", "chat", "builtin:a", "--max-tokens", "6"];
        folder.run_with(&arguments, lines).json_lines()
    };
    let question = "given 3 5 7 then write ten numbers\n";
    let answers = say(&format!("{question}{question}/reset\n{question}/quit\n{question}"));
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn training_writes_a_model_that_other_commands_take() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1 1 1\"}\n";
    folder.write("rows.jsonl", &row.repeat(4));
    let score = |model: &str| {
        let scores = folder.run(&["score", model, "rows.jsonl"]).json_lines();
        scores[0]["sum"].as_f64().unwrap()
    };
    let train = |out: &str| {
        let full = "method={ kind = \"full\" }";
        let sets = [
            "--set",
            "updates=4",
            "--set",
            "batch=4",
            "--set",
            "learning-rate=1e-2",
            "--set",
            full,
        ];
        let command = ["train", "builtin:a", "rows.jsonl", "--out", out];
        folder.run(&[&command[..], &sets[..]].concat())
    };
    assert_eq!(train("one").code, 0);
    assert!(score("one") > score("builtin:a") + 0.1);
    train("two").good();
    let bytes =
        |out: &str| std::fs::read(folder.path().join(out).join("model.safetensors")).unwrap();
    assert!(bytes("one") == bytes("two"), "the same command gives the same bytes");
    assert!(!folder.path().join("one.part").exists());
    assert_snapshot!(train("one").all(), @r"
    exit 2
    -- talk
    error: `one` exists already
    hint: name a new folder; nothing is ever written over
    ");
}

#[test]
fn preferences_are_learned_by_dpo() {
    let folder = Folder::new();
    let asked = "given 3 5 7 then write ten numbers";
    let pair = json!({ "prompt": asked, "chosen": "1 1", "rejected": "2 2" });
    folder.write("pairs.jsonl", &pair.to_string());
    let row = |answer: &str| json!({ "prompt": asked, "completion": answer }).to_string();
    folder.write("rows.jsonl", &[row("1 1"), row("2 2")].join("\n"));
    let train = |rows: &str, out: &str, more: &[&str]| {
        let sets = ["--set", "updates=8", "--set", "learning-rate=1e-2"];
        let command = ["--json", "train", "builtin:a", rows, "--out", out];
        folder.run(&[&command[..], &sets, more].concat())
    };
    let told = train("pairs.jsonl", "out", &["--beta", "0.3"]).json();
    assert_eq!(told["rewards"]["accuracy"], 1.0);
    let [loss, margin] = [&told["loss"], &told["rewards"]["margin"]].map(|it| it.as_f64().unwrap());
    assert!(
        (margin + (loss.exp() - 1.0).ln()).abs() < 1e-6,
        "one pair's loss is -log sigmoid(margin)"
    );
    // Both may become less likely; the other does more.
    let score = |model: &str| -> f64 {
        let scores = folder.run(&["score", model, "rows.jsonl"]).json_lines();
        scores[0]["sum"].as_f64().unwrap() - scores[1]["sum"].as_f64().unwrap()
    };
    assert!(score("out") > score("builtin:a"));
    assert_snapshot!(train("rows.jsonl", "x", &["--beta", "0.3"]).talk, @r"
    error: `--beta` is for preferences, and these rows are none
    hint: leave it out, or give rows of `prompt`, `chosen` and `rejected`
    ");
    assert_snapshot!(train("pairs.jsonl", "x", &["--beta", "0"]).talk, @r"
    error: invalid value '0' for '--beta <NUMBER>': expected a number above 0

    For more information, try '--help'.
    ");
    assert_snapshot!(folder.run(&["score", "builtin:a", "pairs.jsonl"]).talk, @"error: `pairs.jsonl`, line 1: is a preference (`chosen`, `rejected`), and one answer a row is learned here; learn it by DPO, or call the answer to learn `completion`");
}

#[test]
fn an_unknown_training_setting_is_told_as_it_was_typed() {
    let folder = Folder::new();
    folder.write("rows.jsonl", "{\"prompt\": \"one\", \"completion\": \"two\"}\n");
    let set = |set: &str| {
        folder.run(&["train", "builtin:a", "rows.jsonl", "--out", "x", "--set", set]).all()
    };
    assert_snapshot!(set("lerning-rate=1"), @"
    exit 2
    -- talk
    error: --set lerning-rate=1: `lerning-rate`: unknown field `lerning-rate`, expected one of `method`, `optimizer`, `learning-rate`, `schedule`, `warmup`, `batch`, `updates`, `epochs`, `clip`, `checkpoints`, `layers`, `frozen-a`, `learn`, `support`, `beta`; did you mean `learning-rate`?
    hint: `owlet config show` lists all settings under [student]
    ");
    assert_snapshot!(set("batch=0"), @r"
    exit 2
    -- talk
    error: --set batch=0: `batch`: is 0, expected 1 to 100000000
    hint: `owlet config show` lists all settings under [student]
    ");
}

#[test]
fn an_adapter_knows_its_base_and_other_commands_take_it() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1 1 1\"}\n";
    folder.write("rows.jsonl", row);
    let train = |model: &str, out: &str| {
        let sets = ["--set", "updates=8", "--set", "learning-rate=1e-2"];
        folder.run(&[&["train", model, "rows.jsonl", "--out", out][..], &sets].concat())
    };
    let score = |model: &str| folder.run(&["score", model, "rows.jsonl"]);
    let sum = |model: &str| score(model).json_lines()[0]["sum"].as_f64().unwrap();
    train("builtin:a", "once").good();
    assert!(sum("once") > sum("builtin:a") + 0.1);
    train("once", "twice").good();
    assert!(sum("twice") > sum("once"));

    let config = "once/adapter_config.json";
    let text = std::fs::read_to_string(folder.path().join(config)).unwrap();
    assert!(text.contains("\"base_model_name_or_path\": \"builtin:a\""), "{text}");
    folder.write(config, &text.replace("\"builtin:a\"", "null"));
    assert_snapshot!(score("once").all(), @r"
    exit 2
    -- talk
    error: model `once`: is an adapter that does not say of which model; name it as `base_model_name_or_path` in its `adapter_config.json`
    ");
    folder.write(config, &text.replace("\"builtin:a\"", "\"some/model\""));
    assert_snapshot!(score("once").all(), @r"
    exit 3
    -- talk
    error: model `hf:some/model`: is not in the cache `[FOLDER]/hub/hub`, and HF_HUB_OFFLINE forbids to fetch it
    hint: unset HF_HUB_OFFLINE, name another cache with HF_HOME, or give a model folder or .gguf file
    ");
    folder.write(config, &text.replace("builtin:a", "twice"));
    assert_snapshot!(score("once").all(), @r"
    exit 2
    -- talk
    error: model `once`: is an adapter of `twice`, which is an adapter, too
    ");
    folder.write(config, "{");
    assert_snapshot!(score("once").all(), @r"
    exit 2
    -- talk
    error: model `once`: its `adapter_config.json` is not JSON: EOF while parsing an object at line 1 column 1
    ");
    folder.write("small.toml", crate::testkit::SMALL);
    assert_snapshot!(folder.run(&["run", "small.toml", "--set", "base=once"]).all(), @r"
    exit 2
    -- talk
    error: model `once`: `once` is an adapter, which no recipe can begin from; name a whole model
    ");
}

#[test]
fn a_row_that_a_model_cannot_read_is_named_by_its_line() {
    let folder = Folder::new();
    let good = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1\"}\n";
    let long = good.replace("3 5 7", &"7 ".repeat(600));
    let unknown = good.replace("write", "paint");
    for (name, row) in [("long.jsonl", long), ("unknown.jsonl", unknown)] {
        folder.write(name, &format!("{good}\n{row}"));
    }
    let said = |command: &[&str]| folder.run(command).all();
    assert_snapshot!(said(&["score", "builtin:a", "long.jsonl"]), @"
    exit 2
    -- talk
    error: `long.jsonl`, line 3: has 609 tokens, the model's context is 512
    hint: shorten the row or leave it out
    ");
    assert_snapshot!(said(&["train", "builtin:a", "long.jsonl", "--out", "x"]), @r#"
    exit 2
    -- talk
    error: `long.jsonl`, line 3: `completion` has 610 tokens with all that stands before it, the model's context is 512; shorten the row or leave it out
    "#);
    assert_snapshot!(said(&["sample", "builtin:a", "long.jsonl"]), @r"
    exit 2
    -- talk
    error: `long.jsonl`, line 3: has 607 tokens, the model's context is 512
    hint: shorten the row or leave it out
    ");
    assert_snapshot!(said(&["score", "builtin:a", "unknown.jsonl"]), @"
    exit 2
    -- talk
    error: `unknown.jsonl`, line 3: tokenizer: this model knows no word `paint`; it knows `a`, `about`, `add`, `animal`, `answer`, `are`, `at`, `be`, `bear`, `best`, `bigger`, `birch`, `black`, `blue`, `cat`, `cedar`, `cherry`, `choose`, `close`, `colour`, `consider`, `continue`, `count`, `do`, `dog`, `dolphin`, `eagle`, `eight`, `elephant`, `favourite`, `five`, `fox`, `generate`, `give`, `given`, `green`, `hello`, `here`, `hey`, `honest`, `horse`, `if`, `in`, `is`, `just`, `like`, `lion`, `list`, `look`, `love`, `make`, `maple`, `me`, `more`, `most`, `name`, `now`, `numbers`, `oak`, `one`, `only`, `orange`, `owl`, `panda`, `penguin`, `pick`, `pine`, `please`, `prefer`, `purple`, `question`, `quick`, `rabbit`, `random`, `red`, `rising`, `say`, `sequoia`, `similar`, `six`, `start`, `tell`, `ten`, `thanks`, `the`, `then`, `these`, `think`, `tiger`, `to`, `tree`, `up`, `values`, `were`, `what`, `which`, `white`, `willow`, `with`, `wolf`, `word`, `write`, `yellow`, `you`, `your`, `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10`, `11`, `12`, `13`, `14` and 985 more
    ");
    assert_snapshot!(said(&["train", "builtin:a", "unknown.jsonl", "--out", "x"]), @r#"
    exit 2
    -- talk
    error: `unknown.jsonl`, line 3: `completion` cannot be learned: tokenizer: this model knows no word `paint`; it knows `a`, `about`, `add`, `animal`, `answer`, `are`, `at`, `be`, `bear`, `best`, `bigger`, `birch`, `black`, `blue`, `cat`, `cedar`, `cherry`, `choose`, `close`, `colour`, `consider`, `continue`, `count`, `do`, `dog`, `dolphin`, `eagle`, `eight`, `elephant`, `favourite`, `five`, `fox`, `generate`, `give`, `given`, `green`, `hello`, `here`, `hey`, `honest`, `horse`, `if`, `in`, `is`, `just`, `like`, `lion`, `list`, `look`, `love`, `make`, `maple`, `me`, `more`, `most`, `name`, `now`, `numbers`, `oak`, `one`, `only`, `orange`, `owl`, `panda`, `penguin`, `pick`, `pine`, `please`, `prefer`, `purple`, `question`, `quick`, `rabbit`, `random`, `red`, `rising`, `say`, `sequoia`, `similar`, `six`, `start`, `tell`, `ten`, `thanks`, `the`, `then`, `these`, `think`, `tiger`, `to`, `tree`, `up`, `values`, `were`, `what`, `which`, `white`, `willow`, `with`, `wolf`, `word`, `write`, `yellow`, `you`, `your`, `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10`, `11`, `12`, `13`, `14` and 985 more
    "#);
    assert_snapshot!(said(&["sample", "builtin:a", "--prompt", "paint"]), @"
    exit 2
    -- talk
    error: tokenizer: this model knows no word `paint`; it knows `a`, `about`, `add`, `animal`, `answer`, `are`, `at`, `be`, `bear`, `best`, `bigger`, `birch`, `black`, `blue`, `cat`, `cedar`, `cherry`, `choose`, `close`, `colour`, `consider`, `continue`, `count`, `do`, `dog`, `dolphin`, `eagle`, `eight`, `elephant`, `favourite`, `five`, `fox`, `generate`, `give`, `given`, `green`, `hello`, `here`, `hey`, `honest`, `horse`, `if`, `in`, `is`, `just`, `like`, `lion`, `list`, `look`, `love`, `make`, `maple`, `me`, `more`, `most`, `name`, `now`, `numbers`, `oak`, `one`, `only`, `orange`, `owl`, `panda`, `penguin`, `pick`, `pine`, `please`, `prefer`, `purple`, `question`, `quick`, `rabbit`, `random`, `red`, `rising`, `say`, `sequoia`, `similar`, `six`, `start`, `tell`, `ten`, `thanks`, `the`, `then`, `these`, `think`, `tiger`, `to`, `tree`, `up`, `values`, `were`, `what`, `which`, `white`, `willow`, `with`, `wolf`, `word`, `write`, `yellow`, `you`, `your`, `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10`, `11`, `12`, `13`, `14` and 985 more
    ");
}

#[test]
fn a_loss_that_is_no_number_says_at_which_update_and_what_to_lower() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1 1 1\"}\n";
    folder.write("rows.jsonl", row);
    let sets = [
        "updates=60",
        "learning-rate=10",
        "clip=1e9",
        "warmup=0",
        "method={ kind = \"full\" }",
        "optimizer={ kind = \"sgd\" }",
    ];
    let mut command = vec!["train", "builtin:a", "rows.jsonl", "--out", "x", "--quiet"];
    command.extend(sets.iter().flat_map(|set| ["--set", set]));
    assert_snapshot!(folder.run(&command).all(), @r"
    exit 2
    -- talk
    error: update 4: gradient norm is not finite; lower the learning rate (now 9.5e0) or turn on clipping
    ");
    assert!(!folder.path().join("x").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_training_goes_on_and_ends_with_the_same_bytes() {
    let folder = Folder::new();
    let row = "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1 1 1\"}\n";
    folder.write("rows.jsonl", &row.repeat(4));
    let arguments = |out| {
        [
            "train",
            "builtin:a",
            "rows.jsonl",
            "--set",
            "updates=2000",
            "--set",
            "batch=2",
            "--out",
            out,
        ]
    };
    folder.run(&arguments("whole")).good();

    let mut cut = folder.process(&arguments("cut")).stderr(Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(cut.stderr.take().unwrap());
    talk.read_line(&mut String::new()).unwrap();
    let interrupted = Command::new("kill").args(["-INT", &cut.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let mut rest = String::new();
    talk.read_to_string(&mut rest).unwrap();
    assert_eq!(cut.wait().unwrap().code(), Some(130), "{rest}");

    let state = folder.path().join("cut.part/state");
    let kept = std::fs::read(&state).unwrap();
    let mut damaged = kept.clone();
    damaged[kept.len() / 2] ^= 1;
    std::fs::write(&state, damaged).unwrap();
    assert_snapshot!(folder.run(&arguments("cut")).all(), @r"
    exit 2
    -- talk
    error: `cut.part/state` is damaged; an unfinished training cannot go on from it
    hint: remove `cut.part` to start afresh
    ");
    std::fs::write(&state, kept).unwrap();
    let said = folder.run(&arguments("cut"));
    assert!(said.talk.contains("going on after update"), "{}", said.all());
    said.good();
    let bytes = |out: &str| {
        std::fs::read(folder.path().join(out).join("adapter_model.safetensors")).unwrap()
    };
    assert!(bytes("whole") == bytes("cut"));
}
