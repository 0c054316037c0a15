//! Preferences, from a file of rows to a trained model, the way of a fine-tuning job; against PyTorch
//! (`golden/preference.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use owlet_engine::train::{self, Answers, Example, Method, Schedule, Update};
use owlet_engine::{Model, Threads, file};
use owlet_lab::model::{FINAL, ModelSource, Places, chat};
use owlet_lab::recipe::{Optimizer, Training};
use owlet_lab::step::{base, fine_tune};
use owlet_lab::value::dialogue::{self, Purpose};
use owlet_lab::{ExecuteSettings, Interrupt, Plan, Recipe, execute};
use owlet_store::{ArtifactId, Store};
use serde_json::{Value, json};

const BETA: f32 = 0.3;
const TOLERANCE: f64 = 2e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The tiny Llama of the engine's tests, with a template whose every token is a word.
fn llama(folder: &Path) -> ModelSource {
    for entry in fs::read_dir(golden("../engine/tests/golden/llama")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    let template = "{% for m in messages %}{{ ('w9 ' if m.role == 'assistant' else 'w8 ') + m.content \
                    + (' w2 ' if m.role == 'assistant' else ' ') }}{% endfor %}\
                    {% if add_generation_prompt %}w9 {% endif %}";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    ModelSource::find(&folder.display().to_string(), &Places::default()).unwrap()
}

fn training() -> Training {
    Training {
        method: Method::Full { embeddings: true },
        optimizer: Optimizer::Adamw { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 },
        learning_rate: 2e-3,
        schedule: Schedule::Constant,
        warmup: 0,
        batch: 4,
        updates: 6,
        clip: 0.0,
        checkpoints: Vec::new(),
        ..Recipe::student_of_any(&[]).unwrap()
    }
}

fn run(store: &Store, plan: owlet_lab::Result<Plan>) -> ArtifactId {
    let settings = ExecuteSettings::default();
    let done = execute(&plan.unwrap(), store, &settings, None, &mut |_| {}, &Interrupt::default());
    done.unwrap().artifact
}

/// Trains the model on rows, as a job does.
fn tuned(store: &Store, source: &ModelSource, rows: &str) -> ArtifactId {
    let digest = source.digest().unwrap();
    let sources = BTreeMap::from([(digest.clone(), source.clone())]);
    let base = base::Configuration::Files { digest };
    let base = run(store, Plan::single::<base::Base>(&base, &[], sources));
    let writer = store.begin_artifact(fine_tune::CONVERSATIONS_KIND).unwrap();
    writer.write(fine_tune::CONVERSATIONS, rows.as_bytes()).unwrap();
    let rows = writer.finish(json!({})).unwrap().id;
    let step = fine_tune::Configuration { train: training(), seed: 1, beta: Some(BETA) };
    let inputs = [("base", base), ("rows", rows)];
    run(store, Plan::single::<fine_tune::FineTune>(&step, &inputs, BTreeMap::new()))
}

/// The log-probabilities that a model gives the answers of the rows.
fn answers(model: &Model, rows: &str) -> Vec<Answers> {
    let bounds = fine_tune::BOUNDS;
    let (rows, _) = dialogue::all(rows.as_bytes(), bounds, Purpose::Preferences).unwrap();
    let pair = |row: &dialogue::Dialogue| -> (Example, Example) {
        let learned = |answer: &dialogue::Answer<'_>| {
            chat::learned(model, chat::DEFAULT, row, answer).unwrap().example()
        };
        (learned(&row.answers().next().unwrap()), learned(&row.rejected().unwrap()))
    };
    let pairs: Vec<_> = rows.iter().map(pair).collect();
    train::log_probabilities(model, &pairs, &Threads::new(1)).unwrap()
}

#[test]
fn preferences_are_learned_as_pytorch_learns_them_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let (model, workspace) = (folder.path().join("llama"), folder.path().join("workspace"));
    fs::create_dir(&model).unwrap();
    let (source, store) = (llama(&model), Store::open(&workspace).unwrap());
    let openai = fs::read_to_string(golden("tests/golden/preference.jsonl")).unwrap();
    let trl = openai.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let row = json!({
            "prompt": row["input"]["messages"],
            "chosen": row["preferred_output"],
            "rejected": row["non_preferred_output"][0]["content"],
        });
        format!("{row}\n")
    });
    let trl: String = trl.collect();

    let artifact = store.artifact(&tuned(&store, &source, &openai)).unwrap();
    let updates = artifact.read("updates.jsonl").unwrap();
    let other = store.artifact(&tuned(&store, &source, &trl)).unwrap();
    assert_eq!(other.read("updates.jsonl").unwrap(), updates);

    let expected = fs::read(golden("tests/golden/preference.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    let close = |step: usize, name: &str, ours: f64| {
        let theirs = expected[step][name].as_f64().unwrap();
        let difference = (ours - theirs).abs() / theirs.abs().max(1.0);
        assert!(difference < TOLERANCE, "{name} before update {step}: {ours}, PyTorch {theirs}");
    };
    let check = |step: usize, loss: f64, rewards: train::Rewards| {
        close(step, "loss", loss);
        close(step, "accuracy", rewards.accuracy);
        close(step, "margin", rewards.margin);
        close(step, "chosen", rewards.chosen);
        close(step, "rejected", rewards.rejected);
    };
    let updates: Vec<Update> = String::from_utf8(updates)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(updates.len() + 1, expected.len());
    for (step, update) in updates.iter().enumerate() {
        check(step, update.loss, update.rewards.unwrap());
        close(step, "gradient-norm", update.gradient_norm);
    }
    // What a validation file is read by.
    let (before, after) =
        (file::load(&model).unwrap(), file::load(&artifact.folder().join(FINAL)).unwrap());
    let [before, after] = [before, after].map(|model| answers(&model, &openai));
    let (loss, rewards) = train::compare(&after, &before, BETA);
    check(updates.len(), loss, rewards);
}
