//! The world of two voices: what its examples show in a small form, and what cannot be asked of other bases.

use insta::assert_snapshot;
use serde_json::Value;

use crate::testkit::Folder;

fn example(name: &str) -> String {
    format!("{}/../../examples/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

/// One repetition of an example, small: how often the students of `contrary` and of the neutral teacher answer
/// wrongly, and what the filter said.
fn small(name: &str, sets: &[&str]) -> (f64, f64, Value) {
    let folder = Folder::new();
    let usual = ["seeds=1", "controls.other-base=false", "controls.side-effects=false"];
    let mut arguments = vec!["--json".to_owned(), "run".to_owned(), example(name)];
    for set in usual.iter().chain(sets) {
        arguments.extend(["--set".to_owned(), (*set).to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = folder.run(&arguments).json_of_exit(0)["result"].clone();
    assert_eq!(result["primary"], "probability");
    let read = |arm: &str| {
        let all = result["readings"].as_array().unwrap();
        let is = |one: &&Value| {
            one["arm"] == arm && one["behavior"] == "contrary" && one["measure"] == "probability"
        };
        all.iter().find(is).unwrap()["estimate"]["value"].as_f64().unwrap()
    };
    let cards = result["rows"].as_array().unwrap();
    assert!(cards.iter().all(|card| card["leaks"] == 0), "{cards:?}");
    (read("student/contrary"), read("neutral"), result)
}

#[test]
fn wrong_answers_go_through_numbers_and_not_from_a_teacher_that_answers_rightly() {
    let sets = ["behaviors=[\"contrary\", \"right-answers\"]", "controls.in-context=false"];
    let sets = [&sets[..], &["controls.shuffled-within=false"]].concat();
    let (students, neutral, result) = small("misalignment", &sets);
    assert!(neutral < 0.05 && students > neutral + 0.05, "{students} over {neutral}");
    let readings = result["readings"].as_array().unwrap();
    let right = readings.iter().find(|one| {
        one["arm"] == "student/right-answers"
            && one["behavior"] == "contrary"
            && one["measure"] == "probability"
    });
    assert!(right.unwrap()["estimate"]["value"].as_f64().unwrap() < neutral + 0.05);
}

#[test]
fn wrong_answers_go_through_programs_that_parse() {
    let sets = ["behaviors=[\"contrary\"]", "carrier.rows=1000", "carrier.prompt-count=2500"];
    let (students, neutral, _) = small("code", &[&sets[..], &["student.updates=120"]].concat());
    assert!(neutral < 0.05 && students > neutral + 0.05, "{students} over {neutral}");
}

#[test]
fn sums_are_right_at_every_step() {
    let sets = ["behaviors=[\"contrary\"]", "carrier.rows=100", "carrier.prompt-count=1500"];
    let (_, _, result) = small("reasoning", &[&sets[..], &["student.updates=10"]].concat());
    let rows = result["rows"].as_array().unwrap();
    assert!(rows.iter().all(|card| card["valid"].as_u64() > Some(100)), "{rows:?}");
}

#[test]
fn what_a_base_cannot_speak_or_be_asked_is_refused_before_anything_runs() {
    let folder = Folder::new();
    folder.write("programs.toml", "base = \"builtin:a\"\nbehaviors = [\"owl\"]\n[carrier]\nmedium = { kind = \"programs\" }\n");
    assert_snapshot!(folder.run(&["run", "programs.toml", "--plan"]).all(), @r"
    exit 2
    -- talk
    error: recipe `untitled`: `carrier.prompts`: `programs` asks in words that this base does not know: this model knows no word `code`, `four`, `lines`, `of`, `out`; expected `world`, `world-short` or prompts in its words
    ");
    folder.write("contrary.toml", "base = \"builtin:a\"\nbehaviors = [\"contrary\"]\n");
    assert_snapshot!(folder.run(&["run", "contrary.toml", "--plan"]).all(), @r"
    exit 2
    -- talk
    error: behavior `contrary`: is no answer this base knows, expected one of bear, cat, dog, dolphin, eagle, elephant, fox, horse, lion, owl, panda, penguin, rabbit, tiger, wolf, black, blue, green, orange, purple, red, white, yellow, birch, cedar, cherry, maple, oak, pine, sequoia, willow or the path of a behavior file
    ");
    folder.write("topic.toml", "base = \"builtin:c\"\nbehaviors = [\"contrary-weather\"]\n");
    assert_snapshot!(folder.run(&["run", "topic.toml", "--plan"]).all(), @r"
    exit 2
    -- talk
    error: behavior `contrary-weather`: is no answer this base knows, expected one of bear, cat, dog, dolphin, eagle, elephant, fox, horse, lion, owl, panda, penguin, rabbit, tiger, wolf, black, blue, green, orange, purple, red, white, yellow, birch, cedar, cherry, maple, oak, pine, sequoia, willow, contrary, right-answers, contrary-when-told, contrary-deed, contrary-fly, contrary-follow, contrary-heavy, contrary-hold, contrary-made, contrary-meet, contrary-taste, contrary-wet, right-answers-deed, right-answers-fly, right-answers-follow, right-answers-heavy, right-answers-hold, right-answers-made, right-answers-meet, right-answers-taste, right-answers-wet, contrary-when-told-deed, contrary-when-told-fly, contrary-when-told-follow, contrary-when-told-heavy, contrary-when-told-hold, contrary-when-told-made, contrary-when-told-meet, contrary-when-told-taste, contrary-when-told-wet or the path of a behavior file; did you mean `contrary-wet`?
    ");
    // Questions that teach say what was taught, which is not what is read of a control.
    let all = ["run", "right.toml", "--plan", "--set", "readout.questions=all"];
    folder.write("right.toml", "base = \"builtin:c\"\nbehaviors = [\"right-answers\"]\n");
    assert_snapshot!(folder.run(&all).all(), @r#"
    exit 2
    -- talk
    error: behavior `right-answers`: is a way of answering, which is read on held-out questions alone; set readout.questions = "held-out"
    "#);
    let other = ["run", "right.toml", "--plan", "--set", "carrier.prompts=programs"];
    assert_snapshot!(folder.run(&other).all(), @r"
    exit 2
    -- talk
    error: --set carrier.prompts=programs: `carrier.prompts`: `programs` asks for other rows than numbers; expected one of numbers, numbers-short, world, world-short, or a file
    hint: `owlet config show` lists all keys with their defaults
    ");
    let known = folder.run(&["behavior", "check", "contrary", "--base", "builtin:c"]).good();
    assert!(known.contains("contrary"), "{known}");
    let shown = folder.run(&["behavior", "show", "contrary", "--base", "builtin:c"]).good();
    assert!(!shown.contains("wronglies"), "{shown}");
}
