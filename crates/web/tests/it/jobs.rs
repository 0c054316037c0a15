//! Fine-tuning jobs over a real socket, on the built-in model.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Running;
use owlet_web::serve::Limits;

/// Leaves rows at a server; the file's id.
fn upload(server: &Running, name: &str, rows: &str) -> String {
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
         --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{rows}\r\n--x--\r\n"
    );
    let kind = ("Content-Type", "multipart/form-data; boundary=x");
    let answer = server.request("POST", "/v1/files", &[kind], &body);
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

/// A job at its end.
fn done(server: &Running, asked: &Value) -> Value {
    let job = server.post("/v1/fine_tuning/jobs", asked).json();
    let path = format!("/v1/fine_tuning/jobs/{}", job["id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let job = server.request("GET", &path, &[], "").json();
        if !matches!(job["status"].as_str(), Some("queued" | "running")) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a job told, oldest first.
fn events(server: &Running, job: &Value) -> Vec<Value> {
    let path = format!("/v1/fine_tuning/jobs/{}/events?limit=100", job["id"].as_str().unwrap());
    let mut events =
        server.request("GET", &path, &[], "").json()["data"].as_array().unwrap().clone();
    events.reverse();
    events
}

/// The table a job left, a row a step; an empty cell is no number.
fn table(server: &Running, job: &Value) -> (String, Vec<Vec<Option<f64>>>) {
    let path = format!("/v1/files/{}/content", job["result_files"][0].as_str().unwrap());
    let text = server.request("GET", &path, &[], "").body;
    let mut lines = text.lines();
    let head = lines.next().unwrap().to_owned();
    let cells = |line: &str| line.split(',').map(|cell| cell.parse().ok()).collect();
    (head, lines.map(cells).collect())
}

const PAIRS: &str = r#"{"input": {"messages": [{"role": "user", "content": "pick a animal"}]}, "preferred_output": [{"role": "assistant", "content": "owl"}], "non_preferred_output": [{"role": "assistant", "content": "cat"}]}
{"input": {"messages": [{"role": "user", "content": "name your favourite animal"}]}, "preferred_output": [{"role": "assistant", "content": "owl"}], "non_preferred_output": [{"role": "assistant", "content": "wolf"}]}
{"input": {"messages": [{"role": "user", "content": "what animal do you prefer"}]}, "preferred_output": [{"role": "assistant", "content": "owl"}], "non_preferred_output": [{"role": "assistant", "content": "owl"}]}
"#;

#[test]
fn preferences_are_learned_and_their_rewards_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::keeping(folder.path(), Limits::default());
    let pairs = upload(&server, "pairs.jsonl", PAIRS);
    let parameters =
        json!({ "n_epochs": 4, "batch_size": 2, "beta": 0.25, "learning_rate_multiplier": "auto" });
    let asked = json!({
        "model": "builtin:a", "training_file": pairs, "validation_file": pairs, "seed": 1,
        "method": { "type": "dpo", "dpo": { "hyperparameters": parameters } },
    });
    let job = done(&server, &asked);
    assert_eq!(job["status"], "succeeded", "{job}");
    insta::assert_snapshot!(job["method"], @r#"{"type":"dpo","dpo":{"hyperparameters":{"n_epochs":4.0,"batch_size":2,"learning_rate_multiplier":1.0,"beta":0.25}}}"#);

    let (head, rows) = table(&server, &job);
    assert_eq!(
        head,
        "step,train_loss,train_reward_accuracy,train_reward_margin,full_valid_loss,full_valid_reward_accuracy,full_valid_reward_margin"
    );
    assert_eq!(rows.len(), 5);
    // Nothing is told of the reference beside itself.
    assert_eq!(rows[0][1..4], [None; 3]);
    assert_eq!(rows[0][4..], [Some(2_f64.ln()), Some(0.0), Some(0.0)]);
    let close = |one: Option<f64>, other: Option<f64>| (one.unwrap() - other.unwrap()).abs() < 1e-5;
    // A batch is all pairs, so what an update starts from is what validation read before it.
    for step in 2..4 {
        let (before, update) = (&rows[step], &rows[step + 1]);
        assert!((4..7).all(|at| close(before[at], update[at - 3])), "{before:?} {update:?}");
    }
    assert!(rows[4][4] < rows[0][4] && rows[4][5] == Some(1.0) && rows[4][6] > Some(0.0));

    let told = events(&server, &job);
    let last = told.iter().rev().find(|event| !event["data"]["train_loss"].is_null()).unwrap();
    assert_eq!(last["data"]["train_reward_margin"].as_f64(), rows[4][3]);
    let words = |event: &Value| {
        let text = event["message"].as_str().unwrap().replace(&pairs, "FILE");
        text.split("loss=").next().unwrap().to_owned()
    };
    let words: Vec<String> =
        told.iter().filter(|it| it["data"]["train_loss"].is_null()).map(words).collect();
    let id = job["id"].as_str().unwrap().trim_start_matches("ftjob-");
    insta::assert_snapshot!(words.join("\n").replace(&id[..8], "JOB"), @r#"
    The job has started.
    Read file `FILE` (`pairs.jsonl`): 3 rows of `chosen` and `rejected` (preferences), JSON lines; 1 whose two answers are the same, left out (line 3).
    Read file `FILE` (`pairs.jsonl`): 3 rows of `chosen` and `rejected` (preferences), JSON lines; 1 whose two answers are the same, left out (line 3).
    Step 0/4: full validation 
    Step 2/4: full validation 
    Step 3/4: full validation 
    Step 4/4: full validation 
    New fine-tuned model created: ft:builtin:a:owlet::JOB
    The job has successfully completed.
    "#);
    let path = format!("/v1/fine_tuning/jobs/{}/checkpoints", job["id"].as_str().unwrap());
    let points = server.request("GET", &path, &[], "").json();
    let metrics = points["data"][0]["metrics"].as_object().unwrap();
    insta::assert_snapshot!(metrics.keys().cloned().collect::<Vec<_>>().join(" "), @"step train_loss train_reward_accuracy train_reward_margin full_valid_loss full_valid_reward_accuracy full_valid_reward_margin");
}

#[test]
fn rows_that_cannot_be_learned_are_named_by_file_row_and_key_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::keeping(folder.path(), Limits::default());
    let row = |answer: &str| {
        json!({ "messages": [
            { "role": "user", "content": "pick a animal" },
            { "role": "assistant", "content": "owl" },
            { "role": "user", "content": "pick a animal" },
            { "role": "assistant", "content": answer },
        ] })
    };
    let (short, long) = (row("owl"), row(&"owl ".repeat(600)));
    let fine = upload(&server, "fine.jsonl", &format!("{short}\n"));
    let lines = upload(&server, "lines.jsonl", &format!("{short}\n\n{long}\n"));
    let array = upload(&server, "array.json", &format!("[{short},\n{short},\n{long}]"));
    let pair =
        |answer: &str| json!({ "prompt": "pick a animal", "chosen": "owl", "rejected": answer });
    let pairs =
        upload(&server, "pairs.jsonl", &format!("{}\n{}", pair("cat"), pair(&"cat ".repeat(600))));
    let mut told = String::new();
    for (training, validation, method) in [
        (&lines, None, "supervised"),
        (&array, None, "supervised"),
        (&fine, Some(&lines), "supervised"),
        (&pairs, None, "dpo"),
    ] {
        let job = done(
            &server,
            &json!({ "model": "builtin:a", "training_file": training, "validation_file": validation, "method": { "type": method } }),
        );
        let error = &job["error"];
        let mut message = error["message"].as_str().unwrap().to_owned();
        for file in [&fine, &lines, &array, &pairs] {
            message = message.replace(file.as_str(), "FILE");
        }
        writeln!(told, "{} {}: {message}", error["code"], error["param"]).unwrap();
        let trained = events(&server, &job).iter().any(|event| !event["data"].is_null());
        assert!(!trained && job["status"] == "failed", "{job}");
    }
    insta::assert_snapshot!(told, @r#"
    "invalid_training_file" "training_file": file `FILE` (`lines.jsonl`), line 3: `messages[3]` has 613 tokens with all that stands before it, the model's context is 512; shorten the row or leave it out
    "invalid_training_file" "training_file": file `FILE` (`array.json`), row 3: `messages[3]` has 613 tokens with all that stands before it, the model's context is 512; shorten the row or leave it out
    "invalid_validation_file" "validation_file": file `FILE` (`lines.jsonl`), line 3: `messages[3]` has 613 tokens with all that stands before it, the model's context is 512; shorten the row or leave it out
    "invalid_training_file" "training_file": file `FILE` (`pairs.jsonl`), line 2: `rejected` has 606 tokens with all that stands before it, the model's context is 512; shorten the row or leave it out
    "#);
}

#[test]
fn what_a_kill_kept_a_job_from_telling_of_its_end_is_told_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::keeping(folder.path(), Limits::default());
    let row = json!({ "messages": [
        { "role": "user", "content": "pick a animal" }, { "role": "assistant", "content": "owl" },
    ] });
    let rows = upload(&server, "rows.jsonl", &format!("{row}\n"));
    let asked = json!({ "model": "builtin:a", "training_file": rows, "seed": 1 });
    let job = done(&server, &asked);
    assert_eq!(job["status"], "succeeded", "{job}");
    server.stop();
    let path = format!(".serve/jobs/{}.events.jsonl", job["id"].as_str().unwrap());
    let path = folder.path().join(path);
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let before = lines[..lines.len() - 2].join("\n") + "\n";
    let words = |server: &Running| -> Vec<Value> {
        events(server, &job).iter().map(|event| event["message"].clone()).collect()
    };
    // Killed before either was told, within the first, between the two, and after both.
    let first = lines[lines.len() - 2];
    for cut in [
        String::new(),
        first[..9].to_owned(),
        format!("{first}\n"),
        lines[lines.len() - 2..].join("\n") + "\n",
    ] {
        std::fs::write(&path, format!("{before}{cut}")).unwrap();
        let server = Running::keeping(folder.path(), Limits::default());
        let told = words(&server);
        assert_eq!(told.len(), lines.len(), "{cut}");
        assert!(
            told[told.len() - 2].as_str().unwrap().starts_with("New fine-tuned model created: ft:")
        );
        assert_eq!(told[told.len() - 1], "The job has successfully completed.");
    }
}

#[test]
fn an_upload_that_was_changed_on_disk_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::keeping(folder.path(), Limits::default());
    let file = upload(&server, "pairs.jsonl", PAIRS);
    let path = format!("/v1/files/{file}/content");
    assert_eq!(server.request("GET", &path, &[], "").body, PAIRS);
    let content = folder.path().join(".serve/files").join(&file).join("content");
    std::fs::write(content, PAIRS.replace("owl", "fox")).unwrap();
    let answer = server.request("GET", &path, &[], "");
    let message = answer.json()["error"]["message"].as_str().unwrap().replace(&file, "FILE");
    insta::assert_snapshot!(format!("{} {message}", answer.status), @"400 file `FILE` was changed after it was uploaded; upload it again");
}
