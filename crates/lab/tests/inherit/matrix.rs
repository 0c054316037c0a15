//! One recipe over pairs of bases.

use owlet_lab::kind::matrix::result::MatrixResult;

use super::*;

const FEW: [&str; 4] =
    ["bases=['a', 'b']", "seeds=2", "readout.samples-per-question=0", "controls.other-base=false"];

fn matrix(world: &World, store: &Store, sets: &[&str]) -> (Plan, RunOutcome, MatrixResult) {
    let plan = world.plan(&[&FEW[..], sets].concat());
    let (outcome, _) = run(&plan, store, 2);
    let result = outcome.result(store).unwrap();
    let result = result.of::<MatrixResult>().unwrap().clone();
    (plan, outcome, result)
}

/// Students over neutral ones, as a run of one base has them.
fn alone(world: &World, store: &Store, sets: &[&str]) -> InheritResult {
    let sets =
        [&FEW[1..3], &["controls.in-context=false", "student.checkpoints=[]"], sets].concat();
    let (outcome, _) = run(&world.plan(&sets), store, 2);
    outcome.result(store).unwrap().of::<InheritResult>().unwrap().clone()
}

fn over_neutral(result: &InheritResult, arms: [Arm; 2]) -> f64 {
    let [own, neutral] =
        arms.map(|arm| result.reading(&arm, "owl", Measure::Margin).unwrap().by_seed());
    own.iter().map(|(seed, value)| value - neutral[seed]).sum::<f64>() / own.len() as f64
}

#[test]
fn every_cell_is_what_a_run_of_its_pair_finds() {
    let world = World::new();
    let store = world.store("one");
    let (plan, outcome, result) = matrix(&world, &store, &[]);
    // Each base's own path is planned once: two sets of teachers, rows and students, and the others' students.
    let of = |kind: &str| plan.nodes.iter().filter(|node| node.kind.name == kind).count();
    assert_eq!(
        [of("base"), of("teach"), of("train"), of("readout")],
        [2, 2 * 4, 2 * 12, 2 * (1 + 4 + 12)]
    );
    assert_eq!(result.bases, ["a", "b"]);
    let finding = &result.findings[0];
    for (teacher, other, place) in [("a", "b", 0), ("b", "a", 1)] {
        let sets = [format!("base={teacher}"), format!("controls.other-base={other}")];
        let alone = alone(&world, &store, &sets.each_ref().map(String::as_str));
        let own = over_neutral(&alone, [Arm::student("owl"), Arm::NEUTRAL]);
        let across = [Taught::named("owl"), Taught::Neutral].map(Arm::OtherBase);
        let across = over_neutral(&alone, across);
        assert!((finding.cells[place][place].value - own).abs() < 1e-12);
        assert!((finding.cells[place][1 - place].value - across).abs() < 1e-12);
    }
    let cell = |teacher: usize, student: usize| finding.cells[teacher][student].value;
    let lambda = f64::midpoint(cell(0, 0), cell(1, 1)) - f64::midpoint(cell(0, 1), cell(1, 0));
    assert!((finding.lambda.value - lambda).abs() < 1e-12);
    assert_eq!((finding.per_seed.len(), finding.lambda.n), (2, 2));
    // Two repetitions of two bases can be relabelled in four ways.
    assert!([0.25, 0.5, 0.75, 1.0].contains(&finding.lambda_p.unwrap()), "{:?}", finding.lambda_p);
    assert_eq!(finding.verdict.p.map(|p| p >= 0.25), Some(true));
    // Whether students of another base learned anything of their rows is asked as of the base's own.
    let told =
        result.warnings.iter().map(|told| told.message.as_str()).collect::<Vec<_>>().join("\n");
    assert!(
        told.contains("students of b fit held-out rows of a no better than their base"),
        "{told}"
    );
    // Elsewhere, with another number of threads: the same bytes.
    let (other, _) = run(&plan, &world.store("two"), 1);
    assert_eq!(other.steps, outcome.steps);
}

#[test]
fn a_matrix_judges_the_students_that_a_run_of_one_base_judged() {
    let world = World::new();
    let store = world.store("one");
    let looks = |run: &Record| run.registration().unwrap().unwrap().looks.len();
    let first = registration::recorded(&world, &store, &FEW, "2026-01-01T00:00:00Z");
    assert_eq!(looks(&first), 0);
    let sets = [&FEW[1..], &["student.checkpoints=[]"]].concat();
    let second = registration::recorded(&world, &store, &sets, "2026-01-02T00:00:00Z");
    assert_eq!(looks(&second), 1);
    let shown =
        show(&report(&store, &first, &first.result().unwrap()).unwrap(), &TerminalStyle::default());
    for part in ["base of the students", "diagonal minus the rest", "owl, across bases"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn bases_that_cannot_be_compared_are_refused_by_name() {
    let world = World::new();
    let refused = |sets: &[&str]| world.planned(sets).unwrap_err().to_string();
    std::fs::create_dir(world.folder.path().join("again")).unwrap();
    for file in std::fs::read_dir(world.folder.path().join("a")).unwrap() {
        let file = file.unwrap();
        let to = world.folder.path().join("again").join(file.file_name());
        std::fs::copy(file.path(), to).unwrap();
    }
    insta::assert_snapshot!(refused(&[FEW[3], "bases=['a', 'again']"]), @"recipe `tiny`: `bases`: `again` and `a` are the same model");
    // The smallest p that repetitions can give is told before any of them is made.
    let plan = world.plan(&[FEW[0], FEW[3], "seeds=4"]);
    insta::assert_snapshot!(plan.power, @"268 steps instead of 280 in runs of their own; 8 cells of students: 2 behaviors of 2 bases, each with neutral ones; 4 repetitions can give p 0.062 by relabelling bases, 0.125 corrected over 2 behaviors: too few for any verdict, set seeds = 6 or more");
}
