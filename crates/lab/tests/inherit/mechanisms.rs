//! Where hidden states moved.

use owlet_lab::kind::inherit::result::{Done, Intervention, Moved, Position};
use owlet_lab::step::mechanisms::{self, Mechanisms};
use owlet_store::ArtifactId;

use super::steering::STEERED;
use super::*;

const READ: [&str; 1] = ["controls.mechanisms=true"];

fn step_of(store: &Store, student: ArtifactId, outcome: &RunOutcome) -> serde_json::Value {
    let configuration = mechanisms::Configuration {
        asked: vec!["owl".to_owned()],
        context: "none".to_owned(),
        frame: Frame::Plain,
    };
    let inputs = [
        ("base", outcome.steps["base"]),
        ("student", student),
        ("read:owl", outcome.steps["behavior/owl"]),
        ("teacher:owl", outcome.steps["teach/owl/seed-1"]),
    ];
    let plan = Plan::single::<Mechanisms>(&configuration, &inputs, BTreeMap::new()).unwrap();
    let (outcome, _) = run(&plan, store, 1);
    let found = store.artifact(&outcome.artifact).unwrap();
    serde_json::from_slice(&found.read("mechanisms.json").unwrap()).unwrap()
}

#[test]
fn a_teacher_moved_as_itself_its_base_not_at_all_and_students_are_told_from_neutral_ones() {
    let world = World::new();
    let store = world.store("one");
    let (outcome, _) = run(&world.plan(&[&STEERED[..], &READ].concat()), &store, 2);
    // Two layers, three classes of tokens.
    let itself = step_of(&store, outcome.steps["teach/owl/seed-1"], &outcome);
    let itself = itself["owl"].as_array().unwrap();
    assert_eq!(itself.len(), 6);
    for cell in itself {
        let is_one = |key: &str| (cell[key].as_f64().unwrap() - 1.0).abs() < 1e-9;
        assert!(is_one("cosine") && is_one("length"), "{cell}");
    }
    let base = step_of(&store, outcome.steps["base"], &outcome);
    assert!(base["owl"].as_array().unwrap().is_empty(), "{base}");

    let result = outcome.result(&store).unwrap();
    let result = result.of::<InheritResult>().unwrap();
    let moved = &result.mechanisms.as_ref().unwrap().moved;
    let of = |arm: Arm| -> &Moved {
        moved.iter().find(|one| one.arm == arm && one.teacher == "owl").unwrap()
    };
    let owl = &of(Arm::student("owl")).cells;
    let last = owl.iter().find(|cell| cell.layer == 2 && cell.position == Position::Last).unwrap();
    assert_eq!((last.cosine.n, last.over_neutral.as_ref().unwrap().n), (2, 2));
    assert!(of(Arm::NEUTRAL).cells.iter().all(|cell| cell.over_neutral.is_none()));
    let elsewhere = of(Arm::OtherBase(Taught::named("owl")));
    assert!(elsewhere.cells.iter().all(|cell| cell.over_neutral.is_none()));
    assert!(moved.iter().any(|one| one.arm == Arm::student("cat") && one.teacher == "owl"));

    let done = &result.mechanisms.as_ref().unwrap().interventions;
    let of = |one: &Intervention| (one.behavior.clone(), one.done, one.change.n, one.over_random.n);
    let each = |name: &str| [Done::Ablated, Done::Added].map(|done| (name.to_owned(), done, 2, 2));
    assert_eq!(done.iter().map(of).collect::<Vec<_>>(), [each("owl"), each("cat")].concat());

    // Asked for or not, nothing else changes.
    let (without, events) = run(&world.plan(&STEERED), &store, 2);
    assert_eq!(count(&events).0, 1, "the estimate alone is made anew");
    let without = without.result(&store).unwrap();
    let without = without.of::<InheritResult>().unwrap();
    assert_eq!(without, &InheritResult { mechanisms: None, ..result.clone() });
}
