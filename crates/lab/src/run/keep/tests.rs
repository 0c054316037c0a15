use owlet_store::{RunHeader, StepCost, step_key};
use serde_json::{Value, json};

use super::*;
use crate::run::record::{PlanRecord, PlannedStep, StepsRecord};

struct Tidied {
    _folder: tempfile::TempDir,
    store: Store,
}

impl Tidied {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("workspace")).unwrap();
        Self { _folder: folder, store }
    }

    /// An artifact that a step made of others; its content is its name.
    fn made(&self, name: &str, kind: &str, about: Value, inputs: &[ArtifactId]) -> ArtifactId {
        let writer = self.store.begin_artifact(kind).unwrap();
        writer.write(if kind == "result" { RESULT } else { "file" }, name.as_bytes()).unwrap();
        let output = writer.finish(about).unwrap().id;
        let inputs = inputs.iter().enumerate().map(|(place, id)| (format!("in-{place}"), *id));
        let inputs: BTreeMap<String, ArtifactId> = inputs.collect();
        let configuration = json!({ "name": name });
        let record = StepRecord {
            format: StepRecord::FORMAT,
            key: step_key("make", 1, &configuration, &inputs),
            kind: "make".to_owned(),
            algorithm: 1,
            configuration,
            inputs,
            output,
            about: StepCost {
                started: "2026-11-29T12:00:00Z".to_owned(),
                seconds: 1.0,
                threads: 1,
                peak_memory_bytes: None,
                work: None,
                host: String::new(),
                version: String::new(),
            },
        };
        self.store.record_step(&record).unwrap();
        output
    }

    fn run(&self, nonce: u64) -> Record {
        let id = RunId::new("2026-11-29T12:00:00Z", nonce).unwrap();
        let header = RunHeader {
            format: RunHeader::FORMAT,
            id: id.clone(),
            name: "run".to_owned(),
            started: "2026-11-29T12:00:00Z".to_owned(),
            host: String::new(),
            version: String::new(),
            about: json!({}),
        };
        self.store.create_run(&id, &header).unwrap().into()
    }

    fn finished(&self, nonce: u64, made: &[ArtifactId]) -> Record {
        let run = self.run(nonce);
        let named = |id: &ArtifactId| NamedStep {
            name: "step".to_owned(),
            kind: "make".to_owned(),
            key: None,
            artifact: Some(*id),
        };
        let steps =
            StepsRecord { format: 1, seconds: None, steps: made.iter().map(named).collect() };
        run.write_file("steps.json", &serde_json::to_vec(&steps).unwrap()).unwrap();
        run.write_file(RESULT, b"{}").unwrap();
        run
    }

    fn look(&self, wishes: &Wishes) -> Keeping {
        Keeping::look(&self.store, wishes).unwrap()
    }
}

fn why(keeping: &Keeping, id: ArtifactId) -> Option<Why> {
    let mut all = keeping.stays.iter().chain(&keeping.goes);
    all.find(|looked| looked.id == id).unwrap().why.clone()
}

#[test]
fn a_stopped_run_keeps_what_it_would_go_on_from() {
    let tidied = Tidied::new();
    let made = |name: &str| tidied.made(name, "rows", json!({}), &[]);
    let (reused, given, finished, other) = (made("a"), made("b"), made("c"), made("d"));
    let run = tidied.run(1);
    let step = PlannedStep {
        name: "train".to_owned(),
        artifact: Some(reused),
        inputs: BTreeMap::from([("rows".to_owned(), given.to_string())]),
        ..PlannedStep::default()
    };
    let plan = PlanRecord { format: 1, steps: vec![step], ..PlanRecord::default() };
    run.write_file("plan.json", &serde_json::to_vec(&plan).unwrap()).unwrap();
    let [begun, stray] =
        ["begun", "stray"].map(|name| step_key("train", 1, &json!(name), &BTreeMap::new()));
    for key in [begun, stray] {
        fs_err::write(tidied.store.scratch(&key).unwrap().join("state"), [0; 9]).unwrap();
    }
    for event in [
        json!({"event": "step-finished", "step": "one", "artifact": finished, "seconds": 1.0, "remaining": 0.0}),
        json!({"event": "step-started", "step": "two", "kind": "train", "key": begun.to_string()}),
    ] {
        run.append_event(&event).unwrap();
    }
    let keeping = tidied.look(&Wishes::default());
    for id in [reused, given, finished] {
        assert_eq!(why(&keeping, id), Some(Why::Run(run.id().clone())));
    }
    assert_eq!(why(&keeping, other), None);
    let kept = |keeping: &Keeping| {
        let kept = keeping.scratch.iter().filter(|one| one.run.is_some());
        kept.map(|one| one.step).collect::<Vec<_>>()
    };
    assert_eq!(kept(&keeping), [begun]);
    assert_eq!(keeping.freed(), 1 + 9);
    let wished = Wishes { others: BTreeMap::from([(other, "a job".to_owned())]), models: true };
    assert_eq!(why(&tidied.look(&wished), other), Some(Why::Other("a job".to_owned())));

    // Off the list it keeps nothing.
    tidied.store.remove_run(run.id()).unwrap();
    let keeping = tidied.look(&Wishes::default());
    assert_eq!((keeping.goes.len(), kept(&keeping).len()), (4, 0));
    let of_run = keeping.goes.iter().filter(|one| one.removed_runs == [run.id().clone()]);
    assert_eq!(of_run.count(), 3);
    let alone = tidied.store.alone().unwrap().unwrap();
    let mut told = Vec::new();
    let mut hear = |done, total| told.push((done, total));
    keeping.carry_out(&tidied.store, &alone, "2026-11-29T13:00:00Z", &mut hear).unwrap();
    assert_eq!(told.len(), keeping.goes.len());
    assert!(told.iter().enumerate().all(|(at, one)| *one == (at, keeping.goes.len())), "{told:?}");
    let keeping = tidied.look(&Wishes::default());
    assert!(keeping.goes_nothing() && keeping.stays.is_empty());
    assert_eq!((keeping.removed, keeping.scratch.len()), (4, 0));
}

#[test]
fn what_others_hang_on_stays_though_its_own_run_is_removed() {
    let tidied = Tidied::new();
    let base = tidied.made("base", "model", json!({}), &[]);
    let about = |base: ArtifactId| json!({ "base": base, "weights": "adapter", "updates": 1, "checkpoints": [] });
    let student = tidied.made("student", "student", about(base), &[base]);
    let result = tidied.made("one", "result", json!({}), &[student]);
    let first = tidied.finished(1, &[base, student, result]);
    // The second run was given the student of the first; its base is named in no record of the second.
    let further = tidied.made("further", "student", about(student), &[student]);
    let second = tidied.finished(2, &[further]);

    tidied.store.remove_run(first.id()).unwrap();
    let keeping = tidied.look(&Wishes::default());
    let by_second = Some(Why::Run(second.id().clone()));
    assert_eq!(why(&keeping, further), by_second);
    assert_eq!(why(&keeping, student), by_second);
    assert_eq!(why(&keeping, base), Some(Why::Needed(student)));
    assert_eq!(why(&keeping, result), Some(Why::Result));
    assert!(keeping.goes_nothing());

    // What a run trained it trains again; what it was given it does not.
    let keeping = tidied.look(&Wishes { models: true, ..Wishes::default() });
    assert_eq!(why(&keeping, further), None);
    assert_eq!(why(&keeping, student), by_second);
}
