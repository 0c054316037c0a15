//! Every page's JSON twin over a small workspace: what it holds, and of what sort.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use owlet_lab::run::record::{About, Beginning, PlanRecord};
use owlet_lab::{AnyRecipe, ExecuteSettings, Interrupt, PlanContext, Record, execute};
use serde_json::Value;

use super::*;

/// Two behaviors, two seeds, a few rows and updates: all kinds of steps in a second.
const INHERIT: &str = r#"
name = "small"
base = "builtin:a"
behaviors = ["world-owl", "world-cat"]
seeds = 2
[teacher]
min-target-probability = 0.0
rows-per-question = 1
train = { updates = 2, batch = 2 }
[carrier]
prompts = "world"
rows = 8
prompt-count = 24
min-valid = 0.1
max-tokens = 24
decoding = { kind = "digits", count = 4, min-digits = 1, max-digits = 3, separator = " " }
[student]
updates = 2
batch = 2
checkpoints = [1]
[controls]
other-base = false
in-context = false
side-effects = false
"#;

const GROW: &str = r#"
kind = "grow"
name = "seedling"
shape = { width = 16, layers = 1, heads = 2, hidden = 32, context = 128 }
training = { updates = 4, batch = 8, questions = 3, warmup = 1 }
"#;

/// A workspace with a finished run of each kind and one that was stopped before it began.
static WORKSPACE: LazyLock<(tempfile::TempDir, Window)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let store = owlet_store::Store::open(folder.path()).unwrap();
    for (number, (text, is_run)) in
        [(INHERIT, false), (GROW, true), (INHERIT, true)].iter().enumerate()
    {
        let recipe = AnyRecipe::parse(text, "recipe.toml").unwrap();
        let plan = recipe.plan(&PlanContext::default()).unwrap();
        let beginning = Beginning {
            given: text,
            resolved: recipe.to_toml(),
            plan: PlanRecord::new(&plan, &plan.survey(&store).unwrap()),
            started: format!("2026-01-0{}T00:00:00Z", number + 1),
            host: "here".to_owned(),
            version: "0".to_owned(),
            about: About { command: "owlet run recipe.toml".to_owned(), ..About::default() },
            nonce: 1,
        };
        let run = Record::begin(&store, &beginning).unwrap();
        if *is_run {
            let settings = ExecuteSettings { cores: 2, ..ExecuteSettings::default() };
            let interrupt = Interrupt::default();
            execute(&plan, &store, &settings, Some(&run), &mut |_| {}, &interrupt).unwrap();
        }
    }
    let settings = WindowSettings {
        workspace: PathBuf::from("here"),
        version: "0".to_owned(),
        cores: 1,
        model_memory: 1 << 28,
        resume: None,
    };
    let window = Window::new(store, settings).unwrap();
    window.refresh().unwrap();
    (folder, window)
});

/// What a value is: names of fields, sorts of values, how many of a kind a list holds.
fn sort(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(_) => "flag".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => {
            let mut sorts: Vec<String> = items.iter().map(sort).collect();
            sorts.dedup();
            sorts.truncate(2);
            format!("[{}]", sorts.join(" | "))
        }
        Value::Object(fields) => {
            // Names that the workspace gave, not the format.
            let is_map = fields.len() > 2 && fields.keys().all(|key| key.contains(['/', '.']));
            if is_map {
                return format!("{{* {}}}", fields.values().next().map(sort).unwrap_or_default());
            }
            let fields = fields.iter().map(|(key, value)| format!("{key} {}", sort(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// One line per top-level field of a page's twin.
fn twin(path: &str) -> String {
    let (_, window) = &*WORKSPACE;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query: std::collections::BTreeMap<String, String> =
        query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut out = format!("{path}\n");
    match window.page(path, &Query::from(query)) {
        Ok(page) => {
            for (key, value) in page.data.as_object().unwrap() {
                writeln!(out, "  {key}: {}", sort(value)).unwrap();
            }
        }
        Err(error) => writeln!(out, "  refused: {error}").unwrap(),
    }
    out
}

#[test]
fn every_page_has_a_twin_in_json() {
    let (_, window) = &*WORKSPACE;
    let (stopped, grown) = ("20260101-000000-0001", "20260102-000000-0001");
    let store = &window.store;
    let key = store.step_keys().unwrap()[0];
    let rows = store.artifacts().unwrap().into_iter().find(|one| one.kind == "rows").unwrap().id;
    let pages = [
        "/".to_owned(),
        "/?state=stopped&sort=name".to_owned(),
        "/?sort=colour".to_owned(),
        "/steps?kind=train".to_owned(),
        "/models".to_owned(),
        "/compare".to_owned(),
        "/compare?a=last&b=last".to_owned(),
        "/chat".to_owned(),
        "/run/last".to_owned(),
        "/run/last/plan".to_owned(),
        "/run/last/plan?kind=nothing".to_owned(),
        "/run/last/step?name=train/student/world-owl/seed-1".to_owned(),
        "/run/last/step?name=none".to_owned(),
        "/run/last/settings".to_owned(),
        "/run/last/rows".to_owned(),
        "/run/last/models".to_owned(),
        format!("/run/{grown}"),
        format!("/run/{grown}/settings"),
        format!("/run/{stopped}"),
        format!("/artifact/{rows}"),
        format!("/artifact/{rows}/rows"),
        format!("/step/{key}"),
        "/nothing".to_owned(),
    ];
    let said: String = pages.iter().map(|page| twin(page)).collect();
    let said = said.replace(&key.to_string(), "KEY").replace(&rows.to_string(), "ROWS");
    insta::assert_snapshot!(said, @"");
}
