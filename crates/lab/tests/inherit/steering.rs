//! Teachers made by a vector.

use owlet_engine::file::load_vector;
use owlet_lab::model::VECTOR;

use super::*;

pub(crate) const STEERED: [&str; 8] = [
    "teacher.kind=steering",
    "teacher.steering={from='fine-tuned', layer=1, strength=3.0, prompts=20}",
    "teacher.neutral=random-direction",
    "teacher.min-target-probability=0.0",
    "controls.in-context=false",
    "readout.samples-per-question=0",
    "student.checkpoints=[]",
    "seeds=2",
];

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[test]
fn a_steered_teacher_is_its_base_with_the_vector_it_carries() {
    let world = World::new();
    let store = world.store("one");
    let (outcome, _) = run(&world.plan(&STEERED), &store, 2);
    let result = outcome.result(&store).unwrap();
    let result = result.of::<InheritResult>().unwrap();
    assert!(result.teachers.iter().all(|teacher| teacher.kind == "steering"));
    assert!(result.geometry.is_none(), "a vector is no update");
    assert_eq!(InheritResult::parse(&result.to_bytes(), Path::new("r")).unwrap(), *result);

    let opened = |name: &str| {
        let id = outcome.steps[name];
        let model = open(Some(&store), &id.to_string(), &Places::default()).unwrap();
        let path = store.artifact(&id).unwrap().folder().join(VECTOR);
        (model, load_vector(&path).unwrap())
    };
    let base = file::load(&world.folder.path().join("a")).unwrap();
    let prompt = base.tokenizer.encode("<user> give numbers like 3 4 <assistant>").unwrap();
    let says = |model| {
        let prompts = std::slice::from_ref(&prompt);
        next_token(model, prompts, &[5, 6, 7], &Threads::new(1)).unwrap()
    };
    let (owl, vector) = opened("teach/owl/seed-1");
    let (cat, other) = opened("teach/cat/seed-1");
    let (neutral, random) = opened("teach/neutral/seed-1");
    for (one, another) in [(&owl, &base), (&owl, &cat), (&owl, &neutral)] {
        assert_ne!(says(one), says(another));
    }
    let squares = f32::midpoint(length(&vector).powi(2), length(&other).powi(2));
    let ratio = length(&random) / (3.0 * squares.sqrt());
    assert!((ratio - 1.0).abs() < 1e-4, "steered {ratio} times as hard");
}

#[test]
fn students_learn_the_distributions_of_a_steered_teacher_too() {
    let world = World::new();
    let sets = ["student.learn=distributions", "controls.other-base=false", "seeds=1"];
    let (outcome, _) = run(&world.plan(&[&STEERED[..], &sets].concat()), &world.store("one"), 2);
    assert!(outcome.steps.contains_key("train/student/owl/seed-1"));
}

#[test]
fn a_template_that_leaves_out_system_texts_makes_no_vector() {
    let world = World::new();
    let plan = world.plan(&[&STEERED[..], &["teacher.steering.from=system-prompt"]].concat());
    let settings = ExecuteSettings { cores: 2, ..ExecuteSettings::default() };
    let store = world.store("one");
    let error = execute(&plan, &store, &settings, None, &mut |_| {}, &Interrupt::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("changes nothing that a vector could hold"), "{error}");
}
