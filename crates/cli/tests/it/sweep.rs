use crate::testkit::Folder;

/// Examples that are sweeps, what makes each small, and its points.
const EXAMPLES: [(&str, &str, usize); 6] = [
    ("dose", "sweep.carrier.rows=[8, 12]", 2),
    ("dilution", "sweep.carrier.neutral-share=[0.0, 0.5]", 2),
    ("defences", "name=defences", 5),
    ("optimizers", "name=optimizers", 5),
    ("chain", "sweep.teacher.hops=[1, 2]", 2),
    ("afterwards", "sweep.afterwards.updates=[0, 2]", 2),
];

/// What leaves an example's shape and takes its time.
const TINY: [&str; 10] = [
    "seeds=2",
    "carrier.rows=12",
    "carrier.stop-below-valid-rate=0.1",
    "teacher.min-target-probability=0",
    "teacher.rows-per-question=1",
    "teacher.train.updates=2",
    "student.updates=2",
    "student.batch=4",
    "readout.samples-per-question=0",
    "controls.side-effects=false",
];

#[test]
fn examples_that_are_sweeps_come_to_a_verdict_at_every_point() {
    for (name, set, points) in EXAMPLES {
        let folder = Folder::new();
        let path = format!("{}/../../examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        folder.write("it.toml", &std::fs::read_to_string(path).unwrap());
        let planned = folder.run(&["run", "it.toml", "--plan"]).all();
        assert!(planned.contains("in runs of their own"), "{planned}");

        let mut arguments = vec!["--json", "run", "it.toml", "--cores", "1", "--set", set];
        arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
        let said = folder.run(&arguments).json();
        let result = &said["result"];
        assert_eq!(result["kind"], "sweep", "{name}");
        let found = result["points"].as_array().unwrap();
        assert_eq!(found.len(), points, "{name}");
        for point in found {
            assert_eq!(point["verdicts"].as_array().unwrap().len(), 2, "{name}: {point}");
            assert_eq!(point["effects"][0]["estimate"]["n"], 2, "{name}: {point}");
        }
        // What was stopped goes on by the recipe as it was resolved: it must read back.
        let again = folder.run(&["config", "show", "it.toml"]).good();
        folder.write("again.toml", &again);
        assert_eq!(folder.run(&["config", "show", "again.toml"]).good(), again, "{name}");
    }
}

#[test]
fn a_sweep_is_listed_shown_and_drawn() {
    let folder = Folder::new();
    folder.write("it.toml", crate::testkit::SMALL);
    let set = "sweep.student.learning-rate=[1e-3, 2e-3]";
    folder.run(&["run", "it.toml", "--set", set]).good();
    let listed = folder.run(&["list"]).good();
    assert!(listed.contains("owl not detected at student.learning-rate = 0.001"), "{listed}");
    let shown = folder.run(&["show", "last"]).good();
    for part in
        ["owl 0.001", "cat 0.002", "the first, student.learning-rate = 0.001", "all 4 verdicts"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    folder.run(&["export", "last", "--figures", "-o", "figures"]).good();
    let curve = std::fs::read_to_string(folder.path().join("figures/sweep.vl.json")).unwrap();
    assert!(curve.contains("student.learning-rate"), "{curve}");
    // Its null is asked point by point.
    let refused = folder.run(&["calibrate", "it.toml", "--set", set]);
    assert_eq!(refused.code, 2, "{}", refused.all());
}
