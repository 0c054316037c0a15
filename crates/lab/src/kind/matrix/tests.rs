use super::recipe::MatrixRecipe;
use super::verdict::{self, Case};
use crate::AnyRecipe;
use crate::kind::KindRecipe;
use crate::kind::inherit::result::{
    Control, Estimate, Measure, Method, Outcome, Rule, Scope, Verdict,
};
use crate::random::cpython::Random;
use crate::recipe::{Layer, Setting};
use crate::stats;

/// The pairs of a recipe, or why it is refused.
fn pairs(text: &str, sets: &[&str]) -> String {
    let layers = [Layer::new(text, "bases.toml").unwrap()];
    let sets: Vec<Setting> = sets.iter().map(|set| Setting::parse(set).unwrap()).collect();
    match AnyRecipe::resolve(&layers, &sets) {
        Ok(recipe) => {
            let matrix = recipe.of::<MatrixRecipe>().unwrap();
            let name = |place: usize| matrix.bases[place].as_str();
            let pair = |pair: &super::recipe::Pair| {
                let other = pair.recipe.controls.other_base.model().unwrap();
                assert_eq!(pair.recipe.base.to_string(), name(pair.teacher));
                assert_eq!(other.to_string(), name(pair.student));
                format!("{} to {}", name(pair.teacher), name(pair.student))
            };
            matrix.pairs.iter().map(pair).collect::<Vec<_>>().join("; ")
        }
        Err(error) => error.to_string(),
    }
}

const TWO: &str = "bases = ['builtin:a', 'builtin:b']\nbehaviors = ['owl', 'cat']\n";

#[test]
fn every_ordered_pair_of_bases_is_a_recipe() {
    insta::assert_snapshot!(pairs(TWO, &[]), @"builtin:a to builtin:b; builtin:b to builtin:a");
    let three = "bases=['builtin:a', 'builtin:b', 'builtin:c']";
    insta::assert_snapshot!(pairs(TWO, &[three]), @"builtin:a to builtin:b; builtin:a to builtin:c; builtin:b to builtin:a; builtin:b to builtin:c; builtin:c to builtin:a; builtin:c to builtin:b");
    // What the defaults say names no other base.
    let said =
        pairs("bases = ['x', 'y']\nbehaviors = ['owl']\n[controls]\nother-base = 'auto'", &[]);
    insta::assert_snapshot!(said, @"x to y; y to x");
}

#[test]
fn what_cannot_be_a_matrix_is_named_at_its_place_before_anything_runs() {
    let refused = |bases: &str, rest: &str| {
        pairs(&format!("bases = {bases}\nbehaviors = ['owl']\n{rest}"), &[])
    };
    let two = "['builtin:a', 'builtin:b']";
    let said = [
        refused("['builtin:a']", ""),
        refused("'builtin:a'", ""),
        refused("['builtin:a', 'builtin:a']", ""),
        refused("['builtin:a', '']", ""),
        refused("['builtin:a', { endpoint = 'http://x', model = 'y' }]", ""),
        refused("['builtin:a', 'script:replies.jsonl']", ""),
        refused("['a', 'b', 'c', 'd', 'e', 'f', 'g']", ""),
        refused("['builtin:a', 'smollm2']", ""),
        refused(two, "base = 'builtin:b'"),
        refused(two, "read-also = ['cat']"),
        refused(two, "controls.other-base = 'builtin:c'"),
        refused(two, "controls.neutral = false"),
        refused(two, "student.learn = 'distributions'"),
        refused(two, "student.batch = 0"),
        refused(two, "defence.mask = 'log-ratio'"),
        refused(two, "sweep.'carrier.rows' = [8, 16]"),
        pairs("kind = 'matrix'\nbehaviors = ['owl']", &[]),
        pairs(TWO, &["base=builtin:b"]),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    bases.toml:1:9: `bases`: holds 1, expected 2 to 6, such as ["builtin:a", "builtin:b"]
    bases.toml:1:9: `bases`: is "builtin:a", expected a list of bases, such as ["builtin:a", "builtin:b"]
    bases.toml:1:9: `bases`: `builtin:a` stands twice
    bases.toml:1:9: `bases`: holds "", expected models by name; one behind an endpoint stands in no matrix so far
    bases.toml:1:9: `bases`: holds { endpoint = "http://x", model = "y" }, expected models by name; one behind an endpoint stands in no matrix so far
    bases.toml:1:9: `bases`: `script:replies.jsonl` cannot be trained, and students must be; name weights
    bases.toml:1:9: `bases`: holds 7, expected 2 to 6, such as ["builtin:a", "builtin:b"]
    bases.toml:1:9: `bases`: `smollm2` has other defaults than `builtin:a`: `carrier.decoding.count` is 8, for `builtin:a` 10; write the key, so that all bases have it
    bases.toml:3:8: `base`: stands beside `bases`, whose first it is not; leave it out
    bases.toml:3:13: `read-also`: is not read in a matrix; leave it out
    bases.toml:3:23: `controls.other-base`: stands beside `bases`, which say whose students read whose rows; leave it out
    bases.toml:3:20: `controls.neutral`: is false, but a matrix is read over the neutral students; set it true
    bases.toml:3:17: `student.learn`: `distributions` are compared within one base; set student.learn = "rows"
    bases.toml:3:17: `student.batch`: is 0, expected 1 to 100000000
    bases.toml:1:9: `bases`: teachers of `builtin:a`, students of `builtin:b`: `controls.other-base`: is not defended so far, so beside `defence.mask` it must be false
    bases.toml:3:1: `sweep`: cannot stand beside `bases`: sweep each base in a run of its own
    recipe: `bases`: is not there, expected a list of bases, such as ["builtin:a", "builtin:b"]
    --set base=builtin:b: `base`: stands beside `bases`, whose first it is not; leave it out
    "#);
}

#[test]
fn a_resolved_matrix_reads_back_as_itself_with_the_same_pairs() {
    let text = format!("{TWO}seeds = 3\n[student]\nepochs = 2.0\n");
    // What is set for every run of a workspace names no base of this one.
    let layers = [Layer::new("base = 'smollm2'", "config.toml"), Layer::new(&text, "it")]
        .map(Result::unwrap);
    let matrix = MatrixRecipe::resolve(&layers, &[]).unwrap();
    let resolved = AnyRecipe::from(matrix.clone()).to_toml();
    let again = MatrixRecipe::resolve(&[Layer::new(&resolved, "it").unwrap()], &[]).unwrap();
    assert_eq!(again, matrix, "{resolved}");
    assert_eq!(AnyRecipe::parse(&resolved, "it").unwrap().kind().name(), "matrix");
    assert_eq!(matrix.name(), "untitled");
}

fn estimate(values: &[f64]) -> Estimate {
    Estimate {
        value: stats::mean(values).unwrap(),
        interval: stats::t_interval(values, 0.95).ok(),
        method: Method::PairedT,
        unit: "repetition".to_owned(),
        n: values.len(),
    }
}

const RULE: Rule = Rule { level: 0.95, smallest_effect: 0.2, least_mass: 0.01, behaviors: 1 };

/// The verdict on cells by seed, teacher's base and students' base, as two bases are judged; `p` alone of one behavior.
fn judged(grid: &[Vec<Vec<f64>>], change: impl Fn(&mut Case<'_>)) -> (Option<f64>, Verdict) {
    let matrices: Vec<stats::Matrix> =
        grid.iter().map(|at| stats::Matrix::complete(at).unwrap()).collect();
    let per_seed: Vec<f64> = matrices.iter().map(|one| stats::lambda(one).unwrap()).collect();
    let within: Vec<f64> = grid.iter().map(|at| f64::midpoint(at[0][0], at[1][1])).collect();
    let across: Vec<f64> = grid.iter().map(|at| f64::midpoint(at[0][1], at[1][0])).collect();
    let mut case = Case {
        behavior: "owl",
        bases: 2,
        measure: Measure::Margin,
        scope: Scope::Anew,
        caveats: &[],
        per_seed: &per_seed,
        within: &estimate(&within),
        across: &estimate(&across),
        lambda: &estimate(&per_seed),
        relabelled: Some(stats::relabelling(&matrices, 1).unwrap().p_greater),
        against: Control::deciding().map(|control| (control, Some(within.clone()))).collect(),
        mass: Some(0.9),
        doubts: Vec::new(),
        failed: Vec::new(),
        unasked: Vec::new(),
    };
    change(&mut case);
    let p = case.p().unwrap();
    (p, case.verdict(p, &RULE).unwrap())
}

/// Two bases: what students that share it have over the others, what all have, and their luck.
fn grid(random: &mut Random, seeds: usize, shared: f64, all: f64) -> Vec<Vec<Vec<f64>>> {
    let mut luck = || {
        let uniform = |random: &mut Random| random.bits(53) as f64 / 2.0_f64.powi(53);
        (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
    };
    let mut cell = |own: bool| all + if own { shared } else { 0.0 } + 0.3 * luck();
    let mut row = |own: usize| (0..2).map(|other| cell(own == other)).collect();
    (0..seeds).map(|_| (0..2).map(&mut row).collect()).collect()
}

#[test]
fn what_goes_across_bases_as_well_is_called_inherited_within_them_no_more_often_than_the_level_says()
 {
    let mut random = Random::new(5);
    let said = |random: &mut Random, seeds, shared, all| {
        let outcome = judged(&grid(random, seeds, shared, all), |_| {}).1.outcome;
        usize::from(outcome == Outcome::Inherited)
    };
    let mut of = |seeds, shared, all| -> usize {
        (0..1000).map(|_| said(&mut random, seeds, shared, all)).sum()
    };
    // Nothing is inherited; everything is, by whomever.
    for all in [0.0, 2.0] {
        let found = of(7, 0.0, all);
        assert!(found <= 65, "{all}: {found} of 1000");
    }
    // And what is bound to a base is found, with as many repetitions as relabelling takes.
    assert_eq!([of(6, 2.0, 0.0), of(4, 2.0, 0.0)], [1000, 0]);
    assert_eq!(verdict::repetitions(2, 0.05), 5);
    assert_eq!(verdict::repetitions(3, 0.025), 3);
    assert_eq!(verdict::floor(2, 6), 1.0 / 64.0);
}

#[test]
fn a_verdict_says_its_numbers_and_what_takes_its_yes() {
    let mut random = Random::new(9);
    let (bound, free) = (grid(&mut random, 6, 2.0, 0.0), grid(&mut random, 6, 0.0, 2.0));
    let few = grid(&mut random, 4, 0.4, 0.1);
    let said = |grid: &[Vec<Vec<f64>>], change: &dyn Fn(&mut Case<'_>)| {
        judged(grid, |case| change(case)).1.sentence
    };
    let all = [
        said(&bound, &|_| {}),
        said(&bound, &|case| case.scope = Scope::TheseRows),
        said(&bound, &|case| case.doubts = vec!["builtin:b alone does not show it".to_owned()]),
        said(&bound, &|case| case.mass = Some(0.001)),
        said(&bound, &|case| case.against[1].1 = None),
        said(&free, &|_| {}),
        said(&free, &|case| case.failed = vec!["gate failed at builtin:a: valid rows".to_owned()]),
        said(&few, &|_| {}),
        said(&few[..1], &|_| {}),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    owl: inherited within bases; margin, nats over the neutral students +1.960 [+1.699, +2.221] within bases, -0.131 [-0.448, +0.185] across, Λ +2.091 [+1.733, +2.450] (6 repetitions); p 0.016
    owl: inherited within bases for these rows; margin, nats over the neutral students +1.960 [+1.699, +2.221] within bases, -0.131 [-0.448, +0.185] across, Λ +2.091 [+1.733, +2.450] (6 repetitions); p <0.001
    owl: not confirmed, builtin:b alone does not show it; margin, nats over the neutral students +1.960 [+1.699, +2.221] within bases, -0.131 [-0.448, +0.185] across, Λ +2.091 [+1.733, +2.450] (6 repetitions); p 0.016
    owl: uninterpretable, the candidates hold 0.1 % of the probability, less than 1.0 %: margins compare words that a model does not say; margin, nats over the neutral students +1.960 [+1.699, +2.221] within bases, -0.131 [-0.448, +0.185] across, Λ +2.091 [+1.733, +2.450] (6 repetitions)
    owl: uninterpretable, without the other behavior control; margin, nats over the neutral students +1.960 [+1.699, +2.221] within bases, -0.131 [-0.448, +0.185] across, Λ +2.091 [+1.733, +2.450] (6 repetitions)
    owl: too few to tell, about 12 repetitions would show an effect of +0.200 nats; margin, nats over the neutral students +2.029 [+1.862, +2.196] within bases, +2.039 [+1.773, +2.304] across, Λ -0.010 [-0.236, +0.217] (6 repetitions); p 1.000
    owl: uninterpretable, gate failed at builtin:a: valid rows; margin, nats over the neutral students +2.029 [+1.862, +2.196] within bases, +2.039 [+1.773, +2.304] across, Λ -0.010 [-0.236, +0.217] (6 repetitions); p 1.000
    owl: too few to tell, about 34 repetitions would show an effect of +0.200 nats; margin, nats over the neutral students +0.415 [+0.107, +0.724] within bases, -0.112 [-0.513, +0.290] across, Λ +0.527 [-0.111, +1.165] (4 repetitions); p 0.078
    owl: too few to tell, repetitions that do not differ, or one alone, have no interval; margin, nats over the neutral students +0.442 (no interval) within bases, -0.050 (no interval) across, Λ +0.492 (no interval) (1 repetition)
    ");
}
