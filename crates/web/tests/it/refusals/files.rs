//! What the API says to files, jobs and batches it will not take.

use serde_json::{Value, json};

use super::super::client::Running;
use super::{Told, part};
use owlet_web::serve::Limits;

#[test]
fn of_files_jobs_and_batches() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::keeping(folder.path(), Limits::default());
    let row = r#"{"messages": [{"role": "user", "content": "pick a animal"}, {"role": "assistant", "content": "owl"}]}"#;
    let (rows, requests) = (r#"name="purpose""#, r#"name="file"; filename="a""#);
    let upload = |purpose: &str, text: &str| -> Value {
        let body = format!("{}{}--x--\r\n", part(rows, purpose), part(requests, text));
        let kind = ("Content-Type", "multipart/form-data; boundary=x");
        server.request("POST", "/v1/files", &[kind], &body).json()["id"].clone()
    };
    let (trained, asked) = (upload("fine-tune", row), upload("batch", "{}"));
    let pairs =
        upload("fine-tune", r#"{"prompt": "pick a animal", "chosen": "owl", "rejected": "cat"}"#);
    let mut told = Told::by(&server);
    told.form("no purpose", &[(requests, row)]);
    told.form("another purpose", &[(rows, "assistants"), (requests, row)]);
    told.form("a long purpose", &[(rows, &"x".repeat(101))]);
    told.form("no file", &[(rows, "fine-tune")]);
    told.form("an empty file", &[(rows, "fine-tune"), (requests, "")]);
    told.form("no rows", &[(rows, "fine-tune"), (requests, "hello")]);
    told.form("no conversation", &[(rows, "fine-tune"), (requests, "{\"a\": 1}")]);
    told.form(
        "no answer to learn",
        &[(rows, "fine-tune"), (requests, &row.replace("\"owl\"", "\"owl\", \"weight\": 0"))],
    );
    told.form(
        "two forms",
        &[(rows, "fine-tune"), (requests, &format!("{row}\n{{\"text\": \"owl\"}}"))],
    );
    told.form("no requests", &[(rows, "batch"), (requests, "{}\n[]")]);
    told.form("a large field", &[("name=\"other\"", &"x".repeat(70_000))]);
    told.raw("no form", "POST", "/v1/files", &[], "{}");
    let kind = ("Content-Type", "multipart/form-data; boundary=x");
    told.raw("half a form", "POST", "/v1/files", &[kind], "--x\r\nConte");
    for (method, path) in [
        ("GET", "/v1/files/none"),
        ("GET", "/v1/files/none/content"),
        ("DELETE", "/v1/files/..%2fnone"),
        ("GET", "/v1/files?limit=0"),
        ("GET", "/v1/files?after=none"),
        ("GET", "/v1/files?limit=1&limit=2"),
        ("GET", "/v1/batches/none"),
        ("POST", "/v1/batches/none/cancel"),
        ("GET", "/v1/fine_tuning/jobs/none"),
        ("POST", "/v1/fine_tuning/jobs/none/cancel"),
        ("GET", "/v1/fine_tuning/jobs/none/events"),
        ("GET", "/v1/fine_tuning/jobs/none/checkpoints"),
        ("GET", "/v1/files/%ff"),
    ] {
        told.raw(&format!("{method} {path}"), method, path, &[], "");
    }
    told.post(
        "/v1/batches",
        &json!({ "input_file_id": asked, "endpoint": "/v1/completions", "completion_window": "24h" }),
        &[
            json!({ "input_file_id": null }),
            json!({ "input_file_id": "none" }),
            json!({ "endpoint": "/v1/embeddings" }),
            json!({ "endpoint": null }),
            json!({ "completion_window": "1h" }),
            json!({ "completion_window": null }),
        ],
    );
    told.post(
        "/v1/fine_tuning/jobs",
        &json!({ "model": "builtin:a", "training_file": trained }),
        &[
            json!({ "model": null }),
            json!({ "model": "none" }),
            json!({ "training_file": null }),
            json!({ "training_file": "none" }),
            json!({ "validation_file": "some" }),
            json!({ "suffix": "a/b" }),
            json!({ "seed": -1 }),
            json!({ "hyperparameters": 1 }),
            json!({ "hyperparameters": { "n_epochs": 0 } }),
            json!({ "hyperparameters": { "n_epochs": "few" } }),
            json!({ "hyperparameters": { "batch_size": 5000 } }),
            json!({ "hyperparameters": { "learning_rate_multiplier": 0 } }),
            json!({ "hyperparameters": { "n_epochs": 1.5 } }),
            json!({ "hyperparameters": { "warmup": 3 } }),
            json!({ "hyperparameters": { "beta": 0.1 } }),
            json!({ "method": { "type": "reinforcement" } }),
            json!({ "method": { "type": "dpo" } }),
            json!({ "method": { "type": "dpo", "dpo": { "hyperparameters": { "beta": 0 } } } }),
            json!({ "method": { "type": "dpo", "dpo": { "hyperparameters": { "label_smoothing": 0.1 } } } }),
            json!({ "method": { "type": "dpo", "dpo": { "loss": "ipo" } } }),
            json!({ "method": { "type": "dpo", "supervised": { "hyperparameters": {} } } }),
            json!({ "method": { "type": "supervised", "supervised": { "hyperparameters": {} } }, "hyperparameters": {} }),
            json!({ "training_file": pairs }),
            json!({ "validation_file": pairs }),
            json!({ "method": { "type": "supervised", "supervised": 1 } }),
        ],
    );
    // Things that are done.
    let create = |path: &str, body: Value| {
        server.post(path, &body).json()["id"].as_str().unwrap().to_owned()
    };
    let batch = create(
        "/v1/batches",
        json!({ "input_file_id": asked, "endpoint": "/v1/completions", "completion_window": "24h" }),
    );
    let job =
        create("/v1/fine_tuning/jobs", json!({ "model": "builtin:a", "training_file": trained }));
    for (what, path) in [
        ("a batch that is done", format!("/v1/batches/{batch}/cancel")),
        ("a job that is done", format!("/v1/fine_tuning/jobs/{job}/cancel")),
    ] {
        server.request("POST", &path, &[], "");
        told.raw(what, "POST", &path, &[], "");
    }
    insta::assert_snapshot!(told.text, @r#"
    no purpose
      400 invalid_request_error - purpose: `purpose` is missing
    another purpose
      400 invalid_request_error - purpose: `purpose` is neither `fine-tune` nor `batch`
    a long purpose
      400 invalid_request_error - purpose: `purpose` is longer than 100 bytes
    no file
      400 invalid_request_error - file: `file` is missing
    an empty file
      400 invalid_request_error - file: `file` has no rows
    no rows
      400 invalid_request_error - file: `file` has an unusable line 1: is neither JSON nor a table's header with the keys of a form: `hello`; known are `messages` (OpenAI chat), `prompt` and `completion` (texts, or messages as TRL has them), `conversations` (ShareGPT), `instruction`, `input` and `output` (Alpaca), `text`, and of preferences `prompt`, `chosen` and `rejected` (TRL) or `input`, `preferred_output` and `non_preferred_output` (OpenAI)
    no conversation
      400 invalid_request_error - file: `file` has an unusable line 1: has the keys `a`; known are `messages` (OpenAI chat), `prompt` and `completion` (texts, or messages as TRL has them), `conversations` (ShareGPT), `instruction`, `input` and `output` (Alpaca), `text`, and of preferences `prompt`, `chosen` and `rejected` (TRL) or `input`, `preferred_output` and `non_preferred_output` (OpenAI)
    no answer to learn
      400 invalid_request_error - file: `file` has no answer to learn: every one has the weight 0, or stands in a prompt
    two forms
      400 invalid_request_error - file: `file` has an unusable line 2: is of the form `text`, the rows before it are `messages` (OpenAI chat); write one form a file
    no requests
      400 invalid_request_error - file: `file` has an unusable line 2: is no JSON object: invalid type: sequence, expected a map at line 1 column 0
    a large field
      400 invalid_request_error - -: the form has a large field that is not `file`
    no form
      400 invalid_request_error - -: the body is no usable form: Invalid `boundary` for `multipart/form-data` request
    half a form
      400 invalid_request_error - -: the form is not usable: incomplete multipart stream
    GET /v1/files/none
      404 not_found_error not_found -: there is no file `none` here
    GET /v1/files/none/content
      404 not_found_error not_found -: there is no file `none` here
    DELETE /v1/files/..%2fnone
      404 not_found_error not_found -: there is no file `../none` here
    GET /v1/files?limit=0
      400 invalid_request_error - limit: `limit` is not a whole number from 1 to 1000
    GET /v1/files?after=none
      400 invalid_request_error - after: `after` is the id of nothing in this list
    GET /v1/files?limit=1&limit=2
      400 invalid_request_error - -: the query is not usable: Failed to deserialize query string: duplicate field `limit`
    GET /v1/batches/none
      404 not_found_error not_found -: there is no batch `none` here
    POST /v1/batches/none/cancel
      404 not_found_error not_found -: there is no batch `none` here
    GET /v1/fine_tuning/jobs/none
      404 not_found_error not_found -: there is no fine-tuning job `none` here
    POST /v1/fine_tuning/jobs/none/cancel
      404 not_found_error not_found -: there is no fine-tuning job `none` here
    GET /v1/fine_tuning/jobs/none/events
      404 not_found_error not_found -: there is no fine-tuning job `none` here
    GET /v1/fine_tuning/jobs/none/checkpoints
      404 not_found_error not_found -: there is no fine-tuning job `none` here
    GET /v1/files/%ff
      400 invalid_request_error - -: the path is not usable: Invalid URL: Invalid UTF-8 in `id`
    {"input_file_id":null}
      400 invalid_request_error - input_file_id: `input_file_id` is missing
    {"input_file_id":"none"}
      400 invalid_request_error - input_file_id: `input_file_id` is the id of no file here that is for batches
    {"endpoint":"/v1/embeddings"}
      400 invalid_request_error - endpoint: `endpoint` is not usable: unknown variant `/v1/embeddings`, expected one of `/v1/chat/completions`, `/v1/completions`, `/v1/responses`
    {"endpoint":null}
      400 invalid_request_error - endpoint: `endpoint` is missing
    {"completion_window":"1h"}
      400 invalid_request_error - completion_window: `completion_window` is not `24h`, the only one there is
    {"completion_window":null}
      400 invalid_request_error - completion_window: `completion_window` is missing
    {"model":null}
      400 invalid_request_error - model: `model` is missing
    {"model":"none"}
      404 not_found_error model_not_found model: the model `none` is not served here; these are: `builtin:a`
    {"training_file":null}
      400 invalid_request_error - training_file: `training_file` is missing
    {"training_file":"none"}
      400 invalid_request_error - training_file: `training_file` is the id of no file here that is for fine-tuning
    {"validation_file":"some"}
      400 invalid_request_error - validation_file: `validation_file` is the id of no file here that is for fine-tuning
    {"suffix":"a/b"}
      400 invalid_request_error - suffix: `suffix` is not up to 64 letters, digits, `-`, `_`, `.` or spaces
    {"seed":-1}
      400 invalid_request_error - seed: `seed` is -1, expected a whole number from 0 to 9223372036854775807
    {"hyperparameters":1}
      400 invalid_request_error - hyperparameters: `hyperparameters` is a number, expected an object
    {"hyperparameters":{"n_epochs":0}}
      400 invalid_request_error - hyperparameters.n_epochs: `hyperparameters.n_epochs` is 0, expected 1 to 1000
    {"hyperparameters":{"n_epochs":"few"}}
      400 invalid_request_error - hyperparameters.n_epochs: `hyperparameters.n_epochs` is neither `auto` nor a number
    {"hyperparameters":{"batch_size":5000}}
      400 invalid_request_error - hyperparameters.batch_size: `hyperparameters.batch_size` is 5000, expected 1 to 4096
    {"hyperparameters":{"learning_rate_multiplier":0}}
      400 invalid_request_error - hyperparameters.learning_rate_multiplier: `hyperparameters.learning_rate_multiplier` is 0, expected 0.000001 to 10000
    {"hyperparameters":{"n_epochs":1.5}}
      400 invalid_request_error - hyperparameters.n_epochs: `hyperparameters.n_epochs` is 1.5, expected a whole number
    {"hyperparameters":{"warmup":3}}
      400 invalid_request_error - hyperparameters.warmup: `hyperparameters.warmup` is not read here, only `n_epochs`, `batch_size`, `learning_rate_multiplier`
    {"hyperparameters":{"beta":0.1}}
      400 invalid_request_error - hyperparameters.beta: `hyperparameters.beta` is not read here, only `n_epochs`, `batch_size`, `learning_rate_multiplier`
    {"method":{"type":"reinforcement"}}
      400 invalid_request_error - method.type: `method.type` is neither `supervised` nor `dpo`
    {"method":{"type":"dpo"}}
      400 invalid_request_error - training_file: `training_file` holds no preferences, which the method `dpo` learns from: `input`, `preferred_output` and `non_preferred_output`, or `prompt`, `chosen` and `rejected`
    {"method":{"type":"dpo","dpo":{"hyperparameters":{"beta":0}}}}
      400 invalid_request_error - method.dpo.hyperparameters.beta: `method.dpo.hyperparameters.beta` is 0, expected 0.0001 to 2
    {"method":{"type":"dpo","dpo":{"hyperparameters":{"label_smoothing":0.1}}}}
      400 invalid_request_error - method.dpo.hyperparameters.label_smoothing: `method.dpo.hyperparameters.label_smoothing` is not read here, only `n_epochs`, `batch_size`, `learning_rate_multiplier` and `beta`
    {"method":{"type":"dpo","dpo":{"loss":"ipo"}}}
      400 invalid_request_error - method.dpo.loss: `method.dpo.loss` is not read here, only `hyperparameters`
    {"method":{"type":"dpo","supervised":{"hyperparameters":{}}}}
      400 invalid_request_error - method.supervised: `method.supervised` is not read here, only `type` and `dpo`
    {"method":{"type":"supervised","supervised":{"hyperparameters":{}}},"hyperparameters":{}}
      400 invalid_request_error - hyperparameters: `hyperparameters` stands beside `method.supervised.hyperparameters`; leave one out
    {"training_file":"file-fc14ecbdb540f388"}
      400 invalid_request_error - training_file: `training_file` holds preferences, of which it is learned which answer is the better one: ask for it with `method` of the type `dpo`
    {"validation_file":"file-fc14ecbdb540f388"}
      400 invalid_request_error - validation_file: `validation_file` holds preferences, of which it is learned which answer is the better one: ask for it with `method` of the type `dpo`
    {"method":{"type":"supervised","supervised":1}}
      400 invalid_request_error - method.supervised: `method.supervised` is a number, expected an object
    a batch that is done
      400 invalid_request_error invalid_state -: the batch is done already
    a job that is done
      400 invalid_request_error invalid_state -: the fine-tuning job is done already
    "#);
}
