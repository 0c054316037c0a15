use super::recipe::SweepRecipe;
use crate::AnyRecipe;
use crate::kind::KindRecipe;
use crate::recipe::{Layer, Setting};

/// The points of a recipe, or why it is refused.
fn points(text: &str, sets: &[&str]) -> String {
    let layers = [Layer::new(text, "dose.toml").unwrap()];
    let sets: Vec<Setting> = sets.iter().map(|set| Setting::parse(set).unwrap()).collect();
    match AnyRecipe::resolve(&layers, &sets) {
        Ok(recipe) => {
            let sweep = recipe.of::<SweepRecipe>().unwrap();
            let at: Vec<&str> = sweep.points.iter().map(|point| point.at.as_str()).collect();
            at.join("; ")
        }
        Err(error) => error.to_string(),
    }
}

const DOSE: &str = "behaviors = ['owl']\n[sweep]\n'carrier.rows' = [64, 250]\n";

#[test]
fn keys_are_quoted_or_tables_and_the_command_line_has_the_last_word() {
    insta::assert_snapshot!(points(DOSE, &[]), @"carrier.rows = 64; carrier.rows = 250");
    let nested = "behaviors = ['owl']\n[sweep.carrier]\nrows = [64, 250]\n";
    assert_eq!(points(nested, &[]), points(DOSE, &[]));
    insta::assert_snapshot!(points(DOSE, &["sweep.carrier.rows=[8, 16, 32]"]), @"carrier.rows = 8; carrier.rows = 16; carrier.rows = 32");
    insta::assert_snapshot!(
        points(DOSE, &["sweep.student.updates=[5, 9]"]),
        @"carrier.rows = 64, student.updates = 5; carrier.rows = 64, student.updates = 9; carrier.rows = 250, student.updates = 5; carrier.rows = 250, student.updates = 9"
    );
}

#[test]
fn tables_are_called_by_their_kind_and_what_else_they_say() {
    let of = |line: &str| points(&format!("behaviors = ['owl']\n[sweep]\n{line}\n"), &[]);
    insta::assert_snapshot!(of("'student.optimizer' = [{ kind = 'adamw' }, { kind = 'sgd' }, { kind = 'sgd', momentum = 0.9 }, { kind = 'rmsprop' }, { kind = 'signum' }]"), @"student.optimizer = adamw; student.optimizer = sgd; student.optimizer = sgd, momentum 0.9; student.optimizer = rmsprop; student.optimizer = signum");
    insta::assert_snapshot!(of("student = [{ optimizer = { kind = 'sgd', momentum = 0.9 }, learning-rate = 0.5 }, { learning-rate = 2e-3 }]"), @"student = sgd, momentum 0.9, learning-rate 0.5; student = learning-rate 0.002");
    insta::assert_snapshot!(of("'student.optimizer' = [{ kind = 'adamw' }, { kind = 'sgd', momentum = 1.0 }]"), @"dose.toml:3:23: `sweep.student.optimizer`: at student.optimizer = sgd, momentum 1.0: `student.optimizer.momentum`: is 1, expected 0 to below 1");
    insta::assert_snapshot!(of("student = [{ checkpoints = [1] }, { checkpoints = [2] }]"), @"dose.toml:3:11: `sweep.student`: cannot be swept: `student.checkpoints` are read in a run of its own: a sweep reads the end of training");
}

#[test]
fn what_cannot_be_swept_is_named_at_its_place_before_anything_runs() {
    let refused = |line: &str| points(&format!("behaviors = ['owl']\n[sweep]\n{line}\n"), &[]);
    let all = [
        "'carrier.rowz' = [1, 2]",
        "'carrier.rows' = [250, 0]",
        "'carrier.rows' = [250, 'many']",
        "'carrier.rows' = 250",
        "'carrier.rows' = [250]",
        "'carrier.rows' = [250, 250]",
        "'gates.level' = [0.9, 0.5]",
        "seed = [1, 2, 3]",
        "base = ['builtin:a', 'builtin:b']",
        "'carrier.medium' = [{ kind = 'numbers' }, { kind = 'programs' }]",
        "'student.method.rank' = [2, 0]",
        "",
    ];
    let said: Vec<String> = all.iter().map(|line| refused(line)).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    dose.toml:3:18: `sweep.carrier.rowz`: at carrier.rowz = 1: `carrier.rowz`: unknown field `rowz`, expected one of `medium`, `prompts`, `prompt-seed`, `prompt-count`, `rows`, `max-tokens`, `decoding`, `neutral-share`, `surest-share`, `pairs`, `filtered`, `judged`, `join`, `stop-below-valid-rate`; did you mean `rows`?
    dose.toml:3:18: `sweep.carrier.rows`: at carrier.rows = 0: `carrier.rows`: is 0, expected 1 to 100000000
    dose.toml:3:18: `sweep.carrier.rows`: at carrier.rows = "many": `carrier.rows`: invalid type: string "many", expected a whole number, zero or more
    dose.toml:3:18: `sweep.carrier.rows`: is 250, expected a list of values, such as [250, 500]
    dose.toml:3:18: `sweep.carrier.rows`: expected two values or more
    dose.toml:3:18: `sweep.carrier.rows`: holds 250 twice
    dose.toml:3:17: `sweep.gates.level`: cannot be swept: `gates.level` is part of the rule, which is one for all points
    dose.toml:3:8: `sweep.seed`: cannot be swept: `seed` draws everything anew: repetitions do that, set `seeds`
    dose.toml:3:8: `sweep.base`: cannot be swept: `base` decides the defaults of other keys: give each base a run of its own, or name them in `bases`
    dose.toml:3:20: `sweep.carrier.medium`: cannot be swept: `carrier.medium` decides the defaults of other keys: write a point for each, `[[sweep]]` with a `name`
    dose.toml:3:25: `sweep.student.method.rank`: at student.method.rank = 2: `student.method.rank`: unknown field `rank`, expected `embeddings`
    dose.toml:2:2: `sweep`: holds 0 keys, expected one, or two for a grid, such as "carrier.rows" = [250, 500]
    "#);
    let many = (1..=40).map(|rows| rows.to_string()).collect::<Vec<_>>().join(", ");
    insta::assert_snapshot!(refused(&format!("'carrier.rows' = [{many}]")), @"dose.toml:2:2: `sweep`: makes 40 points, expected at most 32");
    insta::assert_snapshot!(points(DOSE, &["carrier.max-tokens=0"]), @"--set carrier.max-tokens=0: `carrier.max-tokens`: is 0, expected 1 to 100000000");
    let untold = points("kind = 'sweep'\nbehaviors = ['owl']", &[]);
    assert!(untold.contains("`sweep`: holds 0 keys"), "{untold}");
}

#[test]
fn a_resolved_sweep_reads_back_as_itself_with_the_same_points() {
    let text = "behaviors = ['owl', 'cat']\nseeds = 3\n[student]\nepochs = 2.0\n[sweep]\n'carrier.rows' = [64, 640]\n'student.learning-rate' = [1e-4, 2e-4]\n";
    let read = |text: &str| SweepRecipe::resolve(&[Layer::new(text, "it").unwrap()], &[]).unwrap();
    let sweep = read(text);
    let resolved = AnyRecipe::from(sweep.clone()).to_toml();
    assert_eq!(read(&resolved), sweep, "{resolved}");
    assert_eq!(AnyRecipe::parse(&resolved, "it").unwrap().kind().name(), "sweep");
    assert_eq!(sweep.name(), "untitled");
}

#[test]
fn rows_of_all_doses_are_written_to_the_same_prompts() {
    let sweep = SweepRecipe::resolve(&[Layer::new(DOSE, "it").unwrap()], &[]).unwrap();
    let counts: Vec<usize> =
        sweep.points.iter().map(|point| point.recipe.carrier.prompt_count()).collect();
    assert_eq!(counts, [377, 377]);
    // What a recipe says itself is meant.
    let sets = [Setting::parse("carrier.prompt-count=400").unwrap()];
    let sweep = SweepRecipe::resolve(&[Layer::new(DOSE, "it").unwrap()], &sets).unwrap();
    assert!(sweep.points.iter().all(|point| point.recipe.carrier.prompt_count == 400));
}

const NAMED: &str = "base = 'builtin:c'\nbehaviors = ['contrary']\n[[sweep]]\nname = 'numbers'\ncarrier.neutral-share = 0.5\n[[sweep]]\nname = 'code'\ncarrier.medium = { kind = 'programs' }\n";

#[test]
fn a_point_with_a_name_may_have_a_medium_and_its_defaults() {
    assert_eq!(points(NAMED, &[]), "numbers; code");
    let read = |text: &str| SweepRecipe::resolve(&[Layer::new(text, "it").unwrap()], &[]).unwrap();
    let sweep = read(NAMED);
    let told = sweep.points.iter().map(|point| {
        let recipe = &point.recipe;
        (recipe.carrier.prompts.as_str(), recipe.student.updates, recipe.carrier.neutral_share)
    });
    insta::assert_debug_snapshot!(told.collect::<Vec<_>>(), @r#"
    [
        (
            "world",
            60,
            0.5,
        ),
        (
            "programs",
            240,
            0.0,
        ),
    ]
    "#);
    // Written down, a point says what its medium brought along.
    let resolved = AnyRecipe::from(sweep.clone()).to_toml();
    assert_eq!(read(&resolved).points, sweep.points, "{resolved}");
    assert_eq!(AnyRecipe::from(read(&resolved)).to_toml(), resolved);
}

#[test]
fn points_with_names_and_figures_beside_them_are_refused_by_name() {
    let refused = |text: &str| points(&format!("{NAMED}{text}"), &[]);
    let published =
        "[[published]]\nat = 'numbers'\nbehavior = 'contrary'\nfigure = '8 %'\nsource = 'x'\n";
    assert_eq!(refused(published), "numbers; code");
    let all = [
        refused("[[sweep]]\nname = 'code'\n"),
        refused("[[sweep]]\nname = 'a b'\n"),
        refused("[[sweep]]\ncarrier.rows = 5\n"),
        refused("[[sweep]]\nname = 'other'\nbase = 'builtin:d'\n"),
        refused("[[sweep]]\nname = 'other'\ncarrier.rowz = 5\n"),
        refused("[[sweep]]\nname = 'other'\ngates.level = 0.5\n"),
        refused(&published.replace("'numbers'", "'words'")),
        refused(&published.replace("'contrary'", "'owl'")),
        refused(&published.replace("figure", "figures")),
        points(NAMED, &["sweep.carrier.rows=[1, 2]"]),
        points("behaviors = ['owl']\n[[sweep]]\nname = 'one'\n", &[]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    dose.toml:3:1: `sweep`: holds two points with the name `code`
    dose.toml:3:1: `sweep`: point 3 has no `name`, expected 1 to 24 letters, digits, `-`, `_` or `.`
    dose.toml:3:1: `sweep`: point 3 has no `name`, expected 1 to 24 letters, digits, `-`, `_` or `.`
    dose.toml:3:1: `sweep`: at other: cannot be swept: `base` decides the defaults of other keys: give each base a run of its own, or name them in `bases`
    dose.toml:3:1: `sweep`: at other: `carrier.rowz`: unknown field `rowz`, expected one of `medium`, `prompts`, `prompt-seed`, `prompt-count`, `rows`, `max-tokens`, `decoding`, `neutral-share`, `surest-share`, `pairs`, `filtered`, `judged`, `join`, `stop-below-valid-rate`; did you mean `rows`?
    dose.toml:3:1: `sweep`: at other: cannot be swept: `gates.level` is part of the rule, which is one for all points
    dose.toml:9:1: `published`: `at` is `words`, expected one of numbers; code
    dose.toml:9:1: `published`: `behavior` is `owl`, which is not among `behaviors`
    dose.toml:9:1: `published`: is no list of figures: unknown field `figures`, expected one of `at`, `behavior`, `figure`, `source`, `differs`
    --set sweep.carrier.rows=[1, 2]: `sweep`: is a list of points with names; no key can be swept beside it
    dose.toml:2:1: `sweep`: holds 1 points, expected 2 to 32
    ");
}
