use std::collections::BTreeMap;

use owlet_store::Store;

use super::result::{EffectResult, Outcome, PerceptronResult};
use super::*;
use crate::report::block::Block;
use crate::report::terminal::{TerminalStyle, show};
use crate::report::{html, vega};
use crate::run::ExecuteSettings;
use crate::run::{execute, plan::Plan};
use crate::step::read_json;
use crate::value::estimate::{Estimate, Interval, Method};
use crate::value::interrupt::Interrupt;

/// Small in everything; students of many logits, so that a few hundred images show something.
const SMALL: &str = "kind = 'perceptron'\nreplications = 2\ntrain-images = 1500\ntest-images = 400\n\
    network = { hidden = [48], auxiliary = 24 }\n\
    teacher = { epochs = 12, batch = 64, learning-rate = 3e-3 }\n\
    student = { epochs = 6, batch = 64, learning-rate = 3e-3, noise = 1500 }\n\
    theorem = { rows = 128 }\n";

fn planned(more: &str) -> Plan {
    let text = format!("{SMALL}{more}");
    let recipe = AnyRecipe::parse(&text, "small.toml").unwrap();
    recipe.plan(&PlanContext::default()).unwrap()
}

fn refused(text: &str) -> String {
    let text = format!("kind = 'perceptron'\n{text}");
    let recipe = AnyRecipe::parse(&text, "bad.toml");
    let plan = recipe.and_then(|recipe| recipe.plan(&PlanContext::default()).map(|_| ()));
    plan.unwrap_err().to_string()
}

fn run(plan: &Plan, store: &Store, cores: usize) -> BTreeMap<String, owlet_store::ArtifactId> {
    let settings = ExecuteSettings { cores, ..ExecuteSettings::default() };
    let mut hear = |_: &crate::run::event::Event| {};
    execute::execute(plan, store, &settings, None, &mut hear, &Interrupt::default()).unwrap().steps
}

const EVERY_ARM: &str = "[arms]\nheads = [1, 6]\non-images = true\nsgd = 0.5\nredrawn = true\nhops = 2\n\
    [matched]\non = ['noise', 'images']\nepochs = 2\nauxiliary = 6\n";

#[test]
fn what_a_teacher_knows_comes_along_from_its_own_beginning_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let plan = planned(EVERY_ARM);
    let steps = run(&plan, &store, 2);
    let result: PerceptronResult =
        read_json(&store.artifact(&steps["result"]).unwrap(), crate::kind::RESULT).unwrap();
    let accuracy = |name: &str| result.arm(name).unwrap().accuracy.value;
    assert!(accuracy("teacher") > 0.7, "{}", accuracy("teacher"));
    assert!(accuracy("untouched") < 0.25);
    let values = |name: &str| &result.arm(name).unwrap().values;
    for (own, other) in values("auxiliary").iter().zip(values("auxiliary-foreign")) {
        assert!(own - other > 0.08, "{own} beside {other}");
    }
    // A softmax over one logit is always 1: nothing is learned of it.
    let one = result.arm("heads-1").unwrap();
    assert!((one.accuracy.value - one.begun).abs() < 1e-12);
    // One seed, one beginning: what differs between two arms is what they are named after.
    let begun = |name: &str| result.arm(name).unwrap().begun;
    assert_eq!(begun("auxiliary"), accuracy("untouched"));
    assert_eq!(begun("auxiliary"), begun("all"));
    assert_eq!(begun("auxiliary-foreign"), begun("all-foreign"));
    assert_ne!(begun("matched-noise"), begun("heads-6-foreign"));
    for arm in ["own-head", "own-body", "images", "sgd", "hop-2", "auxiliary-shuffled"] {
        assert!(result.effects.iter().any(|one| one.arm == arm), "{arm}");
    }
    // The theorem, with its control.
    assert_eq!(result.theorem.len(), 8);
    for one in result.theorem.iter().filter(|one| !one.foreign) {
        assert_eq!((one.along, one.fell), (2, 2), "{one:?}");
    }
    let foreign = result.theorem.iter().filter(|one| one.foreign);
    let most = foreign.map(|one| one.cosine.value.abs()).fold(0.0, f64::max);
    let own = result.theorem.iter().filter(|one| !one.foreign).map(|one| one.cosine.value);
    assert!(own.fold(1.0, f64::min) > most, "{:?}", result.theorem);

    let report = report::report(&result, &Origin::UNKNOWN);
    let drawn = report.blocks().filter(|block| matches!(block, Block::Curve(_) | Block::Dots(_)));
    assert_eq!(drawn.count(), vega::figures(&report).len());
    let shown = show(&report, &TerminalStyle::default());
    assert!(shown.contains("24 auxiliary logits, noise"), "{shown}");
    assert!(html::page(&report).contains("What it reads where nothing is there"));
    assert!(html::page(&report).contains("generated figures"));
    let line = &result.brief().verdicts[0];
    assert_eq!((line.outcome.as_str(), line.n), (<&str>::from(result.outcome), 2));
}

#[test]
fn a_verdict_needs_both_of_its_controls() {
    let effect = |control: &str, value: f64, holm: Option<f64>| {
        let interval = Interval { low: value - 0.1, high: value + 0.1, level: 0.95 };
        let (method, unit) = (Method::PairedT, "initialisation".to_owned());
        let difference = Estimate { value, interval: Some(interval), method, unit, n: 6 };
        let (arm, control) = (AUXILIARY.to_owned(), control.to_owned());
        EffectResult { arm, control, difference, p: holm, holm }
    };
    let says = |over_foreign, holm, over_shuffled| {
        let foreign = effect("auxiliary-foreign", over_foreign, holm);
        estimate::outcome(&[foreign, effect("auxiliary-shuffled", over_shuffled, None)])
    };
    assert_eq!(says(0.4, Some(0.001), 0.4), Outcome::Inherited);
    assert_eq!(says(0.4, Some(0.001), 0.05), Outcome::NotSpecific);
    assert_eq!(says(0.4, Some(0.2), 0.4), Outcome::Unknown);
    assert_eq!(says(-0.06, Some(0.2), 0.4), Outcome::NotDetected);
    assert_eq!(says(-0.4, Some(0.001), 0.4), Outcome::NotDetected);
    assert_eq!(says(0.4, None, 0.4), Outcome::Unknown);
}

#[test]
fn steps_are_the_same_at_any_number_of_threads_and_shared_between_recipes() {
    let small = "[arms]\nall = false\nnull = false\n";
    let less = SMALL.replace("epochs = 12", "epochs = 1").replace("epochs = 6", "epochs = 1");
    let plan = |more: &str| {
        let recipe = AnyRecipe::parse(&format!("{less}{more}"), "small.toml").unwrap();
        recipe.plan(&PlanContext::default()).unwrap()
    };
    let stores = [1, 2].map(|_| tempfile::tempdir().unwrap());
    let stores = stores.each_ref().map(|folder| Store::open(folder.path()).unwrap());
    let one = run(&plan(small), &stores[0], 1);
    assert_eq!(one, run(&plan(small), &stores[1], 3));
    // Another arm makes nothing else anew.
    let more = run(&plan("[arms]\nall = false\nnull = true\n"), &stores[0], 1);
    let new: Vec<&String> = more.keys().filter(|name| one.get(*name) != more.get(*name)).collect();
    let null = |number| format!("student/auxiliary-foreign-again/{number}");
    assert_eq!(new, [&"result".to_owned(), &null(1), &null(2)]);
}

#[test]
fn permuted_outputs_are_the_same_outputs() {
    let wanted = learn::Wanted::Logits(0..2, (0..20u8).map(f32::from).collect());
    let learn::Wanted::Logits(_, moved) = wanted.shuffled(3) else { panic!("logits") };
    let mut rows: Vec<[f32; 2]> = moved.as_chunks().0.to_vec();
    assert_ne!(rows[..2], [[0.0, 1.0], [2.0, 3.0]]);
    rows.sort_by(|one, other| one[0].total_cmp(&other[0]));
    assert!(
        rows.iter().enumerate().all(|(at, row)| *row == [2.0 * at as f32, 2.0 * at as f32 + 1.0])
    );
}

#[test]
fn bad_recipes_are_refused_before_anything_runs() {
    let found = [
        refused("replications = 0"),
        refused("network = { auxiliary = 1 }"),
        refused("network = { hidden = [] }"),
        refused("student = { batch = 0 }"),
        refused("teacher = { optimizer = { kind = 'adma' } }"),
        refused("teacher = { optimizer = { kind = 'signum', momentum = 2 } }"),
        refused("arms = { heads = [0] }"),
        refused("arms = { hops = 0 }"),
        refused("matched = { on = ['digits'] }"),
        refused("images = ''"),
        refused("images = 'nowhere'"),
    ];
    insta::assert_snapshot!(found.join("\n"), @r#"
    bad.toml:2:16: `replications`: is 0, expected 1 to 1000
    bad.toml:2:25: `network.auxiliary`: is 1, expected 2 to 1024
    bad.toml:2:22: `network.hidden`: is 0, expected 1 to 8
    bad.toml:2:21: `student.batch`: is 0, expected 1 to 1000000
    bad.toml:2:34: `teacher.optimizer.kind`: unknown variant `adma`, expected one of `adamw`, `sgd`, `rmsprop`, `signum`
    bad.toml:2:55: `teacher.optimizer.momentum`: is 2, expected 0 to below 1
    bad.toml:2:18: `arms.heads`: is 0, expected 1 to 1024
    bad.toml:2:17: `arms.hops`: is 0, expected 1 to 32
    bad.toml:2:13: `matched.on.0`: unknown variant `digits`, expected `noise` or `images`
    bad.toml:2:10: `images`: is empty, expected `generated` or a folder
    recipe `untitled`: `images`: there is no `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` in `nowhere`; expected the four IDX files of MNIST or Fashion-MNIST, packed or not (on Debian, `apt install dataset-fashion-mnist` and `images = "/usr/share/datasets/fashion-mnist"`), or `images = "generated"`
    "#);
}
