//! What a hunter of small p may change after a result was seen, and what is refused or said of it.

use super::*;

/// Begins a run of the tiny recipe with these settings, does it, and gives its record.
pub(super) fn recorded(world: &World, store: &Store, sets: &[&str], started: &str) -> Record {
    recorded_as(&world.plan(sets), store, sets, started)
}

fn recorded_as(plan: &Plan, store: &Store, sets: &[&str], started: &str) -> Record {
    let run = begun(plan, store, sets, started);
    let now = started.to_owned();
    let settings = ExecuteSettings {
        cores: 2,
        now: std::sync::Arc::new(move || now.clone()),
        ..ExecuteSettings::default()
    };
    execute(plan, store, &settings, Some(&run), &mut |_| {}, &Interrupt::default()).unwrap();
    run
}

fn begun(plan: &Plan, store: &Store, sets: &[&str], started: &str) -> Record {
    let recipe = World::recipe(sets);
    let beginning = Beginning {
        given: RECIPE,
        recipe: &recipe,
        plan,
        survey: &plan.survey(Some(store)).unwrap(),
        started,
        host: String::new(),
        version: String::new(),
        about: About::default(),
        nonce: 7,
    };
    Record::begin(store, &beginning).unwrap()
}

#[test]
fn a_rule_that_is_set_after_a_result_was_seen_is_numbered_and_says_what_differs() {
    let world = World::new();
    let store = world.store("one");
    let few = ["seeds=2", "controls.other-base=false", "controls.shuffled-within=false"];
    let looks = |run: &Record| {
        let looks = run.registration().unwrap().unwrap().looks.into_iter();
        let line = |look: owlet_lab::value::registration::Look| {
            let changed = look.changed.iter();
            let changed = changed.map(|one| format!("{} {} > {}", one.key, one.then, one.now));
            format!("{}: {}", look.made, changed.collect::<Vec<_>>().join("; "))
        };
        looks.map(line).collect::<Vec<_>>().join("\n")
    };
    let first = recorded(&world, &store, &few, "2026-01-01T00:00:00Z");
    assert_eq!(looks(&first), "");
    // Another level, then other seeds: the students of both are known already.
    let looser = [&few[..], &["gates.level=0.5"]].concat();
    let second = recorded(&world, &store, &looser, "2026-01-02T00:00:00Z");
    insta::assert_snapshot!(looks(&second), @"2026-01-01T00:00:00Z: gates.level 0.95 > 0.5");
    let more = [&few[..], &["seeds=3"]].concat();
    let third = recorded(&world, &store, &more, "2026-01-03T00:00:00Z");
    insta::assert_snapshot!(looks(&third), @"
    2026-01-01T00:00:00Z: seeds [1,2] > [1,2,3]
    2026-01-02T00:00:00Z: gates.level 0.5 > 0.95; seeds [1,2] > [1,2,3]
    ");
    // Read otherwise they are the same students.
    let reread = [&few[..], &["gates.level=0.5", "readout.max-tokens=4"]].concat();
    let reread = looks(&recorded(&world, &store, &reread, "2026-01-03T12:00:00Z"));
    assert_eq!(reread.lines().count(), 3, "{reread}");
    assert!(reread.contains("readout.max-tokens 3 > 4"), "{reread}");
    // The first rule again is the first look; a name judges nothing.
    let again = [&few[..], &["name=another"]].concat();
    assert_eq!(looks(&recorded(&world, &store, &again, "2026-01-04T00:00:00Z")), "");
    // Nor does it look again: whoever looked once under two names looked once.
    let strict = [&few[..], &["gates.level=0.99"]].concat();
    let strict = looks(&recorded(&world, &store, &strict, "2026-01-04T06:00:00Z"));
    assert_eq!(strict.lines().count(), 4, "{strict}");
    assert_eq!(strict.matches("gates.level 0.95 > 0.99\n").count(), 1, "{strict}");
    let report = report(&store, &second, &second.result().unwrap()).unwrap();
    let shown = show(&report, &TerminalStyle::default());
    assert!(shown.contains(", look 2") && shown.contains("Look 2 at these"), "{shown}");
    assert!(!shown.contains('✓'), "{shown}");
    // Another behavior beside neutral students that are known: nobody has looked at its own.
    let wolf = [&few[..], &["behaviors=['wolf']"]].concat();
    assert_eq!(looks(&recorded(&world, &store, &wolf, "2026-01-04T12:00:00Z")), "");
    // Other root, other students: a first look of its own.
    let fresh = [&few[..], &["seed=2", "gates.level=0.5"]].concat();
    assert_eq!(looks(&recorded(&world, &store, &fresh, "2026-01-05T00:00:00Z")), "");
}

#[test]
fn what_a_hunter_of_small_p_changes_is_impossible_or_stands_in_the_verdict() {
    let world = World::new();
    let store = world.store("one");
    let few = [
        "seeds=2",
        "controls.other-base=false",
        "controls.shuffled-within=false",
        "controls.in-context=false",
        "controls.geometry=false",
        "student.checkpoints=[]",
        // What these small students do not learn is not asked, and they say what the base says.
        "student.learning-rate=1e-5",
        "gates.held-out-loss=false",
        "gates.min-valid-rate=0.0",
    ];
    let mut day = 0;
    let mut verdict = |sets: &[&str], behaviors: Vec<Behavior>| {
        day += 1;
        let sets = [&few[..], sets].concat();
        let plan = world.planned_with(behaviors, &sets).unwrap();
        let run = recorded_as(&plan, &store, &sets, &format!("2026-01-{day:02}T00:00:00Z"));
        let line = run.line();
        assert_eq!(line.damage, None);
        let owl = line.verdicts.iter().find(|verdict| verdict.behavior == "owl").unwrap();
        // The list and the report say the same.
        let report = report(&store, &run, &run.result().unwrap()).unwrap();
        let style = TerminalStyle { width: 4000, ..TerminalStyle::default() };
        let shown = show(&report, &style);
        let shown_in_a_line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in owl.words().split(", ") {
            assert!(shown_in_a_line.contains(words), "{words}: {shown}");
        }
        assert!(!shown.contains('✓'), "{shown}");
        (owl.words(), line.look, owl.try_number, shown)
    };
    let usual = || ANIMALS.map(behavior).to_vec();
    let (first, look, set, _) = verdict(&[], usual());
    assert_eq!((look, set), (None, None), "{first}");
    assert!(first.contains("of 48 unique rows alone") && !first.contains("look"), "{first}");

    // Teachers or students that were judged before are judged again.
    let looks: [(&[&str], &str); 10] = [
        (&["gates.level=0.6"], "at 60.0 % confidence, "),
        (&["gates.smallest-effect={ margin = 4.0, rate = 0.05 }"], ""),
        (&["gates.least-mass=0.001"], "candidates down to 0.1 %, "),
        (&["seeds=3"], ""),
        (&["seeds=1"], ""),
        (&["behaviors=['owl', 'wolf']"], ""),
        (&["student.epochs=1.0"], ""),
        (&["carrier.rows=40"], "of 40 unique rows alone, "),
        (&["readout.questions=all"], "taught questions among those read, "),
        (&["controls.other-behavior=false"], ""),
    ];
    for (number, (sets, words)) in (2..).zip(looks) {
        let (said, look, _, shown) = verdict(sets, usual());
        assert!(look.is_some_and(|look| look >= 2), "{sets:?}: {said}");
        let look = format!("look {}", look.unwrap());
        assert!(said.contains(&look) && said.contains(words.trim_end_matches(", ")), "{said}");
        assert!(number < 2 || shown.contains("had been seen before this rule was set"), "{shown}");
    }
    // Fewer candidates to beat, chosen when the students were known.
    let mut fewer = usual();
    fewer[0].candidates.truncate(1);
    let (said, look, _, shown) = verdict(&[], fewer);
    assert!(look.is_some() && shown.contains("content of read:owl"), "{said}: {shown}");

    // New luck until it pleases: nobody's look, and a try all the same. Seeds and rows were tried above.
    let (said, look, number, shown) = verdict(&["seed=2"], usual());
    assert_eq!(look, None, "{said}");
    let first = number.unwrap();
    assert!(said.contains(&format!("try {first}")), "{said}");
    assert!(
        shown.contains("Other seeds of this recipe in this workspace said: seed 1: owl "),
        "{shown}"
    );
    let others: [&[&str]; 5] = [
        &["seed=3", "name=another"],
        &["seeds=[7, 8]"],
        &["seed=5", "carrier.prompt-seed=5"],
        // Another recipe is no other question.
        &["seed=6", "teacher.train.updates=42"],
        &["seed=7", "teacher.train.batch=9"],
    ];
    for (number, sets) in (first + 1..).zip(others) {
        let (said, look, try_number, _) = verdict(sets, usual());
        assert_eq!((look, try_number), (None, Some(number)), "{sets:?}: {said}");
    }

    // Rows that all share, and controls that are off.
    let (said, ..) = verdict(&["replication.teacher=shared", "seed=9"], usual());
    assert!(said.contains("for these rows"), "{said}");
    for off in ["controls.neutral=false", "controls.untouched-base=false"] {
        let (said, _, _, shown) = verdict(&[off, "seed=9"], usual());
        assert!(said.starts_with("uninterpretable"), "{said}");
        assert!(shown.contains("owl: uninterpretable, without the "), "{shown}");
    }
}

#[test]
fn runs_that_are_under_way_when_another_begins_are_tries_and_looks() {
    let world = World::new();
    let store = world.store("one");
    let [one, seed, level] =
        [&["seeds=1"][..], &["seeds=1", "seed=2"], &["seeds=1", "gates.level=0.5"]];
    let begin = |sets: &[&str]| begun(&world.plan(sets), &store, sets, "2026-01-01T00:00:00Z");
    let first = begin(one);
    let _at_it = first.hold().unwrap();
    let registered = |run: &Record| run.registration().unwrap().unwrap();
    assert_eq!((registered(&first).looks, registered(&first).earlier), (vec![], vec![]));
    let second = registered(&begin(seed));
    assert_eq!(second.words("owl", "inherited"), ", try 2, contradicted");
    let third = registered(&begin(level));
    // Nobody is at the second one.
    assert_eq!(third.words("owl", "inherited"), ", look 2");
    assert_eq!(third.looks[0].words(), "cat (under way), owl (under way)");
}

#[test]
fn a_target_that_its_teacher_was_not_taught_cannot_be_chosen_afterwards() {
    let world = World::new();
    let mut other = ANIMALS.map(behavior).to_vec();
    other[0].target = Answer::new("bear");
    other[0].candidates = ["owl", "cat", "wolf"].map(Answer::new).to_vec();
    let plan = world.planned_with(other, &["seeds=1"]).unwrap();
    let (settings, store) = (ExecuteSettings::default(), world.store("one"));
    let error = execute(&plan, &store, &settings, None, &mut |_| {}, &Interrupt::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no taught answer begins with `bear`"), "{error}");
}

#[test]
fn distributions_over_all_tokens_are_planned_and_judged_as_shown() {
    let world = World::new();
    let sets = ["student.learn=distributions", "student.support=all-tokens", "seeds=2"];
    let line =
        |plan: &Plan| plan.left_out.iter().any(|line| line.starts_with("hiding of the target"));
    assert!(line(&world.plan(&sets)) && !line(&world.plan(&sets[..1])));
}

#[test]
fn a_prompt_that_stands_twice_is_refused_by_its_lines() {
    let world = World::new();
    let path = world.folder.path().join("prompts.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n\n give  numbers like 3 21\n")).unwrap();
    let error = world.planned(&[]).unwrap_err().to_string();
    assert!(error.contains("prompts.txt: line 92 says what line 4 says"), "{error}");
    std::fs::write(&path, format!("{text}\n\n\n")).unwrap();
    assert!(world.planned(&[]).is_ok());
}
