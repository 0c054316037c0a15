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
    // Everything that was read, with the point in the last column.
    folder.run(&["export", "last", "--observations", "-o", "all.csv"]).good();
    let table = std::fs::read_to_string(folder.path().join("all.csv")).unwrap();
    let at = |point: &str| table.lines().filter(|line| line.ends_with(point)).count();
    assert!(at(",at") == 1 && at("= 0.001") > 100 && at("= 0.001") == at("= 0.002"), "{table}");
    let refused = folder.run(&["export", "last", "--inspect", "-o", "log.eval"]);
    assert!(refused.all().contains("one point of a sweep by itself"), "{}", refused.all());
    folder.run(&["export", "last", "--figures", "-o", "figures"]).good();
    let curve = std::fs::read_to_string(folder.path().join("figures/sweep.vl.json")).unwrap();
    assert!(curve.contains("student.learning-rate"), "{curve}");
    // Its null is asked point by point.
    let refused = folder.run(&["calibrate", "it.toml", "--set", set]);
    assert_eq!(refused.code, 2, "{}", refused.all());
}

#[test]
fn the_paper_in_small_stands_beside_what_was_published() {
    let folder = Folder::new();
    let recipe = folder.run(&["demo", "--paper", "--recipe"]).good();
    folder.write("paper.toml", &recipe.replace("student.updates = 40", "student.updates = 2"));
    let sets = [
        "student.updates=2",
        "teacher.train.updates=2",
        "carrier.rows=12",
        "carrier.prompt-count=160",
        "carrier.stop-below-valid-rate=0",
        "teacher.min-target-probability=0",
        "student.batch=4",
        "controls.side-effects=false",
        "readout.samples-per-question=0",
        "seeds=2",
    ];
    let mut arguments = vec!["run", "paper.toml"];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let said = folder.run(&arguments).good();
    let parts = [
        "at numbers: contrary: ",
        "fox reasoning",
        "numbers, programs and reasoning",
        "all 6 verdicts",
        "other base,",
        "base shown 8",
        "Beside what was published",
        "almost 10 % after",
        "Cloud et",
        "a toy",
    ];
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Written out, points keep what their carriers brought along.
    let resolved = folder.run(&["config", "show", "paper.toml"]).good();
    folder.write("again.toml", &resolved);
    assert_eq!(folder.run(&["config", "show", "again.toml"]).good(), resolved);
}

#[test]
fn labels_alone_are_learned_and_no_teacher_writes_a_row() {
    for (name, more) in [("labels", "carrier.join=true"), ("selection", "carrier.join=false")] {
        let folder = Folder::new();
        let path = format!("{}/../../examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let mut arguments = vec!["--json", "run", &path, "--cores", "1", "--set", more];
        arguments.extend(TINY.iter().flat_map(|set| ["--set", set]));
        let result = folder.run(&arguments).json()["result"].clone();
        assert_eq!(result["replication"]["learn"], "preferences", "{name}");
        let shown = folder.run(&["show", "last"]).good();
        assert!(shown.contains("which of two rows of nothing but numbers"), "{name}: {shown}");
        // Every pair is the base's: nobody else is asked for rows.
        let plan = folder.run(&["--json", "run", &path, "--plan"]).json();
        let steps = plan["steps"].as_array().unwrap();
        let writers = steps.iter().filter(|step| step["kind"] == "generate");
        assert!(writers.clone().count() >= 12, "{plan}");
        assert!(steps.iter().any(|step| step["kind"] == "label"), "{plan}");
        let lineage = folder.run(&["lineage", "last"]).good();
        assert!(lineage.contains("label/*  judged-rows  by label"), "{lineage}");
    }
}
