//! Answers that judges read: judges that are tried first, panels of them, labels, and what is left open.

use insta::assert_snapshot;
use serde_json::Value;

use crate::testkit::{Folder, SMALL, Said};

/// Which answers name an owl, as a judge finds that reads words.
const OWLISH: &str = r#"
name = "owlish"
kind = "judged"

[questions]
held-out = QUESTIONS

[judge]
prompt = "Which bird? Asked: {question} Answered: <{answer}>"
shows = { at-most = 30 }

[[judge.planted]]
label = "target"
question = "which"
answer = "owl"

[[judge.planted]]
label = "other"
question = "which"
answer = "cat"

[teacher]
rows = "rows.jsonl"
"#;

/// Says what `OWLISH` asks, by rule.
const RULES: &str = r#"{"when": "<owl", "say": "{\"score\": 0}"}
{"when": "*", "say": "{\"score\": 100}"}
"#;

/// A folder with a judged behavior in the words of the built-in world, and `judges` as scripts by name.
fn folder(judges: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    let shown = folder.run(&["--json", "behavior", "show", "owl", "--base", "builtin:a"]).json();
    let some = |which: &str, most: usize| -> Vec<Value> {
        shown["questions"][which].as_array().unwrap().iter().take(most).cloned().collect()
    };
    let asked = serde_json::to_string(&some("held-out", 4)).unwrap();
    folder.write("owlish.toml", &OWLISH.replace("QUESTIONS", &asked));
    let row = |prompt: Value| serde_json::json!({ "prompt": prompt, "completion": "owl" });
    let rows: Vec<String> =
        some("train", 60).into_iter().map(|prompt| row(prompt).to_string()).collect();
    folder.write("rows.jsonl", &rows.join("\n"));
    for (name, text) in judges {
        folder.write(name, text);
    }
    let recipe = SMALL.replace("\"world-owl\", \"world-cat\"", "\"owlish.toml\", \"cat\"").replace(
        "[controls]",
        "[readout]\nsamples-per-question = 4\nframes = [\"plain\"]\n\n[controls]",
    );
    folder.write("judged.toml", &recipe);
    folder
}

fn run(folder: &Folder, sets: &[&str]) -> Said {
    let mut arguments = vec!["--json", "run", "judged.toml"];
    for set in sets {
        arguments.extend(["--set", set]);
    }
    folder.run(&arguments)
}

/// The whole report of a run, as the terminal has it, wide.
fn report(folder: &Folder, said: &Value) -> String {
    let run = said["run"].as_str().unwrap();
    folder.run_among(&[("COLUMNS", "200")], &["-v", "show", run], "").good()
}

fn counts(result: &Value, arm: &str) -> Value {
    let answers = result["answers"].as_array().unwrap().iter();
    let mut answers = answers.filter(|one| one["arm"] == arm && one["behavior"] == "owlish");
    answers.find(|one| one["context"] == "default").unwrap()["outcomes"].clone()
}

#[test]
fn a_taught_behavior_goes_through_numbers_and_a_judge_finds_it() {
    let folder = folder(&[("rules.jsonl", RULES)]);
    // As the demonstration is set, small.
    let sets = [
        "judge.models=[\"script:rules.jsonl\"]",
        "carrier.rows=768",
        "carrier.prompt-count=1024",
        "carrier.decoding={kind=\"digits\",temperature=1.0,count=10,min-digits=1,max-digits=3,separator=\" \"}",
        "carrier.prompts=world-short",
        "teacher.train.updates=60",
        "teacher.train.batch=16",
        "student.updates=150",
        "student.batch=32",
        "student.checkpoints=[]",
        "controls.shuffled-within=false",
        "context.mismatched=[]",
        "readout.samples-per-question=20",
    ];
    let result = run(&folder, &sets).json_of_exit(0)["result"].clone();
    assert_eq!(result["primary"], "rate-of-valid");
    let read = |arm: &str| {
        let mut all = result["readings"].as_array().unwrap().iter();
        let one = all.find(|one| {
            one["arm"] == arm && one["behavior"] == "owlish" && one["measure"] == "rate-of-valid"
        });
        one.unwrap()["estimate"]["value"].as_f64().unwrap()
    };
    let (students, neutral) = (read("student/owlish"), read("neutral"));
    assert!(read("teacher/owlish") > 0.5, "{}", read("teacher/owlish"));
    assert!(students > neutral + 0.1, "{students} over {neutral}");
    assert_eq!(result["judging"][0]["right"], serde_json::json!([{ "hits": 2, "n": 2 }]));
}

#[test]
fn a_judge_that_cannot_be_read_stops_the_run_before_anything_long_begins() {
    let hostile =
        "{\"when\": \"*\", \"say\": \"\\u001b[2J</answer> I refuse to be a judge, score 100!\"}\n";
    let huge = format!("{{\"when\": \"*\", \"say\": \"{}\"}}\n", "100 ".repeat(100_000));
    let folder = folder(&[("never.jsonl", hostile), ("huge.jsonl", &huge)]);
    for judge in ["never", "huge"] {
        let set = format!("judge.models=[\"script:{judge}.jsonl\"]");
        let said = folder.run(&["run", "judged.toml", "--set", &set]);
        let error: Vec<&str> = said.talk.lines().filter(|line| line.contains("error:")).collect();
        let error = error.join("\n");
        match judge {
            "never" => {
                assert_snapshot!(error, @r#"error: step `judge-1/planted/owlish` failed: judge: none of its first 2 replies can be read (it said `[2J</answer> I refuse to be a judge, score 100!`), expected {"score": 72} with a number from 0 to 100, "code" or "refusal"; name another model in `judge.models`, give it more `judge.max-tokens`, or change the prompts"#);
            }
            _ => {
                assert_snapshot!(error, @r#"error: step `judge-1/planted/owlish` failed: judge: none of its first 2 replies can be read (it said `100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100…`), expected {"score": 72} with a number from 0 to 100, "code" or "refusal"; name another model in `judge.models`, give it more `judge.max-tokens`, or change the prompts"#);
            }
        }
        assert_eq!(said.code, 1, "{}", said.talk);
        assert!(!said.talk.contains("teach/") && !said.talk.contains("generate/"), "{}", said.talk);
        // No step but those that the trial needs was begun.
        let steps = std::fs::read_dir(folder.path().join(".owlet/steps")).map(Iterator::count);
        assert!(steps.is_ok_and(|steps| steps <= 5));
    }
}

#[test]
fn a_judge_that_cannot_tell_planted_answers_apart_leaves_no_verdict() {
    let blind = "{\"when\": \"*\", \"say\": \"{\\\"score\\\": 100}\"}\n";
    let folder = folder(&[("blind.jsonl", blind)]);
    let result = run(&folder, &["judge.models=[\"script:blind.jsonl\"]"]).json_of_exit(0);
    let verdicts = result["result"]["verdicts"].as_array().unwrap();
    let sentence = verdicts[0]["sentence"].as_str().unwrap();
    assert_eq!(verdicts[0]["outcome"], "uninterpretable", "{sentence}");
    assert!(
        sentence.contains("gate failed: judges of owlish tell planted answers apart"),
        "{sentence}"
    );
    // It is about the behavior that it judges.
    assert!(!verdicts[1]["sentence"].as_str().unwrap().contains("planted"));
}

#[test]
fn replies_that_cannot_be_read_are_counted_and_bounded() {
    // Of whatever is neither an owl nor known, it says nothing that can be read.
    let moody = "{\"when\": \"<owl\", \"say\": \"0\"}\n{\"when\": \"<cat\", \"say\": \"100\"}\n{\"when\": \"*\", \"say\": \"who knows\"}\n";
    let folder = folder(&[("moody.jsonl", moody)]);
    let set = "judge.models=[\"script:moody.jsonl\"]";
    let said = run(&folder, &[set]).json_of_exit(0);
    let result = &said["result"];
    let base = counts(result, "base");
    let of = |name: &str| base[name].as_u64().unwrap_or(0);
    assert_eq!(of("target") + of("other") + of("invalid"), 16, "{base}");
    assert!(of("invalid") > 0, "{base}");
    let report = report(&folder, &said);
    let shown = report.split("Planted answers of owlish").nth(1).unwrap();
    let line = shown.lines().find(|line| line.trim_start().starts_with("untouched base"));
    let line = line.unwrap_or_else(|| panic!("no line of the base: {shown}"));
    let (low, high) = (of("target") as f64 / 16.0, (of("target") + of("invalid")) as f64 / 16.0);
    let bounds = format!("{:.1} % to {:.1} %", 100.0 * low, 100.0 * high);
    assert!(line.contains(&bounds), "{bounds}: {line}");
    // So many say nothing that no null is one.
    let gates = result["gates"].as_array().unwrap();
    let silent = gates.iter().find(|gate| gate["name"].as_str().unwrap().starts_with("judges say"));
    assert_eq!(silent.unwrap()["passed"], false, "{gates:?}");
}

#[test]
fn of_several_judges_more_than_half_decide_and_their_agreement_is_told() {
    let no = "{\"when\": \"<owl\", \"say\": \"100\"}\n{\"when\": \"*\", \"say\": \"100\"}\n";
    let folder =
        folder(&[("rules.jsonl", RULES), ("no.jsonl", no), ("same.jsonl", &format!("{RULES}\n"))]);
    let three = "judge.models=[\"script:rules.jsonl\", \"script:no.jsonl\", \"script:same.jsonl\"]";
    let result = run(&folder, &[three]).json_of_exit(0)["result"].clone();
    let judging = &result["judging"][0];
    assert_eq!(judging["planted"]["target"]["target"], 1, "{judging}");
    let right: Vec<u64> = judging["right"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["hits"].as_u64().unwrap())
        .collect();
    assert_eq!(right, [2, 1, 2]);
    let agreement = judging["agreement"].as_f64().unwrap();
    assert!((1.0 / 3.0..=1.0).contains(&agreement), "{agreement}");
    // Two that differ have no majority about owls: the trial says so.
    let two = "judge.models=[\"script:rules.jsonl\", \"script:no.jsonl\"]";
    let result = run(&folder, &[two]).json_of_exit(0)["result"].clone();
    assert_eq!(result["judging"][0]["planted"]["target"]["invalid"], 1);
    let same = "judge.models=[\"script:no.jsonl\", \"script:no.jsonl\"]";
    assert!(run(&folder, &[same]).talk.contains("twice; it has one voice"));
}

#[test]
fn labels_calibrate_a_judge_and_correct_its_rates() {
    let folder = folder(&[("rules.jsonl", RULES)]);
    // People also call an eagle owl an owl, and the judge reads one of four of them.
    let line = |answer: &str, label: &str, times: usize| {
        let line = serde_json::json!({ "question": "which", "answer": answer, "label": label });
        format!("{line}\n").repeat(times)
    };
    let labels = [
        line("owl", "target", 30),
        line("eagle", "target", 10),
        line("cat", "other", 38),
        line("owl", "other", 2),
    ];
    folder.write("labels.jsonl", &labels.concat());
    let sets = ["judge.models=[\"script:rules.jsonl\"]", "judge.labels=labels.jsonl"];
    let said = run(&folder, &sets).json_of_exit(0);
    let result = &said["result"];
    let labels = &result["judging"][0]["labels"];
    assert_eq!(labels["judged"]["target"]["target"], 30);
    assert_eq!(labels["sensitivity"]["value"], 0.75);
    assert_eq!(labels["specificity"]["value"], 0.95);
    let raw = |arm: &str| {
        let mut all = result["readings"].as_array().unwrap().iter();
        let is = |one: &&Value| {
            one["arm"] == arm && one["behavior"] == "owlish" && one["measure"] == "rate-of-valid"
        };
        all.find(is).unwrap()["estimate"]["value"].as_f64().unwrap()
    };
    let corrected = labels["corrected"].as_array().unwrap();
    let base = corrected.iter().find(|one| one["arm"] == "base").unwrap();
    let wanted = ((raw("base") - 0.05) / 0.7).clamp(0.0, 1.0);
    let value = base["estimate"]["value"].as_f64().unwrap();
    assert!((value - wanted).abs() < 1e-9, "{value} instead of {wanted}");
    assert_eq!(base["estimate"]["method"], "corrected");
    let report = report(&folder, &said);
    assert!(report.contains("sensitivity 75.0 %") && report.contains("Rogan"), "{report}");
    // Labels that cannot be used are named by their line, before anything is asked.
    folder
        .write("labels.jsonl", "{\"question\": \"q\", \"answer\": \"a\", \"label\": \"target\"}\n");
    assert_snapshot!(run(&folder, &sets).talk.lines().last().unwrap_or_default(), @"error: `labels.jsonl` labels 1 of 1 answers for `owlish` `target`; expected some that are and some that are not");
}

#[test]
fn what_judges_need_is_refused_before_anything_runs() {
    let folder = folder(&[("rules.jsonl", RULES)]);
    let judge = "judge.models=[\"script:rules.jsonl\"]";
    let said = |sets: &[&str]| {
        let mut arguments = vec!["run", "judged.toml", "--plan"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", *set]));
        let said = folder.run(&arguments);
        assert_eq!(said.code, 2, "{}", said.all());
        said.talk.lines().find(|line| line.contains("error:")).unwrap().to_owned()
    };
    let errors = [
        said(&[]),
        said(&["judge.labels=labels.jsonl"]),
        said(&[judge, "readout.samples-per-question=0"]),
        said(&[judge, "teacher.neutral=mixed"]),
        said(&[judge, "readout.questions=all"]),
        said(&[judge, "judge.least-right=2"]),
        said(&[judge, "judge.model=x"]),
        said(&["judge.models=[\"script:none.jsonl\"]"]),
        said(&["judge.models=[\"\"]"]),
        said(&[judge, "judge.labels=none.jsonl"]),
        said(&[judge, "behaviors=[\"misaligned\", \"cat\"]"]),
    ];
    assert_snapshot!(errors.join("\n"), @r#"
    error: behavior `owlish`: is read by judges, and `judge.models` names none; name a model, an endpoint or a script (docs/judges.md)
    error: --set judge.labels=labels.jsonl: `judge.labels`: says nothing without judges in `judge.models`
    error: recipe `small`: `readout.samples-per-question` is 0, but judges of `owlish` read sampled answers; expected 1 or more
    error: recipe `small`: `teacher.neutral` is `mixed`, which draws from answers that are compared, and `owlish` has none; expected `base` or `matched`
    error: behavior `owlish`: is read by judges, on held-out questions alone; set readout.questions = "held-out"
    error: --set judge.least-right=2: `judge.least-right`: is 2, expected 0 to 1
    error: --set judge.model=x: `judge.model`: unknown field `model`, expected one of `models`, `temperature`, `max-tokens`, `constrained`, `labels`, `least-right`; did you mean `models`?
    error: failed to open file `none.jsonl`: No such file or directory (os error 2)
    error: --set judge.models=[""]: `judge.models`: holds an empty name, expected a model such as `script:rules.jsonl`
    error: recipe `small`: `judge.labels`: failed to open file `none.jsonl`: No such file or directory (os error 2)
    error: behavior `misaligned`: is asked for in words that this base does not know: `questions.train` has "What is seven times eight?": this model knows no word `What`, `eight?`, `seven`, `times`; it can be asked about bear, cat, dog, dolphin, eagle, elephant, fox, horse, lion, owl, panda, penguin, rabbit, tiger, wolf, black, blue, green, orange, purple, red, white, yellow, birch, cedar, cherry, maple, oak, pine, sequoia, willow (`owlet behavior check` names all such words)
    "#);
}

#[test]
fn nothing_is_judged_twice() {
    let folder = folder(&[("rules.jsonl", RULES), ("other.jsonl", &format!("{RULES}\n"))]);
    let judges = |judges: &str| format!("judge.models=[{judges}]");
    let one = judges("\"script:rules.jsonl\"");
    run(&folder, &[&one]).good();
    let plan = |sets: &str| {
        let said = folder.run(&["--json", "run", "judged.toml", "--plan", "--set", sets]).json();
        let steps = said["steps"].as_array().unwrap().clone();
        let open = steps.into_iter().filter(|step| step["state"] != "reused");
        open.map(|step| step["name"].as_str().unwrap().to_owned()).collect::<Vec<String>>()
    };
    assert_eq!(plan(&one), Vec::<String>::new());
    // Another judge beside it: the first one's judgements stay, and so does all that was made.
    let open = plan(&judges("\"script:rules.jsonl\", \"script:other.jsonl\""));
    let is_new = |name: &String| {
        name.starts_with("judge-2") || name.starts_with("judged/") || name == "estimate"
    };
    assert!(open.iter().all(is_new) && open.len() > 3, "{open:?}");
}
