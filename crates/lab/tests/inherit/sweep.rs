//! One recipe over values of its keys.

use owlet_lab::kind::sweep::result::SweepResult;

use super::*;

const FEW: [&str; 6] = [
    "seeds=2",
    "controls.other-base=false",
    "controls.shuffled-within=false",
    "controls.in-context=false",
    "readout.samples-per-question=0",
    "student.checkpoints=[]",
];

fn with<'a>(sets: &[&'a str]) -> Vec<&'a str> {
    [&FEW[..], sets].concat()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.nodes.iter().map(|node| node.name.as_str()).collect()
}

fn swept(world: &World, store: &Store, sets: &[&str]) -> (Plan, RunOutcome, SweepResult) {
    let plan = world.plan(&with(sets));
    let (outcome, _) = run(&plan, store, 2);
    let result = outcome.result(store).unwrap();
    let result = result.of::<SweepResult>().unwrap().clone();
    (plan, outcome, result)
}

fn over_neutral(result: &SweepResult, point: usize, behavior: &str) -> Vec<f64> {
    result.points[point].effect(behavior, Control::Neutral).unwrap().per_seed.clone()
}

#[test]
fn points_share_what_they_have_in_common_and_each_is_the_run_it_would_be() {
    let world = World::new();
    let store = world.store("one");
    let (plan, _, result) = swept(&world, &store, &["sweep.student.learning-rate=[1e-3, 3e-3]"]);
    let single = world.plan(&with(&["student.learning-rate=3e-3"]));
    // Of the second point the students and what is read of them are new, and nothing else.
    let of =
        |plan: &Plan, kind: &str| plan.nodes.iter().filter(|node| node.kind.name == kind).count();
    for kind in ["base", "behavior", "teach", "generate", "filter", "select"] {
        assert_eq!(of(&plan, kind), of(&single, kind), "{kind}");
    }
    assert_eq!(of(&plan, "train"), 2 * of(&single, "train"));
    assert!(names(&plan).contains(&"point-2/train/student/owl/seed-1"), "{:?}", names(&plan));
    assert!(names(&plan).contains(&"teach/owl/seed-1"));

    // Its numbers are those of a run of its own, which has all but its estimate already.
    let (outcome, events) = run(&single, &store, 2);
    assert_eq!(count(&events), (1, single.nodes.len() - 1));
    let alone = outcome.result(&store).unwrap();
    let alone = alone.of::<InheritResult>().unwrap();
    assert_eq!(result.points.len(), 2);
    for (behavior, verdict) in ["owl", "cat"].into_iter().zip(&alone.verdicts) {
        let effect = alone.effect(behavior, Measure::Margin, Control::Neutral).unwrap();
        assert_eq!(result.points[1].effect(behavior, Control::Neutral), Some(effect));
        let own = result.points[1].verdicts.iter().find(|own| own.behavior == behavior).unwrap();
        assert!(own.p >= verdict.p && own.p.is_some(), "{own:?} {verdict:?}");
        assert!(own.sentence.contains("corrected over 4 verdicts"), "{}", own.sentence);
    }
    assert_eq!(result.rule.unwrap().behaviors, 4);
    let contrast = &result.contrasts[0];
    let difference = over_neutral(&result, 1, "owl")[0] - over_neutral(&result, 0, "owl")[0]
        + over_neutral(&result, 1, "owl")[1]
        - over_neutral(&result, 0, "owl")[1];
    assert!((contrast.estimate.value - difference / 2.0).abs() < 1e-12);
}

#[test]
fn a_sweep_is_one_look_and_a_point_of_it_that_is_run_afterwards_another() {
    let world = World::new();
    let store = world.store("one");
    let sweep = with(&["sweep.student.learning-rate=[1e-3, 3e-3]"]);
    let looks = |run: &Record| run.registration().unwrap().unwrap().looks.len();
    let first = registration::recorded(&world, &store, &sweep, "2026-01-01T00:00:00Z");
    assert_eq!(looks(&first), 0);
    // Under its own rule, of fewer comparisons, its best point would be found too often.
    let point = with(&["student.learning-rate=3e-3"]);
    let second = registration::recorded(&world, &store, &point, "2026-01-02T00:00:00Z");
    assert_eq!(looks(&second), 1);
    let told = second.registration().unwrap().unwrap().looks[0].said.len();
    assert_eq!(told, 4);
    let longer = with(&["sweep.student.learning-rate=[1e-3, 3e-3, 5e-3]"]);
    let third = registration::recorded(&world, &store, &longer, "2026-01-03T00:00:00Z");
    assert_eq!(looks(&third), 2);
    let shown =
        show(&report(&store, &first, &first.result().unwrap()).unwrap(), &TerminalStyle::default());
    assert!(shown.contains("owl 0.001"), "{shown}");
    assert!(shown.contains("corrected over 4 verdicts"), "{shown}");
}

#[test]
fn students_of_nothing_but_neutral_rows_are_the_neutral_ones() {
    let world = World::new();
    let store = world.store("one");
    let (_, _, result) = swept(&world, &store, &["sweep.carrier.neutral-share=[0.0, 0.5, 1.0]"]);
    let all = [0, 1, 2].map(|point| over_neutral(&result, point, "owl"));
    assert!(all[0].iter().all(|effect| *effect != 0.0), "{all:?}");
    assert_ne!(all[0], all[1]);
    assert_eq!(all[2], [0.0, 0.0]);
}

#[test]
fn a_defence_masks_as_many_tokens_as_the_random_one_it_is_compared_with() {
    let world = World::new();
    let store = world.store("one");
    let masks = "sweep.defence=[{ mask = 'none' }, { mask = 'log-ratio', share = 0.25, random = true }, { mask = 'log-ratio', share = 0.25 }, { mask = 'divergence' }]";
    let (plan, outcome, result) = swept(&world, &store, &[masks]);
    let flagged = |point: &str| {
        let name = format!("{point}flag/train/student/owl/seed-1");
        let id = outcome.steps[&name];
        let about = store.artifact(&id).unwrap().about.clone();
        (about["flagged"].as_u64().unwrap(), about["tokens"].as_u64().unwrap())
    };
    // Four numbers in each of 48 rows.
    assert_eq!([flagged("point-2/"), flagged("point-3/")], [(48, 192); 2]);
    let (diverging, _) = flagged("point-4/");
    assert!(diverging > 0 && diverging < 192, "{diverging}");
    // Who is not defended is trained once.
    assert!(!names(&plan).iter().any(|name| name.contains("undefended")), "{:?}", names(&plan));
    let all = [0, 1, 2, 3].map(|point| over_neutral(&result, point, "owl"));
    for (at, one) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| other != one), "{all:?}");
    }
}

#[test]
fn a_chain_goes_on_from_the_students_that_were_read_before() {
    let world = World::new();
    let store = world.store("one");
    let (plan, outcome, result) = swept(&world, &store, &["sweep.teacher.hops=[1, 2]"]);
    let writes = |name: &str| {
        let node = plan.nodes.iter().find(|node| node.name == name).unwrap();
        let owlet_lab::run::plan::Source::Node(place) = node.inputs["model"] else { panic!() };
        plan.nodes[place].name.clone()
    };
    assert_eq!(writes("generate/owl/seed-1"), "teach/owl/seed-1");
    assert_eq!(writes("generate/owl/hop-2/seed-1"), "point-1/train/student/owl/seed-1");
    assert!(outcome.steps.contains_key("point-2/train/student/owl/seed-1"));
    assert_ne!(over_neutral(&result, 0, "owl"), over_neutral(&result, 1, "owl"));
}

#[test]
fn students_go_on_with_rows_of_the_base() {
    let world = World::new();
    let store = world.store("one");
    let (plan, _, result) = swept(&world, &store, &["sweep.afterwards.updates=[0, 6]"]);
    // The student that goes on is the one that was read.
    let after =
        plan.nodes.iter().find(|node| node.name == "afterwards/student/owl/seed-1").unwrap();
    let owlet_lab::run::plan::Source::Node(place) = after.inputs["base"] else { panic!() };
    assert_eq!(plan.nodes[place].name, "train/student/owl/seed-1");
    assert_ne!(over_neutral(&result, 0, "owl"), over_neutral(&result, 1, "owl"));
}
