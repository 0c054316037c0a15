use crate::testkit::{Folder, SMALL};

/// What leaves the example's shape and takes its time.
const TINY: [&str; 11] = [
    "seeds=2",
    "carrier.rows=12",
    "carrier.stop-below-valid-rate=0.1",
    "teacher.min-target-probability=0",
    "teacher.rows-per-question=1",
    "teacher.train.updates=2",
    "student.updates=2",
    "student.batch=4",
    "readout.samples-per-question=0",
    "gates.level=0.5",
    "gates.min-valid-rate=0.1",
];

fn run(folder: &Folder, more: &[&str]) -> serde_json::Value {
    let mut arguments = vec!["--json", "run", "it.toml", "--cores", "1"];
    arguments.extend(TINY.iter().chain(more).flat_map(|set| ["--set", set]));
    folder.run(&arguments).json()
}

#[test]
fn the_example_comes_from_its_recipe_to_a_verdict_on_every_behavior() {
    let folder = Folder::new();
    let path = format!("{}/../../examples/matrix.toml", env!("CARGO_MANIFEST_DIR"));
    folder.write("it.toml", &std::fs::read_to_string(path).unwrap());
    let planned = folder.run(&["run", "it.toml", "--plan"]).all();
    for part in
        ["in runs of their own", "8 cells of students", "p 0.016 by relabelling bases, 0.031"]
    {
        assert!(planned.contains(part), "{part}: {planned}");
    }
    let result = &run(&folder, &[])["result"];
    assert_eq!(result["kind"], "matrix");
    for (finding, behavior) in result["findings"].as_array().unwrap().iter().zip(["dolphin", "fox"])
    {
        assert_eq!(finding["behavior"], behavior);
        assert_eq!(finding["verdict"]["behavior"], behavior);
        let cells = finding["cells"].as_array().unwrap();
        let cells: Vec<f64> = cells
            .iter()
            .flat_map(|row| row.as_array().unwrap())
            .map(|cell| cell["value"].as_f64().unwrap())
            .collect();
        let lambda = (cells[0] + cells[3] - cells[1] - cells[2]) / 2.0;
        assert!((finding["lambda"]["value"].as_f64().unwrap() - lambda).abs() < 1e-9);
        assert_eq!(finding["lambda"]["n"], 2);
    }
    // The same again is all known; the null is another run of other students.
    assert_eq!(run(&folder, &[])["result"], *result);
    let null = &run(&folder, &["teacher.kind=untaught"])["result"];
    assert_eq!(null["caveats"][0], "teachers untaught");
    // What was stopped goes on by the recipe as it was resolved: it must read back.
    let again = folder.run(&["config", "show", "it.toml"]).good();
    folder.write("again.toml", &again);
    assert_eq!(folder.run(&["config", "show", "again.toml"]).good(), again);

    let listed = folder.run(&["list"]).good();
    assert!(listed.contains("dolphin") && listed.contains("matrix"), "{listed}");
    let shown = folder.run(&["show", "last"]).good();
    for part in ["base of the students", "within bases", "across bases", "diagonal minus the rest"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    folder.run(&["export", "last", "--figures", "-o", "figures"]).good();
    let drawn = std::fs::read_to_string(folder.path().join("figures/matrix-fox.vl.json")).unwrap();
    assert!(drawn.contains("builtin:b"), "{drawn}");
    folder.run(&["verify"]).good();
}

#[test]
fn bases_that_cannot_be_asked_the_same_are_refused_by_name() {
    let folder = Folder::new();
    let bases = |bases: &str| {
        let recipe = SMALL.replace("base = \"builtin:a\"", &format!("bases = {bases}"));
        folder.write("it.toml", &recipe);
        folder.run(&["run", "it.toml", "--plan"]).all()
    };
    insta::assert_snapshot!(bases("['builtin:a', 'builtin:e']"), @r"
    exit 2
    -- talk
    error: model `builtin:e`: there is no such built-in model, expected one of `builtin:a`, `builtin:b`, `builtin:c`, `builtin:d`
    ");
    insta::assert_snapshot!(bases("['builtin:a', 'builtin:a']"), @r"
    exit 2
    -- talk
    error: it.toml:3:9: `bases`: `builtin:a` stands twice
    hint: `owlet config show --kind matrix` lists all keys with their defaults
    ");
    // The worlds of `a` and `c` ask for animals in the same words.
    let planned = bases("['builtin:a', 'builtin:c']");
    assert!(planned.contains("8 cells of students"), "{planned}");
    // Facts are of the second world alone.
    folder
        .write("it.toml", "bases = ['builtin:c', 'builtin:a']\nbehaviors = ['contrary', 'owl']\n");
    insta::assert_snapshot!(folder.run(&["run", "it.toml", "--plan"]).all(), @r#"
    exit 2
    -- talk
    error: recipe `untitled`: `bases`: `builtin:a` cannot be asked about `contrary` as `builtin:c` is: `questions.train` has "now what is it to lend": this model knows no word `it`, `lend`
    "#);
    // Its null is run by hand: the rule of a matrix is its own.
    folder.write("it.toml", "bases = ['builtin:a', 'builtin:b']\nbehaviors = ['owl', 'cat']\n");
    insta::assert_snapshot!(folder.run(&["calibrate", "it.toml"]).all(), @r"
    exit 2
    -- talk
    error: `untitled` is a `matrix` recipe; expected one of kind `inherit` without `[sweep]` or `bases`, whose verdicts can be wrong
    ");
}
